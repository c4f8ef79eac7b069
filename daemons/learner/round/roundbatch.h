/* A round's groups → the arrays of its updates: sequences, rewards, advantages or pairs, what generator and reference said.
 *
 *     SCOPED(round_batch) batch = round_batch_new(round, groups, &config);
 *     SCOPED(round_part) part = round_batch_part(batch, u, updates, epochs);      -- update u's share, gathered
 *     TRY(step_run(step, &part->batch, &result));
 *
 * A round of M updates is `epochs` passes of M / epochs minibatches of whole groups. With M = 1 they come in recorded order,
 * else each pass has its own permutation, drawn from (the record's seed, round, pass). Owner: the compute thread; the groups
 * outlive it. */
#pragma once
#include "learner/round/report.h"
#include "learner/round/step.h"
#include "learner/store/rounds.h"
#include "rl/pairs.h"
#include "svc/recipe/recipe.h"

struct round_config {
    const struct objective_config *settings;
    double margin; // of pairs
    bool ties_first;
    bool kl_in_reward; // reward - kl_coef * sum of the estimate, before advantages and pairs
    enum kl kl;
    double kl_coef;
    float temperature;
    bool caches_mix; // in_flight: continue: a token's cache may be of older weights than the token
};

struct round_batch {
    struct round_config config;
    uint64_t round, seed;
    size_t groups, sequences, targets;
    struct sequence *sequence;
    double *reward;    // (sequences) with the KL taken off, if that is where it goes
    double *advantage; // (sequences), over the whole round
    float *behaviour;  // (targets)
    float *reference;  // (targets); NULL: no completion has any
    bool *referred;    // (sequences) whether it has them; of pairs the two are enough
    float *old;  // (targets) logp of the round's first weights; NULL until round_batch_set_old
    bool *fresh; // (targets) computed by the round's first version, prefix and all
    size_t *first_sequence, *first_target; // (groups + 1), (sequences + 1)
    struct rl_pair
        *pair; // (groups) chosen < 0: the group has none; NULL: not an objective on pairs
};

/* INVALID: the settings need reference log-probabilities and a group has none. */
err_t round_batch_new(const struct round *round, struct group *const *groups,
                      const struct round_config *config, struct round_batch **ret);

/* One update's share, with its own copies. */
struct round_part {
    struct step_batch batch;
    size_t *member; // (batch.sequences) index of each in the round
};
struct round_part *round_batch_part(const struct round_batch *batch, uint32_t u, uint32_t updates,
                                    uint32_t epochs);
void round_part_free(struct round_part *part);
DEFINE_SCOPED(round_part)

/* logp: of part's targets under the round's first weights; part is the whole round. */
void round_batch_set_old(struct round_batch *batch, const struct round_part *part,
                         const float *logp);

/* Mean over the completions that have a reference of the summed behaviour - reference logp, nats; NaN: none has. */
double round_batch_kl(const struct round_batch *batch);

/* Fills the report's figures of rewards, lag and lengths. */
void round_batch_report(const struct round_batch *batch, const struct round *round,
                        struct group *const *groups, const struct recipe *recipe,
                        struct round_report *ret);
void round_batch_free(struct round_batch *batch);
DEFINE_SCOPED(round_batch)
