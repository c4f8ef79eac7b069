/* Attention, its pages and the rotation as ops of the module. Numbers are near the CPU's, errors
 * are the CPU's, and bits are the same however a call is made up. */
#include "cuda/both.h"
#include "tensor/rope.h"

/* Positions 0..T-1 of a sequence; k and v are bf16's values, as forward.c gives them. */
struct rows {
    struct attention_shape shape;
    int T;
    float *q, *k, *v, *o, *lse;
};

static struct rows rows_of(struct attention_shape shape, int T, uint64_t seed)
{
    const size_t N = (size_t)T, H = (size_t)shape.H, K = (size_t)shape.K, D = (size_t)shape.D;
    struct rows r = {.shape = shape,
                     .T = T,
                     .q = floats(N * H * D, seed, 2),
                     .k = floats(N * K * D, seed + 1, 2),
                     .v = floats(N * K * D, seed + 2, 1),
                     .o = floats(N * H * D, 9, 1),
                     .lse = floats(N * H, 9, 1)};
    assert_ok(cpu->ops->round_bf16(cpu, r.k, N * K * D));
    assert_ok(cpu->ops->round_bf16(cpu, r.v, N * K * D));
    return r;
}

static void attend(struct backend *be, const struct rows *r, const struct segment *segments,
                   int count, int layer)
{
    run_op(be->ops->attention(be, ON(be, r->o), ON(be, r->lse), ON(be, r->q), ON(be, r->k),
                              ON(be, r->v), segments, count, &r->shape, layer));
}

static struct kv_pages *pages_of(struct backend *be, int layers,
                                 const struct attention_shape *shape, int pages)
{
    struct kv_pages *kv = NULL;
    assert_ok(be->ops->kv_new(be, layers, shape, KV_BF16, pages, &kv));
    return kv;
}

/* Outputs and log-sum-exps of rows first.. of `got` are those of rows at.. of `want`. */
static void assert_rows(const struct rows *got, int first, int count, const struct rows *want,
                        int at, const char *what)
{
    const size_t row = (size_t)got->shape.H * (size_t)got->shape.D, H = (size_t)got->shape.H;
    assert_same_bits(got->o + (size_t)first * row, want->o + (size_t)at * row,
                     (size_t)count * row * sizeof(float), what);
    assert_same_bits(got->lse + (size_t)first * H, want->lse + (size_t)at * H,
                     (size_t)count * H * sizeof(float), what);
}

/* The call's row i becomes the sequence's row `position`. */
static void take_row(struct rows *to, int i, const struct rows *from, int position)
{
    const size_t q = (size_t)to->shape.H * (size_t)to->shape.D,
                 k = (size_t)to->shape.K * (size_t)to->shape.D;
    memcpy(to->q + (size_t)i * q, from->q + (size_t)position * q, q * sizeof(float));
    memcpy(to->k + (size_t)i * k, from->k + (size_t)position * k, k * sizeof(float));
    memcpy(to->v + (size_t)i * k, from->v + (size_t)position * k, k * sizeof(float));
}

/* ---- numbers */

/* The CPU keeps queries and weights in float32; here both are rounded to bf16, by 2^-9 of each.
 * Scores, sums of D products of sizes up to 4, are off by a few 2^-9. So are the weights, relative
 * to themselves, and the outputs, which are means of values up to 1. */
static void outputs_are_near_the_cpus(void **state)
{
    (void)state;
    static const struct attention_shape shapes[] = {
        {4, 2, 16, 0}, {2, 2, 64, 50}, {6, 1, 6, 0}, {3, 1, 128, 0}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const struct attention_shape shape = shapes[i];
        const int T = 150;
        struct rows a = rows_of(shape, T, 1), b = rows_of(shape, T, 1);
        const struct segment segments[] = {{.count = 100},
                                           {.first = 100, .start = 70, .count = 50}};
        attend(cpu, &a, segments, 2, 0);
        attend(cuda, &b, segments, 2, 0);
        for (int j = 0; j < T * shape.H * shape.D; j++)
            assert_near(b.o[j], a.o[j], 0.02);
        for (int j = 0; j < T * shape.H; j++)
            assert_near(b.lse[j], a.lse[j], 0.02);
        guarded_free_all();
    }
}

/* ---- the same bits */

/* The backend keeps lists of the call before. They are not taken for those of a call whose arrays
 * the host has changed in place, nor for a layer's with another window. */
static void calls_that_look_alike_are_told_apart(void **state)
{
    (void)state;
    enum { T = 300, STEPS = 6 };
    struct attention_shape shape = {4, 2, 16, 0};
    struct rows whole = rows_of(shape, T, 1), windowed = rows_of(shape, T, 1),
                step = rows_of(shape, 2, 5);
    const struct segment all = {.count = T};
    windowed.shape.window = 90;
    attend(cuda, &whole, &all, 1, 0);
    attend(cuda, &windowed, &all, 1, 0);
    int32_t page[2][5] = {{4, 9, 0, 7, 2}, {1, 8, 3, 6, 5}};
    struct kv_pages *kv = pages_of(cuda, 2, &shape, 10);
    struct rows prompt = rows_of(shape, T, 1);
    for (int layer = 0; layer < 2; layer++)
        for (int s = 0; s < 2; s++) {
            const struct segment begin = {.count = T - STEPS, .kv = kv, .page = page[s]};
            prompt.shape.window = layer ? 90 : 0;
            attend(cuda, &prompt, &begin, 1, layer);
            assert_rows(&prompt, 0, T - STEPS, layer ? &windowed : &whole, 0,
                        "a prompt into pages");
        }
    struct segment two[2] = {{.count = 1, .kv = kv, .page = page[0]},
                             {.first = 1, .count = 1, .kv = kv, .page = page[1]}};
    for (int p = T - STEPS; p < T; p++) {
        two[0].start = two[1].start = p;
        take_row(&step, 0, &whole, p);
        take_row(&step, 1, &whole, p);
        for (int layer = 0; layer < 2; layer++) {
            step.shape.window = layer ? 90 : 0;
            attend(cuda, &step, two, 2, layer);
            assert_rows(&step, 0, 1, layer ? &windowed : &whole, p, "a step");
            assert_rows(&step, 1, 1, layer ? &windowed : &whole, p, "a step of the neighbour");
        }
        for (int i = 0; i < 5; i++) { // the same two arrays with each other's pages
            const int32_t kept = page[0][i];
            page[0][i] = page[1][i];
            page[1][i] = kept;
        }
    }
    cuda->ops->kv_free(cuda, kv);
    guarded_free_all();
}

/* A page is copied in all layers, and what goes on in the copy leaves the other as it is. */
static void copied_pages_go_on_by_themselves(void **state)
{
    (void)state;
    enum { T = 100, PROMPT = 70 };
    const struct attention_shape shape = {2, 2, 24, 0};
    struct rows a = rows_of(shape, T, 1), b = rows_of(shape, T, 4), step = rows_of(shape, 2, 7);
    const struct segment all = {.count = T};
    for (int p = 0; p < PROMPT; p++)
        take_row(&b, p, &a, p);
    attend(cuda, &a, &all, 1, 0);
    attend(cuda, &b, &all, 1, 0);
    struct kv_pages *kv = pages_of(cuda, 3, &shape, 3);
    const int32_t page[2][2] = {{2, 0}, {2, 1}};
    struct rows prompt = rows_of(shape, PROMPT, 1);
    const struct segment begin = {.count = PROMPT, .kv = kv, .page = page[0]};
    for (int p = 0; p < PROMPT; p++)
        take_row(&prompt, p, &a, p);
    for (int layer = 0; layer < 3; layer++)
        attend(cuda, &prompt, &begin, 1, layer);
    assert_ok(cuda->ops->kv_copy(cuda, kv, 1, 0));
    assert_ok(cuda->ops->kv_copy(cuda, kv, 2, 2));
    for (int p = PROMPT; p < T; p++)
        for (int layer = 0; layer < 3; layer++) {
            const struct segment two[] = {
                {.start = p, .count = 1, .kv = kv, .page = page[0]},
                {.first = 1, .start = p, .count = 1, .kv = kv, .page = page[1]}};
            take_row(&step, 0, &a, p);
            take_row(&step, 1, &b, p);
            attend(cuda, &step, two, 2, layer);
            assert_rows(&step, 0, 1, &a, p, "behind the page");
            assert_rows(&step, 1, 1, &b, p, "behind its copy");
        }
    cuda->ops->kv_free(cuda, kv);
    cuda->ops->kv_free(cuda, NULL);
    guarded_free_all();
}

/* Rows that begin at any float; no rows; no log-sum-exp. */
static void arrays_lie_anywhere(void **state)
{
    (void)state;
    enum { T = 70 };
    const struct attention_shape shape = {2, 1, 16, 0};
    struct rows a = rows_of(shape, T, 1), b = rows_of(shape, T + 1, 3);
    const struct segment all[] = {{.count = T}, {.count = 0}, {.first = T}};
    attend(cuda, &a, all, 1, 0);
    memcpy(b.q + 1, a.q, sizeof(float) * T * 2 * 16);
    memcpy(b.k + 3, a.k, sizeof(float) * T * 16);
    memcpy(b.v + 5, a.v, sizeof(float) * T * 16);
    run_op(cuda->ops->attention(cuda, ON(cuda, b.o) + 1, NULL, ON(cuda, b.q) + 1, ON(cuda, b.k) + 3,
                                ON(cuda, b.v) + 5, all, 3, &shape, 0));
    assert_same_bits(b.o + 1, a.o, sizeof(float) * T * 2 * 16, "outputs at an odd place");
    assert_ok(cuda->ops->attention(cuda, NULL, NULL, NULL, NULL, NULL, all + 1, 2, &shape, 0));
    assert_ok(cuda->ops->attention(cuda, NULL, NULL, NULL, NULL, NULL, NULL, 0, &shape, 0));
    guarded_free_all();
}

static void rope_has_the_cpus_bits(void **state)
{
    (void)state;
    enum { N = 7, POSITIONS = 40 };
    static const struct {
        int heads, D, R;
    } cases[] = {{3, 16, 16}, {1, 2, 2}, {5, 64, 24}, {2, 10, 6}, {4, 256, 256}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int inverse = 0; inverse < 2; inverse++) {
            const int heads = cases[i].heads, D = cases[i].D, R = cases[i].R;
            const size_t count = (size_t)N * (size_t)heads * (size_t)D,
                         angles = (size_t)POSITIONS * (size_t)R / 2;
            const struct rope rope = {.R = R, .theta = 10000};
            float *a = floats(count, 1, 3), *b = floats(count, 1, 3), *cos = floats(angles, 2, 1),
                  *sin = floats(angles, 3, 1);
            int32_t *position = tokens(N, 4, POSITIONS);
            rope_table(cos, sin, POSITIONS, &rope);
            a[0] = b[0] = -0.0f;
            run_op(cpu->ops->rope(cpu, a, position, cos, sin, N, heads, D, R, inverse));
            run_op(cuda->ops->rope(cuda, ON(cuda, b), ON(cuda, position), ON(cuda, cos),
                                   ON(cuda, sin), N, heads, D, R, inverse));
            assert_same_bits(a, b, count * sizeof *a, "rope");
            guarded_free_all();
        }
}

/* ---- errors */

#define PAGED(list) .kv = kv, .page = (const int32_t[])list
#define PAGES(...)                                                                                 \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
enum { ATTEMPTS = 17 };

/* A hostile call, or one that is allowed. */
static err_t attempt(struct backend *be, struct kv_pages *kv, struct kv_pages *other,
                     const struct rows *r, int number)
{
    const struct attention_shape good = r->shape;
    const struct {
        struct segment segment[2];
        int count, layer;
        struct attention_shape shape;
    } calls[ATTEMPTS] = {
        {{{.count = 4}}, 1, 0, good},
        {{{.count = 4}}, 1, 0, {0, 1, 16, 0}},
        {{{.count = 4}}, 1, 0, {4, 0, 16, 0}},
        {{{.count = 4}}, 1, 0, {3, 2, 16, 0}},
        {{{.count = 4}}, 1, 0, {4, 2, 0, 0}},
        {{{.count = 4}}, 1, 0, {4, 2, 15, 0}},
        {{{.count = 4}, {.first = -1, .count = 1}}, 2, 0, good},
        {{{.count = 4}, {.first = 4, .count = -1}}, 2, 0, good},
        {{{.count = 4}, {.first = 4, .start = -2, .count = 1}}, 2, 0, good},
        {{{.count = 4}, {.first = 4, .start = 5, .count = 1}}, 2, 0, good},
        {{{.count = 4}, {.first = 4, .start = 2, .count = 1, .prefix = 1}}, 2, 0, good},
        {{{.start = 2, .count = 1}}, 1, 0, good},
        {{{.count = 4, PAGED(PAGES(0))}, {.first = 4, .start = 63, .count = 2, PAGED(PAGES(1, 3))}},
         2,
         0,
         good},
        {{{.count = 4, PAGED(PAGES(-1))}}, 1, 0, good},
        {{{.count = 4, PAGED(PAGES(0))}}, 1, 2, good},
        {{{.count = 4, PAGED(PAGES(0))}}, 1, -1, good},
        {{{.count = 4, .kv = other, .page = (const int32_t[]){0}}}, 1, 0, good},
    };
    return be->ops->attention(be, ON(be, r->o), ON(be, r->lse), ON(be, r->q), ON(be, r->k),
                              ON(be, r->v), calls[number].segment, calls[number].count,
                              &calls[number].shape, calls[number].layer);
}

static void assert_same_error(err_t a, err_t b, int number)
{
    if (err_code(a) != err_code(b) || strcmp(err_message(a), err_message(b)) != 0)
        fail_msg("attempt %d: the CPU's '%s', not '%s'", number, err_message(a), err_message(b));
    err_free(a);
    err_free(b);
}

static void hostile_calls_have_the_cpus_errors(void **state)
{
    (void)state;
    const struct attention_shape shape = {4, 2, 16, 0}, wide = {4, 2, 32, 0};
    struct backend *const be[] = {cpu, cuda};
    struct kv_pages *kv[2], *other[2];
    for (int b = 0; b < 2; b++) {
        kv[b] = pages_of(be[b], 2, &shape, 3);
        other[b] = pages_of(be[b], 2, &wide, 3);
    }
    for (int i = 0; i < ATTEMPTS; i++) {
        struct rows r = rows_of(shape, 8, 1), kept = rows_of(shape, 8, 1);
        const err_t first = attempt(cpu, kv[0], other[0], &r, i),
                    second = attempt(cuda, kv[1], other[1], &kept, i);
        assert_int_equal(err_failed(first), i != 0);
        mirrors_back();
        if (i) // neither wrote anything
            assert_rows(&r, 0, 8, &kept, 0, "outputs");
        assert_same_error(first, second, i);
        guarded_free_all();
    }
    for (int dst = -1; dst < 4; dst++)
        for (int src = -1; src < 4; src++)
            assert_same_error(cpu->ops->kv_copy(cpu, kv[0], dst, src),
                              cuda->ops->kv_copy(cuda, kv[1], dst, src), dst);
    for (int b = 0; b < 2; b++) {
        be[b]->ops->kv_free(be[b], kv[b]);
        be[b]->ops->kv_free(be[b], other[b]);
    }
}

static void hostile_sizes_have_the_cpus_errors(void **state)
{
    (void)state;
    static const struct {
        int layers, pages;
        struct attention_shape shape;
    } cases[] = {{0, 1, {2, 1, 16, 0}},  {1, 0, {2, 1, 16, 0}}, {-1, 1, {2, 1, 16, 0}},
                 {1, -3, {2, 1, 16, 0}}, {1, 1, {2, 0, 16, 0}}, {1, 1, {2, 1, 7, 0}},
                 {1, 1, {-2, -1, 16, 0}}};
    struct kv_pages *kv = NULL;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_same_error(
            cpu->ops->kv_new(cpu, cases[i].layers, &cases[i].shape, KV_BF16, cases[i].pages, &kv),
            cuda->ops->kv_new(cuda, cases[i].layers, &cases[i].shape, KV_BF16, cases[i].pages, &kv),
            (int)i);
    for (int R = -1; R < 19; R++)
        if (R < 2 || R % 2 || R > 16)
            assert_same_error(cpu->ops->rope(cpu, NULL, NULL, NULL, NULL, 1, 1, 16, R, 0),
                              cuda->ops->rope(cuda, NULL, NULL, NULL, NULL, 1, 1, 16, R, 0), R);
    assert_err(ERR_UNIMPLEMENTED, "bf16 only",
               cuda->ops->kv_new(cuda, 1, &(struct attention_shape){2, 1, 16, 0}, KV_F32, 1, &kv));
    assert_err(
        ERR_UNIMPLEMENTED, "up to 256",
        cuda->ops->kv_new(cuda, 1, &(struct attention_shape){2, 1, 258, 0}, KV_BF16, 1, &kv));
    assert_err(ERR_EXHAUSTED, "",
               cuda->ops->kv_new(cuda, 1 << 30, &(struct attention_shape){1 << 20, 1 << 20, 256, 0},
                                 KV_BF16, 1 << 30, &kv));
    assert_null(kv);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, open_both, close_both)
TESTS(CASE(outputs_are_near_the_cpus), CASE(calls_that_look_alike_are_told_apart),
      CASE(copied_pages_go_on_by_themselves), CASE(arrays_lie_anywhere),
      CASE(rope_has_the_cpus_bits), CASE(hostile_calls_have_the_cpus_errors),
      CASE(hostile_sizes_have_the_cpus_errors))
