/* The distance of a completion from the reference model. Rewards are reduced by it, and a round
 * reports it. Only reference_kl.c reads the reference's log-probabilities.
 *
 *     if (reference_kl(round, i, KL_K1, &nats))
 *         reward[i] -= coef * nats; */
#pragma once
#include "rl/columns.h"
#include "rl/kl.h"

/* Sum over sequence i's unmasked tokens of the estimate from behaviour logp - reference logp.
 * False: it has no reference. */
bool reference_kl(const struct columns *columns, size_t i, enum kl kl, double *ret);
