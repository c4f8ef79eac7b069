/* Trains a byte-level BPE: the merges that `tokenizers`' BpeTrainer finds on the same texts.
 *
 *     const char *special[] = {"<pad>", "<eos>"};
 *     struct tokenizer_training options = {.vocab_size = 2048, .byte_alphabet = true,
 *                                          .special = special, .specials = 2};
 *     SCOPED(tokenizer_trainer) trainer = NULL;
 *     TRY(tokenizer_trainer_new(&options, &trainer));
 *     for (...)
 *         tokenizer_trainer_feed(trainer, text, len);
 *     TRY(tokenizer_trainer_finish(trainer, &tokenizer));
 *
 * Ties: the pair with the higher count first, then the smaller ids. The result does not depend on
 * the texts' order. One thread at a time. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include "model/text/tokenizer.h"

struct tokenizer_trainer;

struct tokenizer_training {
    int vocab_size;    // at most so many tokens, special ones included; fewer if texts give no more
    int min_frequency; // a pair is merged if it occurs at least so often; 0 is 1
    bool byte_alphabet;   // all 256 bytes are tokens from the start; false: only the bytes seen
    int max_token_length; // merged tokens stay below so many bytes, and below 2048; 0: only that
    const char *const *special; // ids 0, 1, ...; <eos>, <pad>, <bos> become eos_token, ... by name
    int specials;
    int model_max_length; // for tokenizer_config.json; 0: not said
};

/* INVALID: sizes out of range, a special token that is empty or named twice, no room for the
 * alphabet. Copies. */
err_t tokenizer_trainer_new(const struct tokenizer_training *config,
                            struct tokenizer_trainer **ret);

/* Counts a text's words. The text is not kept. */
void tokenizer_trainer_feed(struct tokenizer_trainer *trainer, const char *text, size_t len);

/* INVALID: the bytes seen do not fit into vocab_size. The trainer can be fed and finished again. */
err_t tokenizer_trainer_finish(struct tokenizer_trainer *trainer, struct tokenizer **ret);

void tokenizer_trainer_free(struct tokenizer_trainer *trainer);
DEFINE_SCOPED(tokenizer_trainer)
