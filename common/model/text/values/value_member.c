/* a.b and a[b], by the rules of jinja2's sandbox. */
#include "model/text/values/value_ops.h"
#include <stdlib.h>

/* ---- undefined, and why */

static struct value missing_member(struct run *r, const struct value *v, const struct text *name)
{
    return value_undefined(room_printf(&r->room, "%s has no attribute '%.*s'", value_kind_name(v),
                                       (int)name->len, name->data));
}

static struct value unsafe(struct run *r, const struct value *v, const struct text *name)
{
    return value_undefined(room_printf(&r->room, "'%.*s' of %s may not be used in a template",
                                       (int)name->len, name->data, value_kind_name(v)));
}

/* ---- attributes */

static bool is_one_of(const struct text *name, const char *const *words)
{
    for (; *words; words++)
        if (text_is(name, *words))
            return true;
    return false;
}

/* Methods that change a dict or list: there, and refused. */
static bool changes(const struct value *v, const struct text *name)
{
    static const char *const dict[] = {"clear", "pop", "popitem", "setdefault", "update", NULL};
    static const char *const list[] = {"append", "clear",  "pop",    "reverse", "insert",
                                       "sort",   "extend", "remove", NULL};
    return (v->kind == VALUE_DICT && is_one_of(name, dict)) ||
           (v->kind == VALUE_LIST && is_one_of(name, list));
}

static struct value method(struct run *r, const struct value *v, const struct builtin *builtin)
{
    struct function *function = room_take(&r->room, sizeof *function);
    *function = (struct function){builtin, *v};
    return (struct value){.kind = VALUE_FUNCTION, .function = function};
}

static bool number_member(const struct value *v, const struct text *name, struct value *ret)
{
    const bool real = v->kind == VALUE_FLOAT;
    int64_t number = 0;
    value_is_int(v, &number);
    if (text_is(name, "real"))
        *ret = real ? *v : value_int(number);
    else if (text_is(name, "imag"))
        *ret = real ? value_float(0) : value_int(0);
    else if (!real && text_is(name, "numerator"))
        *ret = value_int(number);
    else if (!real && text_is(name, "denominator"))
        *ret = value_int(1);
    else
        return false;
    return true;
}

static err_t loop_member(struct run *r, const struct value *v, const struct text *name,
                         struct value *ret, bool *found)
{
    struct loop *loop = v->loop;
    const int64_t index = (int64_t)loop->at;
    const bool whole =
        text_is(name, "length") || text_is(name, "revindex") || text_is(name, "revindex0");
    bool more = loop->at + 1 == loop->items.count &&
                (whole || text_is(name, "last") || text_is(name, "nextitem"));
    while (more) {
        TRY(r->ways->pull(r, loop, &more));
        more = more && whole;
    }
    for (bool on = whole; on;)
        TRY(r->ways->pull(r, loop, &on));
    const size_t count = loop->items.count;
    const bool last = loop->at + 1 >= count;
    *found = true;
    if (text_is(name, "index"))
        *ret = value_int(index + 1);
    else if (text_is(name, "index0"))
        *ret = value_int(index);
    else if (text_is(name, "first"))
        *ret = value_bool(!index);
    else if (text_is(name, "last"))
        *ret = value_bool(last);
    else if (text_is(name, "length"))
        *ret = value_int((int64_t)count);
    else if (text_is(name, "revindex"))
        *ret = value_int((int64_t)count - index);
    else if (text_is(name, "revindex0"))
        *ret = value_int((int64_t)count - index - 1);
    else if (text_is(name, "depth") || text_is(name, "depth0"))
        *ret = value_int(loop->depth + text_is(name, "depth"));
    else if (text_is(name, "previtem"))
        *ret = index ? loop->items.at[index - 1] : value_undefined("there is no previous item");
    else if (text_is(name, "nextitem"))
        *ret = last ? value_undefined("there is no next item") : loop->items.at[index + 1];
    else
        *found = false;
    return OK;
}

static bool range_member(const struct range *range, const struct text *name, struct value *ret)
{
    const bool start = text_is(name, "start"), stop = text_is(name, "stop");
    *ret = value_int(start ? range->start : stop ? range->stop : range->step);
    return start || stop || text_is(name, "step");
}

static bool macro_member(const struct macro *macro, const struct text *name, struct value *ret)
{
    if (text_is(name, "name"))
        *ret = macro->name ? value_text(macro->name) : value_none();
    else if (text_is(name, "caller"))
        *ret = value_bool(macro->caller);
    else if (text_is(name, "catch_kwargs"))
        *ret = value_bool(macro->kwargs);
    else if (text_is(name, "catch_varargs"))
        *ret = value_bool(macro->varargs);
    else
        return false;
    return true;
}

static const struct builtin *method_of(const struct run *r, const struct value *v,
                                       const struct text *name)
{
    switch (v->kind) {
    case VALUE_TEXT:
        return r->ways->find(BUILTIN_TEXT_METHODS, name->data, name->len);
    case VALUE_LIST:
    case VALUE_TUPLE:
    case VALUE_RANGE:
        return r->ways->find(BUILTIN_LIST_METHODS, name->data, name->len);
    case VALUE_DICT:
        return r->ways->find(BUILTIN_DICT_METHODS, name->data, name->len);
    case VALUE_LOOP:
    case VALUE_CYCLER:
        return r->ways->find(BUILTIN_LOOP_METHODS, name->data, name->len);
    default:
        return NULL;
    }
}

/* The attribute that Python's getattr would find. Items of a dict are none. */
static err_t attribute(struct run *r, const struct value *v, const struct text *name,
                       struct value *ret, bool *found)
{
    const struct value *member = NULL;
    *found = true;
    if (changes(v, name)) {
        *ret = unsafe(r, v, name);
        return OK;
    }
    const struct builtin *builtin = method_of(r, v, name);
    if ((v->kind == VALUE_TUPLE || v->kind == VALUE_RANGE) && text_is(name, "copy"))
        builtin = NULL;
    if (builtin && builtin->name) {
        *ret = method(r, v, builtin);
        return OK;
    }
    if (v->kind == VALUE_LOOP)
        return loop_member(r, v, name, ret, found);
    if (v->kind == VALUE_NAMESPACE) {
        member = dict_find_text(v->dict, name);
        *found = member;
        if (member)
            *ret = *member;
        return OK;
    }
    if (v->kind == VALUE_CYCLER && text_is(name, "current"))
        *ret = v->cycler->items.at[v->cycler->at];
    else
        *found = (value_is_number(v) && number_member(v, name, ret)) ||
                 (v->kind == VALUE_RANGE && range_member(v->range, name, ret)) ||
                 (v->kind == VALUE_MACRO && macro_member(v->macro, name, ret));
    return OK;
}

err_t value_attribute(struct run *r, const struct value *v, const struct text *name,
                      struct value *ret)
{
    bool found;
    if (v->kind == VALUE_UNDEFINED)
        return undefined_error(v);
    TRY(attribute(r, v, name, ret, &found));
    if (!found)
        *ret = missing_member(r, v, name);
    return OK;
}

err_t value_member(struct run *r, const struct value *v, const struct text *name, struct value *ret)
{
    const struct value *item = NULL;
    bool found = false;
    if (v->kind == VALUE_UNDEFINED)
        return undefined_error(v);
    TRY(attribute(r, v, name, ret, &found));
    if (found)
        return OK;
    if (v->kind == VALUE_DICT)
        item = dict_find_text(v->dict, name);
    if (item)
        *ret = *item;
    else
        *ret = name->len > 1 && name->data[0] == '_' && name->data[1] == '_'
                   ? unsafe(r, v, name)
                   : missing_member(r, v, name);
    return OK;
}

/* ---- items */

static bool place(int64_t index, size_t count, size_t *ret)
{
    const int64_t at = index < 0 ? index + (int64_t)count : index;
    *ret = (size_t)at;
    return at >= 0 && at < (int64_t)count;
}

static err_t text_point(struct run *r, const struct text *text, size_t point, struct value *ret)
{
    const size_t at = text_offset(text, point);
    size_t end = at + 1;
    while (end < text->len && ((uint8_t)text->data[end] & 0xC0) == 0x80)
        end++;
    *ret = value_text(text_part(&r->room, text, at, end - at));
    return run_work(r, text->points == text->len ? 0 : at);
}

static err_t numbered(struct run *r, const struct value *v, int64_t index, struct value *ret,
                      bool *found)
{
    size_t at;
    if (v->kind == VALUE_TEXT) {
        *found = place(index, v->text->points, &at);
        return *found ? text_point(r, v->text, at, ret) : OK;
    }
    if (value_is_list(v)) {
        *found = place(index, v->list->count, &at);
        if (*found)
            *ret = v->list->at[at];
    } else if (v->kind == VALUE_RANGE) {
        *found = place(index, v->range->count, &at);
        if (*found)
            *ret = value_int(v->range->start + (int64_t)at * v->range->step);
    }
    return OK;
}

static bool can_be_key(const struct value *v)
{
    return v->kind != VALUE_LIST && v->kind != VALUE_DICT;
}

err_t value_item(struct run *r, const struct value *v, const struct value *key, struct value *ret)
{
    bool found = false;
    int64_t index;
    if (v->kind == VALUE_UNDEFINED)
        return undefined_error(v);
    if (v->kind == VALUE_DICT && can_be_key(key)) {
        const struct value *item;
        TRY(dict_find(r, v->dict, key, &item));
        found = item;
        if (item)
            *ret = *item;
    } else if (value_is_int(key, &index)) {
        TRY(numbered(r, v, index, ret, &found));
    }
    if (!found && key->kind == VALUE_TEXT) {
        TRY(attribute(r, v, key->text, ret, &found));
        if (!found)
            *ret = missing_member(r, v, key->text);
        return OK;
    }
    if (!found) {
        struct builder what = {.room = &r->room};
        builder_string(&what, value_kind_name(v));
        builder_string(&what, " has no element ");
        TRY(value_put_repr(r, &what, key));
        builder_add(&what, "", 1, 0);
        *ret = value_undefined(what.over ? "no such element" : what.data);
    }
    return OK;
}

err_t value_path(struct run *r, const struct value *v, const struct value *path, struct value *ret)
{
    *ret = *v;
    if (!given(path))
        return OK;
    if (path->kind != VALUE_TEXT)
        return value_item(r, v, path, ret);
    for (size_t at = 0;;) {
        const char *part = path->text->data + at;
        const char *dot = memchr(part, '.', path->text->len - at);
        const size_t len = dot ? (size_t)(dot - part) : path->text->len - at;
        const struct value on = *ret;
        struct value key = value_text(text_part(&r->room, path->text, at, len));
        if (len && len < 18 && strspn(part, "0123456789") >= len)
            key = value_int(strtoll(part, NULL, 10));
        TRY(value_item(r, &on, &key, ret));
        if (!dot)
            return OK;
        at += len + 1;
    }
}
