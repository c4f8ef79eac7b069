/* Each family and its options, as small models; and the comparison of the decode engine with a full
 * forward elsewhere, token by token.
 *
 *     struct model_config config;
 *     for (int i = 0; case_of(i, &config); i++)
 *         compared += decode(&config, KV_BF16, adapted, TOKENS, here, there);
 *
 * Sequences are longer than two pages of keys and values, windows end within a page and leave a
 * whole one behind. */
#pragma once
#include "base/mem.h"
#include "base/rng.h"
#include "model/adapter.h"
#include "model/engine/engine.h"
#include "model/forward.h"
#include "testing/models.h"
#include "testing/testing.h"
#include <string.h>

enum {
    CONTEXT = 160,
    PROMPT = 70,
    COMPLETIONS = 3,
    VOCABULARY = 61,
    REQUESTS = 2,
    TOKENS = CONTEXT - PROMPT
};

/* The family's plain form, then its options. Kv heads are as many as heads where a step of decoding
 * walks them together, else one for two. */
static inline bool case_of(int i, struct model_config *ret)
{
    static const struct rope llama3 = {.kind = ROPE_LLAMA3,
                                       .theta = 10000,
                                       .factor = 8,
                                       .original = 32,
                                       .low = 1,
                                       .high = 4},
                             yarn = {.kind = ROPE_YARN,
                                     .theta = 10000,
                                     .factor = 4,
                                     .original = 40,
                                     .beta_fast = 32,
                                     .beta_slow = 1,
                                     .whole = true};
    static const struct {
        const char *model_type;
        struct rope rope; // theta 0: the default
        int K, window, window_from;
        double rotary;
        enum layer_order order;
    } cases[] = {{"llama", llama3, 2, 0, 0, 1, LAYER_SEQUENTIAL},
                 {"llama", yarn, 4, 0, 0, 1, LAYER_SEQUENTIAL},
                 {"qwen2", {0}, 2, 0, 0, 1, LAYER_SEQUENTIAL},
                 {"qwen2", {0}, 2, 90, 1, 1, LAYER_SEQUENTIAL},
                 {"qwen3", {0}, 2, 0, 0, 1, LAYER_SEQUENTIAL},
                 {"mistral", {0}, 2, 23, 0, 1, LAYER_SEQUENTIAL},
                 {"mistral", {0}, 4, 64, 0, 1, LAYER_SEQUENTIAL},
                 {"gpt_neox", {0}, 4, 0, 0, 0.25, LAYER_PARALLEL},
                 {"gpt_neox", {0}, 4, 0, 0, 1, LAYER_SEQUENTIAL},
                 {"gpt2", {0}, 4, 0, 0, 1, LAYER_SEQUENTIAL}};
    if (i >= (int)(sizeof cases / sizeof *cases))
        return false;
    struct model_config config =
        config_default(VOCABULARY, 64, 100, 2, 4, cases[i].K, CONTEXT, i % 2);
    config_family(&config, family_find(cases[i].model_type));
    if (cases[i].rope.theta > 0)
        config.rope = cases[i].rope;
    config.window = cases[i].window;
    config.windowed = config.window;
    config.window_from = cases[i].window_from;
    config.rotary = cases[i].rotary;
    config.order = cases[i].order;
    *ret = config;
    return true;
}

/* Of all matrices, of a rank that is no multiple of anything; B is drawn, too. */
static inline void adapt(struct model *model)
{
    struct lora lora = {.r = 5, .alpha = 7, .rslora = true};
    const char *const all = "all-linear";
    assert_ok(adapter_targets(model->config.family, &all, 1, &lora.roles));
    assert_ok(adapter_empty(model, "base", &lora));
    const size_t elements = model->adapter->params->layout->elements;
    const struct rng rng = rng_keyed(6, RNG_TEST, 0, 0);
    SCOPED_MEM bf16 *flat = mem_array(elements, sizeof *flat);
    for (size_t i = 0; i < elements; i++)
        flat[i] = bf16_from_float((float)(0.2 * rng_uniform(&rng, i) - 0.1));
    assert_ok(model_put(model->adapter, flat, NULL));
}

static inline struct model *model_at(struct backend *be, const struct model_config *config, int kv,
                                     bool adapted)
{
    struct model *model = NULL;
    assert_ok(model_new(be, config, 5, &model));
    model->kv = (enum kv_format)kv;
    if (adapted)
        adapt(model);
    return model;
}

/* Of one finished completion: how many of its log-probabilities are other bits in the full
 * forward. */
static inline int differing(struct forward *fw, const int32_t *prompt,
                            const struct engine_completion *c)
{
    int32_t token[CONTEXT], position[CONTEXT], row[CONTEXT];
    float logp[CONTEXT];
    const int N = PROMPT + c->tokens - 1;
    int different = 0;
    memcpy(token, prompt, PROMPT * sizeof *token);
    memcpy(token + PROMPT, c->token, (size_t)c->tokens * sizeof *token);
    for (int i = 0; i < CONTEXT; i++) {
        position[i] = i;
        row[i] = PROMPT - 1 + i;
    }
    const struct segment segment = {.count = N};
    assert_ok(forward_run(fw, token, position, N, &segment, 1));
    assert_ok(forward_logp(fw, row, c->token, c->tokens, 1, logp, NULL));
    for (int i = 0; i < c->tokens; i++)
        different += memcmp(&logp[i], &c->logp[i], sizeof *logp) != 0;
    return different;
}

/* Completions of two prompts by the engine here, each computed again there; returns how many
 * log-probabilities were compared. */
static inline int decode(const struct model_config *config, int kv, bool adapted, int tokens,
                         struct backend *here, struct backend *there)
{
    SCOPED(model) model = model_at(here, config, kv, adapted);
    SCOPED(model) twin = model_at(there, config, kv, adapted);
    SCOPED(forward) fw = NULL;
    SCOPED(engine) engine = NULL;
    const struct engine_config settings = {
        .slots = REQUESTS * COMPLETIONS, .max_context = CONTEXT, .step_rows = 48};
    int32_t prompt[REQUESTS][PROMPT];
    const struct rng rng = rng_keyed(41, RNG_TEST, 0, 0);
    int compared = 0;
    assert_ok(forward_new(twin, CONTEXT, 32, FORWARD_NOTHING, &fw));
    assert_ok(engine_new(model, &settings, &engine));
    for (int r = 0; r < REQUESTS; r++) {
        for (int i = 0; i < PROMPT; i++)
            prompt[r][i] = (int32_t)rng_below(&rng, (uint64_t)(r * PROMPT + i), VOCABULARY);
        const struct engine_request request = {
            .tag = (uint64_t)r,
            .prompt = prompt[r],
            .prompt_tokens = PROMPT,
            .completions = COMPLETIONS,
            .max_tokens = tokens,
            .sampling = {.temperature = 1, .seed = 3, .prompt = (uint64_t)r}};
        assert_ok(engine_admit(engine, &request));
    }
    while (engine_active(engine)) {
        const struct engine_completion *finished;
        int count;
        assert_ok(engine_step(engine, &finished, &count));
        for (int i = 0; i < count; i++) {
            assert_int_equal(differing(fw, prompt[finished[i].tag], &finished[i]), 0);
            compared += finished[i].tokens;
        }
    }
    return compared;
}
