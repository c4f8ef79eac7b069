/* Byte strings by their beginnings: all of them that a text begins with, in one walk.
 *
 *     trie_put(trie, "ab", 2, 7);
 *     int node = 0, found = -1;
 *     for (size_t i = 0; i < len && (node = trie_step(trie, node, text[i])) >= 0; i++)
 *         if (trie_value(trie, node) >= 0)
 *             found = trie_value(trie, node);      -- of text[0..i]
 *
 * Any thread once it is built. */
#pragma once
#include "base/scoped.h"
#include <stddef.h>
#include <stdint.h>

struct trie;

struct trie *trie_new(void);
/* A string that is there keeps its first value. value >= 0 */
void trie_put(struct trie *trie, const void *data, size_t len, int value);
int trie_step(const struct trie *trie, int node, uint8_t byte); // -1: no string goes on so
int trie_value(const struct trie *trie, int node);              // -1: no string ends here
void trie_free(struct trie *trie);
DEFINE_SCOPED(trie)
