/* Draws: plain C++ that sorts, in the documented orders, bit for bit, for every rule; alone, in
 * company and from rows that begin anywhere. */
#include "cuda_emu_count.h"
#include "vocabulary_reference.h"

struct scene {
    int N, V;
    std::vector<float> logits;
    std::vector<int32_t> token;
    std::vector<draw_request> request;
};

/* Logits with ties, impossible tokens and a long tail. */
static scene make(int N, int V, uint64_t seed)
{
    scene s = {N, V, floats((size_t)N * V, 3, seed), {}, {}};
    for (size_t i = 0; i < s.logits.size(); i++) {
        if (i % 7 == 3)
            s.logits[i] = s.logits[i - 1];
        if (i % 5 == 1)
            s.logits[i] = floorf(s.logits[i]);
        if (i % 11 == 5)
            s.logits[i] = -INFINITY;
    }
    for (int i = 0; i < 40; i++)
        s.token.push_back((int32_t)((i * i * 31 + i / 3) % V));
    return s;
}

static draw_request rule(int i)
{
    draw_request r = {};
    r.inverse_temperature = i % 3 ? 1.0f : 0.7f;
    switch (i % 12) {
    case 0:
        break;
    case 1:
        r.top_k = 1;
        break;
    case 2:
        r.top_k = 7;
        break;
    case 3:
        r.top_p = 0.5f;
        break;
    case 4:
        r.top_p = 0.95f;
        break;
    case 5:
        r.min_p = 0.2f;
        break;
    case 6:
        r.top_k = 50, r.top_p = 0.8f;
        break;
    case 7:
        r.top_k = 20, r.top_p = 0.9f, r.min_p = 0.1f;
        break;
    case 8:
        r.greedy = 1;
        break;
    case 9:
        r.top_k = 1 << 30, r.top_p = 1, r.min_p = 1;
        break;
    case 10:
        r.top_p = 1e-6f;
        break;
    case 11:
        r.top_p = 0.99999994f;
        break;
    }
    r.penalty = i % 5 == 2 ? 1.3f : i % 5 == 4 ? 0.8f : 0.0f;
    r.tokens = i % 5 == 2 ? 40 : 3;
    r.key = 5;
    r.stream = 0x123456789abcdefull * (uint64_t)(i + 1);
    r.counter = (uint64_t)i;
    return r;
}

/* As the glue does: an earlier request's sums where they are the same. */
static void share_sums(std::vector<draw_request> &request)
{
    for (size_t i = 0; i < request.size(); i++) {
        draw_request &r = request[i];
        r.sums = (int32_t)i;
        if (i && !r.greedy && r.penalty == 0) {
            const draw_request &before = request[i - 1];
            if (before.row == r.row && before.inverse_temperature == r.inverse_temperature &&
                !before.greedy && before.penalty == 0)
                r.sums = before.sums;
        }
    }
}

static std::vector<draw_result> draw(const scene &s, const std::vector<draw_request> &request,
                                     size_t off)
{
    const int count = (int)request.size();
    std::vector<float> all(off + s.logits.size());
    std::copy(s.logits.begin(), s.logits.end(), all.begin() + (ptrdiff_t)off);
    device<float> logits(all);
    device<int32_t> token(s.token);
    device<draw_request> requests(request);
    device<draw_result> ret(count);
    device<char> work(vocabulary_draw_bytes(count, s.V, 1));
    assert_cuda(vocabulary_draw(NULL, ret, logits + off, s.V, requests, token, count, work));
    return ret.get();
}

static void draws(int N, int V, int requests, uint64_t seed, size_t off)
{
    scene s = make(N, V, seed);
    std::vector<draw_result> want;
    for (int i = 0; i < requests; i++) {
        draw_request r = rule(i);
        r.row = i / 4 * 7 % N;
        s.request.push_back(r);
        const float *row = &s.logits[(size_t)r.row * V];
        want.push_back(reference_draw(std::vector<float>(row, row + V), r, s.token.data()));
    }
    share_sums(s.request);
    const std::vector<draw_result> got = draw(s, s.request, off);
    for (int i = 0; i < requests; i++)
        if (memcmp(&got[i], &want[i], sizeof got[i]))
            fail_msg(
                "V %d, request %d of row %d: finite %d token %d logp %g mass %.17g share %.17g, "
                "not %d %d %g %.17g %.17g",
                V, i, s.request[i].row, got[i].finite, got[i].token, got[i].logp, got[i].mass,
                got[i].share, want[i].finite, want[i].token, want[i].logp, want[i].mass,
                want[i].share);
    for (int i = 0; i < requests; i += 5) { // alone
        std::vector<draw_request> one = {s.request[i]};
        one[0].sums = 0;
        const draw_result alone = draw(s, one, 0)[0];
        assert_memory_equal(&alone, &got[i], sizeof alone);
    }
}

static void every_rule(void **)
{
    for (int seed = 0; seed < schedules(); seed++) {
        schedule(seed);
        for (int V : {1, 2, 7, 50, 301, 4095})
            draws(3, V, 60, (uint64_t)V, seed % 2);
        draws(2, 9001, 24, 4, 0);
        if (full()) {
            draws(2, 50257, 60, 5, 0);
            draws(1, 200000, 24, 6, 0);
            draws(40, 333, 600, 7, 0);
        }
    }
}

/* Ties by the thousand, at the border of what is kept: the first of them by id. */
static void ties(void **)
{
    scene s = {1, 9000, std::vector<float>(9000), {}, {}};
    for (int v = 0; v < s.V; v++)
        s.logits[v] = (float)(v % 3);
    for (int i = 0; i < 8; i++) {
        draw_request r = {};
        r.inverse_temperature = 1;
        r.top_k = i % 4 == 0 ? 2999 : i % 4 == 1 ? 3000 : i % 4 == 2 ? 3001 : 4500;
        r.top_p = i < 4 ? 0 : 0.7f;
        r.counter = (uint64_t)i;
        r.sums = 0;
        s.request.push_back(r);
    }
    const std::vector<draw_result> got = draw(s, s.request, 0);
    for (int i = 0; i < 8; i++) {
        const draw_result want = reference_draw(s.logits, s.request[i], NULL);
        assert_memory_equal(&got[i], &want, sizeof want);
    }
}

/* Rows without a distribution. */
static void no_distribution(void **)
{
    const int V = 5000;
    scene s = {5, V, {}, {}, {}};
    for (int n = 0; n < 5; n++) {
        auto row = floats(V, 2, n);
        if (n == 0)
            row[4500] = NAN;
        if (n == 1)
            row[3] = INFINITY;
        for (int v = 0; v < V && n >= 2; v++)
            row[v] = n == 2 || v < 4096 || v % 2 ? -INFINITY : n == 3 ? row[v] : 1;
        s.logits.insert(s.logits.end(), row.begin(), row.end());
    }
    for (int i = 0; i < 15; i++) {
        draw_request r = {};
        r.row = i % 5;
        r.inverse_temperature = 1;
        r.greedy = i / 5 == 0;
        r.top_k = i / 5 == 1 ? 3 : 0;
        r.sums = i;
        s.request.push_back(r);
    }
    const std::vector<draw_result> got = draw(s, s.request, 0);
    for (int i = 0; i < 15; i++) {
        const float *row = &s.logits[(size_t)(i % 5) * V];
        const draw_result want =
            reference_draw(std::vector<float>(row, row + V), s.request[i], NULL);
        assert_int_equal(got[i].finite, i % 5 >= 3);
        assert_memory_equal(&got[i], &want, sizeof want);
    }
}

/* The device's memory that a call touches, and its kernels. Peaked rows, as a model's are. */
static void bytes(void **)
{
    enum { N = 3, V = 40960 };
    if (!emu::checked)
        skip();
    scene s = {N, V, floats((size_t)N * V, 3, 1), {0}, {}};
    for (float &x : s.logits)
        x *= fabsf(x) / 3;
    const char *const kinds[] = {"plain", "greedy", "top_p", "top_k", "min_p"};
    for (int kind = 0; kind < 5; kind++) {
        cuda_emu_count rows[10];
        s.request.clear();
        for (int n = 0; n < N; n++) {
            draw_request r = {};
            r.row = n, r.sums = n, r.inverse_temperature = 1, r.greedy = kind == 1;
            r.top_p = kind == 2 ? 0.95f : 0, r.top_k = kind == 3 ? 50 : 0;
            r.min_p = kind == 4 ? 0.1f : 0;
            s.request.push_back(r);
        }
        cuda_emu_count_begin();
        (void)draw(s, s.request, 0);
        const size_t count = cuda_emu_count_end(rows, 10);
        size_t kernels = 0;
        uint64_t unique[2] = {0}, asked[2] = {0};
        for (size_t i = 0; i < count; i++)
            if (strncmp(rows[i].name, "cuda", 4)) {
                assert_in_range(kernels, 0, 1);
                unique[kernels] = rows[i].unique_read;
                asked[kernels++] = rows[i].read;
            }
        printf("%-6s rows of %d: the parts read %.3f of them, the draws %.3f, asking for %.3f\n",
               kinds[kind], V, (double)unique[0] / (N * V * 4), (double)unique[1] / (N * V * 4),
               (double)asked[1] / (N * V * 4));
        assert_int_equal(kernels, 2);
        assert_true((double)unique[0] < 1.01 * N * V * 4); // once
        if (kind < 2)
            assert_true(unique[1] < N * (ROW_PART * 4 + 2000)); // one part, and the sums
    }
}

TESTS(cmocka_unit_test(every_rule), cmocka_unit_test(ties), cmocka_unit_test(no_distribution),
      cmocka_unit_test(bytes)) // the last: counting ends the search for races
