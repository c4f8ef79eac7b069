/* Steps of the learner with random weights, on the backend of RLHFD_BACKEND: forward, backward,
 * AdamW.
 *
 *     build/tests/bench_learning SHAPE LAYERS SEQUENCES TOKENS [STEPS [VOCABULARY]]
 *
 * Each of the sequences has TOKENS tokens, all trained. SHAPE: shapes.h; LAYERS 0 and VOCABULARY 0:
 * its own. Prints one JSON object. flops: six of each weight for a row, and twelve of each visible
 * pair of query and key, times the head's size. Work that is repeated counts once. The parts'
 * times are of a step that waits behind each. */
#include "base/clock.h"
#include "base/mem.h"
#include "learn.h"
#include "model/optimizer.h"
#include "number.h"
#include "shapes.h"
#include <stdio.h>
#include <stdlib.h>

struct bench {
    const char *shape;
    int sequences, tokens, steps, N, rows;
    struct model_config config;
    struct model *model;
    struct forward *fw;
    struct gradient *grad;
    struct optimizer *opt;
    int32_t *token, *position, *row, *target;
    float *dlogp, *logp;
    struct segment *segment;
};

static void plan(struct bench *b)
{
    const size_t N = (size_t)b->N;
    b->token = mem_array(N, sizeof *b->token);
    b->position = mem_array(N, sizeof *b->position);
    b->row = mem_array(N, sizeof *b->row);
    b->target = mem_array(N, sizeof *b->target);
    b->dlogp = mem_array(N, sizeof *b->dlogp);
    b->logp = mem_array(N, sizeof *b->logp);
    b->segment = mem_array((size_t)b->sequences, sizeof *b->segment);
    for (int s = 0; s < b->sequences; s++)
        b->segment[s] = (struct segment){.first = s * b->tokens, .count = b->tokens};
    for (int i = 0; i < b->N; i++) {
        b->token[i] = (i * 7919 + 13) % b->config.V;
        b->position[i] = i % b->tokens;
        if (!b->position[i])
            continue;
        b->row[b->rows] = i - 1;
        b->target[b->rows] = b->token[i];
        b->dlogp[b->rows++] = -1.0f / (float)b->N;
    }
}

/* Waits for the device, and returns the time since *at, which becomes now. */
static err_t lap(struct bench *b, double *at, double *ret)
{
    TRY(b->model->be->ops->sync(b->model->be));
    const double now = clock_s();
    *ret = now - *at;
    *at = now;
    return OK;
}

enum { FORWARD, BACKWARD, OPTIMIZER, PARTS };

/* part NULL: nothing waits before the end. */
static err_t step(struct bench *b, double *part, double *ret_s)
{
    struct optimizer_result result;
    double at = clock_s();
    const double begin = at;
    TRY(forward_run(b->fw, b->token, b->position, b->N, b->segment, b->sequences));
    if (part)
        TRY(lap(b, &at, &part[FORWARD]));
    TRY(gradient_zero(b->grad));
    TRY(bench_backward(b->fw, b->row, b->target, b->dlogp, b->rows, b->logp, b->grad));
    if (part)
        TRY(lap(b, &at, &part[BACKWARD]));
    TRY(optimizer_step(b->opt, b->grad, 1e-5, &result));
    at = part ? at : begin;
    return lap(b, &at, part ? &part[OPTIMIZER] : ret_s);
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(const struct bench *b, const double *took, const double *part)
{
    const struct model_config *c = &b->config;
    const double weights = c->L * bench_layer_weights(c), head = (double)c->V * c->C;
    const double pairs = b->sequences * (b->tokens * (b->tokens + 1.0) / 2);
    const double flops =
        6 * weights * b->N + 6 * head * b->rows + 12.0 * c->L * pairs * c->H * c->D;
    printf("{\"bench\": \"learning\", \"mode\": \"train\", \"backend\": \"%s\", \"shape\": \"%s\", "
           "\"layers\": %d, \"vocabulary\": %d, \"sequences\": %d, \"rows\": %d, \"steps\": %d, "
           "\"best_s\": %.9f, \"median_s\": %.9f, \"forward_s\": %.9f, \"backward_s\": %.9f, "
           "\"optimizer_s\": %.9f, \"flops\": %.0f}\n",
           b->model->be->ops->name, b->shape, c->L, c->V, b->sequences, b->N, b->steps, took[0],
           took[b->steps / 2], part[FORWARD], part[BACKWARD], part[OPTIMIZER], flops);
}

static err_t measure(struct bench *b)
{
    double part[PARTS], first;
    SCOPED_MEM double *took = mem_array((size_t)b->steps, sizeof *took);
    TRY(step(b, NULL, &first)); // memory is taken here
    for (int i = 0; i < b->steps; i++)
        TRY(step(b, NULL, &took[i]));
    TRY(step(b, part, NULL));
    qsort(took, (size_t)b->steps, sizeof *took, by_size);
    report(b, took, part);
    return OK;
}

static err_t bench(struct bench *b)
{
    const struct optimizer_config config = OPTIMIZER_DEFAULTS;
    SCOPED(backend) be = NULL;
    SCOPED(model) model = NULL;
    SCOPED(forward) fw = NULL;
    SCOPED(gradient) grad = NULL;
    SCOPED(optimizer) opt = NULL;
    TRY(backend_open(NULL, &(struct backend_config){.threads = 1, .trains = true}, &be));
    TRY(model_new(be, &b->config, 1, &model));
    TRY(forward_new(model, b->N, BENCH_HEAD_ROWS, FORWARD_ALL, &fw));
    TRY(gradient_new(model, &grad));
    TRY(optimizer_new(model, &config, NULL, &opt));
    b->model = model;
    b->fw = fw;
    b->grad = grad;
    b->opt = opt;
    plan(b);
    return measure(b);
}

static void bench_done(struct bench *b)
{
    void *const all[] = {b->token, b->position, b->row, b->target, b->dlogp, b->logp, b->segment};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

int main(int argc, char **argv)
{
    SCOPED_VALUE(bench)
    b = {.sequences = bench_number(argc, argv, 3, 0),
         .tokens = bench_number(argc, argv, 4, 0),
         .steps = bench_number(argc, argv, 5, 3)};
    if (argc < 5 || b.sequences < 1 || b.tokens < 2 || b.tokens > (1 << 20) / b.sequences ||
        b.steps < 1 || !bench_shape(argv[1], b.tokens, &b.config)) {
        fprintf(stderr, "bench_learning SHAPE LAYERS SEQUENCES TOKENS [STEPS [VOCABULARY]]; "
                        "shapes: " BENCH_SHAPES "\n");
        return 2;
    }
    b.shape = argv[1];
    b.N = b.sequences * b.tokens;
    b.config.L = bench_number(argc, argv, 2, 0) > 0 ? bench_number(argc, argv, 2, 0) : b.config.L;
    b.config.V = bench_number(argc, argv, 6, 0) > 0 ? bench_number(argc, argv, 6, 0) : b.config.V;
    err_t e = bench(&b);
    const int status = err_failed(e);
    if (status)
        fprintf(stderr, "bench_learning: %s\n", err_message(e));
    err_free(e);
    return status;
}
