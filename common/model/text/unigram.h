/* sentencepiece's Unigram: the tokens whose scores add up to the most.
 *
 *     struct unigram *unigram = unigram_new();
 *     unigram_token(unigram, "▁the", 6, 7, -3.25);        -- every token, then
 *     int count = unigram_word(unigram, word, len, piece);   -- piece (len)
 *
 * Any thread once it is built. */
#pragma once
#include "base/scoped.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct unigram;

struct unigram_piece {
    size_t begin, end;
    int id; // -1: nothing that is known; neighbours are one piece
};

struct unigram *unigram_new(void);

/* found: words may be cut into it; false: only its score counts, in what the unknown costs. */
void unigram_token(struct unigram *unigram, const void *data, size_t len, int id, double score,
                   bool found);

double unigram_score(const struct unigram *unigram, int id); // of a token

/* The pieces of a word (len > 0), in order. Returns how many; the first of equal sums wins. */
int unigram_word(const struct unigram *unigram, const char *word, size_t len,
                 struct unigram_piece *ret_piece);

void unigram_free(struct unigram *unigram);
DEFINE_SCOPED(unigram)
