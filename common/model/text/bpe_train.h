/* The merging half of the trainer: words as runs of ids in, merges out, in the order in which
 * `tokenizers`' BpeTrainer makes them. Private to tokenizer_trainer.c, which owns the vocabulary.
 *
 *     SCOPED_VALUE(bpe_train) train = {.max_units = SIZE_MAX, .name = name_pair, .arg = vocab};
 *     bpe_train_word(&train, ids, count, times);
 *     bpe_train_run(&train, vocab_size, min_frequency);      -- train.merge[0..merges-1]
 */
#pragma once
#include "base/scoped.h"
#include <stddef.h>
#include <stdint.h>

struct bpe_train_word {
    size_t at; // into symbols
    uint32_t len;
    uint64_t times;
};

struct bpe_train {
    /* The id of the token that joins a and b: a new one, or one with the same text. *ret_tokens:
     * tokens there are then. */
    int (*name)(void *arg, int a, int b, int *ret_tokens);
    void *arg;
    int tokens;       // there now
    size_t max_units; // a pair whose symbols together have so many bytes is never counted

    struct bpe_train_word *word; // owned, like all below
    size_t words, word_capacity;
    int32_t *symbol;
    size_t symbols, symbol_capacity;
    uint32_t *units; // per token: how many bytes it stands for
    int units_capacity;
    struct pair_count *pair; // open addressing
    size_t pairs, places;
    uint64_t *touched; // pairs with new places since the last merge
    size_t touched_count, touched_capacity;
    struct pair_item *heap;
    size_t heap_count, heap_capacity;
    uint64_t pushed;
    uint64_t *merge; // a << 32 | b, by rank
    int merges;
};

void bpe_train_word(struct bpe_train *train, const int32_t *ids, uint32_t count, uint64_t times);

/* Merges until there are vocab_size tokens or no pair occurs min_frequency (at least 1) times. */
void bpe_train_run(struct bpe_train *train, int vocab_size, uint64_t min_frequency);
void bpe_train_done(struct bpe_train *train);
