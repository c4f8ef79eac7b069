/* Code points, and what the parts of `tokenizers` take them for. Their tables are of different
 * versions of Unicode; ours are generated from theirs.
 *
 *     uint32_t code;
 *     int bytes = unicode_next(text + at, len - at, &code);    -- a byte that is not UTF-8: 1,
 * UNICODE_INVALID if (unicode_class(code) == UNICODE_LETTER) ...
 *
 * Any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum unicode_class { UNICODE_OTHER, UNICODE_LETTER, UNICODE_NUMBER, UNICODE_SPACE };

/* The general categories, in the order of unicode_table.c. */
enum unicode_category {
    UNICODE_LU,
    UNICODE_LL,
    UNICODE_LT,
    UNICODE_LM,
    UNICODE_LO,
    UNICODE_MN,
    UNICODE_MC,
    UNICODE_ME,
    UNICODE_ND,
    UNICODE_NL,
    UNICODE_NO,
    UNICODE_PC,
    UNICODE_PD,
    UNICODE_PS,
    UNICODE_PE,
    UNICODE_PI,
    UNICODE_PF,
    UNICODE_PO,
    UNICODE_SM,
    UNICODE_SC,
    UNICODE_SK,
    UNICODE_SO,
    UNICODE_ZS,
    UNICODE_ZL,
    UNICODE_ZP,
    UNICODE_CC,
    UNICODE_CF,
    UNICODE_CS,
    UNICODE_CO,
    UNICODE_CN,
};

enum unicode_property {
    UNICODE_IS_WORD,      // \w of its patterns
    UNICODE_IS_RUST_WORD, // \w of Whitespace and of single_word
    UNICODE_IS_SPACE,
    UNICODE_IS_NUMERIC, // Digits
    UNICODE_IS_PUNCTUATION,
    UNICODE_IS_ACCENT, // StripAccents
    UNICODE_IS_HAN,
};

enum {
    /* The code of a byte that belongs to no valid sequence; its class is OTHER, and it has no
     * property */
    UNICODE_INVALID = 0x110000
};

/* Bytes of the first code point of text (len > 0), 1 to 4. */
int unicode_next(const char *text, size_t len, uint32_t *ret_code);

/* Where the last code point of text (len > 0) begins. */
size_t unicode_last(const char *text, size_t len, uint32_t *ret_code);

enum unicode_class unicode_class(uint32_t code);
enum unicode_category unicode_category(uint32_t code);
bool unicode_is(enum unicode_property property, uint32_t code);

/* Appends a valid code point's 1 to 4 bytes to out and returns how many. */
int unicode_put(uint32_t code, char out[4]);

/* Normal forms leave the code point as it is, and where it stands; compatible: NFKC and NFKD. */
bool unicode_is_inert(uint32_t code, bool compatible);
