/* Truth, equality and order, and dicts, whose keys are found by hash and equality. */
#include "base/hash.h"
#include "model/text/values/value_ops.h"
#include <math.h>

bool value_truth(const struct value *v)
{
    switch (v->kind) {
    case VALUE_MISSING:
    case VALUE_UNDEFINED:
    case VALUE_NONE:
        return false;
    case VALUE_BOOL:
        return v->truth;
    case VALUE_INT:
        return v->number;
    case VALUE_FLOAT:
        return v->real != 0;
    case VALUE_TEXT:
        return v->text->len;
    case VALUE_LIST:
    case VALUE_TUPLE:
        return v->list->count;
    case VALUE_DICT:
        return v->dict->count;
    case VALUE_RANGE:
        return v->range->count;
    case VALUE_VIEW:
        return v->view->dict->count;
    default:
        return true;
    }
}

/* ---- numbers: whole ones are compared exactly with real ones */

static int order_of(const struct value *a, const struct value *b)
{
    int64_t i, k;
    const bool whole_a = value_is_int(a, &i), whole_b = value_is_int(b, &k);
    if (whole_a && whole_b)
        return (i > k) - (i < k);
    if (whole_b)
        return order_of(b, a) == ORDER_NONE ? ORDER_NONE : -order_of(b, a);
    if (!whole_a)
        return isnan(a->real) || isnan(b->real) ? ORDER_NONE
                                                : (a->real > b->real) - (a->real < b->real);
    if (isnan(b->real))
        return ORDER_NONE;
    if (b->real >= 0x1p63 || b->real < -0x1p63)
        return b->real > 0 ? -1 : 1;
    const double floored = floor(b->real);
    const int64_t whole = (int64_t)floored;
    return i != whole ? (i > whole) - (i < whole) : -(b->real > floored);
}

/* ---- equality */

static err_t lists_equal(struct run *r, const struct list *a, const struct list *b, bool *ret)
{
    *ret = a->count == b->count;
    for (size_t i = 0; *ret && i < a->count; i++)
        TRY(value_equal(r, &a->at[i], &b->at[i], ret));
    return OK;
}

static err_t dicts_equal(struct run *r, const struct dict *a, const struct dict *b, bool *ret)
{
    *ret = a->count == b->count;
    for (size_t i = 0; *ret && i < a->count; i++) {
        const struct value *other;
        TRY(dict_find(r, b, &a->at[i].key, &other));
        *ret = other;
        if (other)
            TRY(value_equal(r, &a->at[i].value, other, ret));
    }
    return OK;
}

static bool ranges_equal(const struct range *a, const struct range *b)
{
    return a->count == b->count &&
           (!a->count || (a->start == b->start && (a->count == 1 || a->step == b->step)));
}

static err_t equal(struct run *r, const struct value *a, const struct value *b, bool *ret)
{
    *ret = false;
    if (value_is_number(a) && value_is_number(b)) {
        *ret = order_of(a, b) == 0;
        return OK;
    }
    if (a->kind != b->kind)
        return OK;
    switch (a->kind) {
    case VALUE_UNDEFINED:
    case VALUE_NONE:
        *ret = true;
        return OK;
    case VALUE_TEXT:
        *ret = text_equal(a->text, b->text);
        return *ret ? run_work(r, a->text->len) : OK;
    case VALUE_LIST:
    case VALUE_TUPLE:
        return lists_equal(r, a->list, b->list, ret);
    case VALUE_DICT:
        return dicts_equal(r, a->dict, b->dict, ret);
    case VALUE_RANGE:
        *ret = ranges_equal(a->range, b->range);
        return OK;
    case VALUE_FUNCTION:
        *ret = a->function->builtin == b->function->builtin && a->function == b->function;
        return OK;
    default:
        *ret = a->list == b->list; // the same object, whatever it is
        return OK;
    }
}

err_t value_equal(struct run *r, const struct value *a, const struct value *b, bool *ret)
{
    TRY(run_enter(r));
    TRY(equal(r, a, b, ret));
    run_leave(r);
    return OK;
}

/* ---- order */

static err_t lists_order(struct run *r, const struct list *a, const struct list *b, int *ret)
{
    bool same = true;
    size_t i = 0;
    for (; i < a->count && i < b->count; i++) {
        TRY(value_equal(r, &a->at[i], &b->at[i], &same));
        if (!same)
            return value_order(r, &a->at[i], &b->at[i], ret);
    }
    *ret = (a->count > b->count) - (a->count < b->count);
    return OK;
}

err_t value_order(struct run *r, const struct value *a, const struct value *b, int *ret)
{
    if (a->kind == VALUE_UNDEFINED || b->kind == VALUE_UNDEFINED)
        return undefined_error(a->kind == VALUE_UNDEFINED ? a : b);
    TRY(run_enter(r));
    if (value_is_number(a) && value_is_number(b)) {
        *ret = order_of(a, b);
    } else if (a->kind == VALUE_TEXT && b->kind == VALUE_TEXT) {
        const int order = text_compare(a->text, b->text);
        TRY(run_work(r, a->text->len < b->text->len ? a->text->len : b->text->len));
        *ret = (order > 0) - (order < 0);
    } else if (a->kind == b->kind && value_is_list(a)) {
        TRY(lists_order(r, a->list, b->list, ret));
    } else {
        return err_new(ERR_INVALID, "%s and %s have no order", value_kind_name(a),
                       value_kind_name(b));
    }
    run_leave(r);
    return OK;
}

/* ---- hashes: equal values have equal ones */

static uint64_t hash_number(double real)
{
    return hash64(&real, sizeof real, 1);
}

static err_t hash_of(struct run *r, const struct value *v, uint64_t *ret)
{
    int64_t number;
    if (v->kind == VALUE_TEXT) {
        TRY(run_work(r, v->text->len));
        *ret = hash64(v->text->data, v->text->len, 0);
    } else if (value_is_int(v, &number)) {
        *ret = hash_number((double)number);
    } else if (v->kind == VALUE_FLOAT) {
        *ret = hash_number(v->real == 0 ? 0 : v->real);
    } else if (v->kind == VALUE_TUPLE) {
        *ret = 3;
        TRY(run_enter(r));
        for (size_t i = 0; i < v->list->count; i++) {
            uint64_t one;
            TRY(hash_of(r, &v->list->at[i], &one));
            *ret = hash64(&one, sizeof one, *ret);
        }
        run_leave(r);
    } else if (v->kind == VALUE_RANGE) {
        *ret = v->range->count ? (uint64_t)v->range->start : 0;
    } else if (v->kind != VALUE_LIST && v->kind != VALUE_DICT && v->kind != VALUE_VIEW) {
        *ret = v->kind;
    } else {
        return err_new(ERR_INVALID, "%s cannot be a key of a dict", value_kind_name(v));
    }
    return OK;
}

/* ---- dicts */

enum { LOOK_AT_EACH = 8 };

struct dict *dict_new(struct run *r)
{
    return room_take(&r->room, sizeof(struct dict));
}

static void index_put(struct dict *dict, size_t i)
{
    size_t slot = dict->at[i].hash & (dict->slots - 1);
    while (dict->slot[slot])
        slot = (slot + 1) & (dict->slots - 1);
    dict->slot[slot] = (uint32_t)i + 1;
}

static err_t grow(struct run *r, struct dict *dict)
{
    const size_t capacity = dict->capacity ? dict->capacity * 2 : LOOK_AT_EACH;
    if (capacity > UINT32_MAX / 8)
        return err_new(ERR_RANGE, "a dict of more than %zu keys", dict->count);
    TRY(run_work(r, dict->count));
    TRY(run_room(r, capacity * (sizeof *dict->at + 4 * sizeof *dict->slot)));
    struct pair *at = room_take(&r->room, capacity * sizeof *at);
    if (dict->count)
        memcpy(at, dict->at, dict->count * sizeof *at);
    dict->at = at;
    dict->capacity = capacity;
    if (capacity > LOOK_AT_EACH) {
        dict->slots = capacity * 2;
        dict->slot = room_take(&r->room, dict->slots * sizeof *dict->slot);
        for (size_t i = 0; i < dict->count; i++)
            index_put(dict, i);
    }
    return OK;
}

static err_t is_key(struct run *r, const struct pair *pair, const struct value *key, uint64_t hash,
                    bool *ret)
{
    *ret = false;
    return pair->hash == hash ? value_equal(r, &pair->key, key, ret) : OK;
}

/* Where the key is; count: nowhere. */
static err_t find(struct run *r, const struct dict *dict, const struct value *key, uint64_t hash,
                  size_t *ret)
{
    bool found = false;
    if (!dict->slot) {
        for (size_t i = 0; i < dict->count; i++) {
            TRY(is_key(r, &dict->at[i], key, hash, &found));
            if (found) {
                *ret = i;
                return OK;
            }
        }
    } else {
        for (size_t slot = hash & (dict->slots - 1); dict->slot[slot];
             slot = (slot + 1) & (dict->slots - 1)) {
            TRY(run_work(r, 0));
            TRY(is_key(r, &dict->at[dict->slot[slot] - 1], key, hash, &found));
            if (found) {
                *ret = dict->slot[slot] - 1;
                return OK;
            }
        }
    }
    *ret = dict->count;
    return OK;
}

err_t dict_set(struct run *r, struct dict *dict, struct value key, struct value v)
{
    uint64_t hash = 0;
    size_t at;
    TRY(hash_of(r, &key, &hash));
    TRY(find(r, dict, &key, hash, &at));
    if (at < dict->count) {
        dict->at[at].value = v;
        return OK;
    }
    if (dict->count == dict->capacity)
        TRY(grow(r, dict));
    dict->at[dict->count++] = (struct pair){key, v, hash};
    if (dict->slot)
        index_put(dict, dict->count - 1);
    return OK;
}

err_t dict_find(struct run *r, const struct dict *dict, const struct value *key,
                const struct value **ret)
{
    uint64_t hash = 0;
    size_t at;
    TRY(hash_of(r, key, &hash));
    TRY(find(r, dict, key, hash, &at));
    *ret = at < dict->count ? &dict->at[at].value : NULL;
    return OK;
}

/* Without an error: for names, which are short. */
const struct value *dict_find_text(const struct dict *dict, const struct text *key)
{
    const uint64_t hash = hash64(key->data, key->len, 0);
    size_t slot = hash & (dict->slots - 1);
    for (size_t i = 0; !dict->slot && i < dict->count; i++)
        if (dict->at[i].hash == hash && dict->at[i].key.kind == VALUE_TEXT &&
            text_equal(dict->at[i].key.text, key))
            return &dict->at[i].value;
    for (; dict->slot && dict->slot[slot]; slot = (slot + 1) & (dict->slots - 1)) {
        const struct pair *pair = &dict->at[dict->slot[slot] - 1];
        if (pair->hash == hash && pair->key.kind == VALUE_TEXT && text_equal(pair->key.text, key))
            return &pair->value;
    }
    return NULL;
}
