/* "did you mean": the word a person probably meant. Any thread.
 *
 *     const char *meant = suggest("lernr", names, n);   -- "learner", or NULL if none is near */
#pragma once
#include <stddef.h>

/* The nearest of words by insertions, deletions, replacements and swaps of neighbours; NULL if even
 * that one is more than a third of the word away. Case does not count. The first of equals.
 * Borrowed from words. */
const char *suggest(const char *word, const char *const *words, size_t count);
