/* len(a), the items of a, a[b:c:d], and b in a. */
#include "model/text/values/value_ops.h"

/* ---- length and items */

err_t value_length(struct run *r, const struct value *v, int64_t *ret)
{
    bool more = true;
    switch (v->kind) {
    case VALUE_UNDEFINED:
        *ret = 0;
        return OK;
    case VALUE_TEXT:
        *ret = (int64_t)v->text->points;
        return OK;
    case VALUE_LIST:
    case VALUE_TUPLE:
        *ret = (int64_t)v->list->count;
        return OK;
    case VALUE_DICT:
        *ret = (int64_t)v->dict->count;
        return OK;
    case VALUE_RANGE:
        *ret = (int64_t)v->range->count;
        return OK;
    case VALUE_VIEW:
        *ret = (int64_t)v->view->dict->count;
        return OK;
    case VALUE_LOOP:
        while (more)
            TRY(r->ways->pull(r, v->loop, &more));
        *ret = (int64_t)v->loop->items.count;
        return OK;
    default:
        return err_new(ERR_INVALID, "%s has no length", value_kind_name(v));
    }
}

static err_t dict_items(struct run *r, const struct dict *dict, int kind, struct list *ret)
{
    for (size_t i = 0; i < dict->count; i++) {
        struct value item = kind == VIEW_KEYS ? dict->at[i].key : dict->at[i].value;
        if (kind == VIEW_ITEMS) {
            struct list *pair = list_new(r, 2);
            pair->at[pair->count++] = dict->at[i].key;
            pair->at[pair->count++] = dict->at[i].value;
            item = (struct value){.kind = VALUE_TUPLE, .list = pair};
        }
        TRY(list_push(r, ret, item));
    }
    return OK;
}

static err_t text_items(struct run *r, const struct text *text, struct list *ret)
{
    TRY(run_work(r, text->len));
    for (size_t at = 0, end; at < text->len; at = end) {
        for (end = at + 1; end < text->len && ((uint8_t)text->data[end] & 0xC0) == 0x80;)
            end++;
        const struct text *point = text_part(&r->room, text, at, end - at);
        TRY(list_push(r, ret, value_text(text_marked(&r->room, point, false))));
    }
    return OK;
}

err_t value_items(struct run *r, const struct value *v, struct list *ret)
{
    *ret = (struct list){0};
    switch (v->kind) {
    case VALUE_UNDEFINED:
        return OK;
    case VALUE_LIST:
    case VALUE_TUPLE:
        *ret = (struct list){v->list->at, v->list->count, v->list->count};
        return OK;
    case VALUE_TEXT:
        return text_items(r, v->text, ret);
    case VALUE_DICT:
        return dict_items(r, v->dict, VIEW_KEYS, ret);
    case VALUE_VIEW:
        return dict_items(r, v->view->dict, v->view->kind, ret);
    case VALUE_RANGE:
        for (size_t i = 0; i < v->range->count; i++)
            TRY(list_push(r, ret, value_int(v->range->start + (int64_t)i * v->range->step)));
        return OK;
    case VALUE_ITERATOR: {
        struct iterator *it = v->iterator;
        if (it->fails)
            return err_new(ERR_INVALID, "%s", it->fails);
        const size_t left = it->items.count - it->at;
        if (left)
            *ret = (struct list){it->items.at + it->at, left, left};
        it->at = it->items.count;
        return OK;
    }
    default:
        return err_new(ERR_INVALID, "%s has no items to go through", value_kind_name(v));
    }
}

/* ---- in */

static err_t list_contains(struct run *r, const struct list *list, const struct value *v, bool *ret)
{
    *ret = false;
    for (size_t i = 0; !*ret && i < list->count; i++)
        TRY(value_equal(r, &list->at[i], v, ret));
    return OK;
}

err_t value_contains(struct run *r, const struct value *in, const struct value *v, bool *ret)
{
    const struct value *found;
    const struct text *what;
    struct list items;
    switch (in->kind) {
    case VALUE_TEXT:
        TRY(want_text(v, "what is looked for in a string", &what));
        TRY(run_work(r, in->text->len));
        *ret = text_find(in->text, what, 0) != SIZE_MAX;
        return OK;
    case VALUE_DICT:
        TRY(dict_find(r, in->dict, v, &found));
        *ret = found;
        return OK;
    default:
        TRY(value_items(r, in, &items));
        return list_contains(r, &items, v, ret);
    }
}

/* ---- slices */

/* PySlice_AdjustIndices */
static err_t bounds(const struct value bound[3], int64_t count, int64_t *ret_start,
                    int64_t *ret_step, int64_t *ret_count)
{
    int64_t at[3] = {0, 0, 1};
    for (int i = 0; i < 3; i++)
        if (bound[i].kind != VALUE_NONE)
            TRY(want_int(&bound[i], "a slice's bound", &at[i]));
    const int64_t step = at[2] < -INT64_MAX ? -INT64_MAX : at[2];
    if (!step)
        return err_new(ERR_INVALID, "a slice's step cannot be 0");
    const int64_t low = step < 0 ? -1 : 0, high = step < 0 ? count - 1 : count;
    for (int i = 0; i < 2; i++) {
        if (bound[i].kind == VALUE_NONE)
            at[i] = (i == 0) == (step > 0) ? low : high;
        else if (at[i] < 0)
            at[i] = at[i] + count < 0 ? low : at[i] + count;
        else if (at[i] >= count)
            at[i] = high;
    }
    *ret_start = at[0];
    *ret_step = step;
    *ret_count = step > 0 ? (at[1] > at[0] ? (at[1] - at[0] - 1) / step + 1 : 0)
                          : (at[0] > at[1] ? (at[0] - at[1] - 1) / -step + 1 : 0);
    return OK;
}

static err_t text_slice(struct run *r, const struct text *text, int64_t start, int64_t step,
                        int64_t count, struct value *ret)
{
    TRY(run_work(r, text->len));
    if (step == 1) {
        const size_t at = text_offset(text, (size_t)start);
        const size_t end = text_offset(text, (size_t)(start + count));
        *ret = value_text(text_part(&r->room, text, at, count ? end - at : 0));
        return OK;
    }
    TRY(run_room(r, (text->points + 1) * sizeof(size_t)));
    size_t *offset = room_take(&r->room, (text->points + 1) * sizeof *offset), points = 0;
    for (size_t i = 0; i < text->len; i++)
        if (((uint8_t)text->data[i] & 0xC0) != 0x80)
            offset[points++] = i;
    offset[points] = text->len;
    struct builder out = {.room = &r->room};
    for (int64_t i = 0; i < count; i++) {
        const size_t at = (size_t)(start + i * step);
        builder_put_part(&out, text, offset[at], offset[at + 1] - offset[at]);
    }
    const struct text *made;
    TRY(builder_text(&out, &made));
    *ret = value_text(text_marked(&r->room, made, text->markup));
    return OK;
}

err_t value_slice(struct run *r, const struct value *v, const struct value bound[3],
                  struct value *ret)
{
    int64_t start = 0, step = 1, count = 0;
    if (v->kind == VALUE_UNDEFINED)
        return undefined_error(v);
    if (v->kind == VALUE_RANGE)
        return err_new(ERR_INVALID, "a slice of a range is not supported");
    if (v->kind != VALUE_TEXT && !value_is_list(v))
        return err_new(ERR_INVALID, "%s cannot be sliced", value_kind_name(v));
    const size_t length = v->kind == VALUE_TEXT ? v->text->points : v->list->count;
    TRY(bounds(bound, (int64_t)length, &start, &step, &count));
    if (v->kind == VALUE_TEXT)
        return text_slice(r, v->text, start, step, count, ret);
    struct list *list = list_new(r, 0);
    for (int64_t i = 0; i < count; i++)
        TRY(list_push(r, list, v->list->at[start + i * step]));
    *ret = (struct value){.kind = v->kind, .list = list};
    return OK;
}
