/* One sequence on a model as a generator holds it, each weight once: seconds to load, bytes, and
 * the two rates of a request. Our side of ./dev bench real. */
#pragma once
#include "base/clock.h"
#include "base/mem.h"
#include "model/engine/engine.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

struct serve_rate {
    double tokens_per_s, tokens_per_cpu_s;
};

/* Steps until the engine has made so many prompt tokens and new ones. */
static inline err_t serve_steps(struct engine *engine, uint64_t prefilled, uint64_t tokens,
                                struct serve_rate *ret)
{
    const struct engine_completion *finished;
    const struct engine_counters *now = engine_counters(engine);
    const struct engine_counters before = *now;
    const double begun = clock_s(), cpu = (double)clock();
    int count;
    while (now->prefill_tokens < prefilled || now->tokens < tokens)
        TRY(engine_step(engine, &finished, &count));
    const double made =
        (double)(now->prefill_tokens - before.prefill_tokens + now->tokens - before.tokens);
    *ret = (struct serve_rate){made / (clock_s() - begun),
                               made * CLOCKS_PER_SEC / ((double)clock() - cpu)};
    return OK;
}

/* The process's largest resident size; 0: the system does not say. */
static inline double serve_peak_bytes(void)
{
    char line[256];
    double kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "VmHWM:", 6) == 0)
            kib = strtod(line + 6, NULL);
    if (file)
        fclose(file);
    return kib * 1024;
}

static inline err_t serve(const char *directory, int threads, int prompt, int tokens,
                          enum kv_format kv)
{
    SCOPED(backend) be = NULL;
    SCOPED(model) model = NULL;
    SCOPED(engine) engine = NULL;
    SCOPED_MEM int32_t *ids = mem_array((size_t)prompt, sizeof *ids);
    struct serve_rate prefill, decode;
    const double begun = clock_s();
    TRY(backend_open(NULL, &(struct backend_config){.threads = threads}, &be));
    TRY(model_load_compact(be, directory, &model));
    model->kv = kv;
    const double loaded = clock_s();
    TRY(engine_new(
        model, &(struct engine_config){.slots = 1, .max_context = prompt + tokens, .step_rows = 64},
        &engine));
    for (int i = 0; i < prompt; i++)
        ids[i] = (i * 7 + 3) % model->config.V;
    TRY(engine_admit(engine, &(struct engine_request){.tag = 1,
                                                      .prompt = ids,
                                                      .prompt_tokens = prompt,
                                                      .completions = 1,
                                                      .max_tokens = tokens,
                                                      .sampling = {.temperature = 0}}));
    TRY(serve_steps(engine, (uint64_t)prompt, 1, &prefill));
    TRY(serve_steps(engine, 0, (uint64_t)tokens - 1, &decode));
    printf(
        "{\"parameters\": %zu, \"load_s\": %.2f, \"weights_bytes\": %zu, \"engine_bytes\": %zu, \"peak_bytes\": %.0f, "
        "\"prefill\": [%.2f, %.2f], \"decode\": [%.2f, %.2f]}\n",
        model->params->layout->parameters, loaded - begun, model_bytes(model), engine_bytes(engine),
        serve_peak_bytes(), prefill.tokens_per_s, prefill.tokens_per_cpu_s, decode.tokens_per_s,
        decode.tokens_per_cpu_s);
    return OK;
}
