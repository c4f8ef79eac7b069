/* Texts as runs of code points, and their making.
 *
 *     struct builder out = {.room = &r->room};
 *     builder_put(&out, text);                          -- another text, with who wrote it
 *     builder_add(&out, ", ", 2, 0);                    -- the template's own
 *     TRY(builder_text(&out, &text));                -- RANGE: too long
 *
 * A builder that grows beyond RUN_TEXT_BYTES takes no more, and builder_text tells. */
#pragma once
#include "model/text/values/value.h"
#include "model/text/values/value_room.h"
#include <string.h>

struct text {
    const char *data;    // (len) UTF-8
    const uint8_t *from; // (len) who wrote each byte, as template.h has it; 0: the template
    size_t len, points;  // bytes, code points
    bool markup;         // Markup: made by safe or escape
};

struct builder {
    struct room *room;
    char *data;
    uint8_t *from;
    size_t len, capacity;
    bool over; // longer than is allowed
};

void builder_add(struct builder *b, const char *data, size_t len, uint8_t from);
void builder_put_part(struct builder *b, const struct text *text, size_t at, size_t len);
static inline void builder_put(struct builder *b, const struct text *text)
{
    builder_put_part(b, text, 0, text->len);
}
static inline void builder_string(struct builder *b, const char *text)
{
    builder_add(b, text, strlen(text), 0);
}
void builder_code(struct builder *b, uint32_t code, uint8_t from);
err_t builder_text(struct builder *b, const struct text **ret);

extern const struct text text_empty;

/* A copy, all of it by one writer. */
const struct text *text_new(struct room *room, const char *data, size_t len, uint8_t from);
static inline const struct text *text_string(struct room *room, const char *data)
{
    return text_new(room, data, strlen(data), 0);
}

/* Bytes [at, at + len), shared. */
const struct text *text_part(struct room *room, const struct text *text, size_t at, size_t len);
const struct text *text_marked(struct room *room, const struct text *text, bool markup);

/* The byte where code point n begins; n at most text->points. */
size_t text_offset(const struct text *text, size_t point);
size_t text_points(const char *data, size_t len);

bool text_equal(const struct text *a, const struct text *b);
bool text_is(const struct text *text, const char *other);
int text_compare(const struct text *a, const struct text *b);

/* Bytes of white space at the beginning, as str.isspace has it; and how long the text is without
 * that at its end. */
size_t text_space_ahead(const char *data, size_t len);
size_t text_space_behind(const char *data, size_t len);
bool text_is_space(uint32_t code);

/* Where `what` is from byte `from` on; SIZE_MAX: nowhere. */
size_t text_find(const struct text *text, const struct text *what, size_t from);
size_t text_find_last(const struct text *text, const struct text *what, size_t before);
