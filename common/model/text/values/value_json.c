/* Values as JSON, as json.dumps writes it. */
#include "model/text/unicode.h"
#include "model/text/values/value_ops.h"
#include <math.h>
#include <stdio.h>

static void put_string(struct builder *out, const struct text *text, bool ascii)
{
    builder_string(out, "\"");
    for (size_t at = 0, bytes; at < text->len; at += bytes) {
        static const char plain[] = "\"\"\\\\\nn\rr\tt\bb\ff";
        const char c = text->data[at];
        char put[16] = {'\\'};
        uint32_t code;
        bytes = (size_t)unicode_next(text->data + at, text->len - at, &code);
        const bool other = ascii && (code > 126);
        if (code >= 32 && c != '"' && c != '\\' && !other) {
            builder_put_part(out, text, at, bytes);
            continue;
        }
        for (const char *p = plain; *p; p += 2)
            if (c == *p)
                put[1] = p[1];
        if (!put[1] && code >= 0x10000)
            snprintf(put, sizeof put, "\\u%04x\\u%04x", 0xD800 + ((code - 0x10000) >> 10),
                     0xDC00 + ((code - 0x10000) & 0x3FF));
        else if (!put[1])
            snprintf(put, sizeof put, "\\u%04x", code);
        builder_add(out, put, strlen(put), text->from[at]);
    }
    builder_string(out, "\"");
}

static err_t put_number(struct builder *out, const struct value *v)
{
    if (v->kind == VALUE_INT)
        put_int(out, v->number);
    else if (isfinite(v->real))
        put_float(out, v->real);
    else
        builder_string(out, isnan(v->real) ? "NaN" : v->real < 0 ? "-Infinity" : "Infinity");
    return OK;
}

/* The line break and indentation before an item at this level. */
static void break_line(struct builder *out, const struct json_style *style, int level)
{
    if (!style->indented)
        return;
    builder_string(out, "\n");
    for (int i = 0; i < level && !out->over; i++)
        builder_put(out, style->indent);
}

static err_t put(struct run *r, struct builder *out, const struct value *v,
                 const struct json_style *style, int level);

static err_t put_array(struct run *r, struct builder *out, const struct list *list,
                       const struct json_style *style, int level)
{
    builder_string(out, "[");
    for (size_t i = 0; i < list->count; i++) {
        if (i)
            builder_put(out, style->between);
        break_line(out, style, level + 1);
        TRY(put(r, out, &list->at[i], style, level + 1));
    }
    if (list->count)
        break_line(out, style, level);
    builder_string(out, "]");
    return OK;
}

static err_t put_key(struct builder *out, const struct value *key, bool ascii)
{
    if (key->kind == VALUE_TEXT) {
        put_string(out, key->text, ascii);
        return OK;
    }
    if (!value_is_number(key) && key->kind != VALUE_NONE)
        return err_new(ERR_INVALID, "tojson: %s cannot be a key of JSON", value_kind_name(key));
    builder_string(out, "\"");
    if (key->kind == VALUE_NONE)
        builder_string(out, "null");
    else if (key->kind == VALUE_BOOL)
        builder_string(out, key->truth ? "true" : "false");
    else
        TRY(put_number(out, key));
    builder_string(out, "\"");
    return OK;
}

/* A dict's pairs in the order of their keys. */
static err_t sorted(struct run *r, const struct dict *dict, struct list *ret)
{
    struct list keys = {0};
    for (size_t i = 0; i < dict->count; i++) {
        TRY(list_push(r, &keys, dict->at[i].key));
        TRY(list_push(r, ret, value_int((int64_t)i)));
    }
    return list_sort(r, ret, &keys, false);
}

static err_t put_object(struct run *r, struct builder *out, const struct dict *dict,
                        const struct json_style *style, int level)
{
    struct list order = {0};
    if (style->sorted)
        TRY(sorted(r, dict, &order));
    builder_string(out, "{");
    for (size_t i = 0; i < dict->count; i++) {
        const struct pair *pair = &dict->at[style->sorted ? (size_t)order.at[i].number : i];
        if (i)
            builder_put(out, style->between);
        break_line(out, style, level + 1);
        TRY(put_key(out, &pair->key, style->ascii));
        builder_put(out, style->colon);
        TRY(put(r, out, &pair->value, style, level + 1));
    }
    if (dict->count)
        break_line(out, style, level);
    builder_string(out, "}");
    return OK;
}

static err_t put_one(struct run *r, struct builder *out, const struct value *v,
                     const struct json_style *style, int level)
{
    switch (v->kind) {
    case VALUE_NONE:
        builder_string(out, "null");
        return OK;
    case VALUE_BOOL:
        builder_string(out, v->truth ? "true" : "false");
        return OK;
    case VALUE_INT:
    case VALUE_FLOAT:
        return put_number(out, v);
    case VALUE_TEXT:
        TRY(run_work(r, v->text->len));
        put_string(out, v->text, style->ascii);
        return OK;
    case VALUE_LIST:
    case VALUE_TUPLE:
        return put_array(r, out, v->list, style, level);
    case VALUE_DICT:
        return put_object(r, out, v->dict, style, level);
    default:
        return err_new(ERR_INVALID, "tojson: %s is no JSON", value_kind_name(v));
    }
}

static err_t put(struct run *r, struct builder *out, const struct value *v,
                 const struct json_style *style, int level)
{
    TRY(run_enter(r));
    TRY(put_one(r, out, v, style, level));
    run_leave(r);
    return OK;
}

err_t value_put_json(struct run *r, struct builder *out, const struct value *v,
                     const struct json_style *style)
{
    return put(r, out, v, style, 0);
}
