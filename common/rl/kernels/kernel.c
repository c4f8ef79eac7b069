#include "rl/kernels/kernel.h"
#include <math.h>

struct stretch pass_sequence(const struct pass *pass, size_t i)
{
    const struct objective_config *config = pass->config;
    struct stretch s = {
        .begin = pass->batch->first[i], .end = pass->batch->first[i + 1], .index = i};
    const int tokens = (int)columns_tokens(pass->batch, i),
              counted = (int)columns_counted(pass->batch, i);
    s.tokens = tokens;
    if (tokens == 0)
        return s;
    const double length = config->reduce == REDUCE_GROUP_LENGTH
                              ? pass->batch->at[COLUMN_GROUP_TOKENS][i]
                              : config->reduce_length;
    s.per_token = reduce_token(config->reduce, pass->totals, counted, length);
    s.per_sequence = reduce_sequence(config->reduce, pass->totals, tokens, length);
    return s;
}

double pass_sum(const struct pass *pass, const struct stretch *s, const double *x, const double *y)
{
    double sum = 0;
    for (size_t t = s->begin; t < s->end; t++)
        if (columns_weight(pass->batch, t) != 0)
            sum += y ? x[t] - y[t] : x[t];
    return sum;
}

void pass_count_weight(struct rl_tally *tally, double log_ratio)
{
    const double w = exp(log_ratio_clamp(log_ratio));
    tally->weights += 1;
    tally->weight += w;
    tally->weight_square += w * w;
    tally->weight_max = fmax(tally->weight_max, w);
}
