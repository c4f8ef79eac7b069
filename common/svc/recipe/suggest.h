/* "did you mean": the word a person probably meant. Any thread.
 *
 *     const char *meant = suggest("lernr", names, n);   -- "learner", or NULL if none is near */
#pragma once
#include <stddef.h>

/* The word that is nearest by insertions, deletions, replacements and swaps of neighbours. NULL:
 * even the nearest differs in more than a third of the word. Case does not count. The first of
 * equals. Borrowed from words. */
const char *suggest(const char *word, const char *const *words, size_t count);
