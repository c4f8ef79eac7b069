/* Gradients of weights: the cut of rows into chunks, how a product is shared out among the
 * processors, and the call that does it. The kernels are the forward's (gemm.cu, gemm_hopper.cu):
 * columns of x are their "rows of W", columns of dy their "rows of x", and dw is their y. */
#include "tensor/cuda/gemm_tile.h"

static int rounded(int n, int to)
{
    return (n + to - 1) / to * to;
}
static int blocks_of(int n, int of)
{
    return (n + of - 1) / of;
}

int gemm_chunks(const int *end, int sequences, gemm_chunk *chunk, int *ret_rows)
{
    int count = 0, rows = 0;
    for (int i = 0, begin = 0; i < sequences; begin = end[i++])
        for (int first = begin; first < end[i]; first += GEMM_CHUNK, count++) {
            const int left = end[i] - first, some = left < GEMM_CHUNK ? left : (int)GEMM_CHUNK;
            if (chunk)
                chunk[count] = {first, some, rows};
            rows += rounded(some, GEMM_CORE);
        }
    *ret_rows = rows;
    return count;
}

static int parts_of(const gemm_dw *g, const gemm_plan *plan)
{
    return plan->unit ? g->chunks : 1;
}
static int row_blocks_of(const gemm_dw *g, const gemm_plan *plan)
{
    return blocks_of(g->K, plan->tiles * GEMM_TILE);
}
static int token_blocks_of(const gemm_dw *g, const gemm_plan *plan)
{
    return blocks_of(g->N, plan->width);
}

/* As the forward's (gemm_plan.cu). A block reads its part of dw and writes it. One of a split
 * leaves its sums, and the last of them adds all. */
static double cost_of(const gemm_dw *g, const gemm_plan *plan)
{
    enum { START = 8 * 1024 };
    const double rows = plan->unit ? (double)g->rows / g->chunks : g->rows;
    const double out = plan->tiles * GEMM_TILE, width = plan->width, parts = parts_of(g, plan);
    const double sums = out * width * 4, block = (out + width) * rows * 2 + sums + START;
    const double blocks = (double)row_blocks_of(g, plan) * token_blocks_of(g, plan) * parts;
    const double waves = (double)(size_t)((blocks + g->processors - 1) / g->processors);
    const double memory = blocks * (block + sums) / g->processors, alone = waves * block / 2;
    return (memory > alone ? memory : alone) + alone / 4 + (parts > 1 ? parts * sums / 2 : 0);
}

int gemm_dw_plan_number(const gemm_dw *g, int i, gemm_plan *ret)
{
    for (int n = 0; n < 8; n++) {
        const gemm_plan plan = {n % 2 ? 128 : 64, n / 2 % 2 ? 2 : 1, n / 4};
        if ((!plan.unit || g->chunks > 1) && i-- == 0) {
            *ret = plan;
            return 1;
        }
    }
    return 0;
}

gemm_plan gemm_dw_plan_of(const gemm_dw *g)
{
    gemm_plan best = {}, plan;
    for (int i = 0; gemm_dw_plan_number(g, i, &plan); i++)
        if (!best.width || cost_of(g, &plan) < cost_of(g, &best))
            best = plan;
    return best;
}

/* ---- workspace: dy, x, counters, partial sums */

struct layout {
    size_t x, counters, partial, bytes;
};
static layout layout_of(const gemm_dw *g, const gemm_plan *plan)
{
    const size_t parts = (size_t)parts_of(g, plan), row = (size_t)g->rows * 128;
    const size_t blocks = (size_t)row_blocks_of(g, plan) * token_blocks_of(g, plan);
    const size_t sums = (size_t)plan->tiles * GEMM_TILE * plan->width;
    layout l;
    l.x = row * packed_steps(g->N);
    l.counters = l.x + row * packed_steps(g->K);
    l.partial = l.counters + (parts > 1 ? (blocks * sizeof(unsigned) + 255) / 256 * 256 : 0);
    l.bytes = l.partial + (parts > 1 ? blocks * parts * sums * sizeof(float) : 0);
    return l;
}

static bool good(const gemm_dw *g, const gemm_plan *plan)
{
    return g->N > 0 && g->K > 0 && g->chunks >= 0 && g->rows >= 0 && g->processors > 0 &&
           (plan->width == 64 || plan->width == 128) && (plan->tiles == 1 || plan->tiles == 2) &&
           (plan->unit == 0 || plan->unit == 1);
}

size_t gemm_dw_workspace(const gemm_dw *g, const gemm_plan *plan)
{
    return good(g, plan) && g->chunks ? layout_of(g, plan).bytes : 0;
}

cudaError_t gemm_dw_run(cudaStream_t stream, const gemm_dw *g, const gemm_plan *plan,
                        void *workspace)
{
    if (!good(g, plan))
        return cudaErrorInvalidValue;
    if (!g->chunks)
        return cudaSuccess;
    const layout l = layout_of(g, plan);
    unsigned char *const memory = (unsigned char *)workspace;
    gemm_args a = {};
    a.x = memory;
    a.x_rows = g->rows;
    a.M = g->N;
    a.steps = g->chunks;
    a.chunk = g->chunk;
    a.parts = parts_of(g, plan);
    a.part_steps = plan->unit ? 1 : g->chunks;
    a.parts_of_span = 1;
    a.row_blocks = row_blocks_of(g, plan);
    a.token_blocks = token_blocks_of(g, plan);
    a.accumulate = true;
    a.count = 1;
    a.product[0] = {g->dw, memory + l.x, g->K, 0};
    a.counter = (unsigned *)(memory + l.counters);
    a.partial = (float *)(memory + l.partial);
    const int longest = g->rows < GEMM_CHUNK ? g->rows : (int)GEMM_CHUNK;
    TRY_CUDA(pack_chunks(stream, memory, g->dy, g->N, g->rows, g->chunk, g->chunks, longest,
                         a.counter, a.parts > 1 ? a.row_blocks * a.token_blocks : 0));
    TRY_CUDA(pack_chunks(stream, memory + l.x, g->x, g->K, g->rows, g->chunk, g->chunks, longest,
                         NULL, 0));
    return (g->family == GEMM_HOPPER ? gemm_hopper : gemm_mma)(stream, a, *plan, GEMM_ROWS, 1);
}
