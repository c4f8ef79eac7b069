/* A round's groups as columns, and the share of them that one update trains.
 *
 *     SCOPED(round_batch) batch = round_batch_new(round, groups, &config);        -- the columns that the groups carry
 *     ...                                                                         -- the learner fills more: stages.h
 *     SCOPED(round_part) part = round_batch_part(batch, u, updates, epochs);      -- update u's share, gathered
 *     TRY(step_run(step, &part->batch, &result));
 *
 * A round of M updates is `epochs` passes of M / epochs minibatches of whole groups. With M = 1
 * they come in recorded order, else each pass has its own permutation, drawn from (the record's
 * seed, round, pass). Owner: the compute thread; the groups outlive it. */
#pragma once
#include "learner/round/step.h"
#include "learner/store/rounds.h"
#include "rl/reference_kl.h"

struct round_config {
    const struct objective *objective;
    const struct objective_config *settings;
    /* Of pairs (rl/pairs.h). */
    double margin;
    bool ties_first;
    /* Before advantages and pairs, the cost is taken off each reward; with a critic, off each
     * token's. */
    bool kl_in_reward;
    struct kl_cost kl;
    /* Ratios are taken to the weights that the round began with, not to those that drew the
     * token. */
    bool proximal;
    float temperature;
    /* The policy's. Whether a group was drawn by numerics of the same forward id decides how its
     * tokens are compared. */
    const struct model *model;
    /* A token's cache may be of older weights than the token itself (generator.in_flight:
     * continue). */
    bool caches_mix;
};

struct round_batch {
    struct round_config config;
    uint64_t round, seed;
    /* All completions in recorded order. Units are groups. */
    struct columns *columns;
    /* (columns->sequences) */
    struct sequence *sequence;
    /* Tokens of the sequences, each with one more, where a reward model is trained: one value of
     * each sequence is asked for, that behind its last token. NULL elsewhere. */
    uint32_t *longer;
    /* (columns->sequences) Prompts with other prompts' completions (mismatching.h); NULL: none. */
    struct sequence *mismatched;
    /* (columns->sequences) Whether it was cut off at its longest. */
    bool *cut_off;
    /* The sequences that are trained, in the order that the objective takes them. Group g has
     * chosen[first_chosen[g]] up to chosen[first_chosen[g + 1] - 1]. NULL until
     * round_batch_choose. */
    size_t *chosen, *first_chosen;
};

/* Every column that a completion carries, COLUMN_FRESH, and COLUMN_FOREIGN where a group was drawn
 * by other numerics than the learner's. Completions that lack a column have NaN there. */
struct round_batch *round_batch_new(const struct round *round, struct group *const *groups,
                                    const struct round_config *config);

/* Chooses by the objective's row: of each group its pair; the completions that the settings
 * select, a list only where there is a pair; or those with a label. Reads COLUMN_REWARD and
 * COLUMN_LABEL, and may be called again when they have changed. A group may have none. */
void round_batch_choose(struct round_batch *batch);

/* INVALID: one of the sequences lacks one of the columns. The message names the column, `who` needs
 * it, and the setting that fills it. member NULL: the first `count` sequences. */
err_t round_batch_check(const struct round_batch *batch, uint64_t columns, const size_t *member,
                        size_t count, const char *who);

/* One update's share: copies of the columns of chosen sequences, in the units of the objective's
 * row. Only the first update has COLUMN_FRESH and COLUMN_FOREIGN; the later ones train other
 * weights. */
struct round_part {
    struct step_batch batch;
    /* (batch.sequences) The second: NULL where the round has none. */
    struct sequence *sequence, *mismatched;
    /* (batch.sequences) The index of each in the round. */
    size_t *member;
};
struct round_part *round_batch_part(const struct round_batch *batch, uint32_t u, uint32_t updates,
                                    uint32_t epochs);
void round_part_free(struct round_part *part);
DEFINE_SCOPED(round_part)

void round_batch_free(struct round_batch *batch);
DEFINE_SCOPED(round_batch)
