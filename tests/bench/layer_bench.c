/* Steps of a forward with random weights, on the backend of RLHFD_BACKEND: how long they take, and
 * the least work that there is in them.
 *
 *     build/tests/bench_layer decode SHAPE LAYERS ROWS CONTEXT [STEPS [VOCABULARY]]
 *     build/tests/bench_layer prefill SHAPE LAYERS ROWS CONTEXT [STEPS [VOCABULARY]]
 *
 * decode: ROWS sequences, each of which adds the position CONTEXT - 1 and draws a token. prefill:
 * one sequence of ROWS rows, the last at CONTEXT - 1. SHAPE: shapes.h; LAYERS 0 and VOCABULARY 0:
 * its own. Prints one JSON object. least_bytes: weights once, keys and values once, the residual
 * stream in and out, and the logits once. flops: two of each product of weights and of attention.
 * steps_given: to a device as a whole, of which by_graph were one call (RLHFD_CUDA_GRAPHS=0: none).
 *
 * A checked module of the emulator (tests/cuda_emu) counts the first timed step: then an object for
 * each kernel follows, with launches and bytes (cuda_emu_count.h). */
#include "base/clock.h"
#include "base/mem.h"
#include "emu_counts.h"
#include "model/forward.h"
#include "number.h"
#include "shapes.h"
#include <stdio.h>
#include <stdlib.h>

struct bench {
    bool prefill;
    const char *shape;
    int rows, context, steps;
    struct model_config config;
    struct model *model;
    struct forward *fw;
    struct kv_pages *kv;
    int sequences, pages_each;
    int32_t *token, *position, *page, *last; // last: rows that draw
    struct segment *segment;
    struct token_request *request;
    struct token_draw *draw;
};

static void plan_sequences(struct bench *b)
{
    const int rows = b->prefill ? b->rows : 1;
    b->sequences = b->prefill ? 1 : b->rows;
    b->pages_each = (b->context + KV_PAGE - 1) / KV_PAGE;
    b->token = mem_array((size_t)b->rows, sizeof *b->token);
    b->position = mem_array((size_t)b->rows, sizeof *b->position);
    b->last = mem_array((size_t)b->sequences, sizeof *b->last);
    b->page = mem_array((size_t)b->sequences * (size_t)b->pages_each, sizeof *b->page);
    b->segment = mem_array((size_t)b->sequences, sizeof *b->segment);
    b->request = mem_array((size_t)b->sequences, sizeof *b->request);
    b->draw = mem_array((size_t)b->sequences, sizeof *b->draw);
    for (int i = 0; i < b->sequences * b->pages_each; i++)
        b->page[i] = b->sequences * b->pages_each - 1 - i;
    for (int s = 0; s < b->sequences; s++) {
        b->segment[s] = (struct segment){.first = s * rows,
                                         .count = rows,
                                         .start = b->context - rows,
                                         .kv = b->kv,
                                         .page = b->page + (size_t)s * (size_t)b->pages_each};
        b->last[s] = (s + 1) * rows - 1;
        b->request[s] =
            (struct token_request){.row = s, .inverse_temperature = 1, .counter = (uint64_t)s};
    }
    for (int i = 0; i < b->rows; i++) {
        b->token[i] = (i * 7919 + 13) % b->config.V;
        b->position[i] = b->context - rows + i % rows;
    }
}

/* One page of real keys and values, and copies of it: zeros would cost a device less power. */
static err_t fill_pages(struct bench *b)
{
    const int rows = b->rows < KV_PAGE ? b->rows : KV_PAGE;
    struct segment first = {.count = rows, .kv = b->kv, .page = b->page};
    SCOPED_MEM int32_t *position = mem_array((size_t)rows, sizeof *position);
    for (int i = 0; i < rows; i++)
        position[i] = i;
    TRY(forward_run(b->fw, b->token, position, rows, &first, 1));
    for (int i = 1; i < b->sequences * b->pages_each; i++)
        TRY(b->model->be->ops->kv_copy(b->model->be, b->kv, b->page[i], b->page[0]));
    return b->model->be->ops->sync(b->model->be);
}

static err_t step(struct bench *b)
{
    struct backend *be = b->model->be;
    if (!b->prefill)
        TRY(be->ops->step_begin(be)); // as the engine does
    TRY(forward_run(b->fw, b->token, b->position, b->rows, b->segment, b->sequences));
    TRY(forward_draw(b->fw, b->last, b->sequences, b->request, b->sequences, b->draw));
    TRY(be->ops->step_end(be));
    return be->ops->sync(be);
}

/* Positions that all rows see together. */
static double seen(const struct bench *b)
{
    const double rows = b->rows, context = b->context;
    return b->prefill ? rows * (context - rows) + rows * (rows + 1) / 2 : rows * context;
}

static void report(const struct bench *b, double best_s, double median_s)
{
    const struct model_config *c = &b->config;
    const struct backend_steps *s = &b->model->be->steps;
    const double weights = c->L * bench_layer_weights(c), head = (double)c->V * c->C;
    const double kv = 4.0 * c->L * c->K * c->D * b->context * b->sequences;
    const double stream = 8.0 * c->L * b->rows * c->C, logits = 4.0 * b->sequences * c->V;
    const double flops =
        2 * weights * b->rows + 2 * head * b->sequences + 4.0 * c->L * seen(b) * c->H * c->D;
    printf("{\"bench\": \"layer\", \"mode\": \"%s\", \"backend\": \"%s\", \"shape\": \"%s\", "
           "\"layers\": %d, \"vocabulary\": %d, \"rows\": %d, \"context\": %d, \"steps\": %d, "
           "\"best_s\": %.9f, \"median_s\": %.9f, \"least_bytes\": %.0f, \"weight_bytes\": %.0f, "
           "\"kv_bytes\": %.0f, \"flops\": %.0f, \"steps_given\": %llu, \"steps_by_graph\": %llu, "
           "\"launches_of_a_step\": %llu, \"no_graphs\": \"%s\"}\n",
           b->prefill ? "prefill" : "decode", b->model->be->ops->name, b->shape, c->L, c->V,
           b->rows, b->context, b->steps, best_s, median_s,
           2 * (weights + head) + kv + stream + logits, 2 * (weights + head), kv, flops,
           (unsigned long long)s->steps, (unsigned long long)s->by_graph,
           (unsigned long long)(s->steps ? s->launches / s->steps : 0), s->plain);
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static err_t timed_steps(struct bench *b)
{
    const struct counters counters = counters_of_module();
    SCOPED_MEM double *took = mem_array((size_t)b->steps, sizeof *took);
    for (int i = 0; i < b->steps; i++) {
        const double begin = clock_s();
        if (i == 0)
            counters_begin(&counters);
        TRY(step(b));
        if (i == 0)
            counters_report(&counters);
        took[i] = clock_s() - begin;
    }
    for (int i = 0; i < b->sequences; i++)
        if (!b->draw[i].finite)
            return err_new(ERR_DATA_LOSS, "row %d has logits that are not finite", i);
    qsort(took, (size_t)b->steps, sizeof *took, by_size);
    report(b, took[0], took[b->steps / 2]);
    return OK;
}

static err_t bench(struct bench *b)
{
    SCOPED(backend) be = NULL;
    SCOPED(model) model = NULL;
    SCOPED(forward) fw = NULL;
    TRY(backend_open(NULL, &(struct backend_config){.threads = 1}, &be));
    TRY(model_empty_compact(be, &b->config, &model));
    SCOPED_MEM bf16 *flat = bench_weights(model->params->layout);
    TRY(model_put(model, flat, NULL));
    model->kv = KV_BF16;
    TRY(forward_new(model, b->rows, b->prefill ? 1 : b->rows, FORWARD_NOTHING, &fw));
    b->model = model;
    b->fw = fw;
    const int sequences = b->prefill ? 1 : b->rows;
    TRY(be->ops->kv_new(be, b->config.L, &model->shape, KV_BF16,
                        sequences * ((b->context + KV_PAGE - 1) / KV_PAGE), &b->kv));
    plan_sequences(b);
    err_t e = fill_pages(b);
    if (!err_failed(e) && b->steps > 1)
        e = step(b); // memory of the largest step is taken here
    if (!err_failed(e))
        e = timed_steps(b);
    be->ops->kv_free(be, b->kv);
    return e;
}

static void bench_done(struct bench *b)
{
    void *const all[] = {b->token, b->position, b->page, b->last, b->segment, b->request, b->draw};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

int main(int argc, char **argv)
{
    SCOPED_VALUE(bench)
    b = {.rows = bench_number(argc, argv, 4, 0),
         .context = bench_number(argc, argv, 5, 0),
         .steps = bench_number(argc, argv, 6, 1)};
    if (argc < 6 || b.rows < 1 || b.context < b.rows || b.steps < 1 ||
        !bench_shape(argv[2], b.context, &b.config)) {
        fprintf(
            stderr,
            "bench_layer decode|prefill SHAPE LAYERS ROWS CONTEXT [STEPS [VOCABULARY]]; shapes: " BENCH_SHAPES
            "\n");
        return 2;
    }
    b.prefill = !strcmp(argv[1], "prefill");
    b.shape = argv[2];
    b.config.L = bench_number(argc, argv, 3, 0) > 0 ? bench_number(argc, argv, 3, 0) : b.config.L;
    b.config.V = bench_number(argc, argv, 7, 0) > 0 ? bench_number(argc, argv, 7, 0) : b.config.V;
    err_t e = bench(&b);
    const int status = err_failed(e);
    if (status)
        fprintf(stderr, "bench_layer: %s\n", err_message(e));
    err_free(e);
    return status;
}
