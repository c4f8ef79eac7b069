#include "base/log_json.h"
#include "base/printable.h"
#include "base/scoped.h"
#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIELDS_MAX = 32, MARK = 0x1e };
enum { NUMBER_MAX = 18 }; // bytes: longer ones are no int64_t to some readers

struct field {
    const char *key;
    int key_len;
    bool number;
};

void log_json_string(struct bytes *line, const char *text, size_t len)
{
    SCOPED_VALUE(bytes) clean = {0};
    uint32_t point;
    utf8_put(&clean, text, len);
    bytes_text(line, "\"");
    for (size_t i = 0, step; i < clean.len; i += step) {
        step = utf8_point((char *)clean.data + i, clean.len - i, &point);
        if (point == '"' || point == '\\')
            bytes_u8(line, '\\');
        if (printable_hides(point))
            bytes_printf(line, "\\u%04x", point);
        else
            bytes_put(line, clean.data + i, step);
    }
    bytes_text(line, "\"");
}

/* "%d", "%.0f", "%zu": one conversion, and of a number. */
static bool is_number(const char *at, const char *end)
{
    if (at == end || *at++ != '%')
        return false;
    at += strspn(at, "0123456789.-+ #");
    at += strspn(at, "hljzt");
    return at + 1 == end && strchr("diufFgG", *at);
}

/* The end of a value in the format: its closing quote, or a blank. NULL: there is none. */
static const char *value_end(const char *at, bool quoted)
{
    if (!quoted)
        return at + strcspn(at, " ");
    for (at = strchr(at, '"'); at && at[1] && at[1] != ' '; at = strchr(at + 1, '"'))
        ;
    return at;
}

/* The format's values, each with a mark behind it; -1: it is not made of key=value alone. */
static int mark(const char *at, struct field *fields, struct bytes *ret)
{
    int count = 0;
    for (; *at; at += *at == ' ') {
        struct field *field = &fields[count];
        field->key = at;
        while (islower((unsigned char)*at) || isdigit((unsigned char)*at) || *at == '_')
            at++;
        field->key_len = (int)(at - field->key);
        if (!field->key_len || *at != '=' || ++count == FIELDS_MAX)
            return -1;
        const bool quoted = *++at == '"';
        const char *end = value_end(at += quoted, quoted);
        if (!end)
            return -1;
        field->number = !quoted && is_number(at, end);
        bytes_put(ret, at, (size_t)(end - at));
        bytes_u8(ret, MARK);
        at = end + quoted;
    }
    return count;
}

/* Of a length that all readers take: -?(0|[1-9][0-9]*)(.[0-9]+)?(e[+-]?[0-9]+)? and no more; "nan" is none. */
static bool is_json_number(const char *text, size_t len)
{
    const char *at = text + (*text == '-');
    size_t digits = strspn(at, "0123456789");
    if (!digits || (digits > 1 && *at == '0'))
        return false;
    at += digits;
    if (*at == '.' && !(digits = strspn(++at, "0123456789")))
        return false;
    at += at[-1] == '.' ? digits : 0;
    if (*at == 'e' || *at == 'E') {
        at++;
        at += *at == '+' || *at == '-';
        if (!(digits = strspn(at, "0123456789")))
            return false;
        at += digits;
    }
    return (size_t)(at - text) == len && len <= NUMBER_MAX;
}

static void put_key(struct bytes *line, const struct field *field)
{
    static const char *const taken[] = {"time", "level", "program", "event", "left_out"};
    bool clash = false;
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        clash |= strlen(taken[i]) == (size_t)field->key_len &&
                 strncmp(taken[i], field->key, (size_t)field->key_len) == 0;
    bytes_printf(line, ",\"%.*s%s\":", field->key_len, field->key, clash ? "_" : "");
}

/* Whether there are as many marks as were put there: a value may hold one. */
static bool put_values(struct bytes *line, const struct field *fields, int count, const char *text)
{
    int marks = 0;
    for (const char *at = text; (at = strchr(at, MARK)); at++)
        marks++;
    for (int i = 0; i < count && marks == count; i++) {
        const size_t len = strcspn(text, (const char[]){MARK, 0});
        put_key(line, &fields[i]);
        /* A mark ends it, which is no part of a number. */
        if (fields[i].number && is_json_number(text, len))
            bytes_put(line, text, len);
        else
            log_json_string(line, text, len);
        text += len + 1;
    }
    return marks == count;
}

static char *formatted(const char *format, va_list args)
{
    char *text = NULL;
    if (vasprintf(&text, format, args) < 0)
        abort();
    return text;
}

void log_json_fields(struct bytes *line, const char *format, va_list args)
{
    struct field fields[FIELDS_MAX];
    SCOPED_VALUE(bytes) marked = {0};
    const int count = mark(format, fields, &marked);
    if (!*format)
        return;
    va_list again;
    va_copy(again, args);
    char *text = count > 0 ? formatted((char *)marked.data, args) : NULL;
    if (!text || !put_values(line, fields, count, text)) {
        free(text);
        text = formatted(format, again);
        bytes_text(line, ",\"text\":");
        log_json_string(line, text, strlen(text));
    }
    free(text);
    va_end(again);
}
