/* Arithmetic of a ring before it is built: a version's cost on the network, the generators that a
 * learner needs, and the lag at which nobody waits. Pure: no file, no clock. tests/sim holds it
 * against a discrete-event simulation.
 *
 *     struct plan_input input = PLAN_DEFAULTS;
 *     input.parameters = 7e9;
 *     TRY(plan_check(&input));
 *     struct plan plan;
 *     plan_make(&input, &plan);             -- plan.spread[PLAN_TREE].delta_s, plan.eta_needed, ...
 *
 * Units: bytes, seconds, tokens; B/s is of one node's network card, each way. Sources:
 * ARCHITECTURE.md, "Numbers"; Little 1961 for groups under way; pipelined broadcast as in Thakur
 * et al. 2005; entropy of gaps, Shannon 1948. */
#pragma once
#include "base/err.h"
#include <stdbool.h>

struct plan_input {
    double parameters;  // of the model
    double adapter;     // of the adapter that alone trains and is published (lora.r); 0: all do
    double changed;     // share of the values that one version changes, 0 to 1
    bool zstd;          // changes are packed
    double generators;  // there are
    double bytes_per_s; // of a network card
    double latency_s;   // of a message
    double fanout;      // children of a relay
    double slice_bytes; // passed on at a time in a ring
    double round_s;     // of the learner, for a round's updates
    double groups;      // in a round
    double completions; // of a group
    double mean_tokens; // of a completion
    double longest_tokens;
    double tokens_per_s;     // of a generator with all its slots full
    double slots;            // of a generator
    double score_s;          // from a finished group to its record on the learner's disk
    double eta;              // lag.max
    double trainees;         // models with an optimizer: the policy, a critic of its own
    double disk_bytes_per_s; // of the learner's, as checkpoints are written
};
#define PLAN_DEFAULTS                                                                              \
    ((struct plan_input){.parameters = 7e9,                                                        \
                         .changed = 0.01,                                                          \
                         .zstd = true,                                                             \
                         .generators = 8,                                                          \
                         .bytes_per_s = 3e9,                                                       \
                         .latency_s = 1e-4,                                                        \
                         .fanout = 2,                                                              \
                         .slice_bytes = 1 << 20,                                                   \
                         .round_s = 60,                                                            \
                         .groups = 64,                                                             \
                         .completions = 8,                                                         \
                         .mean_tokens = 500,                                                       \
                         .longest_tokens = 4096,                                                   \
                         .tokens_per_s = 2500,                                                     \
                         .slots = 256,                                                             \
                         .score_s = 0.1,                                                           \
                         .eta = 1,                                                                 \
                         .trainees = 1,                                                            \
                         .disk_bytes_per_s = 2e8})

/* star: the learner sends to each. ring: each passes slices on as they come, as NCCL's broadcast
 * over a ring. tree: relays pass a version on when it is complete. */
enum plan_way { PLAN_STAR, PLAN_RING, PLAN_TREE, PLAN_WAYS };
extern const char *const plan_way_names[PLAN_WAYS];

struct plan {
    /* Weights, and of the learner gradients and optimizer: ARCHITECTURE.md, "Memory". Activations,
     * keys and values come on top. */
    double learner_bytes, generator_bytes;
    double full_bytes, delta_bytes; // of one version
    struct plan_spread {
        double full_s, delta_s; // until the last generator has it
    } spread[PLAN_WAYS];
    double generators_needed; // so that the learner is never short of tokens
    double longest_s;         // from a lease to the record, of a group with the longest completion
    double round_s;           // from round to round, with eta and the generators there are
    double lag;               // mean over trained groups, in rounds
    double eta_needed;        // from which on waiting for the longest costs nothing
    double learner_idle;      // share of its time, at eta and the generators there are
    double checkpoint_bytes;
    double grace_s; // a drain of the learner takes at most: a round's updates and a checkpoint
};

/* INVALID: names the value out of range, and the range. */
err_t plan_check(const struct plan_input *input);

/* Versions travel as deltas by the tree if there is a fanout below the generators, else by the
 * star. */
void plan_make(const struct plan_input *input, struct plan *ret);

/* Bytes of a version's changes. A change takes one or more bytes of gap and one of difference.
 * Packed it takes 1.12 times the entropy of geometric gaps and of a sign; ./dev bench delta
 * measures 1.09 to 1.17 times. At most 2 bytes a parameter. */
double plan_delta_bytes(double parameters, double changed, bool zstd);

/* Seconds until the last of the generators has `bytes`. */
double plan_spread_s(const struct plan_input *input, enum plan_way way, double bytes);
