/* Completions of many prompts with a model directory, on this machine: what generate and eval
 * share.
 *
 *     SCOPED(sample) sample = NULL;
 *     TRY(sample_open("run/checkpoints/latest", &options, &sample));
 *     TRY(sample_run(sample, prompts, count, &done, arg));     -- done(arg, prompt, completion, text, len, ...) as they end
 *
 * Owner: one thread. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include "model/engine/engine.h"
#include "model/text/stops.h"

struct sample_options {
    int threads, slots, completions, max_tokens, max_prompt_tokens;
    size_t kv_bytes;   // as engine_config's
    enum kv_format kv; // as the model's
    struct sampling sampling;
    struct stop_names stop; // borrowed during sample_open
};

struct sample_prompt {
    const char *text; // borrowed
    size_t len;
    uint64_t number; // names its random draws
};

/* text without the end token or stop text; logp: sum over the tokens. */
struct sample_result {
    size_t prompt;
    int completion, tokens;
    bool ended; // by an end token or stop text, not by length
    const char *text;
    size_t text_len;
    const int32_t *token; // (tokens)
    double logp;
};

struct sample;
err_t sample_open(const char *directory, const struct sample_options *options, struct sample **ret);

/* Calls done for each completion, in the order they end. An error of done ends the run. */
err_t sample_run(struct sample *sample, const struct sample_prompt *prompts, size_t count,
                 err_t (*done)(void *arg, const struct sample_result *result), void *arg);

/* The prompt's tokens as sample_run sees them: of a long one the last max_prompt_tokens, or as many
 * as leave room for max_tokens. ret_token (max_prompt_tokens, or the model's max_positions). */
err_t sample_encode(struct sample *sample, const struct sample_prompt *prompt, int32_t *ret_token,
                    int *ret_count);

/* Borrowed. */
struct model *sample_model(const struct sample *sample);
const struct tokenizer *sample_tokenizer(const struct sample *sample);
void sample_free(struct sample *sample);
DEFINE_SCOPED(sample)
