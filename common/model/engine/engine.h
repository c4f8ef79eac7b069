/* Continuous batching over slots: the steps of a decoder (decoder.h).
 *
 *     struct engine_config config = {.slots = 64, .max_context = 512, .step_rows = 256};
 *     TRY(engine_new(model, &config, &engine));
 *     while (more || engine_active(engine)) {
 *         while (more && engine_free_slots(engine) >= request.completions)
 *             TRY(engine_admit(engine, &request));
 *         TRY(engine_step(engine, &finished, &count));  -- finished[0..count-1] are lent
 *     }
 *
 * A request's prompt is computed once, in chunks that fit a step; its completions share its KV,
 * which lies in pages of KV_PAGE positions. When pages run out, the youngest sequences lose theirs.
 * They are computed again when there is room, to the same bits while the weights stay. Every token
 * carries b_full and the version in force at the step that computed its logits. If one version
 * computed the token's whole prefix, b_full has the bits of the full forward, whatever else is in
 * the batch.
 *
 * Owner: the thread that owns the model's backend; the model outlives the engine. All memory is
 * taken by engine_new. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include "model/engine/sampling.h"
#include "model/model.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct engine;

enum { ENGINE_STOPS_MAX = 32 };

/* Whether a completion ends with its last token, beside end tokens (model/text/stops.h). */
typedef bool engine_stopped(void *arg, const int32_t *token, int tokens);

enum { DECODER_HEAD_ROWS = 64 }; // whose logits are in memory at once
struct engine_config {
    int slots;       // completions decoded at a time
    int max_context; // prompt and completion together, at most the model's max_positions
    int step_rows;   // tokens of one forward, >= slots: prompts are cut to fit; 0: max(slots, 256)
    size_t kv_bytes; // for keys and values, in whole pages; 0: enough for all slots
};

struct engine_request {
    uint64_t tag;          // names the request in its results; unique among those running
    const int32_t *prompt; // copied
    int prompt_tokens;     // > 0
    int completions;       // k > 0: takes k slots
    int max_tokens;        // > 0, of one completion
    struct sampling sampling;
    const int32_t *stop;     // end tokens; copied
    int stops;               // <= ENGINE_STOPS_MAX
    engine_stopped *stopped; // asked after each token that is no end token; NULL: none
    void *stopped_arg;
};

struct engine_span {
    uint32_t first_token;
    uint64_t version;
};

/* wire's numbers. STOP: the request's `stopped` said so. */
enum engine_finish { ENGINE_EOS = 1, ENGINE_LENGTH = 2, ENGINE_STOP = 3 };

/* One finished completion, lent until the next engine_step, engine_admit or engine_cancel. */
struct engine_completion {
    uint64_t tag;
    int completion;            // 0..k-1
    int tokens;                // > 0; an end token is included
    const int32_t *token;      // (tokens)
    const float *logp;         // (tokens) b_full
    const float *sampled_logp; // (tokens) b_sampled; NULL: it is b_full
    int spans;
    const struct engine_span *span;
    enum engine_finish finish;
};

struct engine_counters {
    uint64_t steps, rows;       // forwards, and the tokens they computed
    uint64_t prefill_tokens;    // prompt tokens computed, recomputed ones included
    uint64_t recomputed_tokens; // computed again because of new weights
    uint64_t tokens;            // tokens sampled
    uint64_t completions;       // finished
    uint64_t preemptions;       // sequences that lost their pages to another
    double busy_s;              // inside engine_step
};

/* INVALID: a size out of range, or kv_bytes too few for one sequence; EXHAUSTED: not enough memory.
 * The first version is 0. The model's kv says how keys and values are kept. */
err_t engine_new(struct model *model, const struct engine_config *config, struct engine **ret);

err_t engine_check(const struct model *model, const struct engine_config *config); // INVALID alone
int engine_free_slots(const struct engine *engine);
int engine_free_pages(const struct engine *engine);
size_t engine_page_bytes(const struct model *model); // of KV, all layers
int engine_active(const struct engine *engine);      // slots with unfinished completions
size_t engine_bytes(const struct engine *engine);    // all memory, KV included

/* EXHAUSTED: fewer than k free slots; RANGE: prompt + max_tokens > max_context, or k > slots;
 * EXISTS: the tag is running; INVALID: anything else of the request. On error nothing changed. */
err_t engine_admit(struct engine *engine, const struct engine_request *request);

/* One forward: a row of each slot that decodes, prompts in the rows left; OK if there are none.
 * DATA_LOSS: logits that are not finite. On error no sequence has advanced. */
err_t engine_step(struct engine *engine, const struct engine_completion **ret, int *ret_count);

void engine_cancel(struct engine *engine, uint64_t tag); // forgets it; unknown tags are ignored

/* The completion draws nothing more until engine_resume. The keys and values stay until a running
 * sequence lacks pages; then they are computed again after the resumption. Tokens have the same
 * bits either way. False: the completion is not under way. */
bool engine_suspend(struct engine *engine, uint64_t tag, int completion);
bool engine_resume(struct engine *engine, uint64_t tag, int completion);
int engine_running(const struct engine *engine); // slots under way that are not suspended

/* The model's weights have changed between two steps: tokens from here on carry this version, over
 * the KV computed so far (in_flight: continue). A prompt half computed begins again, so the tokens
 * of a first span always have a prefix of one version. Spans ascend in token, not always in
 * version. */
void engine_set_version(struct engine *engine, uint64_t version);

/* Computes the KV of all that is unfinished again before its next token. */
void engine_recompute(struct engine *engine);
int engine_rebuilding(const struct engine *engine); // tokens that are still to be computed again

/* Tokens sampled so far by the tag's unfinished completions. */
int engine_progress(const struct engine *engine, uint64_t tag);
const struct engine_counters *engine_counters(const struct engine *engine);
void engine_free(struct engine *engine);
DEFINE_SCOPED(engine)
