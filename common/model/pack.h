/* Ragged sequences → micro-batches of tensors. Sequences stay in the order given, whole and unpadded, so the gradient of
 * several micro-batches is that of one large batch bit for bit.
 *
 *     SCOPED(pack) pack = NULL;
 *     TRY(pack_new(micro_tokens, longest, &pack));
 *     for (size_t at = 0; at < n;)
 *         at += pack_fill(pack, sequences + at, n - at, 1);    -- then pack->token, ->row, ->target ... hold the micro-batch
 *
 * Owner: one thread. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include "tensor/backend.h"
#include <stddef.h>
#include <stdint.h>

/* One prompt with one completion; borrowed. */
struct sequence {
    const uint32_t *prompt, *token;
    int prompt_tokens, tokens; // both > 0
    int context; // leading tokens that are no targets: prompt_tokens, or 1 where the prompt is learnt too
};

/* Rows the forward sees for it: the last token predicts nothing, so it is not fed. */
static inline int sequence_rows(const struct sequence *s)
{
    return s->prompt_tokens + s->tokens - 1;
}
static inline int sequence_targets(const struct sequence *s)
{
    return s->prompt_tokens + s->tokens - s->context;
}

/* A micro-batch; every array is the pack's own, planned once. */
struct pack {
    int max_rows;
    int rows, sequences, targets;
    int32_t *token, *position; // (rows)
    struct segment *segment;   // (sequences)
    int *row;                  // (targets) which row's logits predict it
    int32_t *target;           // (targets) the token predicted
    int *first;                // (sequences + 1) where each sequence's targets begin
};

/* longest: rows of the longest unit that may come; max_rows becomes the larger of the two. INVALID: not positive. */
err_t pack_new(int micro_tokens, int longest, struct pack **ret);

/* Takes as many of the first sequences as fit, at least one unit, and returns how many. A unit is so many neighbours that
 * stay together (2: pairs); count is a multiple of it, and the first has at most max_rows rows. */
size_t pack_fill(struct pack *pack, const struct sequence *sequences, size_t count, size_t unit);

void pack_free(struct pack *pack);
DEFINE_SCOPED(pack)
