/* Tokens per second of the decode engine at 1, 16 and 64 slots, groups of four.
 *
 *     build/tests/bench_decode [THREADS [MODEL...]]     -- MODEL: shapes.h; without: sort and tldr
 *
 * One JSON object per line, the best of several runs, in CPU time too (one thread: what it would be
 * on an idle machine). */
#include "base/clock.h"
#include "base/mem.h"
#include "model/engine/engine.h"
#include "shapes.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 5, TOKENS = 6000, LARGE = 5000000 };

struct shape {
    const char *name;
    struct model_config config;
    int prompt, tokens;
    uint64_t wanted; // tokens of a run
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
         engine_counters(engine)->tokens - before.tokens < shape->wanted;) {
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
    TRY(backend_open(NULL, &(struct backend_config){.threads = threads}, &be));
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
        "{\"bench\": \"decode\", \"model\": \"%s\", \"slots\": %d, \"threads\": %d, \"temperature\": %g, \"kv\": \"%s\", \"tokens_per_s\": %.2f, "
        "\"tokens_per_cpu_s\": %.2f, \"prefill_per_token\": %.2f, \"engine_bytes\": %zu}\n",
        shape->name, slots, threads, (double)temperature, kv == KV_BF16 ? "bf16" : "fp32", wall,
        cpu, (double)result.prefill / (double)result.tokens, engine_bytes(engine));
    fflush(stdout);
    return OK;
}

static err_t bench_model(const char *name, int threads)
{
    static const int slots[] = {1, 16, 64};
    struct shape shape = {.name = name, .prompt = 40, .tokens = 24, .wanted = TOKENS};
    if (!strcmp(name, "sort"))
        shape.prompt = shape.tokens = 9;
    if (!bench_shape(name, 128, &shape.config))
        return err_new(ERR_INVALID, "no model '%s'; there are %s", name, BENCH_SHAPES);
    const double C = shape.config.C,
                 weights = C * shape.config.V + shape.config.L * C * (4 * C + 3.0 * shape.config.F);
    for (size_t i = 0; i < sizeof slots / sizeof *slots; i++) {
        if (weights > LARGE)
            shape.wanted = (uint64_t)(6e9 / weights) + (uint64_t)(2 * slots[i]);
        TRY(bench(&shape, slots[i], threads, 1, KV_F32));
        if (slots[i] > 1)
            TRY(bench(&shape, slots[i], threads, 1, KV_BF16));
    }
    return bench(&shape, 64, threads, 0, KV_F32);
}

int main(int argc, char **argv)
{
    static char *small[] = {"sort", "tldr"};
    const int threads = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 1;
    char **names = argc > 2 ? argv + 2 : small;
    err_t e = OK;
    for (int i = 0; i < (argc > 2 ? argc - 2 : 2) && !err_failed(e); i++)
        e = bench_model(names[i], threads);
    if (err_failed(e))
        fprintf(stderr, "%s\n", err_message(e));
    const int status = err_failed(e);
    err_free(e);
    return status;
}
