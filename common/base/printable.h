/* Text from outside as a terminal may see it, and bytes as UTF-8. Any thread.
 *
 *     printable(&line, "a\x1b[2J\n", 6, "\n");        -- a\x1b[2J and the line break, which is kept
 *
 * Control characters (C0, DEL, C1), line separators, marks of the direction of writing, and bytes
 * that are no UTF-8 become escapes such as \x1b or \u202e. All else stays. */
#pragma once
#include "base/bytes.h"
#include <stdbool.h>
#include <stdint.h>

/* Appends; kept: control characters that stay as they are, "" for none. */
void printable(struct bytes *ret, const char *text, size_t len, const char *kept);

/* Whether a code point is one of those. */
bool printable_hides(uint32_t point);

/* The same as a string, owned by the caller. */
char *printable_text(const char *text, const char *kept);

/* Bytes of the code point that text begins with; 0: no UTF-8 (RFC 3629: shortest form, no
 * surrogates). */
size_t utf8_point(const char *text, size_t len, uint32_t *ret_point);
bool utf8_is(const char *text);

/* Appends bytes as UTF-8, as the decode of tokenizers and of Python does. The beginning of a
 * character without its end becomes one U+FFFD, as does any other byte that belongs to none. */
void utf8_put(struct bytes *ret, const void *data, size_t len);
