/* What an objective measures on the way: sums that add over micro-batches and ranks, and the figures they come to.
 *
 *     struct rl_tally tally = {0};
 *     TRY(objective_grad(..., &tally));                    -- each micro-batch
 *     struct rl_figures figures = rl_tally_figures(&tally); */
#pragma once

struct rl_tally {
    double loss, policy, kl; // loss = policy + kl, reduced as the objective says
    double units, clipped;   // tokens, or sequences where the ratio is theirs
    double compared, k1, k3; // tokens with a behaviour logp; sums of the two estimates
    double weights, weight, weight_square,
        weight_max; // importance weights exp(logp - behaviour) of the units
    double referred, reference_k1, reference_k3; // tokens with a reference logp
    double pairs, pairs_right; // right: the chosen one's implicit reward is the greater
    double rewards_chosen, rewards_rejected; // sums of the implicit rewards beta * u (rl/pair.h)
};

struct rl_figures {
    double loss, policy, kl;
    double clip_frac;       // share of units held by the gate
    double kl_behaviour;    // mean of behaviour - logp per token, nats
    double kl_behaviour_k3; // the same by k3: not negative
    double
        ess; // effective sample size of the importance weights as a share of the units: 1 on policy
    double weight_max;
    double kl_reference, kl_reference_k3;
    double pairs;                            // a count
    double rewards_chosen, rewards_rejected; // means over the pairs of beta * u
    double rewards_margin;                   // their difference
    double rewards_accuracy;                 // share of pairs with chosen > rejected
};

/* NaN where nothing was counted. */
struct rl_figures rl_tally_figures(const struct rl_tally *tally);
void rl_tally_add(struct rl_tally *into, const struct rl_tally *from);
