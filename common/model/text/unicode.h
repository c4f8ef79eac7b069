/* Code points, and the classes by which pre-tokenizers cut a text. The classes are those of
 * `tokenizers`, whose tables ours are generated from. utf8proc's are older and differ on 5,004 code
 * points.
 *
 *     uint32_t code;
 *     int bytes = unicode_next(text + at, len - at, &code);    -- a byte that is not UTF-8: 1,
 * UNICODE_INVALID if (unicode_class(code) == UNICODE_LETTER) ...
 *
 * Any thread. */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum unicode_class { UNICODE_OTHER, UNICODE_LETTER, UNICODE_NUMBER, UNICODE_SPACE };

enum {
    /* The code of a byte that belongs to no valid sequence; its class is OTHER */
    UNICODE_INVALID = 0x110000
};

/* Bytes of the first code point of text (len > 0), 1 to 4. */
int unicode_next(const char *text, size_t len, uint32_t *ret_code);

enum unicode_class unicode_class(uint32_t code);

/* Appends a valid code point's 1 to 4 bytes to out and returns how many. */
int unicode_put(uint32_t code, char out[4]);

struct unicode_range {
    uint32_t first, last;
};
extern const struct unicode_range unicode_letter[], unicode_number[], unicode_space[];
extern const int unicode_letter_count, unicode_number_count, unicode_space_count;
