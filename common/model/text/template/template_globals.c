/* Functions that every template has: jinja2's, and those that transformers adds. */
#include "model/text/template/template_tables.h"
#include "model/text/values/value_ops.h"
#include <locale.h>
#include <time.h>

enum { RANGE_MOST = 100000, TIME_BYTES = 1024 };

static err_t range(struct run *r, const struct value *self, const struct call *call,
                   struct value *ret)
{
    int64_t at[3] = {0, 0, 1};
    (void)self;
    if (call->count < 1 || call->count > 3 || call->nameds)
        return err_new(ERR_INVALID, "range() takes one to three numbers");
    for (int i = 0; i < call->count; i++)
        TRY(want_int(&call->at[i], "range()'s argument", &at[call->count == 1 ? 1 : i]));
    const int64_t step = at[2];
    if (!step || step == INT64_MIN)
        return err_new(ERR_INVALID, "range()'s step cannot be 0");
    const uint64_t apart =
        step > 0 ? (uint64_t)at[1] - (uint64_t)at[0] : (uint64_t)at[0] - (uint64_t)at[1];
    const bool some = step > 0 ? at[1] > at[0] : at[1] < at[0];
    const uint64_t count = some ? (apart - 1) / (uint64_t)(step > 0 ? step : -step) + 1 : 0;
    if (count > RANGE_MOST)
        return err_new(ERR_INVALID, "a range of more than %d numbers", RANGE_MOST);
    struct range *range = room_take(&r->room, sizeof *range);
    *range = (struct range){at[0], step, (size_t)count, at[1]};
    *ret = (struct value){.kind = VALUE_RANGE, .range = range};
    return OK;
}

/* dict(pairs, a=1): a mapping or pairs, then names. */
static err_t fill(struct run *r, const struct call *call, struct dict *dict)
{
    struct list items;
    if (call->count > 1)
        return err_new(ERR_INVALID, "dict() and namespace() take one mapping at most");
    if (call->count && call->at[0].kind == VALUE_DICT) {
        for (size_t i = 0; i < call->at[0].dict->count; i++)
            TRY(dict_set(r, dict, call->at[0].dict->at[i].key, call->at[0].dict->at[i].value));
    } else if (call->count) {
        TRY(value_items(r, &call->at[0], &items));
        for (size_t i = 0; i < items.count; i++) {
            struct list pair;
            TRY(value_items(r, &items.at[i], &pair));
            if (pair.count != 2)
                return err_new(ERR_INVALID, "dict() and namespace() take pairs");
            TRY(dict_set(r, dict, pair.at[0], pair.at[1]));
        }
    }
    for (int i = 0; i < call->nameds; i++)
        TRY(dict_set(r, dict, call->name[i], call->named[i]));
    return OK;
}

static err_t dict(struct run *r, const struct value *self, const struct call *call,
                  struct value *ret)
{
    (void)self;
    *ret = value_dict(dict_new(r));
    return fill(r, call, ret->dict);
}

static err_t namespace(struct run *r, const struct value *self, const struct call *call,
                       struct value *ret)
{
    struct dict *dict = dict_new(r);
    (void)self;
    TRY(fill(r, call, dict));
    for (size_t i = 0; i < dict->count; i++)
        if (dict->at[i].key.kind == VALUE_TEXT && dict->at[i].key.text->len &&
            dict->at[i].key.text->data[0] == '_')
            return err_new(ERR_INVALID, "a namespace keeps no member that begins with '_'");
    *ret = (struct value){.kind = VALUE_NAMESPACE, .dict = dict};
    return OK;
}

static err_t cycler(struct run *r, const struct value *self, const struct call *call,
                    struct value *ret)
{
    struct cycler *cycler = room_take(&r->room, sizeof *cycler);
    (void)self;
    if (!call->count || call->nameds)
        return err_new(ERR_INVALID, "cycler() needs what it goes through");
    for (int i = 0; i < call->count; i++)
        TRY(list_push(r, &cycler->items, call->at[i]));
    *ret = (struct value){.kind = VALUE_CYCLER, .cycler = cycler};
    return OK;
}

static err_t joiner(struct run *r, const struct value *self, const struct value *arg,
                    struct value *ret)
{
    struct cycler *joiner = room_take(&r->room, sizeof *joiner);
    (void)self;
    TRY(list_push(r, &joiner->items,
                  arg[0].kind == VALUE_MISSING ? value_text(text_string(&r->room, ", ")) : arg[0]));
    *ret = (struct value){.kind = VALUE_JOINER, .cycler = joiner};
    return OK;
}

static err_t raise_exception(struct run *r, const struct value *self, const struct value *arg,
                             struct value *ret)
{
    struct builder out = {.room = &r->room};
    (void)self;
    (void)ret;
    TRY(value_put(r, &out, &arg[0]));
    return err_new(ERR_INVALID, "%.*s", (int)(out.len < 500 ? out.len : 500),
                   out.data ? out.data : "");
}

/* The request's time, in UTC; names of days and months are English. */
static err_t strftime_now(struct run *r, const struct value *self, const struct value *arg,
                          struct value *ret)
{
    const struct text *format;
    const time_t now = (time_t)r->now_s;
    char form[TIME_BYTES / 4], made[TIME_BYTES];
    struct tm parts;
    (void)self;
    TRY(want_text(&arg[0], "strftime_now's format", &format));
    if (format->len >= sizeof form - 1 || memchr(format->data, 0, format->len) ||
        !gmtime_r(&now, &parts))
        return err_new(ERR_INVALID,
                       "strftime_now: the format is longer than %zu bytes, or has a "
                       "zero byte",
                       sizeof form - 2);
    memcpy(form, format->data, format->len);
    form[format->len] = 'x'; // an empty result and a failure look alike
    form[format->len + 1] = 0;
    const size_t len = strftime(made, sizeof made, form, &parts);
    if (!len)
        return err_new(ERR_INVALID, "strftime_now: the text is too long");
    *ret = value_text(text_new(&r->room, made, len - 1, 0));
    return OK;
}

static const struct builtin rows[] = {
    {"range", NULL, 0, .raw = range},
    {"dict", NULL, 0, .raw = dict},
    {"namespace", NULL, 0, .raw = namespace},
    {"cycler", NULL, 0, .raw = cycler},
    {"joiner", "sep", 0, .call = joiner},
    {"raise_exception", "message", 1, .call = raise_exception},
    {"strftime_now", "format", 1, .call = strftime_now},
    {"lipsum", "", 0, NULL, NULL},
};

struct builtins builtins_globals(void)
{
    return BUILTINS(rows);
}
