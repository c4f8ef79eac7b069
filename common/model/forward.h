/* The forward: tokens of all sequences, concatenated, to hidden states, logits or
 * log-probabilities. The same code prefills and decodes (with pages of keys and values) and learns
 * (without them). The bits of a token depend on its own prefix alone.
 *
 *     SCOPED(forward) fw = NULL;
 *     TRY(forward_new(model, 4096, 256, true, &fw));              -- all memory, now
 *     TRY(forward_run(fw, token, position, N, segments, count));
 *     TRY(forward_logp(fw, row, target, rows, 1.0f, logp, NULL)); -- of target[i] after row[i]
 *
 * Owner: the thread that owns the model's backend. The model outlives the workspace. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include "model/model.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct forward;
/* The activations that are kept for the backward: none (there is no backward), all of each layer,
 * or each layer's input alone. From an input the rest is computed again: the same bits, a third
 * more work, a fraction of the memory. */
enum forward_keep { FORWARD_NOTHING, FORWARD_ALL, FORWARD_INPUTS };

/* max_rows: tokens of one call. head_rows: rows of a head's outputs, such as logits (head_rows, V),
 * in memory at once. More rows are walked in such chunks, which changes no bit. */
err_t forward_new(struct model *model, int max_rows, int head_rows, enum forward_keep keep,
                  struct forward **ret);
size_t forward_bytes(const struct forward *fw); // all it allocated
/* Of the backend's memory, for a model of these shapes, before there is one. lora_r: the rank of
 * its adapter; 0: it has none. */
size_t forward_plan(const struct model_config *config, int lora_r, int max_rows, int head_rows,
                    enum forward_keep keep);

/* token, position (N); segments tile rows 0..N-1 in order (see struct segment in tensor/backend.h);
 * their pages, if any, take the rows. position[i] is what RoPE rotates by: start + i within
 * the segment. INVALID: a token, position or segment out of range; nothing was computed. RANGE: a
 * segment's pages or prefix are not what struct segment says. */
err_t forward_run(struct forward *fw, const int32_t *token, const int32_t *position, int N,
                  const struct segment *segments, int count);

/* The last run's hidden states after the final norm (N,C), in the backend's memory; valid until the
 * next. */
const float *forward_hidden(const struct forward *fw);

/* Outputs (count, width of the head) of hidden rows row[0..count-1]: see model_head. The
 * vocabulary's are logits (count,V), -infinity where the model has no token (model.h). ret is in
 * the backend's memory. */
err_t forward_head(struct forward *fw, int head, const int32_t *row, int count, float *ret);
err_t forward_logits(struct forward *fw, const int32_t *row, int count, float *ret_logits);

/* logp[i] = log softmax(logits(row[i]) * inverse_temperature)[target[i]], entropy[i] of that row
 * (entropy may be NULL). */
err_t forward_logp(struct forward *fw, const int32_t *row, const int32_t *target, int count,
                   float inverse_temperature, float *ret_logp, float *ret_entropy);

/* Terms of the rows (tensor/row_terms.h), beside a reference that has run the same tokens; NULL:
 * none. A reference of the same model is that without its adapter. how: temperature and beta; its
 * tokens and sizes are not read. ret's arrays have `count` places. */
err_t forward_terms(struct forward *fw, struct forward *reference, const int32_t *row,
                    const int32_t *target, int count, const struct row_call *how,
                    const struct row_values *ret);

/* Runs a reference: as forward_run, without the adapter where it is the model of `beside`. */
err_t forward_run_reference(struct forward *reference, const struct forward *beside,
                            const int32_t *token, const int32_t *position, int N,
                            const struct segment *segments, int count);

/* forward_logp of a reference, likewise. */
err_t forward_reference_logp(struct forward *reference, const struct forward *beside,
                             const int32_t *row, const int32_t *target, int count,
                             float inverse_temperature, float *ret_logp);

/* Values of the rows: outputs of the value's head that `of` has, whether that is the model that the
 * workspace runs or a head alone (model_new_value). ret (count) is the host's. */
err_t forward_value(struct forward *fw, struct model *of, const int32_t *row, int count,
                    float *ret);

/* Draws from the logits of hidden rows row[0..count-1], of which there are at most head_rows.
 * request[i].row counts within `row`. Logits stay in the backend. */
err_t forward_draw(struct forward *fw, const int32_t *row, int count,
                   const struct token_request *request, int requests, struct token_draw *ret);

void forward_free(struct forward *fw);
DEFINE_SCOPED(forward)
