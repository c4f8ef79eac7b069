/* Filters of sequences, as jinja2/filters.py has them. Its generators are made whole at once. */
#include "model/text/template/template_tables.h"
#include "model/text/values/value_ops.h"

static struct value iterator(struct run *r, const struct list *items)
{
    struct iterator *it = room_take(&r->room, sizeof *it);
    it->items = *items;
    return (struct value){.kind = VALUE_ITERATOR, .iterator = it};
}

static err_t first(struct run *r, const struct value *self, const struct value *arg,
                   struct value *ret)
{
    struct list items;
    (void)arg;
    if (self->kind == VALUE_ITERATOR) {
        struct iterator *it = self->iterator;
        if (it->fails)
            return err_new(ERR_INVALID, "%s", it->fails);
        *ret = it->at < it->items.count ? it->items.at[it->at++]
                                        : value_undefined("No first item, sequence was empty.");
        return OK;
    }
    if (self->kind == VALUE_TEXT && self->text->points) {
        TRY(value_item(r, self, &(struct value){.kind = VALUE_INT}, ret));
        ret->text = text_marked(&r->room, ret->text, false);
        return OK;
    }
    TRY(value_items(r, self, &items));
    *ret = items.count ? items.at[0] : value_undefined("No first item, sequence was empty.");
    return OK;
}

static err_t last(struct run *r, const struct value *self, const struct value *arg,
                  struct value *ret)
{
    struct list items;
    (void)arg;
    if (self->kind == VALUE_ITERATOR)
        return err_new(ERR_INVALID, "a generator has no last item");
    if (self->kind == VALUE_TEXT && self->text->points)
        return value_item(r, self, &(struct value){.kind = VALUE_INT, .number = -1}, ret);
    TRY(value_items(r, self, &items));
    *ret = items.count ? items.at[items.count - 1]
                       : value_undefined("No last item, sequence was empty.");
    return OK;
}

static err_t length(struct run *r, const struct value *self, const struct value *arg,
                    struct value *ret)
{
    (void)arg;
    *ret = value_int(0);
    return value_length(r, self, &ret->number);
}

static err_t list(struct run *r, const struct value *self, const struct value *arg,
                  struct value *ret)
{
    struct list *made = list_new(r, 0);
    (void)arg;
    TRY(value_items(r, self, made));
    made->capacity = made->count;
    *ret = value_list(made);
    return OK;
}

static err_t reverse(struct run *r, const struct value *self, const struct value *arg,
                     struct value *ret)
{
    struct list items, back = {0};
    (void)arg;
    if (self->kind == VALUE_TEXT) {
        const struct value bound[3] = {value_none(), value_none(), value_int(-1)};
        return value_slice(r, self, bound, ret);
    }
    TRY(value_items(r, self, &items));
    for (size_t i = items.count; i-- > 0;)
        TRY(list_push(r, &back, items.at[i]));
    if (self->kind == VALUE_ITERATOR) {
        struct list *made = list_new(r, 0);
        *made = back;
        *ret = value_list(made);
    } else {
        *ret = iterator(r, &back);
    }
    return OK;
}

/* ---- by an attribute, without regard to case */

static err_t key_of(struct run *r, const struct value *item, const struct value *path,
                    bool case_sensitive, struct value *ret)
{
    TRY(value_path(r, item, path, ret));
    if (!case_sensitive && ret->kind == VALUE_TEXT)
        TRY(text_cased(r, ret->text, CASE_LOWER, &ret->text));
    return OK;
}

/* sort's attribute may name several: "a,b". */
static err_t keys_of(struct run *r, const struct value *item, const struct value *paths,
                     bool case_sensitive, struct value *ret)
{
    struct list *keys = list_new(r, 1);
    struct value key;
    *ret = value_list(keys);
    if (paths->kind != VALUE_TEXT) {
        TRY(key_of(r, item, paths, case_sensitive, &key));
        return list_push(r, keys, key);
    }
    for (size_t at = 0;;) {
        const struct text comma = {",", (const uint8_t *)"", 1, 1, false};
        const size_t found = text_find(paths->text, &comma, at);
        const size_t end = found == SIZE_MAX ? paths->text->len : found;
        const struct value path = value_text(text_part(&r->room, paths->text, at, end - at));
        TRY(key_of(r, item, &path, case_sensitive, &key));
        TRY(list_push(r, keys, key));
        if (found == SIZE_MAX)
            return OK;
        at = end + 1;
    }
}

static err_t sort(struct run *r, const struct value *self, const struct value *arg,
                  struct value *ret)
{
    struct list *made = list_new(r, 0), keys = {0};
    TRY(value_items(r, self, made));
    for (size_t i = 0; i < made->count; i++) {
        struct value key;
        TRY(keys_of(r, &made->at[i], &arg[2], value_truth(&arg[1]), &key));
        TRY(list_push(r, &keys, key));
    }
    TRY(list_sort(r, made, &keys, value_truth(&arg[0])));
    *ret = value_list(made);
    return OK;
}

static err_t dictsort(struct run *r, const struct value *self, const struct value *arg,
                      struct value *ret)
{
    struct list *made = list_new(r, 0), keys = {0};
    const struct text *by = text_string(&r->room, "key");
    if (self->kind == VALUE_UNDEFINED)
        return undefined_error(self);
    if (self->kind != VALUE_DICT)
        return err_new(ERR_INVALID, "dictsort sorts a mapping, not %s", value_kind_name(self));
    if (arg[1].kind != VALUE_MISSING)
        TRY(want_text(&arg[1], "dictsort's 'by'", &by));
    if (!text_is(by, "key") && !text_is(by, "value"))
        return err_new(ERR_INVALID, "dictsort sorts by 'key' or by 'value'");
    const struct view pairs = {self->dict, VIEW_ITEMS};
    const struct value items = {.kind = VALUE_VIEW, .view = (struct view *)&pairs};
    TRY(value_items(r, &items, made));
    for (size_t i = 0; i < made->count; i++) {
        struct value key;
        TRY(key_of(r, &made->at[i].list->at[text_is(by, "value")], &(struct value){0},
                   value_truth(&arg[0]), &key));
        TRY(list_push(r, &keys, key));
    }
    TRY(list_sort(r, made, &keys, value_truth(&arg[2])));
    *ret = value_list(made);
    return OK;
}

static err_t unique(struct run *r, const struct value *self, const struct value *arg,
                    struct value *ret)
{
    struct dict *seen = dict_new(r);
    struct list items, kept = {0};
    TRY(value_items(r, self, &items));
    for (size_t i = 0; i < items.count; i++) {
        struct value key;
        const struct value *found;
        TRY(key_of(r, &items.at[i], &arg[1], value_truth(&arg[0]), &key));
        TRY(dict_find(r, seen, &key, &found));
        if (found)
            continue;
        TRY(dict_set(r, seen, key, value_none()));
        TRY(list_push(r, &kept, items.at[i]));
    }
    *ret = iterator(r, &kept);
    return OK;
}

static err_t extreme(struct run *r, const struct value *self, const struct value *arg, int want,
                     struct value *ret)
{
    struct value best, key;
    struct list items;
    TRY(value_items(r, self, &items));
    *ret = value_undefined("No aggregated item, sequence was empty.");
    for (size_t i = 0; i < items.count; i++) {
        int order = want;
        TRY(key_of(r, &items.at[i], &arg[1], value_truth(&arg[0]), &key));
        if (i)
            TRY(value_order(r, &key, &best, &order));
        if (order != want)
            continue;
        best = key;
        *ret = items.at[i];
    }
    return OK;
}

static err_t min(struct run *r, const struct value *self, const struct value *arg,
                 struct value *ret)
{
    return extreme(r, self, arg, -1, ret);
}

static err_t max(struct run *r, const struct value *self, const struct value *arg,
                 struct value *ret)
{
    return extreme(r, self, arg, 1, ret);
}

static err_t sum(struct run *r, const struct value *self, const struct value *arg,
                 struct value *ret)
{
    struct list items;
    *ret = arg[1].kind == VALUE_MISSING ? value_int(0) : arg[1];
    if (ret->kind == VALUE_TEXT)
        return err_new(ERR_INVALID, "sum does not join strings; join does");
    TRY(value_items(r, self, &items));
    for (size_t i = 0; i < items.count; i++) {
        struct value item, so_far = *ret;
        TRY(value_path(r, &items.at[i], &arg[0], &item));
        TRY(value_binary(r, OP_ADD, &so_far, &item, ret));
    }
    return OK;
}

/* ---- in pieces */

static err_t batch(struct run *r, const struct value *self, const struct value *arg,
                   struct value *ret)
{
    struct list items, batches = {0}, *now = NULL;
    int64_t count;
    TRY(want_int(&arg[0], "batch's count", &count));
    TRY(value_items(r, self, &items));
    for (size_t i = 0; i < items.count; i++) {
        if (!now || (int64_t)now->count == count) {
            now = list_new(r, 0);
            TRY(list_push(r, &batches, value_list(now)));
        }
        TRY(list_push(r, now, items.at[i]));
    }
    while (now && given(&arg[1]) && (int64_t)now->count < count) {
        TRY(run_work(r, 0));
        TRY(list_push(r, now, arg[1]));
    }
    *ret = iterator(r, &batches);
    return OK;
}

static err_t slice(struct run *r, const struct value *self, const struct value *arg,
                   struct value *ret)
{
    struct list items, slices = {0};
    int64_t count;
    TRY(want_int(&arg[0], "slice's count", &count));
    TRY(value_items(r, self, &items));
    if (count == 0)
        return err_new(ERR_INVALID, "slice into 0 pieces");
    const size_t each = count > 0 ? items.count / (size_t)count : 0;
    const size_t more = count > 0 ? items.count % (size_t)count : 0;
    size_t at = 0;
    for (size_t i = 0; (int64_t)i < count; i++) {
        struct list *piece = list_new(r, 0);
        TRY(run_work(r, 0));
        for (size_t end = at + each + (i < more); at < end; at++)
            TRY(list_push(r, piece, items.at[at]));
        if (given(&arg[1]) && i >= more)
            TRY(list_push(r, piece, arg[1]));
        TRY(list_push(r, &slices, value_list(piece)));
    }
    *ret = iterator(r, &slices);
    return OK;
}

static err_t items(struct run *r, const struct value *self, const struct value *arg,
                   struct value *ret)
{
    struct list pairs = {0};
    (void)arg;
    if (self->kind == VALUE_DICT) {
        const struct view view = {self->dict, VIEW_ITEMS};
        const struct value all = {.kind = VALUE_VIEW, .view = (struct view *)&view};
        TRY(value_items(r, &all, &pairs));
    }
    *ret = iterator(r, &pairs);
    if (self->kind != VALUE_DICT && self->kind != VALUE_UNDEFINED)
        ret->iterator->fails = "items are those of a mapping";
    return OK;
}

/* ---- map and select */

static const struct value *named(const struct call *call, const char *name)
{
    for (int i = 0; i < call->nameds; i++)
        if (text_is(call->name[i].text, name))
            return &call->named[i];
    return NULL;
}

static err_t map_attribute(struct run *r, const struct list *from, const struct call *call,
                           struct list *to)
{
    const struct value *path = named(call, "attribute"), *initial = named(call, "default");
    if (call->nameds != 1 + (initial != NULL))
        return err_new(ERR_INVALID, "map takes 'attribute' and 'default'");
    for (size_t i = 0; i < from->count; i++) {
        struct value item;
        TRY(value_path(r, &from->at[i], path, &item));
        if (initial && given(initial) && item.kind == VALUE_UNDEFINED)
            item = *initial;
        TRY(list_push(r, to, item));
    }
    return OK;
}

/* The builtin that an argument names. */
static err_t find(const struct run *r, const struct value *name, enum builtin_table table,
                  const struct builtin **ret)
{
    const struct text *text;
    const char *what = table == BUILTIN_FILTERS ? "filter" : "test";
    TRY(want_text(name, "a filter's or test's name", &text));
    *ret = r->ways->find(table, text->data, text->len);
    return *ret ? OK
                : err_new(ERR_INVALID, "no %s named '%.*s'", what,
                          (int)(text->len < 60 ? text->len : 60), text->data);
}

/* The call without its first arguments. */
static struct call rest(const struct call *call, int first)
{
    struct call other = *call;
    other.count -= first;
    if (other.count)
        other.at += first;
    return other;
}

static err_t map(struct run *r, const struct value *self, const struct call *call,
                 struct value *ret)
{
    struct list from = {0}, to = {0};
    const struct builtin *filter;
    if (value_truth(self) || self->kind == VALUE_NONE)
        TRY(self->kind == VALUE_NONE ? OK : value_items(r, self, &from));
    if (!from.count) {
        *ret = iterator(r, &to);
        return OK;
    }
    if (!call->count && named(call, "attribute")) {
        TRY(map_attribute(r, &from, call, &to));
    } else {
        if (!call->count)
            return err_new(ERR_INVALID, "map needs a filter or an attribute");
        const struct call others = rest(call, 1);
        TRY(find(r, &call->at[0], BUILTIN_FILTERS, &filter));
        for (size_t i = 0; i < from.count; i++) {
            struct value item;
            TRY(builtin_apply(r, filter, &from.at[i], &others, &item));
            TRY(list_push(r, &to, item));
        }
    }
    *ret = iterator(r, &to);
    return OK;
}

static err_t choose(struct run *r, const struct value *self, const struct call *call,
                    bool attribute, bool want, struct value *ret)
{
    struct list from = {0}, to = {0};
    const struct builtin *test = NULL;
    if (value_truth(self))
        TRY(value_items(r, self, &from));
    if (from.count && attribute && !call->count)
        return err_new(ERR_INVALID, "selectattr and rejectattr need an attribute");
    if (from.count && call->count > attribute)
        TRY(find(r, &call->at[attribute], BUILTIN_TESTS, &test));
    const struct call others = rest(call, call->count > attribute ? attribute + 1 : call->count);
    for (size_t i = 0; i < from.count; i++) {
        struct value on = from.at[i], holds;
        if (attribute)
            TRY(value_path(r, &from.at[i], &call->at[0], &on));
        holds = on;
        if (test)
            TRY(builtin_apply(r, test, &on, &others, &holds));
        if (value_truth(&holds) == want)
            TRY(list_push(r, &to, from.at[i]));
    }
    *ret = iterator(r, &to);
    return OK;
}

static err_t select_by(struct run *r, const struct value *self, const struct call *call,
                       struct value *ret)
{
    return choose(r, self, call, false, true, ret);
}

static err_t reject(struct run *r, const struct value *self, const struct call *call,
                    struct value *ret)
{
    return choose(r, self, call, false, false, ret);
}

static err_t selectattr(struct run *r, const struct value *self, const struct call *call,
                        struct value *ret)
{
    return choose(r, self, call, true, true, ret);
}

static err_t rejectattr(struct run *r, const struct value *self, const struct call *call,
                        struct value *ret)
{
    return choose(r, self, call, true, false, ret);
}

static const struct builtin rows[] = {
    {"first", "", 0, .call = first},
    {"last", "", 0, .call = last},
    {"length", "", 0, .call = length},
    {"count", "", 0, .call = length},
    {"list", "", 0, .call = list},
    {"reverse", "", 0, .call = reverse},
    {"sort", "reverse case_sensitive attribute", 0, .call = sort},
    {"dictsort", "case_sensitive by reverse", 0, .call = dictsort},
    {"unique", "case_sensitive attribute", 0, .call = unique},
    {"min", "case_sensitive attribute", 0, .call = min},
    {"max", "case_sensitive attribute", 0, .call = max},
    {"sum", "attribute start", 0, .call = sum},
    {"batch", "linecount fill_with", 1, .call = batch},
    {"slice", "slices fill_with", 1, .call = slice},
    {"items", "", 0, .call = items},
    {"map", NULL, 0, .raw = map},
    {"select", NULL, 0, .raw = select_by},
    {"reject", NULL, 0, .raw = reject},
    {"selectattr", NULL, 0, .raw = selectattr},
    {"rejectattr", NULL, 0, .raw = rejectattr},
    {"groupby", "", 0, NULL, NULL},
    {"random", "", 0, NULL, NULL},
};

struct builtins builtins_list_filters(void)
{
    return BUILTINS(rows);
}
