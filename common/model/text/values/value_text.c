#include "model/text/values/value_text.h"
#include "model/text/unicode.h"
#include "model/text/values/value_run.h"

const struct text text_empty = {.data = "", .from = (const uint8_t *)""};

/* ---- making */

static bool grow(struct builder *b, size_t more)
{
    if (more > RUN_TEXT_BYTES - b->len) {
        b->over = true;
        return false;
    }
    if (b->capacity - b->len > more)
        return true;
    const size_t capacity = (b->len + more + 16) * (b->len ? 2 : 1);
    if (b->room->most && !room_has(b->room, 2 * capacity)) {
        b->over = true;
        return false;
    }
    char *data = room_take(b->room, capacity);
    uint8_t *from = room_take(b->room, capacity);
    if (b->len) {
        memcpy(data, b->data, b->len);
        memcpy(from, b->from, b->len);
    }
    b->data = data;
    b->from = from;
    b->capacity = capacity;
    return true;
}

void builder_add(struct builder *b, const char *data, size_t len, uint8_t from)
{
    if (b->over || !grow(b, len))
        return;
    memcpy(b->data + b->len, data, len);
    memset(b->from + b->len, from, len);
    b->len += len;
}

void builder_put_part(struct builder *b, const struct text *text, size_t at, size_t len)
{
    if (b->over || !grow(b, len))
        return;
    memcpy(b->data + b->len, text->data + at, len);
    memcpy(b->from + b->len, text->from + at, len);
    b->len += len;
}

void builder_code(struct builder *b, uint32_t code, uint8_t from)
{
    char put[4];
    builder_add(b, put, (size_t)unicode_put(code, put), from);
}

err_t builder_text(struct builder *b, const struct text **ret)
{
    if (b->over)
        return err_new(ERR_RANGE, "a text longer than %d bytes, or more memory than is allowed",
                       RUN_TEXT_BYTES);
    if (!b->len) {
        *ret = &text_empty;
        return OK;
    }
    struct text *text = room_take(b->room, sizeof *text);
    *text = (struct text){
        .data = b->data, .from = b->from, .len = b->len, .points = text_points(b->data, b->len)};
    *ret = text;
    return OK;
}

const struct text *text_new(struct room *room, const char *data, size_t len, uint8_t from)
{
    struct text *text = room_take(room, sizeof *text + 2 * len + 1);
    char *to = (char *)(text + 1);
    memcpy(to, data, len);
    memset(to + len + 1, from, len);
    *text = (struct text){
        .data = to, .from = (uint8_t *)to + len + 1, .len = len, .points = text_points(data, len)};
    return text;
}

const struct text *text_part(struct room *room, const struct text *text, size_t at, size_t len)
{
    if (len == text->len)
        return text;
    struct text *part = room_take(room, sizeof *part);
    *part =
        (struct text){.data = text->data + at,
                      .from = text->from + at,
                      .len = len,
                      .points = text->points == text->len ? len : text_points(text->data + at, len),
                      .markup = text->markup};
    return part;
}

const struct text *text_marked(struct room *room, const struct text *text, bool markup)
{
    if (text->markup == markup)
        return text;
    struct text *other = room_take(room, sizeof *other);
    *other = *text;
    other->markup = markup;
    return other;
}

/* ---- looking */

size_t text_points(const char *data, size_t len)
{
    size_t points = 0;
    for (size_t i = 0; i < len; i++)
        points += ((uint8_t)data[i] & 0xC0) != 0x80;
    return points;
}

size_t text_offset(const struct text *text, size_t point)
{
    if (text->points == text->len)
        return point;
    size_t at = 0;
    for (; point; point--)
        for (at++; at < text->len && ((uint8_t)text->data[at] & 0xC0) == 0x80;)
            at++;
    return at;
}

bool text_equal(const struct text *a, const struct text *b)
{
    return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

bool text_is(const struct text *text, const char *other)
{
    return text->len == strlen(other) && memcmp(text->data, other, text->len) == 0;
}

/* The order of bytes of UTF-8 is that of code points. */
int text_compare(const struct text *a, const struct text *b)
{
    const size_t len = a->len < b->len ? a->len : b->len;
    const int order = memcmp(a->data, b->data, len);
    return order ? order : (a->len > b->len) - (a->len < b->len);
}

/* str.isspace, str.strip and \s of Python's patterns */
bool text_is_space(uint32_t code)
{
    return (code >= 9 && code <= 13) || (code >= 0x1C && code <= 0x20) || code == 0x85 ||
           code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 ||
           code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

size_t text_space_ahead(const char *data, size_t len)
{
    size_t at = 0;
    for (uint32_t code; at < len;) {
        const int bytes = unicode_next(data + at, len - at, &code);
        if (!text_is_space(code))
            break;
        at += (size_t)bytes;
    }
    return at;
}

size_t text_space_behind(const char *data, size_t len)
{
    for (uint32_t code; len;) {
        const size_t at = unicode_last(data, len, &code);
        if (!text_is_space(code))
            break;
        len = at;
    }
    return len;
}

size_t text_find(const struct text *text, const struct text *what, size_t from)
{
    if (from > text->len || what->len > text->len - from)
        return SIZE_MAX;
    if (!what->len)
        return from;
    const char *found = memmem(text->data + from, text->len - from, what->data, what->len);
    return found ? (size_t)(found - text->data) : SIZE_MAX;
}

size_t text_find_last(const struct text *text, const struct text *what, size_t before)
{
    if (what->len > before)
        return SIZE_MAX;
    for (size_t at = before - what->len + 1; at-- > 0;)
        if (memcmp(text->data + at, what->data, what->len) == 0)
            return at;
    return SIZE_MAX;
}
