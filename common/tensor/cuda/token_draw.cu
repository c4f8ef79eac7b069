/* Draws of tokens. The first kernel (draw_part.cu) sums each part of each request's row; the second
 * draws, a block for each request, which reads one part where nothing is truncated. Else the block
 * sweeps the row a few times, past the parts that have nothing likely enough. */
#include "tensor/cuda/draw_cut.h"

/* Philox 4x32-10, as base/rng.c. */
__device__ __forceinline__ u64 random_of(const draw_request &r)
{
    uint32_t c[4] = {(uint32_t)r.counter, (uint32_t)(r.counter >> 32), (uint32_t)r.stream,
                     (uint32_t)(r.stream >> 32)};
    uint32_t k[2] = {(uint32_t)r.key, (uint32_t)(r.key >> 32)};
#pragma unroll 1
    for (int i = 0; i < 10; i++) {
        const u64 p0 = (u64)0xD2511F53u * c[0], p1 = (u64)0xCD9E8D57u * c[2];
        c[0] = (uint32_t)(p1 >> 32) ^ c[1] ^ k[0];
        c[1] = (uint32_t)p1;
        c[2] = (uint32_t)(p0 >> 32) ^ c[3] ^ k[1];
        c[3] = (uint32_t)p0;
        k[0] += 0x9E3779B9u;
        k[1] += 0xBB67AE85u;
    }
    return (u64)c[1] << 32 | c[0];
}

struct drawn {
    int token;
    double mass, share;
};

/* The part by the parts' sums, then the token in it. */
__device__ __forceinline__ drawn draw_whole(draw_state &state, const drawn_row &row,
                                            const draw_request &r)
{
    SHARED(double, fraction);
    const double total = state.drawn.sum;
    if (threadIdx.x == 0) {
        const double goal = __dmul_rn((double)(random_of(r) >> 11) * 0x1p-53, total);
        double before = 0.0, sum = 0.0;
        int part = 0;
        for (int p = 0; p < row.parts && sum <= goal; p++) {
            if (state.each[p] == 0.0)
                continue;
            part = p;
            before = sum;
            sum = __dadd_rn(sum, state.each[p]);
        }
        state.at = part;
        fraction = (goal - before) / state.each[part];
    }
    __syncthreads();
    const int part = state.at;
    const float max = row.part[part].max;
    const mass_in_part amount;
    float depth[4];
    u64 sum = 0;
    depth_of(depth, row, part, max);
#pragma unroll
    for (int e = 0; e < 4; e++)
        sum += amount(exact_exp(depth[e]), 0);
    const u64 all = block_total(state, sum), goal = (u64)(fraction * (double)all);
    __syncthreads();
    find_in_part(state, row, part, max, goal < all ? goal : all - 1, amount);
    return drawn{state.at, 1.0, state.each[part] / total * ((double)state.amount / (double)all)};
}

/* The part of the row that the truncations keep. */
__device__ __forceinline__ mass_kept keep(draw_state &state, const drawn_row &row,
                                          const draw_request &r, float &low)
{
    const float lowest = depth_below(1.0 / ((u64)1 << MASS_BITS));
    const double total = state.drawn.sum;
    const bool nucleus = r.top_p > 0.0f && r.top_p < 1.0f;
    mass_kept kept = {r.min_p > 0.0f ? fminf(r.min_p, 1.0f) : 0.0f, {0, NOWHERE}};
    low = kept.floor > 0.0f ? fmaxf(lowest, depth_below((double)kept.floor)) : lowest;
    bool cut = false;
    if (r.top_k > 0 && r.top_k < row.V)
        cut = cut_where(state, row, nucleus ? lowest : low, r.top_k - 1, counting(), kept.least);
    if (nucleus) {
        double limit = total * (double)((u64)1 << MASS_BITS);
        /* Tokens below this weight sum to less than what top_p may leave out. */
        float from = depth_below(0.99 * (1.0 - (double)r.top_p) * total / row.V);
        if (cut) {
            const mass_kept left = {0.0f, kept.least};
            from = depth_below((double)__uint_as_float(kept.least.key));
            sum_parts(state, row, from, left);
            limit = (double)block_total(state,
                                        (int)threadIdx.x < row.parts ? state.part[threadIdx.x] : 0);
            __syncthreads();
        }
        limit *= (double)r.top_p;
        const u64 whole = (u64)limit, goal = (double)whole < limit || !whole ? whole : whole - 1;
        cut_where(state, row, fmaxf(low, from), goal, mass_in_row(), kept.least);
    }
    if (kept.least.key)
        low = fmaxf(low, depth_below((double)__uint_as_float(kept.least.key)));
    return kept;
}

__device__ __forceinline__ drawn draw_kept(draw_state &state, const drawn_row &row,
                                           const draw_request &r)
{
    float low;
    const mass_kept kept = keep(state, row, r, low);
    sum_parts(state, row, low, kept);
    const u64 all = block_total(state, (int)threadIdx.x < row.parts ? state.part[threadIdx.x] : 0);
    __syncthreads();
    const u64 random = random_of(r) >> 11 << 11;
    find_in_row(state, row, (u64)((unsigned __int128)random * all >> 64), kept);
    const double mass = (double)all / (double)((u64)1 << MASS_BITS) / state.drawn.sum;
    return drawn{state.at, mass < 1.0 ? mass : 1.0, (double)state.amount / (double)all};
}

/* The sums of the row, by warp 0; the largest of it, by warp 1. */
__device__ __forceinline__ void sum_row(draw_state &state, const draw_work &work, size_t at,
                                        int parts, bool penalty, bool greedy)
{
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    if (warp == 0) {
        const row_total plain = total_of(work.plain + at, parts, penalty ? NULL : state.each);
        const row_total drawn = penalty ? total_of(work.drawn + at, parts, state.each) : plain;
        if (lane == 0) {
            state.plain = plain;
            state.drawn = drawn;
        }
    }
    if (warp == 1 && greedy) {
        float best = MINUS_INFINITY;
        int best_at = NOWHERE;
        for (int p = lane; p < parts; p += 32)
            prefer(best, best_at, work.best[at + p], work.best_at[at + p]);
        warp_prefer(best, best_at);
        if (lane == 0) {
            state.best = best;
            state.best_at = best_at;
        }
    }
    __syncthreads();
}

__global__ void __launch_bounds__(DRAW_THREADS)
    draw_kernel(draw_result *ret, draw_work work, const float *logits, int V, int parts, bool wide,
                const draw_request *request)
{
    SHARED(draw_state, state);
    early_begin();
    const draw_request &r = request[blockIdx.x];
    const size_t at = (size_t)r.sums * parts;
    const bool penalty = r.penalty != 0.0f;
    logits += (size_t)r.row * V;
    sum_row(state, work, at, parts, penalty, r.greedy);
    const double sum = state.drawn.sum;
    const bool finite = r.greedy ? state.best < -MINUS_INFINITY && state.best > MINUS_INFINITY
                                 : sum > 0.0 && sum < (double)-MINUS_INFINITY;
    drawn draw = {r.greedy ? state.best_at : 0, 1.0, 1.0};
    if (!finite) {
        if (threadIdx.x == 0)
            ret[blockIdx.x] = draw_result{0, 0, 0.0f, 0.0f, 0.0, 0.0};
        return;
    }
    const drawn_row row = {logits,
                           penalty ? work.mark + at * MARK_WORDS : NULL,
                           (penalty ? work.drawn : work.plain) + at,
                           r.inverse_temperature,
                           r.penalty,
                           state.drawn.max,
                           V,
                           parts,
                           wide};
    const bool truncates = r.top_k > 0 || r.min_p > 0.0f || (r.top_p > 0.0f && r.top_p < 1.0f);
    if (!r.greedy)
        draw = truncates ? draw_kept(state, row, r) : draw_whole(state, row, r);
    if (threadIdx.x == 0)
        ret[blockIdx.x] = draw_result{
            1,    draw.token, logp_of(state.plain, logits[draw.token], r.inverse_temperature),
            0.0f, draw.mass,  draw.share};
}

/* Lays the arrays out from `memory` on; returns their bytes. */
static size_t lay_out(draw_work *work, void *memory, int count, int V, int penalties)
{
    const size_t parts = (size_t)count * parts_of(V);
    char *at = (char *)memory;
    work->plain = (row_part *)at;
    at += parts * sizeof *work->plain;
    work->best = (float *)at;
    at += parts * sizeof *work->best;
    work->best_at = (int *)at;
    at += parts * sizeof *work->best_at;
    work->drawn = (row_part *)at;
    at += penalties ? parts * sizeof *work->drawn : 0;
    work->mark = (uint32_t *)at;
    at += penalties ? parts * MARK_WORDS * sizeof *work->mark : 0;
    return (size_t)(at - (char *)memory);
}

size_t vocabulary_draw_bytes(int count, int V, int penalties)
{
    draw_work work;
    return lay_out(&work, NULL, count, V, penalties);
}

cudaError_t vocabulary_draw(cudaStream_t stream, struct draw_result *ret, const float *logits,
                            int V, const struct draw_request *request, const int32_t *token,
                            int count, void *memory)
{
    const int parts = parts_of(V);
    const bool wide = fours_in(logits, V);
    draw_work work;
    if (!count)
        return cudaSuccess;
    if (V > DRAW_VOCABULARY_MAX)
        return cudaErrorInvalidValue;
    lay_out(&work, memory, count, V, 1);
    TRY_CUDA(draw_parts(stream, work, logits, V, parts, wide, request, token, count));
    return launch_early(draw_kernel, dim3(count), dim3(DRAW_THREADS), 0, stream, ret, work, logits,
                        V, parts, wide, request);
}
