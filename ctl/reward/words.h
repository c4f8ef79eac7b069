/* The words of a text, as hashes: for counts of what texts have in common.
 *
 *     SCOPED_VALUE(words) words = {0};
 *     words_of(text, &words);
 *     words_hash(&words, at, 3)               -- of three words from `at` on
 *
 * A word is a run of ASCII letters, digits and apostrophes in lower case, and of letters beyond
 * ASCII as they are. Characters from U+2E80 on (Chinese, Japanese, Korean) are a word each. Any
 * thread; a value belongs to one. */
#pragma once
#include "base/bytes.h"

struct word {
    uint32_t at, len; // bytes of the text
    uint64_t hash;
};

struct words {
    const char *text; // borrowed
    struct word *at;  // (count)
    size_t count, capacity;
};

/* Replaces what is there. */
void words_of(const char *text, struct words *ret);
void words_done(struct words *words);
int words_count(const char *text);

/* Of `length` words from `first` on. */
uint64_t words_hash(const struct words *words, size_t first, size_t length);

/* Appends them in lower case, one space apart. */
void words_put(const struct words *words, size_t first, size_t length, struct bytes *ret);
