/* Inside text only: the generated tables behind unicode.h (tests/golden/unicode_classes.py). */
#pragma once
#include <stdint.h>

struct unicode_range {
    uint32_t first, last;
};
struct unicode_run {
    uint32_t first, last;
    char category; // as in unicode_block
};

/* A property: the categories of mask, but for the code points of odd, which are the other way. */
struct unicode_set {
    uint32_t mask;
    const struct unicode_range *odd;
    const int *odds;
};
struct unicode_lower {
    uint32_t code, lower[2]; // lower[1] 0: one code point
};

enum { UNICODE_BLOCK = 128, UNICODE_FLAT = 0x20000 /* codes below have their block */ };

extern const char unicode_block[];
extern const unsigned char unicode_block_of[];
extern const struct unicode_run unicode_run[];
extern const int unicode_run_count;
extern const struct unicode_set unicode_sets[]; // by enum unicode_property

/* Code points that normal forms of `tokenizers` do nothing with, where utf8proc's tables are newer;
 * compatible: more of them under NFKC and NFKD. */
extern const struct unicode_range unicode_inert[], unicode_inert_compatible[];
extern const int unicode_inert_count, unicode_inert_compatible_count;

/* Small letters where utf8proc's differ. */
extern const struct unicode_lower unicode_lower[];
extern const int unicode_lower_count;
