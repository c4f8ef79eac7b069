#include "ctl/make/sample.h"
#include "base/mem.h"
#include <inttypes.h>
#include <string.h>

struct sample {
    struct sample_options options;
    struct backend *be;
    struct model *model;
    struct tokenizer *tokenizer;
    struct stops *stops;
    struct engine *engine;
    int32_t *prompt;     // (prompt_capacity)
    int prompt_capacity; // max_prompt_tokens, or what the model has room for
};

enum { PROMPT_BYTES_MAX = 4 << 20 };

static err_t build(const char *directory, const struct sample_options *options, struct sample *s)
{
    TRY(backend_open(NULL, &(struct backend_config){.threads = options->threads}, &s->be));
    TRY(model_load_compact(s->be, directory, &s->model));
    s->model->kv = options->kv;
    TRY(tokenizer_load(directory, &s->tokenizer));
    const struct model_config *config = &s->model->config;
    TRY(err_wrap(tokenizer_check(s->tokenizer, config->V, config->eos_count ? config->eos[0] : -1),
                 "'%s'", directory));
    TRY(stops_new(s->tokenizer, config, &options->stop, &s->stops));
    TRY(config_room(config, options->max_tokens));
    int room = config->max_positions - options->max_tokens;
    s->prompt_capacity = options->max_prompt_tokens < room ? options->max_prompt_tokens : room;
    s->prompt = mem_array((size_t)s->prompt_capacity, sizeof *s->prompt);
    struct engine_config engine = {.slots = options->slots,
                                   .max_context = s->prompt_capacity + options->max_tokens,
                                   .kv_bytes = options->kv_bytes};
    return engine_new(s->model, &engine, &s->engine);
}

err_t sample_open(const char *directory, const struct sample_options *options, struct sample **ret)
{
    SCOPED(sample) s = mem_new(sizeof *s);
    s->options = *options;
    TRY(build(directory, options, s));
    *ret = STEAL(s);
    return OK;
}

/* TRL truncates like that. */
err_t sample_encode(struct sample *s, const struct sample_prompt *prompt, int32_t *ret_token,
                    int *ret_count)
{
    if (prompt->len > PROMPT_BYTES_MAX)
        return err_new(ERR_RANGE, "a prompt of %zu bytes; at most %d are allowed", prompt->len,
                       PROMPT_BYTES_MAX);
    int most = (int)prompt->len + 1, count;
    SCOPED_MEM int32_t *all = mem_array((size_t)most, sizeof *all);
    TRY(tokenizer_encode(s->tokenizer, prompt->text, prompt->len, most, all, &count));
    int cut = count > s->prompt_capacity ? count - s->prompt_capacity : 0;
    memcpy(ret_token, all + cut, (size_t)(count - cut) * sizeof *all);
    *ret_count = count - cut;
    return OK;
}

static err_t admit(struct sample *s, const struct sample_prompt *prompt, size_t index)
{
    struct engine_request request = {.tag = index,
                                     .prompt = s->prompt,
                                     .completions = s->options.completions,
                                     .max_tokens = s->options.max_tokens,
                                     .sampling = s->options.sampling,
                                     .stop = s->stops->token,
                                     .stops = s->stops->tokens,
                                     .stopped = stops_reached,
                                     .stopped_arg = s->stops};
    request.sampling.prompt = prompt->number;
    TRY(sample_encode(s, prompt, s->prompt, &request.prompt_tokens));
    if (!request.prompt_tokens)
        return err_new(ERR_INVALID, "prompt %" PRIu64 " is empty", prompt->number);
    return engine_admit(s->engine, &request);
}

static err_t hand_out(struct sample *s, const struct engine_completion *c,
                      err_t (*done)(void *, const struct sample_result *), void *arg)
{
    SCOPED_VALUE(bytes) text = {0};
    TRY(stops_text(s->stops, c, &text));
    bytes_extend(&text, 0);
    struct sample_result result = {.prompt = c->tag,
                                   .completion = c->completion,
                                   .tokens = c->tokens,
                                   .ended = c->finish != ENGINE_LENGTH,
                                   .text = (const char *)text.data,
                                   .text_len = text.len,
                                   .token = c->token};
    for (int i = 0; i < c->tokens; i++)
        result.logp += c->logp[i];
    return done(arg, &result);
}

err_t sample_run(struct sample *s, const struct sample_prompt *prompts, size_t count,
                 err_t (*done)(void *arg, const struct sample_result *result), void *arg)
{
    for (size_t next = 0; next < count || engine_active(s->engine);) {
        while (next < count && engine_free_slots(s->engine) >= s->options.completions) {
            TRY(admit(s, &prompts[next], next));
            next++;
        }
        const struct engine_completion *finished;
        int n;
        TRY(engine_step(s->engine, &finished, &n));
        for (int i = 0; i < n; i++)
            TRY(hand_out(s, &finished[i], done, arg));
    }
    return OK;
}

struct model *sample_model(const struct sample *s)
{
    return s->model;
}

const struct tokenizer *sample_tokenizer(const struct sample *s)
{
    return s->tokenizer;
}

void sample_free(struct sample *s)
{
    if (!s)
        return;
    engine_free(s->engine);
    stops_free(s->stops);
    tokenizer_free(s->tokenizer);
    model_free(s->model);
    backend_free(s->be);
    mem_free(s->prompt);
    mem_free(s);
}
