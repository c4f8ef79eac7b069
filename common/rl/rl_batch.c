#include "rl/rl_batch.h"

int rl_sequence_tokens(const struct rl_batch *batch, int i)
{
    int count = 0;
    for (int t = batch->first[i]; t < batch->first[i + 1]; t++)
        count += rl_weight(batch, t) != 0;
    return count;
}

void rl_totals_add(struct rl_totals *totals, const struct rl_batch *batch)
{
    for (int i = 0; i < batch->sequences; i++) {
        int tokens = rl_sequence_tokens(batch, i);
        totals->tokens += tokens;
        totals->sequences += tokens > 0;
    }
}
