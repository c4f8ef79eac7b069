#include "rl/tally.h"
#include <math.h>

static double share(double part, double of)
{
    return of > 0 ? part / of : NAN;
}

struct rl_figures rl_tally_figures(const struct rl_tally *tally)
{
    return (struct rl_figures){
        .loss = tally->loss,
        .policy = tally->policy,
        .kl = tally->kl,
        .clip_frac = share(tally->clipped, tally->units),
        .kl_behaviour = share(tally->k1, tally->compared),
        .kl_behaviour_k3 = share(tally->k3, tally->compared),
        .ess = share(tally->weight * tally->weight, tally->weights * tally->weight_square),
        .weight_max = tally->weights > 0 ? tally->weight_max : NAN,
        .kl_reference = share(tally->reference_k1, tally->referred),
        .kl_reference_k3 = share(tally->reference_k3, tally->referred),
        .pairs = tally->pairs,
        .rewards_chosen = share(tally->rewards_chosen, tally->pairs),
        .rewards_rejected = share(tally->rewards_rejected, tally->pairs),
        .rewards_margin = share(tally->rewards_chosen - tally->rewards_rejected, tally->pairs),
        .rewards_accuracy = share(tally->pairs_right, tally->pairs),
    };
}

void rl_tally_add(struct rl_tally *into, const struct rl_tally *from)
{
    into->loss += from->loss;
    into->policy += from->policy;
    into->kl += from->kl;
    into->units += from->units;
    into->clipped += from->clipped;
    into->compared += from->compared;
    into->k1 += from->k1;
    into->k3 += from->k3;
    into->weights += from->weights;
    into->weight += from->weight;
    into->weight_square += from->weight_square;
    into->weight_max = fmax(into->weight_max, from->weight_max);
    into->referred += from->referred;
    into->reference_k1 += from->reference_k1;
    into->reference_k3 += from->reference_k3;
    into->pairs += from->pairs;
    into->pairs_right += from->pairs_right;
    into->rewards_chosen += from->rewards_chosen;
    into->rewards_rejected += from->rewards_rejected;
}
