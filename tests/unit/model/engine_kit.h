/* Requests for the engine, and what the full forward says of their completions. */
#pragma once
#include "base/rng.h"
#include "model/engine/engine.h"
#include "model/forward.h"
#include "tiny.h"
#include <math.h>

enum { CONTEXT = 200, PROMPT_MAX = 150 };

struct wanted {
    int32_t prompt[PROMPT_MAX];
    struct engine_request request;
};

static inline struct model *new_model(struct backend *be, uint64_t seed)
{
    struct model_config config = tiny_config(true);
    struct model *model = NULL;
    config.max_positions = 256;
    assert_ok(model_new(be, &config, seed, &model));
    return model;
}

/* pages 0: enough for all slots. */
static inline struct engine *new_engine(struct model *model, int slots, int step_rows, int pages)
{
    struct engine *engine = NULL;
    const struct engine_config config = {slots, CONTEXT, step_rows,
                                         (size_t)pages * engine_page_bytes(model)};
    assert_ok(engine_new(model, &config, &engine));
    return engine;
}

/* Request i of the test: its prompt, k, lengths and sampling are functions of i. */
static inline void make_request(struct wanted *w, uint64_t i, int V)
{
    static const int32_t stop[] = {5, 11};
    const struct rng rng = rng_keyed(9, RNG_TEST, i, 0);
    const int tokens = 1 + (int)rng_below(&rng, 0, PROMPT_MAX);
    for (int t = 0; t < PROMPT_MAX; t++)
        w->prompt[t] = (int32_t)rng_below(&rng, (uint64_t)(100 + t), (uint64_t)V);
    w->request = (struct engine_request){
        .tag = i + 1000,
        .prompt = w->prompt,
        .prompt_tokens = tokens,
        .completions = 1 + (int)rng_below(&rng, 1, 4),
        .max_tokens = 1 + (int)rng_below(&rng, 2, (uint64_t)(CONTEXT - tokens)),
        .sampling = {.temperature = (float[]){1.0f, 0.7f, 1.0f, 0.0f, 1.3f}[i % 5],
                     .seed = 3,
                     .prompt = i,
                     .epoch = 2},
        .stop = stop,
        .stops = i % 3 ? 2 : 0,
    };
    if (i % 7 == 0)
        w->request.sampling.top_k = 5;
    if (i % 4 == 1)
        w->request.sampling.repetition_penalty = i % 8 == 1 ? 1.7f : 0.8f;
}

static inline uint32_t bits(float x)
{
    uint32_t b;
    memcpy(&b, &x, sizeof b);
    return b;
}

/* The full forward over prompt and completion must give the recorded bits, or at most `differ` of
 * them. Returns differing. */
static inline int compare(struct forward *full, const struct wanted *w,
                          const struct engine_completion *c)
{
    int32_t token[CONTEXT], position[CONTEXT], row[CONTEXT];
    float logp[CONTEXT];
    const int P = w->request.prompt_tokens, N = P + c->tokens;
    assert_true(c->tokens >= 1 && c->tokens <= w->request.max_tokens);
    memcpy(token, w->prompt, (size_t)P * sizeof *token);
    memcpy(token + P, c->token, (size_t)c->tokens * sizeof *token);
    for (int i = 0; i < N; i++)
        position[i] = i;
    for (int i = 0; i < c->tokens; i++)
        row[i] = P - 1 + i;
    struct segment segment = {.count = N};
    assert_ok(forward_run(full, token, position, N, &segment, 1));
    assert_ok(forward_logp(full, row, c->token, c->tokens, sampling_inverse(&w->request.sampling),
                           logp, NULL));
    int differing = 0;
    for (int i = 0; i < c->tokens; i++) {
        differing += bits(logp[i]) != bits(c->logp[i]);
        assert_true(isfinite(c->logp[i]) && c->logp[i] <= 0);
    }
    return differing;
}
