/* Tokens per second of the decode engine: two small models, 1, 16 and 64 slots, groups of four.
 *
 *     build/tests/bench_decode [threads]
 *
 * One JSON object per line, the best of five runs, in CPU time too (one thread: what it would be on
 * an idle machine). */
#include "base/clock.h"
#include "base/mem.h"
#include "model/engine.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 5, TOKENS = 6000 };

struct shape {
    const char *name;
    struct model_config config;
    int prompt, tokens;
};

struct result {
    double wall_s, cpu_s;
    uint64_t tokens, prefill;
};

static err_t run(struct engine *engine, const struct shape *shape, int slots, float temperature,
                 struct result *ret)
{
    const struct engine_counters before = *engine_counters(engine);
    const int completions = slots < 4 ? 1 : 4;
    SCOPED_MEM int32_t *prompt = mem_array((size_t)shape->prompt, sizeof *prompt);
    for (int i = 0; i < shape->prompt; i++)
        prompt[i] = (i * 7 + 3) % shape->config.V;
    const clock_t cpu = clock();
    for (uint64_t tag = before.completions;
         engine_counters(engine)->tokens - before.tokens < TOKENS;) {
        const struct engine_completion *finished;
        int count;
        while (engine_free_slots(engine) >= completions) {
            struct engine_request request = {
                .tag = tag,
                .prompt = prompt,
                .prompt_tokens = shape->prompt,
                .completions = completions,
                .max_tokens = shape->tokens,
                .sampling = {.temperature = temperature, .prompt = tag++}};
            TRY(engine_admit(engine, &request));
        }
        TRY(engine_step(engine, &finished, &count));
    }
    const struct engine_counters *after = engine_counters(engine);
    *ret = (struct result){.wall_s = after->busy_s - before.busy_s,
                           .cpu_s = (double)(clock() - cpu) / CLOCKS_PER_SEC,
                           .tokens = after->tokens - before.tokens,
                           .prefill = after->prefill_tokens - before.prefill_tokens};
    for (uint64_t tag = 0; engine_active(engine); tag++)
        engine_cancel(engine, tag);
    return OK;
}

static err_t bench(const struct shape *shape, int slots, int threads, float temperature,
                   enum kv_format kv)
{
    SCOPED(backend) be = NULL;
    SCOPED(model) model = NULL;
    SCOPED(engine) engine = NULL;
    TRY(backend_cpu_new(&(struct cpu_config){.threads = threads}, &be));
    TRY(model_new(be, &shape->config, 1, &model));
    model->kv = kv;
    TRY(engine_new(
        model,
        &(struct engine_config){.slots = slots, .max_context = shape->prompt + shape->tokens},
        &engine));
    double wall = 0, cpu = 0;
    struct result result;
    for (int round = 0; round < ROUNDS; round++) {
        TRY(run(engine, shape, slots, temperature, &result));
        wall = (double)result.tokens / result.wall_s > wall ? (double)result.tokens / result.wall_s
                                                            : wall;
        cpu =
            (double)result.tokens / result.cpu_s > cpu ? (double)result.tokens / result.cpu_s : cpu;
    }
    printf(
        "{\"bench\": \"decode\", \"model\": \"%s\", \"slots\": %d, \"threads\": %d, \"temperature\": %g, \"kv\": \"%s\", \"tokens_per_s\": %.0f, "
        "\"tokens_per_cpu_s\": %.0f, \"prefill_per_token\": %.2f, \"engine_bytes\": %zu}\n",
        shape->name, slots, threads, (double)temperature, kv == KV_BF16 ? "bf16" : "fp32", wall,
        cpu, (double)result.prefill / (double)result.tokens, engine_bytes(engine));
    fflush(stdout);
    return OK;
}

static err_t all(int threads)
{
    const struct shape shapes[] = {
        {"sort 0.1M", config_llama(29, 64, 172, 2, 2, 2, 32, false), 9, 9},
        {"tldr 0.9M", config_llama(2048, 128, 352, 3, 4, 4, 128, true), 40, 24}};
    static const int slots[] = {1, 16, 64};
    for (int s = 0; s < 2; s++)
        for (int i = 0; i < 3; i++)
            TRY(bench(&shapes[s], slots[i], threads, 1, KV_F32));
    TRY(bench(&shapes[1], 64, threads, 1, KV_BF16));
    return bench(&shapes[1], 64, threads, 0, KV_F32);
}

int main(int argc, char **argv)
{
    err_t e = all(argc > 1 ? (int)strtol(argv[1], NULL, 10) : 1);
    if (err_failed(e))
        fprintf(stderr, "%s\n", err_message(e));
    return err_failed(e);
}
