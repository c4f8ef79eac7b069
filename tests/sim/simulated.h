/* A discrete-event simulation of the ring and of its network, by the learner's own rules of lag
 * (learner/store/lag.h). The formulas of ctl/make/planning.h are tested against it. Times are the
 * model's, nothing waits.
 *
 *     struct simulated_config config = {.generators = 100, ...};
 *     struct simulated result;
 *     simulate_ring(&config, &result);
 *     double last = simulate_spread(PLAN_TREE, 1000, 2, bytes, slice, bytes_per_s, latency_s, arrival);
 */
#pragma once
#include "ctl/make/planning.h"
#include <stdint.h>

struct simulated_config {
    int generators, slots, groups, completions, eta,
        rounds;     // rounds: simulated, the first third does not count
    double token_s; // of one sequence
    double mean_tokens,
        longest_tokens; // lengths are exponential with this mean, cut off at the longest
    double round_s, score_s;
    const double *publish_s; // (generators) from the end of a round to its weights there
    uint64_t seed;
};
struct simulated {
    double round_s, learner_idle, lag_mean;
    uint64_t lag_max;
};
void simulate_ring(const struct simulated_config *config, struct simulated *ret);

/* Sends `bytes` slice by slice over cards that send one thing at a time; arrival (n): when each has
 * all. Returns the last. */
double simulate_spread(enum plan_way way, int n, int fanout, double bytes, double slice,
                       double bytes_per_s, double latency_s, double *arrival);
