/* Terms of whole rows of the vocabulary that any objective may add: a bonus for entropy, a distance
 * from the reference. */
#include "rl/kernels/kernel.h"

static void add(const struct pass *pass, enum row_term term, size_t t, double c)
{
    const double *value = pass->batch->at[row_term_column(term)];
    pass->tally->rows += c * value[t];
    pass->slopes->row[term][t] += c;
}

void pass_row(const struct pass *pass, enum row_term term, size_t t, double slope)
{
    pass->slopes->row[term][t] += slope;
}

void pass_rows(const struct pass *pass, const struct stretch *s)
{
    const struct row_config *config = &pass->config->rows;
    const unsigned terms = row_config_terms(config);
    const enum row_term distance = row_term_of(config->distance);
    for (size_t t = s->begin; terms && t < s->end; t++) {
        const double c = s->per_token * columns_weight(pass->batch, t);
        if (c == 0)
            continue;
        if (terms & ROW_TERM_BIT(ENTROPY))
            add(pass, ROW_ENTROPY, t, -config->entropy_coef * c);
        if (!(terms & 1U << distance))
            continue;
        add(pass, distance, t, config->coef * c);
        pass->tally->distances += 1;
        pass->tally->distance += pass->batch->at[row_term_column(distance)][t];
    }
}
