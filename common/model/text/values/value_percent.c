/* "..." % values and "...".format(...), with what each value brings. */
#include "model/text/values/value_format.h"
#include <ctype.h>
#include <math.h>

/* ---- % */

struct percent {
    struct run *r;
    const struct text *format;
    const struct value *args;
    size_t at, next; // in the format; the argument that comes next
};

static err_t next_argument(struct percent *p, struct value *ret)
{
    const bool tuple = p->args->kind == VALUE_TUPLE;
    if (p->next >= (tuple ? p->args->list->count : 1))
        return err_new(ERR_INVALID, "%% has fewer values than its format asks for");
    *ret = tuple ? p->args->list->at[p->next] : *p->args;
    p->next++;
    return OK;
}

/* %(name)s */
static err_t named_argument(struct percent *p, struct value *ret)
{
    const struct text *f = p->format;
    const size_t begin = ++p->at;
    int depth = 1;
    for (; p->at < f->len && depth; p->at++)
        depth += (f->data[p->at] == '(') - (f->data[p->at] == ')');
    if (depth || p->args->kind != VALUE_DICT)
        return err_new(ERR_INVALID, "%%(name) needs its ')', and a mapping of values");
    const struct text *name = text_part(&p->r->room, f, begin, p->at - begin - 1);
    const struct value *found = dict_find_text(p->args->dict, name);
    if (!found)
        return err_new(ERR_INVALID, "%%: no value named '%.*s'", (int)name->len, name->data);
    *ret = *found;
    p->next = 1;
    return OK;
}

static err_t read_number(struct percent *p, int most, int *ret)
{
    if (p->at < p->format->len && p->format->data[p->at] == '*')
        return err_new(ERR_INVALID, "%%*: a width from the values is not supported");
    *ret = format_digits(p->format, &p->at, most);
    return *ret < 0 ? err_new(ERR_RANGE, "%%: a width or precision above %d", most) : OK;
}

static err_t read_spec(struct percent *p, struct format_spec *spec)
{
    const struct text *f = p->format;
    for (; p->at < f->len && f->data[p->at] && strchr("-+ #0", f->data[p->at]); p->at++) {
        const char c = f->data[p->at];
        spec->align = c == '-' ? '<' : spec->align;
        spec->sign = c == '+' || (c == ' ' && spec->sign != '+') ? c : spec->sign;
        spec->alternate = spec->alternate || c == '#';
        spec->zero = spec->zero || c == '0';
    }
    TRY(read_number(p, FORMAT_WIDTH, &spec->width));
    if (p->at < f->len && f->data[p->at] == '.') {
        p->at++;
        TRY(read_number(p, FORMAT_PRECISION, &spec->precision));
    }
    while (p->at < f->len && f->data[p->at] && strchr("hlL", f->data[p->at]))
        p->at++;
    if (p->at == f->len)
        return err_new(ERR_INVALID, "%% stands alone at the end of a format");
    spec->type = f->data[p->at++];
    return OK;
}

static err_t as_text(struct percent *p, const struct value *v, bool repr, const struct text **ret)
{
    struct builder out = {.room = &p->r->room};
    TRY(repr ? value_put_repr(p->r, &out, v) : value_put(p->r, &out, v));
    TRY(builder_text(&out, ret));
    if (v->kind == VALUE_TEXT && !repr)
        *ret = v->text;
    if (p->format->markup)
        *ret = value_escape(p->r, *ret);
    return OK;
}

static err_t as_int(const struct value *v, struct value *ret)
{
    *ret = *v;
    if (v->kind == VALUE_FLOAT) {
        if (!(fabs(v->real) < 0x1p63))
            return err_new(ERR_INVALID, "%%d of a number beyond 64 bits");
        *ret = value_int((int64_t)v->real);
    }
    return OK;
}

static err_t percent_one(struct percent *p, struct builder *out)
{
    struct format_spec spec = {.precision = -1};
    struct value v = {0};
    const struct text *text;
    if (p->at < p->format->len && p->format->data[p->at] == '(')
        TRY(named_argument(p, &v));
    TRY(read_spec(p, &spec));
    if (spec.type == '%') {
        builder_string(out, "%");
        return OK;
    }
    if (v.kind == VALUE_MISSING)
        TRY(next_argument(p, &v));
    switch (spec.type) {
    case 's':
    case 'r':
        spec.zero = false;
        spec.align = spec.align ? spec.align : '>';
        TRY(as_text(p, &v, spec.type == 'r', &text));
        return format_padded(p->r, out, text, &spec);
    case 'i':
    case 'u':
    case 'd':
        spec.type = 'd';
        TRY(as_int(&v, &v));
        break;
    case 'x':
    case 'X':
    case 'o':
        break;
    default:
        if (!strchr("eEfFgG", spec.type))
            return err_new(ERR_INVALID, "%%%c is not supported",
                           isprint((unsigned char)spec.type) ? spec.type : '?');
        v = value_is_number(&v) ? value_float(value_real(&v)) : v;
    }
    spec.zero = spec.zero && spec.align != '<';
    return format_number(p->r, out, &v, &spec);
}

err_t text_percent(struct run *r, const struct text *format, const struct value *args,
                   struct value *ret)
{
    struct percent p = {r, format, args, 0, 0};
    struct builder out = {.room = &r->room};
    const struct text *text;
    TRY(run_work(r, format->len));
    while (p.at < format->len) {
        const char *sign = memchr(format->data + p.at, '%', format->len - p.at);
        const size_t end = sign ? (size_t)(sign - format->data) : format->len;
        builder_put_part(&out, format, p.at, end - p.at);
        p.at = end + 1;
        if (sign)
            TRY(percent_one(&p, &out));
    }
    const size_t count = args->kind == VALUE_TUPLE ? args->list->count : 1;
    const bool mapping = args->kind == VALUE_DICT || args->kind == VALUE_LIST ||
                         args->kind == VALUE_RANGE || args->kind == VALUE_UNDEFINED;
    if (p.next < count && !mapping)
        return err_new(ERR_INVALID, "%% has more values than its format asks for");
    TRY(builder_text(&out, &text));
    *ret = value_text(text_marked(&r->room, text, format->markup));
    return OK;
}

/* ---- format() */

struct fields {
    struct run *r;
    const struct text *format;
    const struct call *call;
    size_t next;
    bool counted, numbered; // {} and {0} do not go together
};

static err_t first_part(struct fields *f, const struct text *name, struct value *ret)
{
    size_t at = 0;
    int index = (int)f->next;
    if (name->len && !isdigit((unsigned char)name->data[0])) {
        for (int i = 0; i < f->call->nameds; i++) {
            if (text_equal(f->call->name[i].text, name)) {
                *ret = f->call->named[i];
                return OK;
            }
        }
        return err_new(ERR_INVALID, "format(): no value named '%.*s'", (int)name->len, name->data);
    }
    f->counted = f->counted || !name->len;
    f->numbered = f->numbered || name->len;
    if (name->len)
        index = format_digits(name, &at, 1 << 20);
    else
        f->next++;
    if (at < name->len || (f->counted && f->numbered) || index < 0 || index >= f->call->count)
        return err_new(ERR_INVALID, "format(): no value for field '%.*s'", (int)name->len,
                       name->data);
    *ret = f->call->at[index];
    return OK;
}

/* name.member[item] */
static err_t field_value(struct fields *f, const struct text *field, struct value *ret)
{
    size_t at = 0;
    while (at < field->len && field->data[at] != '.' && field->data[at] != '[')
        at++;
    TRY(first_part(f, text_part(&f->r->room, field, 0, at), ret));
    while (at < field->len) {
        const struct value on = *ret;
        const bool item = field->data[at] == '[';
        size_t end = at + 1;
        while (end < field->len && (item ? field->data[end] != ']'
                                         : field->data[end] != '.' && field->data[end] != '['))
            end++;
        const struct text *name = text_part(&f->r->room, field, at + 1, end - at - 1);
        size_t digits = 0;
        const int index = format_digits(name, &digits, 1 << 30);
        const struct value key =
            item && digits == name->len && index >= 0 ? value_int(index) : value_text(name);
        if (!name->len || (item && end == field->len))
            return err_new(ERR_INVALID, "format(): field '%.*s' is cut short", (int)field->len,
                           field->data);
        TRY(item ? value_item(f->r, &on, &key, ret) : value_member(f->r, &on, name, ret));
        at = end + item;
    }
    return OK;
}

static bool is_align(char c)
{
    return c == '<' || c == '>' || c == '^' || c == '=';
}

static err_t format_spec(const struct text *s, struct format_spec *spec)
{
    size_t at = 0;
    const char *d = s->data;
    if (s->len > 1 && is_align(d[1]))
        spec->fill = (uint8_t)d[0], spec->align = d[1], at = 2;
    else if (s->len && is_align(d[0]))
        spec->align = d[0], at = 1;
    if (at < s->len && (d[at] == '+' || d[at] == ' ' || d[at] == '-'))
        spec->sign = d[at] == '-' ? 0 : d[at], at++;
    if (at < s->len && d[at] == '#')
        spec->alternate = true, at++;
    if (at < s->len && d[at] == '0')
        spec->zero = true, at++;
    spec->width = format_digits(s, &at, FORMAT_WIDTH);
    if (at < s->len && (d[at] == ',' || d[at] == '_'))
        spec->group = d[at++];
    if (at < s->len && d[at] == '.')
        at++, spec->precision = format_digits(s, &at, FORMAT_PRECISION);
    if (at < s->len)
        spec->type = d[at++];
    if (at < s->len || spec->width < 0 || spec->precision < -1 ||
        (spec->type && !strchr("sdxXobeEfFgG%", spec->type)) || (spec->group && spec->zero))
        return err_new(ERR_INVALID, "format(): the format '%.*s' is not supported", (int)s->len, d);
    return OK;
}

static err_t put_field(struct fields *f, struct builder *out, const struct value *v,
                       const struct text *written)
{
    struct format_spec spec = {.precision = -1};
    const struct text *text;
    TRY(format_spec(written, &spec));
    if (value_is_number(v) && written->len && spec.type != 's' &&
        !(v->kind == VALUE_BOOL && !spec.type))
        return format_number(f->r, out, v, &spec);
    if (written->len && v->kind != VALUE_TEXT && v->kind != VALUE_BOOL)
        return err_new(ERR_INVALID, "format(): %s takes no format", value_kind_name(v));
    if (spec.type && spec.type != 's')
        return err_new(ERR_INVALID, "format(): '%c' of %s", spec.type, value_kind_name(v));
    TRY(value_to_text(f->r, v, &text));
    return format_padded(f->r, out, text, &spec);
}

/* "name!r:spec" between braces */
static err_t field(struct fields *f, struct builder *out, const struct text *in)
{
    size_t end = 0;
    bool inside = false;
    for (; end < in->len && (inside || !strchr("!:", in->data[end])); end++)
        inside = in->data[end] == '[' || (inside && in->data[end] != ']');
    struct value v;
    TRY(field_value(f, text_part(&f->r->room, in, 0, end), &v));
    if (end < in->len && in->data[end] == '!') {
        const char kind = end + 1 < in->len ? in->data[end + 1] : 0;
        struct builder shown = {.room = &f->r->room};
        const struct text *text;
        if (kind != 'r' && kind != 's')
            return err_new(ERR_INVALID, "format(): a conversion is !r or !s");
        TRY(kind == 'r' ? value_put_repr(f->r, &shown, &v) : value_put(f->r, &shown, &v));
        TRY(builder_text(&shown, &text));
        v = value_text(text);
        end += 2;
    }
    if (end < in->len && in->data[end] != ':')
        return err_new(ERR_INVALID, "format(): ':' is expected behind a conversion");
    const size_t from = end < in->len ? end + 1 : in->len;
    const struct text *written = text_part(&f->r->room, in, from, in->len - from);
    if (!f->format->markup)
        return put_field(f, out, &v, written);
    struct builder shown = {.room = &f->r->room};
    const struct text *text;
    TRY(put_field(f, &shown, &v, written));
    TRY(builder_text(&shown, &text));
    builder_put(out, v.kind == VALUE_TEXT && v.text->markup ? text : value_escape(f->r, text));
    return OK;
}

err_t text_format(struct run *r, const struct value *self, const struct call *call,
                  struct value *ret)
{
    const struct text *s = self->text;
    struct fields f = {.r = r, .format = s, .call = call};
    struct builder out = {.room = &r->room};
    const struct text *text;
    TRY(run_work(r, s->len));
    for (size_t at = 0, end; at < s->len; at = end + 1) {
        const char c = s->data[at];
        end = at;
        if (c != '{' && c != '}') {
            builder_put_part(&out, s, at, 1);
            continue;
        }
        if (at + 1 < s->len && s->data[at + 1] == c) {
            builder_put_part(&out, s, at, 1);
            end = at + 1;
            continue;
        }
        while (end < s->len && s->data[end] != '}' && !(end > at && s->data[end] == '{'))
            end++;
        if (c == '}' || end == s->len || s->data[end] == '{')
            return err_new(ERR_INVALID, "format(): a brace stands alone, or within another");
        TRY(field(&f, &out, text_part(&r->room, s, at + 1, end - at - 1)));
    }
    TRY(builder_text(&out, &text));
    *ret = value_text(text_marked(&r->room, text, s->markup));
    return OK;
}
