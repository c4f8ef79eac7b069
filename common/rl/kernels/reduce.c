#include "rl/kernels/reduce.h"

double reduce_token(enum reduce reduce, const struct rl_totals *totals, int tokens, double length)
{
    switch (reduce) {
    case REDUCE_TOKEN_MEAN:
        return 1 / totals->tokens;
    case REDUCE_SEQ_MEAN_TOKEN_MEAN:
        return 1 / (totals->sequences * tokens);
    case REDUCE_SEQ_MEAN_TOKEN_SUM:
        return 1 / totals->sequences;
    case REDUCE_CONST_NORM:
    case REDUCE_GROUP_LENGTH:
        return 1 / (totals->sequences * length);
    }
    return 0;
}

double reduce_sequence(enum reduce reduce, const struct rl_totals *totals, int tokens,
                       double length)
{
    if (reduce == REDUCE_SEQ_MEAN_TOKEN_MEAN || reduce == REDUCE_SEQ_MEAN_TOKEN_SUM)
        return 1 / totals->sequences;
    return tokens * reduce_token(reduce, totals, tokens, length);
}
