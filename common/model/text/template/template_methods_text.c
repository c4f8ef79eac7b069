/* Methods of str that cut, join and replace. */
#include "model/text/template/template_pieces.h"
#include "model/text/template/template_tables.h"
#include "model/text/unicode.h"

const struct text text_space = {.data = " ", .from = (const uint8_t *)"", .len = 1, .points = 1};

err_t soft_text(struct run *r, const struct value *v, const struct text **ret)
{
    if (v->kind == VALUE_TEXT) {
        *ret = v->text;
        return OK;
    }
    return value_to_text(r, v, ret);
}

static struct value part(struct run *r, const struct text *text, size_t begin, size_t end)
{
    return value_text(text_part(&r->room, text, begin, end - begin));
}

/* ---- strip */

static bool is_in(const struct text *set, const char *data, size_t len)
{
    return memmem(set->data, set->len, data, len);
}

err_t text_strip(struct run *r, const struct text *text, const struct value *chars, bool left,
                 bool right, struct value *ret)
{
    size_t begin = 0, end = text->len;
    uint32_t code;
    if (!given(chars)) {
        TRY(run_work(r, text->len));
        begin = left ? text_space_ahead(text->data, text->len) : 0;
        end = right ? begin + text_space_behind(text->data + begin, text->len - begin) : end;
        *ret = part(r, text, begin, end);
        return OK;
    }
    const struct text *set;
    TRY(want_text(chars, "what is stripped", &set));
    TRY(run_work(r, text->len * (1 + set->len / 8)));
    while (left && begin < end) {
        const size_t bytes = (size_t)unicode_next(text->data + begin, end - begin, &code);
        if (!is_in(set, text->data + begin, bytes))
            break;
        begin += bytes;
    }
    while (right && begin < end) {
        const size_t at = unicode_last(text->data, end, &code);
        if (!is_in(set, text->data + at, end - at))
            break;
        end = at;
    }
    *ret = part(r, text, begin, end);
    return OK;
}

static err_t strip(struct run *r, const struct value *self, const struct value *arg,
                   struct value *ret)
{
    return text_strip(r, self->text, &arg[0], true, true, ret);
}

static err_t lstrip(struct run *r, const struct value *self, const struct value *arg,
                    struct value *ret)
{
    return text_strip(r, self->text, &arg[0], true, false, ret);
}

static err_t rstrip(struct run *r, const struct value *self, const struct value *arg,
                    struct value *ret)
{
    return text_strip(r, self->text, &arg[0], false, true, ret);
}

/* ---- split */

static err_t split_space(struct run *r, const struct text *text, int64_t most, struct list *list)
{
    size_t at = text_space_ahead(text->data, text->len);
    for (; at < text->len; at += text_space_ahead(text->data + at, text->len - at)) {
        size_t end = at;
        uint32_t code;
        if (most >= 0 && (int64_t)list->count == most)
            return list_push(r, list, part(r, text, at, text->len));
        while (end < text->len) {
            const size_t bytes = (size_t)unicode_next(text->data + end, text->len - end, &code);
            if (text_is_space(code))
                break;
            end += bytes;
        }
        TRY(list_push(r, list, part(r, text, at, end)));
        at = end;
    }
    return OK;
}

static err_t rsplit_space(struct run *r, const struct text *text, int64_t most, struct list *list)
{
    size_t end = text_space_behind(text->data, text->len);
    while (end) {
        size_t at = end;
        uint32_t code;
        if (most >= 0 && (int64_t)list->count == most)
            return list_push(r, list, part(r, text, 0, end));
        while (at) {
            const size_t before = unicode_last(text->data, at, &code);
            if (text_is_space(code))
                break;
            at = before;
        }
        TRY(list_push(r, list, part(r, text, at, end)));
        end = text_space_behind(text->data, at);
    }
    return OK;
}

static err_t split_at(struct run *r, const struct text *text, const struct text *by, int64_t most,
                      struct list *list)
{
    size_t at = 0, found;
    while ((most < 0 || (int64_t)list->count < most) &&
           (found = text_find(text, by, at)) != SIZE_MAX) {
        TRY(list_push(r, list, part(r, text, at, found)));
        at = found + by->len;
    }
    return list_push(r, list, part(r, text, at, text->len));
}

static err_t rsplit_at(struct run *r, const struct text *text, const struct text *by, int64_t most,
                       struct list *list)
{
    size_t end = text->len, found;
    while ((most < 0 || (int64_t)list->count < most) &&
           (found = text_find_last(text, by, end)) != SIZE_MAX) {
        TRY(list_push(r, list, part(r, text, found + by->len, end)));
        end = found;
    }
    return list_push(r, list, part(r, text, 0, end));
}

static err_t split_either(struct run *r, const struct value *self, const struct value *arg,
                          bool right, struct value *ret)
{
    struct list *list = list_new(r, 0);
    int64_t most = -1;
    const struct text *by;
    TRY(run_work(r, self->text->len));
    if (arg[1].kind != VALUE_MISSING)
        TRY(want_int(&arg[1], "split's maximum", &most));
    if (!given(&arg[0])) {
        TRY((right ? rsplit_space : split_space)(r, self->text, most, list));
    } else {
        TRY(want_text(&arg[0], "what splits", &by));
        if (!by->len)
            return err_new(ERR_INVALID, "split by an empty string");
        TRY((right ? rsplit_at : split_at)(r, self->text, by, most, list));
    }
    for (size_t i = 0; right && i < list->count / 2; i++) {
        const struct value first = list->at[i];
        list->at[i] = list->at[list->count - 1 - i];
        list->at[list->count - 1 - i] = first;
    }
    *ret = value_list(list);
    return OK;
}

static err_t split(struct run *r, const struct value *self, const struct value *arg,
                   struct value *ret)
{
    return split_either(r, self, arg, false, ret);
}

static err_t rsplit(struct run *r, const struct value *self, const struct value *arg,
                    struct value *ret)
{
    return split_either(r, self, arg, true, ret);
}

static bool breaks_line(uint32_t code)
{
    return (code >= 10 && code <= 13) || (code >= 0x1C && code <= 0x1E) || code == 0x85 ||
           code == 0x2028 || code == 0x2029;
}

err_t text_lines(struct run *r, const struct text *text, bool keep, struct list *ret)
{
    TRY(run_work(r, text->len));
    for (size_t begin = 0, at = 0; begin < text->len; begin = at) {
        uint32_t code = 0;
        size_t end = begin;
        for (at = begin; at < text->len && !breaks_line(code);) {
            end = at;
            at += (size_t)unicode_next(text->data + at, text->len - at, &code);
        }
        if (!breaks_line(code))
            end = at;
        if (code == '\r' && at < text->len && text->data[at] == '\n')
            at++;
        TRY(list_push(r, ret, part(r, text, begin, keep ? at : end)));
    }
    return OK;
}

static err_t splitlines(struct run *r, const struct value *self, const struct value *arg,
                        struct value *ret)
{
    struct list *list = list_new(r, 0);
    TRY(text_lines(r, self->text, value_truth(&arg[0]), list));
    *ret = value_list(list);
    return OK;
}

static err_t partition_at(struct run *r, const struct value *self, const struct value *arg,
                          bool right, struct value *ret)
{
    const struct text *by, *text = self->text;
    struct list *list = list_new(r, 3);
    TRY(want_text(&arg[0], "what divides", &by));
    if (!by->len)
        return err_new(ERR_INVALID, "partition by an empty string");
    TRY(run_work(r, text->len));
    const size_t at = right ? text_find_last(text, by, text->len) : text_find(text, by, 0);
    const bool found = at != SIZE_MAX;
    const size_t first = found ? at : right ? 0 : text->len, second = found ? at + by->len : first;
    list->at[list->count++] = part(r, text, 0, first);
    list->at[list->count++] = part(r, text, first, second);
    list->at[list->count++] = part(r, text, second, text->len);
    *ret = (struct value){.kind = VALUE_TUPLE, .list = list};
    return OK;
}

static err_t partition(struct run *r, const struct value *self, const struct value *arg,
                       struct value *ret)
{
    return partition_at(r, self, arg, false, ret);
}

static err_t rpartition(struct run *r, const struct value *self, const struct value *arg,
                        struct value *ret)
{
    return partition_at(r, self, arg, true, ret);
}

/* ---- replace and join */

/* An empty old text is found before each code point, and at the end. */
static size_t next_match(const struct text *text, const struct text *old, size_t at, bool first)
{
    if (old->len)
        return text_find(text, old, at);
    if (first)
        return 0;
    if (at >= text->len)
        return SIZE_MAX;
    for (at++; at < text->len && ((uint8_t)text->data[at] & 0xC0) == 0x80;)
        at++;
    return at;
}

err_t text_replace(struct run *r, const struct text *text, const struct text *old,
                   const struct text *new, int64_t count, struct value *ret)
{
    struct builder out = {.room = &r->room};
    const struct text *made;
    size_t at = 0;
    TRY(run_work(r, text->len));
    for (int64_t i = 0; count < 0 || i < count; i++) {
        const size_t found = next_match(text, old, at, !i);
        if (found == SIZE_MAX)
            break;
        TRY(run_work(r, new->len));
        builder_put_part(&out, text, at, found - at);
        builder_put(&out, new);
        at = found + old->len;
    }
    builder_put_part(&out, text, at, text->len - at);
    TRY(builder_text(&out, &made));
    *ret = value_text(text_marked(&r->room, made, text->markup));
    return OK;
}

static err_t replace(struct run *r, const struct value *self, const struct value *arg,
                     struct value *ret)
{
    const struct text *old, *new;
    int64_t count = -1;
    TRY(want_text(&arg[0], "what is replaced", &old));
    TRY(want_text(&arg[1], "what replaces it", &new));
    if (arg[2].kind != VALUE_MISSING)
        TRY(want_int(&arg[2], "replace's count", &count));
    return text_replace(r, self->text, old, self->text->markup ? value_escape(r, new) : new, count,
                        ret);
}

static err_t join(struct run *r, const struct value *self, const struct value *arg,
                  struct value *ret)
{
    struct builder out = {.room = &r->room};
    const struct text *text;
    struct list items;
    if (arg[0].kind == VALUE_UNDEFINED)
        items = (struct list){0};
    else
        TRY(value_items(r, &arg[0], &items));
    for (size_t i = 0; i < items.count; i++) {
        if (self->text->markup)
            TRY(soft_text(r, &items.at[i], &text));
        else
            TRY(want_text(&items.at[i], "what join() joins", &text));
        TRY(run_work(r, text->len + self->text->len));
        if (i)
            builder_put(&out, self->text);
        builder_put(&out, self->text->markup ? value_escape(r, text) : text);
    }
    TRY(builder_text(&out, &text));
    *ret = value_text(text_marked(&r->room, text, self->text->markup));
    return OK;
}

static const struct builtin rows[] = {
    {"strip", "chars", 0, .call = strip},
    {"lstrip", "chars", 0, .call = lstrip},
    {"rstrip", "chars", 0, .call = rstrip},
    {"split", "sep maxsplit", 0, .call = split},
    {"rsplit", "sep maxsplit", 0, .call = rsplit},
    {"splitlines", "keepends", 0, .call = splitlines},
    {"partition", "sep", 1, .call = partition},
    {"rpartition", "sep", 1, .call = rpartition},
    {"replace", "old new count", 2, .call = replace},
    {"join", "iterable", 1, .call = join},
    {"format", NULL, 0, .raw = text_format},
};

struct builtins builtins_text_methods(void)
{
    return BUILTINS(rows);
}
