/* Methods of lists, dicts, loops and cyclers. */
#include "model/text/template/template_tables.h"
#include "model/text/values/value_ops.h"

/* ---- lists, tuples and ranges */

static err_t index_of(struct run *r, const struct value *self, const struct value *arg,
                      struct value *ret)
{
    struct list items;
    TRY(value_items(r, self, &items));
    const int64_t count = (int64_t)items.count;
    int64_t at[2] = {0, count};
    for (int i = 0; i < 2; i++) {
        if (arg[1 + i].kind == VALUE_MISSING)
            continue;
        TRY(want_int(&arg[1 + i], "where to look", &at[i]));
        at[i] = at[i] < -count ? 0 : at[i] < 0 ? at[i] + count : at[i];
    }
    for (int64_t i = at[0]; i < at[1] && i < count; i++) {
        bool same;
        TRY(value_equal(r, &items.at[i], &arg[0], &same));
        if (same) {
            *ret = value_int(i);
            return OK;
        }
    }
    return err_new(ERR_INVALID, "index(): it is not in the list");
}

static err_t count(struct run *r, const struct value *self, const struct value *arg,
                   struct value *ret)
{
    struct list items;
    int64_t found = 0;
    TRY(value_items(r, self, &items));
    for (size_t i = 0; i < items.count; i++) {
        bool same;
        TRY(value_equal(r, &items.at[i], &arg[0], &same));
        found += same;
    }
    *ret = value_int(found);
    return OK;
}

/* Nothing changes a list or dict once it is made. */
static err_t copy(struct run *r, const struct value *self, const struct value *arg,
                  struct value *ret)
{
    (void)r;
    (void)arg;
    *ret = *self;
    return OK;
}

static const struct builtin list_rows[] = {
    {"index", "value start stop", 1, .call = index_of},
    {"count", "value", 1, .call = count},
    {"copy", "", 0, .call = copy},
};

struct builtins builtins_list_methods(void)
{
    return BUILTINS(list_rows);
}

/* ---- dicts */

static err_t get(struct run *r, const struct value *self, const struct value *arg,
                 struct value *ret)
{
    const struct value *found;
    TRY(dict_find(r, self->dict, &arg[0], &found));
    *ret = found ? *found : arg[1].kind == VALUE_MISSING ? value_none() : arg[1];
    return OK;
}

static err_t view(struct run *r, const struct value *self, int kind, struct value *ret)
{
    struct view *view = room_take(&r->room, sizeof *view);
    view->dict = self->dict;
    view->kind = kind;
    *ret = (struct value){.kind = VALUE_VIEW, .view = view};
    return OK;
}

static err_t keys(struct run *r, const struct value *self, const struct value *arg,
                  struct value *ret)
{
    (void)arg;
    return view(r, self, VIEW_KEYS, ret);
}

static err_t values(struct run *r, const struct value *self, const struct value *arg,
                    struct value *ret)
{
    (void)arg;
    return view(r, self, VIEW_VALUES, ret);
}

static err_t items(struct run *r, const struct value *self, const struct value *arg,
                   struct value *ret)
{
    (void)arg;
    return view(r, self, VIEW_ITEMS, ret);
}

static const struct builtin dict_rows[] = {
    {"get", "key default", 1, .call = get}, {"keys", "", 0, .call = keys},
    {"values", "", 0, .call = values},      {"items", "", 0, .call = items},
    {"copy", "", 0, .call = copy},          {"fromkeys", "", 0, NULL, NULL},
};

struct builtins builtins_dict_methods(void)
{
    return BUILTINS(dict_rows);
}

/* ---- loops and cyclers */

static err_t cycle(struct run *r, const struct value *self, const struct call *call,
                   struct value *ret)
{
    (void)r;
    if (self->kind != VALUE_LOOP || !call->count || call->nameds)
        return err_new(ERR_INVALID, "cycle() needs what it goes through");
    *ret = call->at[self->loop->at % (size_t)call->count];
    return OK;
}

static err_t changed(struct run *r, const struct value *self, const struct call *call,
                     struct value *ret)
{
    struct list *list = list_new(r, 0);
    bool same = false;
    if (self->kind != VALUE_LOOP || call->nameds)
        return err_new(ERR_INVALID, "changed() belongs to a loop, and takes no names");
    for (int i = 0; i < call->count; i++)
        TRY(list_push(r, list, call->at[i]));
    const struct value now = {.kind = VALUE_TUPLE, .list = list};
    if (self->loop->changed.kind != VALUE_MISSING)
        TRY(value_equal(r, &self->loop->changed, &now, &same));
    self->loop->changed = now;
    *ret = value_bool(!same);
    return OK;
}

static err_t next(struct run *r, const struct value *self, const struct value *arg,
                  struct value *ret)
{
    (void)r;
    (void)arg;
    if (self->kind != VALUE_CYCLER)
        return err_new(ERR_INVALID, "next() belongs to a cycler");
    struct cycler *cycler = self->cycler;
    *ret = cycler->items.at[cycler->at];
    cycler->at = (cycler->at + 1) % cycler->items.count;
    return OK;
}

static err_t reset(struct run *r, const struct value *self, const struct value *arg,
                   struct value *ret)
{
    (void)r;
    (void)arg;
    if (self->kind != VALUE_CYCLER)
        return err_new(ERR_INVALID, "reset() belongs to a cycler");
    self->cycler->at = 0;
    *ret = value_none();
    return OK;
}

static const struct builtin loop_rows[] = {
    {"cycle", NULL, 0, .raw = cycle},
    {"changed", NULL, 0, .raw = changed},
    {"next", "", 0, .call = next},
    {"reset", "", 0, .call = reset},
};

struct builtins builtins_loop_methods(void)
{
    return BUILTINS(loop_rows);
}
