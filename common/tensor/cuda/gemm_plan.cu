/* How a product is shared out among the processors, and the call that does it. */
#include "tensor/cuda/gemm_tile.h"

static int rounded(int n, int to)
{
    return (n + to - 1) / to * to;
}
static int blocks_of(int n, int of)
{
    return (n + of - 1) / of;
}
static int pieces_of(const gemm *g)
{
    return g->precise ? 3 : 1;
}

/* The narrowest of the family's that holds all rows, or the widest. Backward, few rows are rare. */
static int width_of(const gemm *g)
{
    if (g->across)
        return g->M > 64 ? 128 : 64;

    const int widest = g->precise ? 96 : 128, columns = rounded(g->M, 8) * pieces_of(g);
    int width = g->precise ? 24 : 8;
    while (width < columns && width < widest)
        width *= 2;
    return width;
}

/* Four tiles of 64 sums by 128 do not fit the registers; for few rows of x they save nothing. */
static bool can_run(const gemm *g, const gemm_plan *plan)
{
    const bool four = g->family == GEMM_HOPPER && !g->across && plan->width >= 32 &&
                      plan->width <= 96 && plan->width != 48;
    return plan->tiles == 1 || plan->tiles == 2 || (plan->tiles == 4 && four);
}

static int row_blocks_of(const gemm *g, const gemm_plan *plan)
{
    int blocks = 0;
    for (int i = 0; i < g->count; i++)
        blocks += blocks_of(g->product[i].N, plan->tiles * GEMM_TILE);
    return blocks;
}
static int token_blocks_of(const gemm *g, const gemm_plan *plan)
{
    return blocks_of(g->M, plan->width / pieces_of(g));
}
static int parts_of(const gemm *g, const gemm_plan *plan)
{
    return plan->unit ? blocks_of(g->K, plan->unit) : 1;
}

/* Time, in bytes that one processor moves at its share of the memory's rate; alone it moves twice
 * that. Between equal times more blocks are better, since copies of more processors are under way.
 * The last block of a split adds the parts when all else is done. */
static double cost_of(const gemm *g, const gemm_plan *plan)
{
    enum { START = 8 * 1024 }; // a block's, before its first copy is there
    const double K = plan->unit && plan->unit < g->K ? plan->unit : g->K;
    const double rows = plan->tiles * GEMM_TILE, tokens = plan->width / pieces_of(g);
    const double columns = g->M < tokens ? g->M * pieces_of(g) : plan->width;
    const double parts = parts_of(g, plan), sums = parts > 1 ? rows * tokens * 4 : 0;
    const double block = (rows + columns) * K * 2 + sums + START;
    const double blocks = (double)row_blocks_of(g, plan) * token_blocks_of(g, plan) * parts;
    const double waves = (double)(size_t)((blocks + g->processors - 1) / g->processors);
    const double memory = blocks * (block + sums) / g->processors, alone = waves * block / 2;
    return (memory > alone ? memory : alone) + alone / 4 + parts * sums / 2;
}

int gemm_plan_number(const gemm *g, int i, gemm_plan *ret)
{
    static const int tiles[] = {1, 2, 4}, units[] = {0, GEMM_SPAN, GEMM_CHUNK};
    for (int n = 0; n < 9; n++) {
        const gemm_plan plan = {width_of(g), tiles[n % 3], units[n / 3]};
        if (can_run(g, &plan) && (!plan.unit || plan.unit < g->K) && i-- == 0) {
            *ret = plan;
            return 1;
        }
    }
    return 0;
}

gemm_plan gemm_plan_of(const gemm *g)
{
    gemm_plan best = {}, plan;
    for (int i = 0; gemm_plan_number(g, i, &plan); i++)
        if (!best.width || cost_of(g, &plan) < cost_of(g, &best))
            best = plan;
    return best;
}

/* ---- workspace: x, counters, partial sums */

struct layout {
    size_t zeros, counters, partial, bytes;
};
static layout layout_of(const gemm *g, const gemm_plan *plan)
{
    const size_t parts = (size_t)parts_of(g, plan),
                 x_rows = (size_t)rounded(g->M, 8) * pieces_of(g);
    const size_t blocks = (size_t)row_blocks_of(g, plan) * token_blocks_of(g, plan);
    const size_t sums = (size_t)plan->tiles * GEMM_TILE * (plan->width / pieces_of(g));
    layout l;
    l.zeros = x_rows * packed_steps(g->K) * 128;
    l.counters = l.zeros + (g->across ? GEMM_ZEROS : 0);
    l.partial = l.counters + (parts > 1 ? (blocks * sizeof(unsigned) + 255) / 256 * 256 : 0);
    l.bytes = l.partial + (parts > 1 ? blocks * parts * sums * sizeof(float) : 0);
    return l;
}

static bool good(const gemm *g)
{
    if (g->M < 0 || g->K < 1 || (g->across && g->precise) || g->count < 1 ||
        g->count > GEMM_PRODUCTS || g->processors < 1)
        return false;
    for (int i = 0; i < g->count; i++)
        if (g->product[i].N < 1)
            return false;
    return true;
}

size_t gemm_workspace(const gemm *g, const gemm_plan *plan)
{
    return good(g) && g->M ? layout_of(g, plan).bytes : 0;
}

size_t gemm_workspace_most(const gemm *g)
{
    size_t most = 0;
    for (gemm some = *g; some.M > 0; some.M--) {
        const gemm_plan plan = gemm_plan_of(&some);
        const size_t bytes = gemm_workspace(&some, &plan);
        most = most < bytes ? bytes : most;
    }
    return most;
}

cudaError_t gemm_run(cudaStream_t stream, const gemm *g, const gemm_plan *plan, void *workspace)
{
    if (!good(g) || !can_run(g, plan) || plan->width != width_of(g))
        return cudaErrorInvalidValue;
    if (!g->M)
        return cudaSuccess;
    const layout l = layout_of(g, plan);
    unsigned char *const memory = (unsigned char *)workspace;
    gemm_args a = {};
    a.x = memory;
    a.x_rows = rounded(g->M, 8) * pieces_of(g);
    a.M = g->M;
    a.K = g->K;
    a.steps = packed_steps(g->K);
    a.parts = parts_of(g, plan);
    a.part_steps = plan->unit ? plan->unit / GEMM_STEP : a.steps;
    a.parts_of_span = plan->unit ? GEMM_SPAN / plan->unit : 1;
    a.row_blocks = row_blocks_of(g, plan);
    a.token_blocks = token_blocks_of(g, plan);
    a.accumulate = g->accumulate;
    a.count = g->count;
    for (int i = 0, first = 0; i < g->count; i++) {
        a.product[i] = {g->product[i].y, (const unsigned char *)g->product[i].w, g->product[i].N,
                        first};
        first += blocks_of(g->product[i].N, plan->tiles * GEMM_TILE);
    }
    a.zeros = memory + l.zeros;
    a.counter = (unsigned *)(memory + l.counters);
    a.partial = (float *)(memory + l.partial);
    const int counters = a.parts > 1 ? a.row_blocks * a.token_blocks : 0;
    TRY_CUDA(pack_x(stream, memory, g->x, g->M, g->K, pieces_of(g), (unsigned *)(memory + l.zeros),
                    (int)((l.counters - l.zeros) / sizeof(unsigned)) + counters));
    return (g->family == GEMM_HOPPER ? gemm_hopper : gemm_mma)(
        stream, a, *plan, g->across ? GEMM_ACROSS : GEMM_ALONG, pieces_of(g));
}
