/* Values as text: Python's str() and repr(). */
#include "model/text/unicode.h"
#include "model/text/values/value_ops.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

void put_int(struct builder *out, int64_t number)
{
    char put[32];
    builder_add(out, put, (size_t)snprintf(put, sizeof put, "%" PRId64, number), 0);
}

/* repr(): the shortest digits that give the number back; exponents from 1e16 and below 1e-4. */
void put_float(struct builder *out, double real)
{
    char digits[40], put[64];
    if (isnan(real) || isinf(real)) {
        builder_string(out, isnan(real) ? "nan" : real < 0 ? "-inf" : "inf");
        return;
    }
    for (int places = 0; places < 17; places++) {
        snprintf(digits, sizeof digits, "%.*e", places, real);
        if (strtod(digits, NULL) == real)
            break;
    }
    const char *e = strchr(digits, 'e');
    const int exponent = (int)strtol(e + 1, NULL, 10);
    if (exponent < -4 || exponent >= 16) {
        builder_add(out, digits, (size_t)(e - digits), 0);
        snprintf(put, sizeof put, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
        builder_string(out, put);
        return;
    }
    const char *point = memchr(digits, '.', (size_t)(e - digits));
    int places = (point ? (int)(e - point) - 1 : 0) - exponent;
    places = places < 1 ? 1 : places;
    snprintf(put, sizeof put, "%.*f", places, real);
    builder_string(out, put);
}

/* ---- texts */

const struct text *value_escape(struct run *r, const struct text *text)
{
    struct builder out = {.room = &r->room};
    const struct text *made = text;
    if (text->markup)
        return text;
    for (size_t at = 0, end; at < text->len; at = end + 1) {
        for (end = at; end < text->len && !(strchr("&<>'\"", text->data[end]) && text->data[end]);)
            end++;
        builder_put_part(&out, text, at, end - at);
        if (end < text->len) {
            const char c = text->data[end];
            const char *sign = c == '&'    ? "&amp;"
                               : c == '<'  ? "&lt;"
                               : c == '>'  ? "&gt;"
                               : c == '\'' ? "&#39;"
                                           : "&#34;";
            builder_add(&out, sign, strlen(sign), text->from[end]);
        }
    }
    err_t e = builder_text(&out, &made); // too long: the next piece of work says so
    if (err_failed(e))
        r->steps = 0;
    err_free(e);
    return text_marked(&r->room, made, true);
}

static bool is_printable(uint32_t code)
{
    if (code < 127)
        return code >= 32;
    switch (unicode_category(code)) {
    case UNICODE_CC:
    case UNICODE_CF:
    case UNICODE_CS:
    case UNICODE_CO:
    case UNICODE_CN:
    case UNICODE_ZL:
    case UNICODE_ZP:
    case UNICODE_ZS:
        return false;
    default:
        return true;
    }
}

static void put_quoted(struct builder *out, const struct text *text)
{
    const bool single = memchr(text->data, '\'', text->len),
               twice = memchr(text->data, '"', text->len);
    const char quote = single && !twice ? '"' : '\'';
    builder_add(out, &quote, 1, 0);
    for (size_t at = 0, bytes; at < text->len; at += bytes) {
        uint32_t code;
        char put[16];
        bytes = (size_t)unicode_next(text->data + at, text->len - at, &code);
        const char *plain = code == '\n'   ? "\\n"
                            : code == '\r' ? "\\r"
                            : code == '\t' ? "\\t"
                            : code == '\\' ? "\\\\"
                                           : NULL;
        if (!plain && code == (uint32_t)quote)
            plain = quote == '\'' ? "\\'" : "\\\"";
        if (!plain && is_printable(code)) {
            builder_put_part(out, text, at, bytes);
            continue;
        }
        snprintf(put, sizeof put,
                 code < 0x100     ? "\\x%02x"
                 : code < 0x10000 ? "\\u%04x"
                                  : "\\U%08x",
                 code);
        builder_add(out, plain ? plain : put, strlen(plain ? plain : put), text->from[at]);
    }
    builder_add(out, &quote, 1, 0);
}

/* ---- collections */

static err_t put_list(struct run *r, struct builder *out, const struct value *v)
{
    const bool tuple = v->kind == VALUE_TUPLE;
    builder_string(out, tuple ? "(" : "[");
    for (size_t i = 0; i < v->list->count; i++) {
        builder_string(out, i ? ", " : "");
        TRY(value_put_repr(r, out, &v->list->at[i]));
    }
    builder_string(out, tuple ? (v->list->count == 1 ? ",)" : ")") : "]");
    return OK;
}

static err_t put_dict(struct run *r, struct builder *out, const struct dict *dict)
{
    builder_string(out, "{");
    for (size_t i = 0; i < dict->count; i++) {
        builder_string(out, i ? ", " : "");
        TRY(value_put_repr(r, out, &dict->at[i].key));
        builder_string(out, ": ");
        TRY(value_put_repr(r, out, &dict->at[i].value));
    }
    builder_string(out, "}");
    return OK;
}

static err_t put_view(struct run *r, struct builder *out, const struct value *v)
{
    static const char *const names[] = {"dict_keys(", "dict_values(", "dict_items("};
    struct list items;
    TRY(value_items(r, v, &items));
    builder_string(out, names[v->view->kind]);
    TRY(put_list(r, out, &(struct value){.kind = VALUE_LIST, .list = &items}));
    builder_string(out, ")");
    return OK;
}

static void put_range(struct builder *out, const struct range *range)
{
    builder_string(out, "range(");
    put_int(out, range->start);
    builder_string(out, ", ");
    put_int(out, range->stop);
    if (range->step != 1) {
        builder_string(out, ", ");
        put_int(out, range->step);
    }
    builder_string(out, ")");
}

static err_t put_loop(struct run *r, struct builder *out, const struct value *v)
{
    int64_t length;
    TRY(value_length(r, v, &length));
    builder_string(out, "<LoopContext ");
    put_int(out, (int64_t)v->loop->at + 1);
    builder_string(out, "/");
    put_int(out, length);
    builder_string(out, ">");
    return OK;
}

static void put_macro(struct builder *out, const struct macro *macro)
{
    builder_string(out, macro->name ? "<Macro " : "<Macro anonymous");
    if (macro->name)
        put_quoted(out, macro->name);
    builder_string(out, ">");
}

static err_t put_repr(struct run *r, struct builder *out, const struct value *v)
{
    switch (v->kind) {
    case VALUE_UNDEFINED:
        builder_string(out, "Undefined");
        return OK;
    case VALUE_NONE:
        builder_string(out, "None");
        return OK;
    case VALUE_BOOL:
        builder_string(out, v->truth ? "True" : "False");
        return OK;
    case VALUE_INT:
        put_int(out, v->number);
        return OK;
    case VALUE_FLOAT:
        put_float(out, v->real);
        return OK;
    case VALUE_TEXT:
        builder_string(out, v->text->markup ? "Markup(" : "");
        put_quoted(out, v->text);
        builder_string(out, v->text->markup ? ")" : "");
        return OK;
    case VALUE_LIST:
    case VALUE_TUPLE:
        return put_list(r, out, v);
    case VALUE_DICT:
        return put_dict(r, out, v->dict);
    case VALUE_VIEW:
        return put_view(r, out, v);
    case VALUE_RANGE:
        put_range(out, v->range);
        return OK;
    case VALUE_NAMESPACE:
        builder_string(out, "<Namespace ");
        TRY(put_dict(r, out, v->dict));
        builder_string(out, ">");
        return OK;
    case VALUE_LOOP:
        return put_loop(r, out, v);
    case VALUE_MACRO:
        put_macro(out, v->macro);
        return OK;
    default:
        return err_new(ERR_INVALID, "%s has no text", value_kind_name(v));
    }
}

err_t value_put_repr(struct run *r, struct builder *out, const struct value *v)
{
    TRY(run_enter(r));
    TRY(run_work(r, v->kind == VALUE_TEXT ? v->text->len : 0));
    TRY(put_repr(r, out, v));
    run_leave(r);
    return OK;
}

err_t value_put(struct run *r, struct builder *out, const struct value *v)
{
    if (v->kind == VALUE_UNDEFINED)
        return OK;
    if (v->kind != VALUE_TEXT)
        return value_put_repr(r, out, v);
    TRY(run_work(r, v->text->len));
    builder_put(out, v->text);
    return OK;
}

err_t value_to_text(struct run *r, const struct value *v, const struct text **ret)
{
    struct builder out = {.room = &r->room};
    if (v->kind == VALUE_TEXT) {
        *ret = text_marked(&r->room, v->text, false);
        return OK;
    }
    TRY(value_put(r, &out, v));
    return builder_text(&out, ret);
}
