/* What an objective reads: the sequences of one micro-batch, concatenated, and what the whole update divides by.
 *
 *     struct rl_totals totals = {0};
 *     rl_totals_add(&totals, &all);           -- every micro-batch of the update, or the whole of it, before the first
 *     TRY(objective_grad(objective, &config, &micro, &totals, dlogp, &tally));      -- once for each micro-batch
 *
 * Of objectives on pairs, sequence 2i is the chosen and 2i + 1 the rejected one: a pair is not cut apart.
 * Denominators come from the whole update, so micro-batches add up to the large batch. Borrowed arrays. Any thread. */
#pragma once

struct rl_batch {
    int sequences;
    const int *first;   // (sequences + 1) where each one's tokens begin; first[sequences] = tokens
    const double *logp; // (tokens) under the weights being trained
    const double *behaviour; // (tokens) as the generator stamped it; NULL: unknown (sft)
    const double *
        old; // (tokens) ratios are taken to it: the weights at the start of the round; NULL: behaviour
    const double *reference; // (tokens) for the KL term and for pairs; NULL: none
    const double *
        weight; // (tokens) multiplies the token's loss; 0: masked, the token counts nowhere; NULL: all 1
    const double *advantage;       // (sequences); constants
    const double *token_advantage; // (tokens) in its place; not with a ratio of whole sequences
};

/* Of the whole update, all ranks: unmasked tokens, and sequences that have one. What a correction drops stays counted. */
struct rl_totals {
    double tokens, sequences;
};

void rl_totals_add(struct rl_totals *totals, const struct rl_batch *batch);

/* Unmasked tokens of sequence i. */
int rl_sequence_tokens(const struct rl_batch *batch, int i);

static inline double rl_weight(const struct rl_batch *batch, int token)
{
    return batch->weight ? batch->weight[token] : 1.0;
}
