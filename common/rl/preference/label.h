/* The core of a loss on single completions that are desirable or not (KTO and kin). The kinds are
 * in rl/pair_word_table.h. Any thread.
 *
 *     struct label_config kto = {LABEL_KTO, .beta = 0.1, .desirable = 1, .undesirable = 1};
 *     struct label_value v = label_at(&kto, u, label, anchor);
 *     -> v.loss, v.slope = d loss / d logp of each of its tokens
 *
 * u: sum over the completion's unmasked tokens of logp - reference. anchor: what beta u is compared
 * with, a constant. label: above 0 desirable, below 0 not, 0 neither. */
#pragma once
#include "rl/pair_config.h"
#include <stddef.h>

struct label_value {
    double loss, slope;
};
struct label_value label_at(const struct label_config *config, double u, double label,
                            double anchor);

/* The labels of a group's completions, by their rewards: 1, -1 or 0. One alone is compared with the
 * threshold. */
void label_group(const struct label_config *config, const double *reward, size_t completions,
                 double *ret);

/* Whether a completion with this label trains anything. */
static inline bool label_trains(const struct label_config *config, double label)
{
    return label < 0 || (label > 0 && config->loss != LABEL_NPO);
}
