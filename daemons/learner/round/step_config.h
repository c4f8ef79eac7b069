/* A step is made of these plain values, is given them and gives them (learner/round/step.h). */
#pragma once
#include "learner/round/trainee.h"
#include "model/pack.h"
#include "rl/objective.h"
#include "rl/running.h"

struct step_config {
    const struct objective *objective;
    struct objective_config settings;
    struct schedule schedule;
    /* Ratios are taken to the weights that the round began with, not to those that drew the token.
     * A batch without COLUMN_PROXIMAL_LOGP is the round's only one: the weights are still the same,
     * and the step fills the column. */
    bool proximal;
    /* Rows of a micro-batch; a block (pack.h) that has more is one by itself. */
    int micro_tokens;
    int longest; // rows of the longest sequence that may come
    /* Of the largest group that may come. Only objectives that take whole groups read it. */
    int completions;
    bool checkpointing; // of activations: FORWARD_INPUTS
    /* Whose value head is trained, too, at this rate; NULL: none. The step's trainee itself: values
     * alone are trained, by `schedule`. Another, which is a head alone: it reads the hidden states
     * of the step's trainee. */
    struct trainee *critic;
    struct schedule critic_schedule;
    /* The reference that the learner itself keeps; the trainee's model, to take it without its
     * adapter; borrowed. NULL: there is none. */
    struct model *reference;
    bool steers_entropy; // its bonus may become more than 0 (step_set_entropy)
    /* Objectives keep these from update to update; borrowed. NULL: nothing is kept. */
    struct running *running;
};

/* Sums over tokens that the weights trained drew by other numerics. They estimate
 * KL(behaviour || policy) in nats, which is 0 where numerics are the same. */
struct step_mismatch {
    double tokens, k1, k3;
};

/* The sequences of one update in order; everything is borrowed. */
struct step_batch {
    size_t sequences;
    const struct sequence *sequence;
    /* A token for each target, in the units of the objective's row. step_run writes COLUMN_LOGP and
     * COLUMN_VPRED, those of them that it trains. Where they are there, it compares tokens marked
     * in COLUMN_FRESH and COLUMN_FOREIGN with COLUMN_BEHAVIOUR_LOGP. step_logp and step_values read
     * no column: NULL is allowed there. */
    struct columns *columns;
    /* (sequences) Completions behind other prompts (mismatching.h). NULL: not asked for. */
    const struct sequence *mismatched;
    float inverse_temperature;
};

struct step_result {
    struct rl_figures figures;
    /* NaN where log-probabilities were not trained. */
    double entropy;
    double grad_norm, lr, changed;
    /* Of a critic that is another trainee; NaN: there is none. */
    double critic_grad_norm, critic_lr;
    double targets;
    /* Targets with a weight; the others have no loss. */
    double trained;
    /* Fresh tokens; how many of them have other bits than were stamped. */
    double compared, differing;
    /* Foreign tokens. */
    struct step_mismatch mismatch;
};
