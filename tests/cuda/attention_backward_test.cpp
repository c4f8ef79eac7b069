/* The kernels of attention's gradient: bits are those of plain loops in the documented order,
 * whatever a call is made of. */
extern "C" {
#define bf16 uint16_t // tensor.h's; kernels have CUDA's
#include "tensor/cuda/attention_backward_list.h"
#undef bf16
}
#include "cuda_emu_count.h"
#include "test.h"
#include <algorithm>

static float rounded(float x)
{
    return __bfloat162float(__float2bfloat16_rn(x));
}

static std::vector<float> all_rounded(std::vector<float> x)
{
    for (float &y : x)
        y = rounded(y);
    return x;
}

/* The rows of a call. o and lse need not be a forward's: the order is the same. */
struct rows {
    attention_shape a;
    std::vector<segment> segments;
    std::vector<float> q, k, v, d_o, o, lse, dq, dk, dv;
    size_t query(int row, int head) const
    {
        return ((size_t)row * a.H + head) * a.D;
    }
    size_t key(int row, int head) const
    {
        return ((size_t)row * a.K + head) * a.D;
    }
};

/* ---- the order, as plain loops */

static float dot(const float *x, const float *y, int D, int order)
{
    float sum = 0;
    for (int d = 0; d < D; d += 16)
        sum = reference_step(sum, x + d, 1, y + d, 1, std::min(16, D - d), order);
    return sum;
}

/* By lanes that have eight elements each, then a tree. */
static float plain_delta(const float *grad, const float *o, int D, int width)
{
    int lanes = 2;
    while (lanes < width / 8)
        lanes *= 2;
    std::vector<float> sum(lanes);
    for (int d = 0; d < D; d++)
        sum[d / 8] = fmaf(grad[d], o[d], sum[d / 8]);
    for (; lanes > 1; lanes /= 2)
        for (int i = 0; i < lanes / 2; i++)
            sum[i] = sum[i] + sum[i + lanes / 2];
    return sum[0];
}

/* The row of the key at a position that a segment's queries see. */
static int key_row(const segment &s, int position)
{
    return position < s.start ? s.prefix + position : s.first + position - s.start;
}

static bool sees(const attention_shape &a, int query, int key)
{
    return key <= query && (!a.window || query - key < a.window);
}

struct plain { // of rounded rows
    const rows &r;
    int order, width = attention_width(r.a.D), group = r.a.H / r.a.K;
    std::vector<float> q, k, v, grad, delta;
    plain(const rows &r, int order)
        : r(r), order(order), q(all_rounded(r.q)), k(all_rounded(r.k)), v(all_rounded(r.v)),
          grad(all_rounded(r.d_o)), delta(r.lse.size())
    {
        for (size_t i = 0; i < delta.size(); i++)
            delta[i] = plain_delta(&grad[i * r.a.D], &r.o[i * r.a.D], r.a.D, width);
    }
    void pair(int row, int head, int key, float *weight, float *slope) const
    {
        const float scale = 1.0f / sqrtf((float)r.a.D);
        const size_t at = r.query(row, head), there = r.key(key, head / group);
        const size_t stat = (size_t)row * r.a.H + head;
        *weight = reference_exp(dot(&q[at], &k[there], r.a.D, order) * scale - r.lse[stat]);
        *slope = *weight * (dot(&grad[at], &v[there], r.a.D, order) - delta[stat]);
    }
    /* Sixteen terms at a time: x's element d times a weight, where a pair is seen. */
    struct step {
        float weight[16] = {};
        int row[16] = {}; // an element's place is row * D
        bool any = false;
    };
    void add(std::vector<float> &sum, const step &s, const std::vector<float> &x) const
    {
        float terms[16];
        for (int d = 0; s.any && d < r.a.D; d++) {
            for (int i = 0; i < 16; i++)
                terms[i] = s.weight[i] == 0 ? 0.0f : x[(size_t)s.row[i] * r.a.D + d];
            sum[d] = reference_step(sum[d], s.weight, 1, terms, 1, 16, order);
        }
    }
    void dq(const segment &s, int i, int head, float *to) const
    {
        const int query = s.start + i;
        const float scale = 1.0f / sqrtf((float)r.a.D);
        std::vector<float> total(r.a.D);
        for (int chunk = 0; chunk <= query; chunk += KV_CHUNK) {
            std::vector<float> sum(r.a.D);
            for (int j = chunk; j < chunk + KV_CHUNK && j <= query; j += 16) {
                step t;
                for (int e = 0; e < 16; e++) {
                    float weight, slope;
                    if (!sees(r.a, query, j + e))
                        continue;
                    const int row = key_row(s, j + e);
                    pair(s.first + i, head, row, &weight, &slope);
                    t.weight[e] = rounded(slope);
                    t.row[e] = row * r.a.K + head / group;
                    t.any = true;
                }
                add(sum, t, k);
            }
            for (int d = 0; d < r.a.D; d++)
                total[d] = fmaf(sum[d], scale, total[d]);
        }
        std::copy(total.begin(), total.end(), to);
    }
    /* Rows of segment s onto the sums of the key in row `row`, at `position`. */
    void take(const segment &s, int row, int position, int head, float *dk, float *dv) const
    {
        const float scale = 1.0f / sqrtf((float)r.a.D);
        const int end = (s.start + s.count) * group;
        for (int chunk = 0; chunk < end; chunk += ROW_CHUNK) {
            std::vector<float> sum_k(r.a.D), sum_v(r.a.D);
            for (int j = chunk; j < std::min(chunk + (int)ROW_CHUNK, end); j += 16) {
                step t, u;
                for (int e = 0; e < 16 && j + e < end; e++) {
                    const int query = (j + e) / group, h = head * group + (j + e) % group;
                    float weight, slope;
                    if (query < s.start || !sees(r.a, query, position))
                        continue;
                    const int at = s.first + query - s.start;
                    pair(at, h, row, &weight, &slope);
                    t.weight[e] = rounded(weight), u.weight[e] = rounded(slope);
                    t.row[e] = u.row[e] = at * r.a.H + h;
                    t.any = u.any = true;
                }
                add(sum_v, t, grad);
                add(sum_k, u, q);
            }
            for (int d = 0; d < r.a.D; d++) {
                dk[d] = fmaf(sum_k[d], scale, dk[d]);
                dv[d] = dv[d] + sum_v[d];
            }
        }
    }
    void run(std::vector<float> &dq_, std::vector<float> &dk, std::vector<float> &dv) const
    {
        for (size_t i = 0; i < r.segments.size(); i++) {
            const segment &s = r.segments[i];
            for (int n = 0; n < s.count; n++)
                for (int h = 0; h < r.a.H; h++)
                    dq(s, n, h, &dq_[r.query(s.first + n, h)]);
            for (int n = 0; n < s.count; n++)
                for (int h = 0; h < r.a.K; h++) {
                    const size_t at = r.key(s.first + n, h);
                    std::fill_n(&dk[at], r.a.D, 0.0f);
                    std::fill_n(&dv[at], r.a.D, 0.0f);
                    take(s, s.first + n, s.start + n, h, &dk[at], &dv[at]);
                    for (size_t j = i + 1; !s.start && j < r.segments.size() && r.segments[j].start;
                         j++)
                        if (n < r.segments[j].start)
                            take(r.segments[j], s.first + n, n, h, &dk[at], &dv[at]);
                }
        }
    }
};

/* ---- a call */

/* (count, start) of each segment; those that start later share the last one that starts at 0. A
 * row between segments belongs to none. */
struct piece {
    int count, start;
};

static rows rows_of(const attention_shape &a, const std::vector<piece> &pieces, uint64_t seed)
{
    rows r = {a, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}};
    int at = 1, owner = 0;
    for (const piece &p : pieces) {
        if (!p.start)
            owner = at;
        r.segments.push_back({at, p.count, p.start, NULL, NULL, p.start ? owner : 0});
        at += p.count + 1;
    }
    const size_t q = (size_t)at * a.H * a.D, k = (size_t)at * a.K * a.D;
    r.q = floats(q, 1, seed + 1), r.k = floats(k, 1, seed + 2), r.v = floats(k, 1, seed + 3);
    r.d_o = floats(q, 1, seed + 4), r.o = floats(q, 0.3f, seed + 5);
    r.lse = floats((size_t)at * a.H, 0.5f, seed + 6);
    for (float &x : r.lse)
        x += 1.5f;
    r.dq = floats(q, 1, seed + 7), r.dk = floats(k, 1, seed + 8), r.dv = floats(k, 1, seed + 9);
    return r;
}

/* ret: rows that are none of a segment's stay as they are. */
static void run(const rows &r, std::vector<float> *dq, std::vector<float> *dk,
                std::vector<float> *dv)
{
    attention_backward_list list = {};
    const err_t e =
        attention_backward_list_make(r.segments.data(), (int)r.segments.size(), &r.a, &list);
    if (e.e)
        fail_msg("%s", err_message(e));
    device<char> there(std::vector<char>(list.data, list.data + list.bytes));
    device<float> q(r.q), k(r.k), v(r.v), d_o(r.d_o), o(r.o), lse(r.lse), dq_(r.dq), dk_(r.dk),
        dv_(r.dv);
    attention_backward_call call = {};
    call.dq = dq_, call.dk = dk_, call.dv = dv_;
    call.d_o = d_o, call.q = q, call.k = k, call.v = v, call.o = o, call.lse = lse;
    call.H = r.a.H, call.K = r.a.K, call.D = r.a.D;
    call.scale = 1.0f / sqrtf((float)r.a.D);
    call.aligned = r.a.D % 4 == 0;
    attention_backward_list_place(&list, there, &call);
    attention_backward_list_done(&list);
    device<char> scratch(attention_backward_scratch(&call) + 1);
    attention_backward_place(&call, scratch);
    assert_cuda(attention_backward_run(NULL, &call));
    cudaDeviceSynchronize();
    *dq = dq_.get(), *dk = dk_.get(), *dv = dv_.get();
}

struct sizes {
    attention_shape a;
    std::vector<piece> pieces;
};

static void one(int seed, const sizes &z)
{
    schedule(seed);
    const rows r = rows_of(z.a, z.pieces, 100);
    std::vector<float> dq, dk, dv, want_q = r.dq, want_k = r.dk, want_v = r.dv;
    plain(r, seed % 3).run(want_q, want_k, want_v);
    run(r, &dq, &dk, &dv);
    same_bits(dv, want_v, "dv");
    same_bits(dk, want_k, "dk");
    same_bits(dq, want_q, "dq");
    cuda_emu_reset();
}

static void bits(void **state)
{
    const auto &list = *(const std::vector<sizes> *)*state;
    for (int seed = 0; seed < schedules(); seed++)
        for (const sizes &z : list)
            one(seed, z);
}

static void large(void **)
{
    if (!full())
        skip();
    const std::vector<sizes> list = {{{8, 2, 128, 0}, {{300, 0}, {100, 300}, {50, 299}, {17, 1}}},
                                     {{71, 1, 64, 0}, {{60, 0}, {5, 60}}},
                                     {{6, 2, 250, 70}, {{150, 0}, {80, 100}}},
                                     {{16, 4, 32, 0}, {{1, 0}, {200, 1}, {1, 1}, {129, 1}}},
                                     {{3, 3, 96, 0}, {{600, 0}}}};
    for (int seed = 0; seed < 3; seed++)
        for (const sizes &z : list)
            one(seed, z);
}

static std::vector<sizes> common = {{{4, 2, 16, 0}, {{290, 0}}},
                                    {{3, 1, 64, 0}, {{70, 0}, {40, 33}, {1, 70}, {1, 0}, {20, 1}}},
                                    {{2, 2, 128, 0}, {{65, 0}, {0, 0}, {30, 0}}}};
static std::vector<sizes> windows = {{{4, 2, 16, 1}, {{70, 0}}},
                                     {{4, 2, 16, 100}, {{130, 0}, {150, 90}, {20, 130}}},
                                     {{2, 1, 32, 33}, {{40, 0}, {70, 40}}},
                                     {{1, 1, 16, 290}, {{560, 0}}}};
static std::vector<sizes> groups = {{{20, 1, 16, 0}, {{40, 0}, {21, 40}}},
                                    {{35, 1, 32, 30}, {{34, 0}, {3, 20}, {1, 34}}},
                                    {{7, 1, 2, 0}, {{90, 0}}}};
static std::vector<sizes> widths = {
    {{2, 1, 2, 0}, {{40, 0}}},          {{3, 3, 6, 0}, {{33, 0}}},
    {{2, 1, 40, 0}, {{30, 0}, {9, 7}}}, {{2, 1, 80, 0}, {{50, 0}}},
    {{2, 2, 96, 0}, {{35, 0}}},         {{1, 1, 130, 0}, {{70, 0}}},
    {{2, 1, 160, 33}, {{50, 0}}},       {{2, 1, 256, 0}, {{50, 0}, {10, 50}}}};

/* ---- how much is multiplied */

/* Multiply-adds against the least: seven products of D for each pair that is seen. */
static double products(const sizes &z)
{
    const rows r = rows_of(z.a, z.pieces, 100);
    std::vector<float> dq, dk, dv;
    double pairs = 0;
    for (const segment &s : r.segments)
        for (int query = s.start; query < s.start + s.count; query++)
            pairs += z.a.window ? std::min(query + 1, z.a.window) : query + 1;
    const uint64_t before = emu::stats.mma;
    run(r, &dq, &dk, &dv);
    const double made = (double)(emu::stats.mma - before) * 16 * 16 * 8;
    cuda_emu_reset();
    return made / (7 * pairs * z.a.H * z.a.D);
}

/* What no query sees is skipped, by 16 keys and 16 to 32 rows, or the other way round. */
static void products_of_masked_pairs_are_few(void **)
{
    if (emu::checked)
        skip(); // the plain build counts the same
    const struct {
        sizes z;
        double most;
    } cases[] = {{{{4, 1, 64, 0}, {{512, 0}}}, 1.05},
                 {{{1, 1, 64, 0}, {{512, 0}}}, 1.07},
                 {{{4, 1, 16, 0}, {{130, 0}, {60, 130}, {60, 130}}}, 1.25},
                 {{{2, 1, 32, 64}, {{400, 0}}}, 1.5},
                 {{{2, 1, 256, 0}, {{256, 0}}}, 1.1}};
    schedule(0);
    for (const auto &c : cases) {
        const double share = products(c.z);
        if (full())
            print_message("%d heads of %d, window %d: %.3f of the least\n", c.z.a.H, c.z.a.D,
                          c.z.a.window, share);
        if (!(share >= 1 && share <= c.most))
            fail_msg("%d heads of %d: %.3f of the least products, at most %.2f", c.z.a.H, c.z.a.D,
                     share, c.most);
    }
}

// clang-format off
#define BITS(list) {#list, bits, NULL, NULL, &list}
// clang-format on
TESTS(BITS(common), BITS(windows), BITS(groups), BITS(widths), cmocka_unit_test(large),
      cmocka_unit_test(products_of_masked_pairs_are_few))
