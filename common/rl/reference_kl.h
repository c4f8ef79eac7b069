/* The distance of a completion from the reference model. Rewards are reduced by it, and a round
 * reports it. Only reference_kl.c reads the reference's log-probabilities.
 *
 *     struct kl_cost cost = {.coef = 0.05, .kl = KL_K1, .logp = COLUMN_BEHAVIOUR_LOGP};
 *     if (reference_kl(round, i, &cost, &nats))
 *         reward[i] -= cost.coef * nats; */
#pragma once
#include "rl/columns.h"
#include "rl/kl.h"

/* The distance as a part of the reward. */
struct kl_cost {
    double coef;
    enum kl kl;
    /* Whose distance it is: COLUMN_BEHAVIOUR_LOGP or COLUMN_PROXIMAL_LOGP. */
    enum column logp;
};

/* Sum over sequence i's unmasked tokens of the estimate from logp - reference logp. False: it has
 * no reference. */
bool reference_kl(const struct columns *columns, size_t i, const struct kl_cost *cost, double *ret);

/* Of token t alone. */
bool reference_kl_token(const struct columns *columns, size_t t, const struct kl_cost *cost,
                        double *ret);
