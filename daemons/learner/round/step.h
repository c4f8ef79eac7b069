/* One update: micro-batches through forward, objective and backward, then AdamW.
 *
 *     SCOPED(step) step = NULL;
 *     TRY(step_new(trainee, &config, &step));
 *     TRY(step_run(step, &batch, &result));            -- the trainee's model has new weights
 *     TRY(step_configure(step, &other));               -- from the next one on; memory stays where its shape does
 *
 * How the batch is cut into micro-batches changes no bit. Denominators are those of the whole
 * batch, and micro-batches add up in the order of the sequences. Which sequences share their
 * prompt's rows depends on the sequences alone (pack.h). A micro-batch, and a stretch of it whose
 * logits are in memory at once, is a range of the batch's columns: nothing is copied.
 *
 * An objective that is coupled has two passes over the batch (coupled.h). Owner: the compute
 * thread. */
#pragma once
#include "learner/round/step_config.h"

struct step;
/* trainee: borrowed; its gradient is this step's while an update is made. INVALID: settings that
 * the objective cannot have. UNIMPLEMENTED: the objective has slopes that the backward does not
 * take. EXHAUSTED: the workspace does not fit into memory. */
err_t step_new(struct trainee *trainee, const struct step_config *config, struct step **ret);

/* Other settings. The workspace stays unless micro_tokens, checkpointing or the rows of the longest
 * unit differ. INVALID, UNIMPLEMENTED: the step is as it was; EXHAUSTED: it has no workspace until
 * another call gives it one. */
err_t step_configure(struct step *step, const struct step_config *config);

/* INVALID: the objective lacks a column, a unit has too many sequences, or the gradient is not
 * finite. Then the weights are unchanged. */
err_t step_run(struct step *step, const struct step_batch *batch, struct step_result *ret);

/* Log-probabilities of the targets under the present weights, into ret (targets); likewise values,
 * if the step has a critic. */
err_t step_logp(struct step *step, const struct step_batch *batch, double *ret);
err_t step_values(struct step *step, const struct step_batch *batch, double *ret);

/* The same under the reference. INVALID: there is none. */
bool step_has_reference(const struct step *step);
err_t step_reference_logp(struct step *step, const struct step_batch *batch, double *ret);

/* Adds COLUMN_LOGP and the columns of terms that the objective has, under the present weights. */
err_t step_columns(struct step *step, const struct step_batch *batch);

size_t step_bytes(const struct step *step); // of the workspace: activations and their gradients
/* Made so far: 1 while only other settings change. */
uint64_t step_workspaces(const struct step *step);
const struct objective *step_objective(const struct step *step);
const struct objective_config *step_settings(const struct step *step);

/* Of the KL term in the loss, and of the entropy's bonus, from the next update on. */
void step_set_kl(struct step *step, double coef);
void step_set_entropy(struct step *step, double coef);

/* From the next update on a critic that is another trainee is trained alone. The step's trainee
 * stays as it is, and so does its count of steps. */
void step_set_warmup(struct step *step, bool warmup);

/* Updates still to come, as far as is known now: of the trainee, and of a critic that is another
 * trainee. The course of their learning rates ends with them (schedule_end_at). Their optimizers
 * keep it. */
void step_set_left(struct step *step, int64_t updates, int64_t critics);
void step_free(struct step *step);
DEFINE_SCOPED(step)
