/* GFLOP/s of the matrix products, beside what this core's fma units can do at most.
 *
 *     build/tests/bench_matmul [threads [M N K]]
 *
 * One JSON object per line: the best of several timings, since other programs disturb a shared
 * machine. */
#include "base/clock.h"
#include "base/mem.h"
#include "tensor/backend.h"
#include <stdio.h>
#include <stdlib.h>

struct bench {
    struct backend *be;
    int M, N, K;
    bf16 *w;
    float *x, *y, *dw;
    struct weight *weight;
};
typedef err_t bench_op(struct bench *);

static err_t forward(struct bench *b)
{
    return b->be->ops->matmul(b->be, b->y, b->x, b->weight, b->M, 0);
}
static err_t dx(struct bench *b)
{
    return b->be->ops->matmul_dx(b->be, b->x, b->y, b->weight, b->M, 0);
}
static err_t dw(struct bench *b)
{
    return b->be->ops->matmul_dw(b->be, b->dw, b->y, b->x, b->M, b->N, b->K, NULL);
}

/* The shortest of nine timings of as many calls as fill a few milliseconds. */
static err_t seconds_per_call(bench_op *op, struct bench *b, double *ret)
{
    const double flops = 2.0 * b->M * b->N * b->K;
    const int calls = 1 + (int)(2e8 / (flops + 1e4));
    double best = 1e9;
    for (int round = 0; round < 9; round++) {
        const double start = clock_s();
        for (int i = 0; i < calls; i++)
            TRY(op(b));
        const double took = (clock_s() - start) / calls;
        best = took < best ? took : best;
    }
    *ret = best;
    return OK;
}

static err_t bench_shape(struct backend *be, int threads, int M, int N, int K)
{
    static const struct {
        const char *name;
        bench_op *op;
    } ops[] = {{"matmul", forward}, {"matmul_dx", dx}, {"matmul_dw", dw}};
    struct bench b = {.be = be, .M = M, .N = N, .K = K};
    b.w = mem_aligned((size_t)N * K * sizeof *b.w);
    b.x = mem_aligned((size_t)M * K * sizeof *b.x);
    b.y = mem_aligned((size_t)M * N * sizeof *b.y);
    b.dw = mem_aligned((size_t)N * K * sizeof *b.dw);
    const struct weight_form form = {.N = N, .K = K, .rows = b.w, .packed = true};
    TRY(be->ops->weights_new(be, &form, 1, &b.weight));
    TRY(be->ops->weight_repack(be, b.weight));
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        double s;
        TRY(seconds_per_call(ops[i].op, &b, &s));
        printf(
            "{\"op\":\"%s\",\"threads\":%d,\"M\":%d,\"N\":%d,\"K\":%d,\"us\":%.2f,\"gflops\":%.1f}\n",
            ops[i].name, threads, M, N, K, s * 1e6, 2e-9 * M * N * K / s);
    }
    be->ops->weight_free(be, b.weight);
    free(b.w);
    free(b.x);
    free(b.y);
    free(b.dw);
    return OK;
}

static err_t run(int threads)
{
    SCOPED(backend) be = NULL;
    TRY(backend_open(NULL, &(struct backend_config){.threads = threads}, &be));
    static const int rows[] = {1, 8, 64, 512}, widths[] = {64, 128, 512, 768};
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
        for (size_t m = 0; m < sizeof rows / sizeof *rows; m++)
            TRY(bench_shape(be, threads, rows[m], widths[w], widths[w]));
    return bench_shape(be, threads, 512, 2048, 128); // a head
}

static err_t run_one(int threads, char **shape)
{
    int size[3];
    SCOPED(backend) be = NULL;
    for (int i = 0; i < 3; i++) {
        const long value = strtol(shape[i], NULL, 10);
        if (value < 1 || value > 1 << 16)
            return err_new(ERR_INVALID, "'%s' is no number of rows or columns", shape[i]);
        size[i] = (int)value;
    }
    TRY(backend_open(NULL, &(struct backend_config){.threads = threads}, &be));
    return bench_shape(be, threads, size[0], size[1], size[2]);
}

int main(int argc, char **argv)
{
    const int threads = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 1;
    err_t e = argc > 4 ? run_one(threads, argv + 2) : run(threads);
    if (err_failed(e))
        fprintf(stderr, "%s\n", err_message(e));
    const int status = err_failed(e);
    err_free(e);
    return status;
}
