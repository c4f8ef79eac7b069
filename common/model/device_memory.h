/* Bytes of a GPU that the CUDA backend takes for a daemon's models: the formula of ARCHITECTURE.md
 * ("Memory"), which tests/cuda/memory_test.c holds against what is allocated. For daemons at their
 * start, and for rlhfctl plan. CUDA's own context, some 0.5 GB, comes on top.
 *
 *     const struct device_shapes shapes = {.policy = &config, .unit = 1};
 *     struct device_memory m;
 *     device_memory_of_learner(recipe, &shapes, &m);
 *     TRY(device_memory_fits(be, &m, "the learner", "learner.optimizer.states: host needs less"));
 *
 * Any thread: all but the last is pure. */
#pragma once
#include "base/err.h"
#include "model/files/config.h"
#include "svc/recipe/recipe.h"

struct backend;

/* A generator's evaluation beside training. A step of so many rows is the longest wait of training,
 * and its KV is that of a few groups. */
enum { EVALUATION_SLOTS = 64, EVALUATION_STEP_ROWS = 2 * EVALUATION_SLOTS };

struct device_memory {
    double weights;     // row-major, packed; tables of angles
    double states;      // masters and moments, or the pieces in which they pass
    double gradients;   // float32
    double activations; // of the rows that are computed at once, with logits
    double kv;          // pages
    double changes;     // lists of new values on their way
    double scratch;     // of ops; rings by which the host's arrays come
    double host;        // pinned memory of the host, in no sum
    double paged;       // of it what passes the bus in each update, in and out together
};
double device_memory_sum(const struct device_memory *m);
double device_memory_asked(const struct device_memory *m); // by a backend that is open already

/* NULL: there is none. */
struct device_shapes {
    const struct model_config *policy;
    const struct model_config *adapter;   // adapter_shape's
    const struct model_config *critic;    // a model of its own
    const struct model_config *reference; // a rewarder's
    int unit; // sequences that stay in one micro-batch: 1; pairs 2; a group's completions
};

void device_memory_of_generator(const struct recipe *recipe, const struct device_shapes *shapes,
                                struct device_memory *ret);
void device_memory_of_learner(const struct recipe *recipe, const struct device_shapes *shapes,
                              struct device_memory *ret);
void device_memory_of_rewarder(const struct recipe *recipe, const struct device_shapes *shapes,
                               struct device_memory *ret);

/* Of one of its reward models. */
void device_memory_of_scores(const struct recipe *recipe, const struct model_config *config,
                             struct device_memory *ret);

/* Of one of its preference models, whose comparisons have so many tokens at most. */
void device_memory_of_odds(const struct model_config *config, int64_t tokens,
                           struct device_memory *ret);

/* Of one decoder with an engine of these sizes; changes: where new weights come. */
struct engine_config;
void device_memory_of_decoder(const struct device_shapes *shapes,
                              const struct engine_config *engine, struct device_memory *ret);

/* Whether it is free on the backend's device. EXHAUSTED: what is asked and what is free, in one
 * line; advice follows unless it is NULL. OK where the backend's memory is the host's. */
err_t device_memory_fits(struct backend *be, const struct device_memory *m, const char *who,
                         const char *advice);
