/* Our side of ./dev bench engine: one piece of work on a Hugging Face directory, one JSON object.
 *
 *     bench_workload make SIZE DIR                              SIZE: 1M 10M 50M 125M; random weights
 *     bench_workload decode DIR BATCH THREADS TOKENS [bf16]     BATCH sequences, greedy, from prompts of 32 tokens
 *     bench_workload train DIR SEQUENCES LENGTH THREADS STEPS   all tokens trained, AdamW
 *     bench_workload serve DIR THREADS PROMPT TOKENS [bf16]     one sequence, each weight held once: serve.h
 *     bench_workload machine THREADS                            what the cores can do at most
 *
 * decode counts from when the last prompt is computed; its seconds hold everything a step does:
 * forward, draw, log-probabilities, bookkeeping. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "learn.h"
#include "model/engine/engine.h"
#include "model/optimizer.h"
#include "serve.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static err_t make(const char *size, const char *directory)
{
    const struct {
        const char *name;
        struct model_config config;
    } sizes[] = {{"1M", config_default(2048, 128, 352, 4, 4, 4, 2048, true)},
                 {"10M", config_default(8192, 256, 688, 10, 8, 8, 2048, true)},
                 {"50M", config_default(16384, 512, 1376, 13, 8, 8, 2048, true)},
                 {"125M", config_default(32000, 768, 2048, 14, 12, 12, 2048, true)}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (strcmp(sizes[i].name, size) != 0)
            continue;
        SCOPED(backend) be = NULL;
        SCOPED(model) model = NULL;
        TRY(backend_open(NULL, &(struct backend_config){.threads = 1}, &be));
        TRY(model_new(be, &sizes[i].config, 1, &model));
        TRY(model_save(model, directory));
        printf("{\"parameters\": %zu}\n", model->params->layout->parameters);
        return OK;
    }
    return err_new(ERR_INVALID, "size '%s'; allowed: 1M, 10M, 50M, 125M", size);
}

/* ---- decoding */

enum { PROMPT = 32, SLACK = 64 }; // SLACK: who was prefilled first decodes longer

static err_t admit(struct engine *engine, const struct model *model, int batch, int tokens)
{
    for (int s = 0; s < batch; s++) {
        int32_t prompt[PROMPT];
        for (int i = 0; i < PROMPT; i++)
            prompt[i] = (s * 131 + i * 7 + 3) % model->config.V;
        struct engine_request request = {.tag = (uint64_t)s,
                                         .prompt = prompt,
                                         .prompt_tokens = PROMPT,
                                         .completions = 1,
                                         .max_tokens = tokens,
                                         .sampling = {.temperature = 0}};
        TRY(engine_admit(engine, &request));
    }
    return OK;
}

static err_t decode(const char *directory, int batch, int threads, int tokens, enum kv_format kv)
{
    SCOPED(backend) be = NULL;
    SCOPED(model) model = NULL;
    SCOPED(engine) engine = NULL;
    const struct engine_completion *finished;
    int count;
    TRY(backend_open(NULL, &(struct backend_config){.threads = threads}, &be));
    TRY(model_load(be, directory, &model));
    model->kv = kv;
    TRY(engine_new(model,
                   &(struct engine_config){.slots = batch, .max_context = PROMPT + tokens + SLACK},
                   &engine));
    TRY(admit(engine, model, batch, tokens + SLACK));
    while (engine_counters(engine)->prefill_tokens < (uint64_t)batch * PROMPT)
        TRY(engine_step(engine, &finished, &count));
    const uint64_t before = engine_counters(engine)->tokens;
    const double begun = clock_s();
    for (int i = 0; i < tokens; i++)
        TRY(engine_step(engine, &finished, &count));
    const double seconds = clock_s() - begun;
    const double made = (double)(engine_counters(engine)->tokens - before);
    printf("{\"tokens_per_s\": %.2f, \"tokens\": %.0f, \"weights_gb_per_s\": %.2f}\n",
           made / seconds, made,
           2e-9 * (double)model->params->layout->parameters * tokens / seconds);
    return OK;
}

/* ---- training */

struct batch {
    int N, targets;
    int32_t *token, *position, *row, *target;
    float *logp, *dlogp;
    struct segment *segment;
};

static void fill(struct batch *b, int sequences, int length, int V)
{
    const struct rng rng = rng_keyed(1, RNG_TEST, 0, 0);
    for (int i = 0; i < b->N; i++) {
        b->token[i] = (int32_t)rng_below(&rng, (uint64_t)i, (uint64_t)V);
        b->position[i] = i % length;
        if (!b->position[i])
            continue;
        b->row[b->targets] = i - 1;
        b->target[b->targets] = b->token[i];
        b->dlogp[b->targets++] = -1.0f / (float)b->N;
    }
    for (int s = 0; s < sequences; s++)
        b->segment[s] = (struct segment){.first = s * length, .count = length};
}

static err_t train(const char *directory, int sequences, int length, int threads, int steps)
{
    SCOPED(backend) be = NULL;
    SCOPED(model) model = NULL;
    SCOPED(forward) fw = NULL;
    SCOPED(gradient) grad = NULL;
    SCOPED(optimizer) opt = NULL;
    const size_t N = (size_t)sequences * (size_t)length;
    SCOPED_MEM int32_t *ints = mem_array(4 * N, sizeof *ints);
    SCOPED_MEM float *floats = mem_array(2 * N, sizeof *floats);
    SCOPED_MEM struct segment *segment = mem_array((size_t)sequences, sizeof *segment);
    struct batch b = {(int)N,       0,      ints,       ints + N, ints + 2 * N,
                      ints + 3 * N, floats, floats + N, segment};
    TRY(backend_open(NULL, &(struct backend_config){.threads = threads}, &be));
    TRY(model_load(be, directory, &model));
    fill(&b, sequences, length, model->config.V);
    TRY(forward_new(model, b.N, BENCH_HEAD_ROWS, true, &fw));
    TRY(gradient_new(model, &grad));
    TRY(optimizer_new(model, &OPTIMIZER_DEFAULTS, NULL, &opt));
    double begun = 0;
    for (int i = -1; i < steps; i++) { // one to warm up
        struct optimizer_result result;
        if (i == 0)
            begun = clock_s();
        TRY(forward_run(fw, b.token, b.position, b.N, b.segment, sequences));
        TRY(gradient_zero(grad));
        TRY(bench_backward(fw, b.row, b.target, b.dlogp, b.targets, b.logp, grad));
        TRY(optimizer_step(opt, grad, 1e-5, &result));
    }
    const double rate = (double)b.N * steps / (clock_s() - begun);
    printf("{\"tokens_per_s\": %.2f, \"gflops\": %.1f}\n", rate,
           6e-9 * rate * (double)model->params->layout->parameters);
    return OK;
}

/* ---- the machine */

typedef float v16f __attribute__((vector_size(64)));
enum { CHAINS = 24 }; // enough to hide an fma's latency, few enough for the registers

/* Sixteen lanes in CHAINS independent chains; gcc makes fmas of them (-ffp-contract), as wide as
 * the target allows. */
__attribute__((target_clones("avx512f", "avx2,fma", "default"),
               optimize("O3", "fp-contract=fast"))) static float
fma_work(long rounds)
{
    v16f sum[CHAINS], a, b;
    for (int i = 0; i < 16; i++)
        a[i] = 0.999f, b[i] = 1e-3f;
    for (int c = 0; c < CHAINS; c++)
        sum[c] = b * (float)c;
    for (long r = 0; r < rounds; r++)
#pragma GCC unroll 24
        for (int c = 0; c < CHAINS; c++)
            sum[c] = sum[c] * a + b;
    float total = 0;
    for (int c = 0; c < CHAINS; c++)
        total += sum[c][0];
    return total;
}

struct core {
    pthread_t thread;
    char *from, *to;
    float sink;
};
enum { COPY_BYTES = 256 << 20, FMA_ROUNDS = 4000000 };

static void *fma_main(void *arg)
{
    struct core *core = arg;
    core->sink = fma_work(FMA_ROUNDS);
    return NULL;
}

static void *copy_main(void *arg)
{
    const struct core *core = arg;
    memcpy(core->to, core->from, COPY_BYTES);
    return NULL;
}

static double seconds_of(struct core *core, int threads, void *(*work)(void *))
{
    double best = 1e9;
    for (int round = 0; round < 5; round++) {
        const double begun = clock_s();
        for (int t = 0; t < threads; t++)
            if (pthread_create(&core[t].thread, NULL, work, &core[t]))
                abort();
        for (int t = 0; t < threads; t++)
            pthread_join(core[t].thread, NULL);
        const double took = clock_s() - begun;
        best = took < best ? took : best;
    }
    return best;
}

static err_t machine(int threads)
{
    SCOPED_MEM struct core *core = mem_array((size_t)threads, sizeof *core);
    for (int t = 0; t < threads; t++) {
        core[t] = (struct core){.from = mem_aligned(COPY_BYTES), .to = mem_aligned(COPY_BYTES)};
        memset(core[t].from, 1, COPY_BYTES);
        memset(core[t].to, 2, COPY_BYTES);
    }
    const double fma = seconds_of(core, threads, fma_main);
    const double copy = seconds_of(core, threads, copy_main);
    printf("{\"threads\": %d, \"fma_gflops\": %.1f, \"copy_gb_per_s\": %.1f}\n", threads,
           2e-9 * 16 * CHAINS * (double)FMA_ROUNDS * threads / fma,
           1e-9 * COPY_BYTES * threads / copy);
    for (int t = 0; t < threads; t++) {
        mem_free(core[t].from);
        mem_free(core[t].to);
    }
    return OK;
}

static int number(const char *text)
{
    const long n = strtol(text, NULL, 10);
    if (n < 1 || n > 1000000) {
        fprintf(stderr, "'%s': a number from 1 to 1000000\n", text);
        exit(2);
    }
    return (int)n;
}

static err_t run(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "make") == 0 && argc == 4)
        return make(argv[2], argv[3]);
    if (strcmp(what, "decode") == 0 && argc >= 6)
        return decode(argv[2], number(argv[3]), number(argv[4]), number(argv[5]),
                      argc > 6 && strcmp(argv[6], "bf16") == 0 ? KV_BF16 : KV_F32);
    if (strcmp(what, "serve") == 0 && argc >= 6)
        return serve(argv[2], number(argv[3]), number(argv[4]), number(argv[5]),
                     argc > 6 && strcmp(argv[6], "bf16") == 0 ? KV_BF16 : KV_F32);
    if (strcmp(what, "train") == 0 && argc == 7)
        return train(argv[2], number(argv[3]), number(argv[4]), number(argv[5]), number(argv[6]));
    if (strcmp(what, "machine") == 0 && argc == 3)
        return machine(number(argv[2]));
    return err_new(ERR_INVALID,
                   "usage: make, decode, serve, train or machine; see the top of workload_bench.c");
}

int main(int argc, char **argv)
{
    err_t e = run(argc, argv);
    if (err_failed(e))
        fprintf(stderr, "%s\n", err_message(e));
    const int status = err_failed(e);
    err_free(e);
    return status;
}
