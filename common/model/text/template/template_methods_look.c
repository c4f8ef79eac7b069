/* Methods of str that look, and those that change case or width. */
#include "model/text/template/template_pieces.h"
#include "model/text/template/template_tables.h"

/* ---- find */

/* Bytes between code points start and end, as a slice has them; false: nothing can be there. */
static err_t between(const struct value *self, const struct value *arg, size_t *ret_begin,
                     size_t *ret_end, bool *ret_some)
{
    const int64_t count = (int64_t)self->text->points;
    int64_t at[2] = {0, count};
    for (int i = 0; i < 2; i++) {
        if (!given(&arg[i]))
            continue;
        TRY(want_int(&arg[i], "where to look", &at[i]));
        at[i] = at[i] < -count ? 0 : at[i] < 0 ? at[i] + count : at[i];
    }
    at[1] = at[1] > count ? count : at[1];
    *ret_some = at[0] <= at[1];
    *ret_begin = *ret_some ? text_offset(self->text, (size_t)at[0]) : 0;
    *ret_end = *ret_some ? text_offset(self->text, (size_t)at[1]) : 0;
    return OK;
}

static err_t find_either(struct run *r, const struct value *self, const struct value *arg,
                         bool right, int64_t *ret)
{
    const struct text *what;
    size_t begin, end, at = SIZE_MAX;
    bool some;
    TRY(want_text(&arg[0], "what is looked for", &what));
    TRY(between(self, arg + 1, &begin, &end, &some));
    TRY(run_work(r, self->text->len));
    const struct text part = {self->text->data, self->text->from, end, end, false};
    if (some)
        at = right ? text_find_last(&part, what, end) : text_find(&part, what, begin);
    if (at != SIZE_MAX && at < begin)
        at = SIZE_MAX;
    *ret = at == SIZE_MAX ? -1 : (int64_t)text_points(self->text->data, at);
    return OK;
}

static err_t find(struct run *r, const struct value *self, const struct value *arg,
                  struct value *ret)
{
    *ret = value_int(0);
    return find_either(r, self, arg, false, &ret->number);
}

static err_t rfind(struct run *r, const struct value *self, const struct value *arg,
                   struct value *ret)
{
    *ret = value_int(0);
    return find_either(r, self, arg, true, &ret->number);
}

static err_t there(err_t e, const struct value *ret)
{
    TRY(e);
    return ret->number < 0 ? err_new(ERR_INVALID, "index(): it is not there") : OK;
}

static err_t index_of(struct run *r, const struct value *self, const struct value *arg,
                      struct value *ret)
{
    return there(find(r, self, arg, ret), ret);
}

static err_t rindex_of(struct run *r, const struct value *self, const struct value *arg,
                       struct value *ret)
{
    return there(rfind(r, self, arg, ret), ret);
}

static err_t count(struct run *r, const struct value *self, const struct value *arg,
                   struct value *ret)
{
    const struct text *what;
    size_t begin, end, at;
    bool some;
    TRY(want_text(&arg[0], "what is counted", &what));
    TRY(between(self, arg + 1, &begin, &end, &some));
    TRY(run_work(r, self->text->len));
    const struct text part = {self->text->data, self->text->from, end, end, false};
    *ret = value_int(0);
    if (some && !what->len)
        ret->number = (int64_t)text_points(self->text->data + begin, end - begin) + 1;
    for (; some && what->len && (at = text_find(&part, what, begin)) != SIZE_MAX;
         begin = at + what->len)
        ret->number++;
    return OK;
}

/* ---- startswith */

static err_t has_edge(const struct value *self, const struct value *what, size_t begin, size_t end,
                      bool right, bool *ret)
{
    const struct text *edge;
    TRY(want_text(what, "a beginning or end", &edge));
    *ret = edge->len <= end - begin &&
           !memcmp(self->text->data + (right ? end - edge->len : begin), edge->data, edge->len);
    return OK;
}

static err_t edges(struct run *r, const struct value *self, const struct value *arg, bool right,
                   struct value *ret)
{
    size_t begin, end;
    bool some, has = false;
    TRY(between(self, arg + 1, &begin, &end, &some));
    TRY(run_work(r, 0));
    if (arg[0].kind != VALUE_TUPLE)
        TRY(has_edge(self, &arg[0], begin, end, right, &has));
    for (size_t i = 0; !has && arg[0].kind == VALUE_TUPLE && i < arg[0].list->count; i++)
        TRY(has_edge(self, &arg[0].list->at[i], begin, end, right, &has));
    *ret = value_bool(some && has);
    return OK;
}

static err_t startswith(struct run *r, const struct value *self, const struct value *arg,
                        struct value *ret)
{
    return edges(r, self, arg, false, ret);
}

static err_t endswith(struct run *r, const struct value *self, const struct value *arg,
                      struct value *ret)
{
    return edges(r, self, arg, true, ret);
}

static err_t without(struct run *r, const struct value *self, const struct value *arg, bool right,
                     struct value *ret)
{
    const struct text *edge, *text = self->text;
    bool has;
    TRY(want_text(&arg[0], "what is removed", &edge));
    TRY(has_edge(self, &arg[0], 0, text->len, right, &has));
    const size_t len = has ? edge->len : 0;
    *ret = value_text(text_part(&r->room, text, right ? 0 : len, text->len - len));
    return OK;
}

static err_t removeprefix(struct run *r, const struct value *self, const struct value *arg,
                          struct value *ret)
{
    return without(r, self, arg, false, ret);
}

static err_t removesuffix(struct run *r, const struct value *self, const struct value *arg,
                          struct value *ret)
{
    return without(r, self, arg, true, ret);
}

/* ---- case */

#define CASED(name, kind)                                                                          \
    static err_t name(struct run *r, const struct value *self, const struct value *arg,            \
                      struct value *ret)                                                           \
    {                                                                                              \
        const struct text *text;                                                                   \
        (void)arg;                                                                                 \
        TRY(text_cased(r, self->text, kind, &text));                                               \
        *ret = value_text(text);                                                                   \
        return OK;                                                                                 \
    }
CASED(upper, CASE_UPPER)
CASED(lower, CASE_LOWER)
CASED(capitalize, CASE_CAPITAL)
CASED(title, CASE_TITLE)
CASED(swapcase, CASE_SWAPPED)

#define ALL(name, class)                                                                           \
    static err_t name(struct run *r, const struct value *self, const struct value *arg,            \
                      struct value *ret)                                                           \
    {                                                                                              \
        (void)arg;                                                                                 \
        *ret = value_bool(text_all(self->text, class));                                            \
        return run_work(r, self->text->len);                                                       \
    }
ALL(all_upper, CLASS_UPPER)
ALL(all_lower, CLASS_LOWER)
ALL(all_alpha, CLASS_ALPHA)
ALL(all_alnum, CLASS_ALNUM)
ALL(all_decimal, CLASS_DECIMAL)
ALL(all_digit, CLASS_DIGIT)
ALL(all_numeric, CLASS_NUMERIC)
ALL(all_space, CLASS_SPACE)

/* ---- width */

/* str.center leaves the odd place on the left where the width is odd. */
err_t text_justify(struct run *r, const struct text *text, int64_t width, const struct text *fill,
                   char align, struct value *ret)
{
    struct builder out = {.room = &r->room};
    const struct text *made;
    const int64_t room = width > (int64_t)text->points ? width - (int64_t)text->points : 0;
    const int64_t left = align == '>' ? room : align == '^' ? room / 2 + (room & width & 1) : 0;
    if (fill->points != 1)
        return err_new(ERR_INVALID, "what fills must be one character");
    TRY(run_work(r, text->len + (size_t)room));
    for (int64_t i = 0; i < left && !out.over; i++)
        builder_put(&out, fill);
    builder_put(&out, text);
    for (int64_t i = left; i < room && !out.over; i++)
        builder_put(&out, fill);
    TRY(builder_text(&out, &made));
    *ret = value_text(text_marked(&r->room, made, text->markup));
    return OK;
}

static err_t justify(struct run *r, const struct value *self, const struct value *arg, char align,
                     struct value *ret)
{
    const struct text *fill = &text_space;
    int64_t width;
    TRY(want_int(&arg[0], "a width", &width));
    if (arg[1].kind != VALUE_MISSING)
        TRY(want_text(&arg[1], "what fills", &fill));
    return text_justify(r, self->text, width, fill, align, ret);
}

static err_t ljust(struct run *r, const struct value *self, const struct value *arg,
                   struct value *ret)
{
    return justify(r, self, arg, '<', ret);
}

static err_t rjust(struct run *r, const struct value *self, const struct value *arg,
                   struct value *ret)
{
    return justify(r, self, arg, '>', ret);
}

static err_t center(struct run *r, const struct value *self, const struct value *arg,
                    struct value *ret)
{
    return justify(r, self, arg, '^', ret);
}

static err_t zfill(struct run *r, const struct value *self, const struct value *arg,
                   struct value *ret)
{
    const struct text *text = self->text;
    const size_t sign = text->len && (text->data[0] == '-' || text->data[0] == '+');
    const struct text zero = {"0", (const uint8_t *)"", 1, 1, false};
    const struct value head = value_text(text_part(&r->room, text, 0, sign));
    int64_t width;
    TRY(want_int(&arg[0], "a width", &width));
    TRY(text_justify(r, text_part(&r->room, text, sign, text->len - sign), width - (int64_t)sign,
                     &zero, '>', ret));
    const struct value digits = *ret;
    return value_binary(r, OP_ADD, &head, &digits, ret);
}

static const struct builtin rows[] = {
    {"startswith", "prefix start end", 1, .call = startswith},
    {"endswith", "suffix start end", 1, .call = endswith},
    {"find", "sub start end", 1, .call = find},
    {"rfind", "sub start end", 1, .call = rfind},
    {"index", "sub start end", 1, .call = index_of},
    {"rindex", "sub start end", 1, .call = rindex_of},
    {"count", "sub start end", 1, .call = count},
    {"removeprefix", "prefix", 1, .call = removeprefix},
    {"removesuffix", "suffix", 1, .call = removesuffix},
    {"upper", "", 0, .call = upper},
    {"lower", "", 0, .call = lower},
    {"capitalize", "", 0, .call = capitalize},
    {"title", "", 0, .call = title},
    {"swapcase", "", 0, .call = swapcase},
    {"isupper", "", 0, .call = all_upper},
    {"islower", "", 0, .call = all_lower},
    {"isalpha", "", 0, .call = all_alpha},
    {"isalnum", "", 0, .call = all_alnum},
    {"isdecimal", "", 0, .call = all_decimal},
    {"isdigit", "", 0, .call = all_digit},
    {"isnumeric", "", 0, .call = all_numeric},
    {"isspace", "", 0, .call = all_space},
    {"ljust", "width fillchar", 1, .call = ljust},
    {"rjust", "width fillchar", 1, .call = rjust},
    {"center", "width fillchar", 1, .call = center},
    {"zfill", "width", 1, .call = zfill},
    {"casefold", "", 0, NULL, NULL},
    {"encode", "", 0, NULL, NULL},
    {"expandtabs", "", 0, NULL, NULL},
    {"format_map", "", 0, NULL, NULL},
    {"isascii", "", 0, NULL, NULL},
    {"isidentifier", "", 0, NULL, NULL},
    {"isprintable", "", 0, NULL, NULL},
    {"istitle", "", 0, NULL, NULL},
    {"maketrans", "", 0, NULL, NULL},
    {"translate", "", 0, NULL, NULL},
};

struct builtins builtins_text_methods_more(void)
{
    return BUILTINS(rows);
}
