/* Ragged sequences → micro-batches of tensors, in the order given, whole and unpadded. Neighbours
 * with the same prompt share its rows. The prompt without its last token is a segment of its own.
 * Each completion's segment begins with the prompt's last token and has the shared segment as
 * prefix. Sequences share in blocks of at most PACK_SHARING sequences and PACK_BLOCK_ROWS rows,
 * counted from the first of them; a block is never cut. So sharing depends on the sequences alone.
 * Therefore the gradient of several micro-batches is that of one large batch, bit for bit. Sharing
 * changes no bit of the forward.
 *
 *     SCOPED(pack) pack = NULL;
 *     TRY(pack_new(micro_tokens, longest, &pack));
 *     for (size_t at = 0; at < n;)
 *         at += pack_fill(pack, sequences + at, n - at, NULL); -- then pack->token, ->row, ->target ... hold the micro-batch
 *
 * Owner: one thread. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include "tensor/backend.h"
#include <stddef.h>
#include <stdint.h>

enum { PACK_SHARING = 16, PACK_BLOCK_ROWS = 1024 };

/* One prompt with one completion; borrowed. Prompts are the same if pointer and length are, and
 * none of it is a target. */
struct sequence {
    const uint32_t *prompt, *token;
    int prompt_tokens, tokens; // both > 0
    /* Leading tokens that are no targets: prompt_tokens, or 1 where the prompt is learnt too */
    int context;
};

/* Rows the forward sees for it alone: the last token predicts nothing, so it is not fed. */
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
    int micro_tokens, max_rows;
    int rows, segments, sequences, targets;
    int32_t *token, *position; // (rows)
    struct segment *segment;   // (segments)
    int *row;                  // (targets) which row's logits predict it
    int32_t *target;           // (targets) the token predicted
    int *first;                // (sequences + 1) where each sequence's targets begin
};

/* max_rows of such a pack. */
int pack_rows(int micro_tokens, int longest);

/* longest: rows of the longest unit that may come, nothing shared. max_rows becomes the most rows
 * that a block may need, at least micro_tokens. INVALID: not positive. */
err_t pack_new(int micro_tokens, int longest, struct pack **ret);

/* Takes as many of the first sequences as fit into micro_tokens rows, at least one block, and
 * returns how many. A unit is a run of neighbours that stay together: pairs, groups. unit[0],
 * unit[1], ... are the places where units begin, in any array that these sequences are part of; one
 * more entry is the end of the last unit. NULL: each sequence is a unit. A block has whole units;
 * one of more than PACK_SHARING sequences is a block by itself. */
size_t pack_fill(struct pack *pack, const struct sequence *sequences, size_t count,
                 const size_t *unit);

void pack_free(struct pack *pack);
DEFINE_SCOPED(pack)
