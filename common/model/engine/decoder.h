/* From rows of data to stamped tokens: a model directory opened to decode, each with its own slots.
 *
 *     const struct decoder_options options = decoder_options_of(recipe);
 *     TRY(decoder_open(&options, &decoder));
 *     TRY(decoder_admit(decoder, &request));              -- RANGE: the row's prompt is too long
 *     while (decoder_busy(decoder)) {
 *         TRY(decoder_step(decoder));
 *         while ((answer = decoder_take(decoder))) ...    -- answer->arg is request.arg
 *     }
 *
 * A prompt of more than max_prompt_tokens is refused and never cut (model/text/prompt_row.h).
 *
 * Owner: one thread, which is the backend's. All large memory is taken by decoder_open. */
#pragma once
#include "base/hash.h"
#include "model/engine/engine.h"
#include "model/text/prompt_row.h"
#include "model/text/stops.h"

struct recipe;
/* Borrowed by decoder_open. */
struct decoder_options {
    const char *directory;        // of the model and its tokenizer; or of an adapter
    const struct recipe *adapted; // whose lora the model of its model.path gets; NULL: none
    struct backend_config backend;
    enum kv_format kv;
    struct row_rules rows;                 // without tokenizer, chat and end
    bool updated;                          // new weights come, which take memory
    int64_t max_prompt_tokens, max_tokens; // max_tokens: of a completion; a row may say less
    struct stop_names stop;
    struct sampling sampling; // of every request, with the request's own prompt and epoch
    int slots, step_rows;     // as engine_config's, and so is kv_bytes
    size_t kv_bytes;
};

struct decoder_options decoder_options_of(const struct recipe *recipe); // as training decodes
/* As evaluation decodes, here and in generators: at another temperature, with draws that training
 * never makes. At temperature 0 nothing is truncated. */
struct decoder_options decoder_options_apart(const struct recipe *recipe, double temperature);
#define DECODER_APART UINT32_MAX // the epoch of requests that do not train

/* The plan of memory for a model, and the rules for rows. The rules borrow. */
struct engine_config decoder_plan(const struct decoder_options *options,
                                  const struct model_config *config);
struct prompt_rules decoder_rules(const struct decoder_options *options,
                                  const struct model_config *config,
                                  const struct tokenizer *tokenizer, const struct row_chat *chat);

/* The model, the tokenizer and the chat template of a directory; an adapter may
 * have its base's. NOT_FOUND, INVALID, PRECONDITION: one line that names the file. */
err_t decoder_load(struct backend *be, const char *directory, struct model **ret_model,
                   struct tokenizer **ret_tokenizer, struct row_chat *ret_chat);

struct decoder;
err_t decoder_open(const struct decoder_options *options, struct decoder **ret);

struct decoder_request {
    struct digest id;  // for decoder_cancel and its like
    void *arg;         // handed back with the answer
    const json_t *row; // borrowed for the call, as name is
    const char *name;  // the row's name in errors
    uint64_t prompt;   // names the random draws, with epoch
    uint32_t epoch;
    int completions;
    uint64_t rank; // the higher waits where it would crowd the lower
};

/* Waits for slots, and while it would lengthen steps of a lower rank by a quarter. RANGE: a prompt
 * too long or empty; INVALID: the row, or too many completions. Then arg stays the caller's. */
err_t decoder_admit(struct decoder *decoder, const struct decoder_request *request);
bool decoder_has_room(const struct decoder *decoder, int completions); // to begin at once

/* The part of a row that decoder_admit reads. */
err_t decoder_read(const struct decoder *decoder, const json_t *row, const char *name,
                   struct prompt_row *ret);
const struct prompt_rules *decoder_rows(const struct decoder *decoder);

/* One step of the engine. DATA_LOSS: logits that are not finite. */
err_t decoder_step(struct decoder *decoder);
bool decoder_busy(const struct decoder *decoder); // a step would do something

/* On hold, waiting requests do not begin; those begun go on. */
void decoder_hold(struct decoder *decoder, bool holds);

struct decoded_completion {
    int tokens; // > 0; an end token is included
    int32_t *token;
    float *logp, *sampled_logp; // (tokens) sampled_logp NULL: it is logp
    int spans;
    struct engine_span *span; // which version drew what
    enum engine_finish finish;
    char *text; // (text_len) and a terminator; without end token or stop text
    size_t text_len;
};

/* A finished request, each completion in its place. Its arrays are its owner's. */
struct decoded {
    void *arg;
    int prompt_tokens, completions;
    int32_t *prompt_token;
    struct decoded_completion *completion;
};

struct decoded *decoder_take(struct decoder *decoder); // the next finished one; NULL: none
void decoded_free(struct decoded *decoded);
DEFINE_SCOPED(decoded)

/* Forgets an unfinished request; the next of all. Returns its arg; NULL: there is none. */
void *decoder_cancel(struct decoder *decoder, const struct digest *id);
void *decoder_drop(struct decoder *decoder);

/* A completion stands still, and goes on to the same bits (engine.h). False: not under way. */
bool decoder_suspend(struct decoder *decoder, const struct digest *id, int completion);
bool decoder_resume(struct decoder *decoder, const struct digest *id, int completion);

/* Since decoder_open; from active_slots on, as they are now. */
struct decoder_figures {
    double busy_s; // inside steps
    uint64_t tokens, recomputed_tokens, preemptions;
    int active_slots, free_pages;
    size_t bytes; // of all memory but the weights
};
struct decoder_figures decoder_figures(const struct decoder *decoder);
uint64_t decoder_in_flight(const struct decoder *decoder); // tokens of completions under way

/* Borrowed: for new weights between two steps, and for reading. */
struct model *decoder_model(const struct decoder *decoder);
struct engine *decoder_engine(const struct decoder *decoder);
void decoder_free(struct decoder *decoder);
DEFINE_SCOPED(decoder)
