/* One update: micro-batches through forward, objective and backward, then AdamW.
 *
 *     SCOPED(step) step = NULL;
 *     TRY(step_new(trainee, &config, &step));
 *     TRY(step_run(step, &batch, &result));            -- the trainee's model has new weights
 *     TRY(step_configure(step, &other));               -- from the next one on; memory stays where its shape does
 *
 * Denominators are those of the whole batch, micro-batches add up in the order of the sequences, and which of them share
 * their prompt's rows is a matter of the sequences alone (pack.h), so how the batch is cut into micro-batches changes no bit.
 * Owner: the compute thread. */
#pragma once
#include "learner/train/trainee.h"
#include "model/pack.h"
#include "rl/objective.h"

struct step_config {
    const struct objective *objective;
    struct objective_config settings;
    struct schedule schedule;
    bool proximal;      // ratios are taken to the weights the round began with, not to behaviour
    int micro_tokens;   // rows of a micro-batch, or of one block (pack.h), if it has more
    int longest;        // rows of the longest sequence that may come
    bool checkpointing; // of activations: FORWARD_INPUTS
};

/* The sequences of one update in order; everything is borrowed. Targets of all sequences are concatenated. Objectives on
 * pairs take neighbours: chosen, rejected. */
struct step_batch {
    size_t sequences;
    const struct sequence *sequence;
    const double *advantage; // (sequences); NULL: none (sft)
    const float *behaviour;  // (targets) logp that the generator stamped; NULL: none (sft)
    const float
        *old; // (targets) logp of the round's first weights; NULL with proximal: these are they
    const float *reference; // (targets) logp of the reference; NULL: none
    const double *weight;   // (targets) multiplies each target's loss, 0: masked; NULL: 1
    const bool *fresh;      // (targets) computed by the weights the model has now; NULL: none
    float inverse_temperature;
};

struct step_result {
    double loss, entropy, kl_behaviour, kl_behaviour_k3, clip_frac, ess, grad_norm, lr, changed;
    double pairs, margin, accuracy; // objectives on pairs: implicit rewards, chosen - rejected
    double targets;
    double compared,
        differing; // fresh tokens: our logp against the stamped one, bit for bit
};

struct step;

/* trainee: borrowed; its gradient is this step's while an update is made. INVALID: settings that the objective cannot have;
 * EXHAUSTED: the workspace does not fit into memory. */
err_t step_new(struct trainee *trainee, const struct step_config *config, struct step **ret);

/* Other settings. The workspace stays unless micro_tokens, checkpointing or the rows of the longest unit differ. INVALID: the step
 * is as it was; EXHAUSTED: it has no workspace until another call gives it one. */
err_t step_configure(struct step *step, const struct step_config *config);

/* INVALID: the gradient is not finite; the weights are unchanged. */
err_t step_run(struct step *step, const struct step_batch *batch, struct step_result *ret);

/* log-probabilities of the targets under the weights as they are, into ret (targets). */
err_t step_logp(struct step *step, const struct step_batch *batch, float *ret);

size_t step_bytes(const struct step *step); // of the workspace: activations and their gradients
uint64_t
step_workspaces(const struct step *step); // made so far: 1 while only other settings change
const struct objective_config *step_settings(const struct step *step);
void step_set_kl(struct step *step,
                 double coef); // of the KL term in the loss, from the next update on
void step_free(struct step *step);
DEFINE_SCOPED(step)
