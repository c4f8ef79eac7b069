/* Tokens per second of training, forward + backward with log-probabilities + AdamW:
 *
 *     build/tests/bench_train [THREADS [STEPS [MODEL...]]]     -- MODEL: shapes.h
 *
 * With models: each on 8 sequences of 128 tokens, all trained. Without, the two examples' models:
 * sort on 256 sequences of 18 tokens, 9 of them trained; tldr on 32 of 64, all trained. Then groups
 * as rounds have them, 4 completions of a prompt: first with a copy of the prompt for each, then
 * with one for all ("shared"). Tokens are those of the copies, so the two figures compare. The
 * figure is of the fastest step, and the median beside it: others may use the machine. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "learn.h"
#include "model/optimizer.h"
#include "model/pack.h"
#include "shapes.h"
#include <stdio.h>
#include <stdlib.h>

struct shape {
    const char *name;
    struct model_config config;
    int sequences, tokens, trained; // trained: how many of a sequence's last tokens
    bool packed, shared;            // groups of 4: the tokens not trained are their prompt
};

struct work {
    int N, rows, segments, tokens; // tokens: nothing shared
    int32_t *token, *position, *row, *target;
    float *dlogp, *logp;
    struct segment *segment;
};

static struct work work_of(const struct shape *shape)
{
    const int N = shape->sequences * shape->tokens;
    struct work w = {.N = N,
                     .segments = shape->sequences,
                     .tokens = N,
                     .token = mem_array((size_t)N, 4),
                     .position = mem_array((size_t)N, 4),
                     .row = mem_array((size_t)N, 4),
                     .target = mem_array((size_t)N, 4),
                     .dlogp = mem_array((size_t)N, 4),
                     .logp = mem_array((size_t)N, 4),
                     .segment = mem_array((size_t)shape->sequences, sizeof(struct segment))};
    const struct rng rng = rng_keyed(1, RNG_TEST, 0, 0);
    for (int s = 0; s < shape->sequences; s++)
        w.segment[s] = (struct segment){.first = s * shape->tokens, .count = shape->tokens};
    for (int i = 0; i < N; i++) {
        w.token[i] = (int32_t)rng_below(&rng, (uint64_t)i, (uint64_t)shape->config.V);
        w.position[i] = i % shape->tokens;
        if (w.position[i] && w.position[i] >= shape->tokens - shape->trained) {
            w.row[w.rows] = i - 1;
            w.target[w.rows] = w.token[i];
            w.dlogp[w.rows++] = -1.0f / (float)N;
        }
    }
    return w;
}

/* Groups through the packer, which shares what is at one place. */
static err_t work_packed(const struct shape *shape, struct work *ret)
{
    enum { GROUP = 4 };
    const int N = shape->sequences * shape->tokens, prompt = shape->tokens - shape->trained;
    const struct rng rng = rng_keyed(1, RNG_TEST, 0, 0);
    SCOPED_MEM uint32_t *token = mem_array((size_t)N, sizeof *token);
    SCOPED_MEM struct sequence *sequence = mem_array((size_t)shape->sequences, sizeof *sequence);
    SCOPED(pack) pack = NULL;
    for (int i = 0; i < N; i++)
        token[i] = (uint32_t)rng_below(&rng, (uint64_t)i, (uint64_t)shape->config.V);
    for (int s = 0; s < shape->sequences; s++) {
        const int owner = shape->shared ? s - s % GROUP : s;
        sequence[s] = (struct sequence){.prompt = token + (size_t)owner * shape->tokens,
                                        .token = token + (size_t)s * shape->tokens + prompt,
                                        .prompt_tokens = prompt,
                                        .tokens = shape->trained,
                                        .context = prompt};
    }
    TRY(pack_new(N, shape->tokens, &pack));
    pack_fill(pack, sequence, (size_t)shape->sequences, NULL);
    const size_t rows = (size_t)pack->rows, targets = (size_t)pack->targets;
    *ret = (struct work){
        .N = pack->rows,
        .rows = pack->targets,
        .segments = pack->segments,
        .tokens = N,
        .token = mem_copy(pack->token, rows * 4),
        .position = mem_copy(pack->position, rows * 4),
        .row = mem_copy(pack->row, targets * 4),
        .target = mem_copy(pack->target, targets * 4),
        .dlogp = mem_array(targets, 4),
        .logp = mem_array(targets, 4),
        .segment = mem_copy(pack->segment, (size_t)pack->segments * sizeof(struct segment))};
    for (int i = 0; i < ret->rows; i++)
        ret->dlogp[i] = -1.0f / (float)N;
    return OK;
}

static void work_done(struct work *w)
{
    free(w->token);
    free(w->position);
    free(w->row);
    free(w->target);
    free(w->dlogp);
    free(w->logp);
    free(w->segment);
}

enum { FORWARD, BACKWARD, OPTIMIZER, PARTS };

static err_t step(struct forward *fw, struct work *w, struct gradient *grad, struct optimizer *opt,
                  double seconds[PARTS])
{
    struct optimizer_result result;
    double at[PARTS + 1] = {clock_s()};
    TRY(forward_run(fw, w->token, w->position, w->N, w->segment, w->segments));
    at[1] = clock_s();
    TRY(gradient_zero(grad));
    TRY(bench_backward(fw, w->row, w->target, w->dlogp, w->rows, w->logp, grad));
    at[2] = clock_s();
    TRY(optimizer_step(opt, grad, 1e-4, &result));
    at[3] = clock_s();
    for (int i = 0; i < PARTS; i++)
        seconds[i] = at[i + 1] - at[i];
    return OK;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static err_t measure(struct backend *be, const struct shape *shape, int threads, int steps)
{
    enum { STEPS_MAX = 1000 };
    double total[STEPS_MAX], best[PARTS] = {0};
    const struct optimizer_config config = OPTIMIZER_DEFAULTS;
    SCOPED(model) model = NULL;
    SCOPED(forward) fw = NULL;
    SCOPED(gradient) grad = NULL;
    SCOPED(optimizer) opt = NULL;
    SCOPED_VALUE(work) work = {0};
    if (shape->packed)
        TRY(work_packed(shape, &work));
    else
        work = work_of(shape);
    TRY(model_new(be, &shape->config, 1, &model));
    TRY(forward_new(model, work.N, BENCH_HEAD_ROWS, true, &fw));
    TRY(gradient_new(model, &grad));
    TRY(optimizer_new(model, &config, NULL, &opt));
    steps = steps < STEPS_MAX ? steps : STEPS_MAX;
    for (int i = -1; i < steps; i++) { // one to warm up
        double seconds[PARTS];
        TRY(step(fw, &work, grad, opt, seconds));
        for (int p = 0; i >= 0 && p < PARTS; p++) {
            best[p] = i == 0 || seconds[p] < best[p] ? seconds[p] : best[p];
            total[i] = p ? total[i] + seconds[p] : seconds[p];
        }
    }
    qsort(total, (size_t)steps, sizeof *total, by_value);
    printf(
        "{\"bench\":\"train\",\"model\":\"%s\",\"parameters\":%zu,\"threads\":%d,\"tokens\":%d,\"rows\":%d,"
        "\"trained\":%d,\"tokens_per_s\":%.2f,\"median_tokens_per_s\":%.2f,\"forward_ms\":%.2f,"
        "\"backward_ms\":%.2f,\"optimizer_ms\":%.2f,\"workspace_bytes\":%zu}\n",
        shape->name, model->params->layout->parameters, threads, work.tokens, work.N, work.rows,
        work.tokens / total[0], work.tokens / total[steps / 2], best[FORWARD] * 1e3,
        best[BACKWARD] * 1e3, best[OPTIMIZER] * 1e3, forward_bytes(fw));
    return OK;
}

static err_t run(int threads, int steps)
{
    const struct shape shapes[] = {
        {"sort", config_default(29, 64, 176, 2, 2, 2, 64, false), 256, 18, 9, false, false},
        {"tldr", config_default(2048, 128, 352, 3, 4, 4, 128, true), 32, 64, 64, false, false},
        {"sort_groups", config_default(29, 64, 176, 2, 2, 2, 64, false), 256, 18, 9, true, false},
        {"sort_shared", config_default(29, 64, 176, 2, 2, 2, 64, false), 256, 18, 9, true, true},
        {"tldr_groups", config_default(2048, 128, 352, 3, 4, 4, 128, true), 128, 46, 6, true,
         false},
        {"tldr_shared", config_default(2048, 128, 352, 3, 4, 4, 128, true), 128, 46, 6, true, true},
    };
    SCOPED(backend) be = NULL;
    TRY(backend_open(NULL, &(struct backend_config){.threads = threads}, &be));
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        TRY(measure(be, &shapes[i], threads, steps));
    return OK;
}

static err_t run_named(int threads, int steps, char **names, int count)
{
    SCOPED(backend) be = NULL;
    TRY(backend_open(NULL, &(struct backend_config){.threads = threads}, &be));
    for (int i = 0; i < count; i++) {
        struct shape shape = {.name = names[i], .sequences = 8, .tokens = 128, .trained = 128};
        if (!bench_shape(names[i], 128, &shape.config))
            return err_new(ERR_INVALID, "no model '%s'; there are %s", names[i], BENCH_SHAPES);
        TRY(measure(be, &shape, threads, steps));
    }
    return OK;
}

int main(int argc, char **argv)
{
    const long threads = argc > 1 ? strtol(argv[1], NULL, 10) : 1,
               steps = argc > 2 ? strtol(argv[2], NULL, 10) : 20;
    if (threads < 1 || threads > 256 || steps < 1) {
        fprintf(stderr, "usage: bench_train [THREADS [STEPS [MODEL...]]]\n");
        return 2;
    }
    err_t e = argc > 3 ? run_named((int)threads, (int)steps, argv + 3, argc - 3)
                       : run((int)threads, (int)steps);
    if (err_failed(e))
        fprintf(stderr, "%s\n", err_message(e));
    const int status = err_failed(e);
    err_free(e);
    return status;
}
