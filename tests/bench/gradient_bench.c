/* Steps of training with random weights, forward and backward, on the backend of RLHFD_BACKEND: how
 * long they take, and the least work that there is in them.
 *
 *     build/tests/bench_gradient SHAPE LAYERS ROWS CONTEXT [STEPS [VOCABULARY]]
 *
 * ROWS rows in sequences of CONTEXT rows, the last of which may be shorter; all are trained, and
 * activations are kept. SHAPE: shapes.h; LAYERS 0 and VOCABULARY 0: its own. Prints a JSON object.
 * flops: of each weight and row two forward and four backward; of each position that a row sees two
 * products forward and five backward. least_bytes: weights once forward and once backward, their
 * gradients read and written, and what a layer keeps written and read once.
 *
 * A checked module of the emulator counts the first timed step: then an object for each kernel
 * follows (emu_counts.h). */
#include "base/clock.h"
#include "base/mem.h"
#include "emu_counts.h"
#include "model/backward.h"
#include "number.h"
#include "shapes.h"

struct bench {
    const char *shape;
    int rows, context, steps, sequences;
    struct model_config config;
    struct model *model;
    struct forward *fw;
    struct gradient *grad;
    int32_t *token, *position, *row, *target;
    float *dlogp, *logp;
    struct segment *segment;
};

static void plan_sequences(struct bench *b)
{
    const size_t rows = (size_t)b->rows;
    b->sequences = (b->rows + b->context - 1) / b->context;
    b->token = mem_array(rows, sizeof *b->token);
    b->position = mem_array(rows, sizeof *b->position);
    b->row = mem_array(rows, sizeof *b->row);
    b->target = mem_array(rows, sizeof *b->target);
    b->dlogp = mem_array(rows, sizeof *b->dlogp);
    b->logp = mem_array(rows, sizeof *b->logp);
    b->segment = mem_array((size_t)b->sequences, sizeof *b->segment);
    for (int s = 0, first = 0; s < b->sequences; s++, first += b->context)
        b->segment[s] = (struct segment){
            .first = first, .count = b->rows - first < b->context ? b->rows - first : b->context};
    for (int i = 0; i < b->rows; i++) {
        b->token[i] = (i * 7919 + 13) % b->config.V;
        b->position[i] = i % b->context;
        b->row[i] = i;
        b->target[i] = (i * 104729 + 7) % b->config.V;
        b->dlogp[i] = -1.0f / (float)b->rows;
    }
}

static err_t step(struct bench *b)
{
    TRY(forward_run(b->fw, b->token, b->position, b->rows, b->segment, b->sequences));
    TRY(forward_logp(b->fw, b->row, b->target, b->rows, 1, b->logp, NULL));
    TRY(backward_run(b->fw, b->row, b->target, b->dlogp, b->rows, 1, b->grad));
    return b->model->be->ops->sync(b->model->be);
}

/* Positions that all rows see together. */
static double seen(const struct bench *b)
{
    double sum = 0;
    for (int s = 0; s < b->sequences; s++)
        sum += b->segment[s].count * (b->segment[s].count + 1.0) / 2;
    return sum;
}

static void report(const struct bench *b, double best_s, double median_s)
{
    const struct model_config *c = &b->config;
    const double projections = (double)c->C * c->D * (2.0 * c->H + 2.0 * c->K),
                 weights = c->L * (projections + 3.0 * c->C * c->F), head = (double)c->V * c->C;
    /* x, both norms' outputs and the stream between; q, k, v, o; gate, up and their product */
    const double kept = 4.0 * c->C + (double)c->D * (2.0 * c->H + 2.0 * c->K) + 3.0 * c->F;
    const double flops = 6 * (weights + head) * b->rows + 14 * c->L * seen(b) * c->H * c->D;
    printf("{\"bench\": \"gradient\", \"backend\": \"%s\", \"shape\": \"%s\", \"layers\": %d, "
           "\"vocabulary\": %d, \"rows\": %d, \"context\": %d, \"steps\": %d, \"best_s\": %.9f, "
           "\"median_s\": %.9f, \"least_bytes\": %.0f, \"flops\": %.0f}\n",
           b->model->be->ops->name, b->shape, c->L, c->V, b->rows, b->context, b->steps, best_s,
           median_s, (2 * 2 + 8) * (weights + head) + 8 * c->L * kept * b->rows, flops);
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
        TRY(gradient_zero(b->grad));
        const double begin = clock_s();
        if (i == 0)
            counters_begin(&counters);
        TRY(step(b));
        if (i == 0)
            counters_report(&counters);
        took[i] = clock_s() - begin;
    }
    qsort(took, (size_t)b->steps, sizeof *took, by_size);
    report(b, took[0], took[b->steps / 2]);
    return OK;
}

static err_t bench(struct bench *b)
{
    SCOPED(backend) be = NULL;
    SCOPED(model) model = NULL;
    SCOPED(forward) fw = NULL;
    SCOPED(gradient) grad = NULL;
    TRY(backend_open(NULL, &(struct backend_config){.threads = 1}, &be));
    TRY(model_empty(be, &b->config, &model));
    SCOPED_MEM bf16 *flat = bench_weights(model->params->layout);
    TRY(model_put(model, flat, NULL));
    if (be->rounds)
        model->kv = KV_BF16;
    TRY(forward_new(model, b->rows, b->rows, FORWARD_ALL, &fw));
    TRY(gradient_new(model, &grad));
    b->model = model;
    b->fw = fw;
    b->grad = grad;
    plan_sequences(b);
    if (b->steps > 1)
        TRY(step(b)); // memory of the largest step is taken here
    return timed_steps(b);
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
    b = {.rows = bench_number(argc, argv, 3, 0),
         .context = bench_number(argc, argv, 4, 0),
         .steps = bench_number(argc, argv, 5, 1)};
    if (argc < 5 || b.rows < 1 || b.context < 1 || b.steps < 1 ||
        !bench_shape(argv[1], b.context, &b.config)) {
        fprintf(
            stderr,
            "bench_gradient SHAPE LAYERS ROWS CONTEXT [STEPS [VOCABULARY]]; shapes: " BENCH_SHAPES
            "\n");
        return 2;
    }
    b.shape = argv[1];
    b.config.L = bench_number(argc, argv, 2, 0) > 0 ? bench_number(argc, argv, 2, 0) : b.config.L;
    b.config.V = bench_number(argc, argv, 6, 0) > 0 ? bench_number(argc, argv, 6, 0) : b.config.V;
    err_t e = bench(&b);
    const int status = err_failed(e);
    if (status)
        fprintf(stderr, "bench_gradient: %s\n", err_message(e));
    err_free(e);
    return status;
}
