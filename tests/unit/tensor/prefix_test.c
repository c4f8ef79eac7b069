/* Attention of completions that share the rows of one prompt: the bits of each sequence alone, and
 * its gradient. */
#include "testing/tensors.h"

enum { SHARING_MAX = 9 };

/* A prompt and the completions that follow it, with other rows before and behind; the same rows
 * again with a copy of the prompt for each completion. */
struct family {
    struct attention_shape shape;
    int prompt, count, own[SHARING_MAX];
    int before, rows, apart_rows;
    struct segment shared[SHARING_MAX + 3], apart[SHARING_MAX];
    int segments;
};

struct rows {
    float *q, *k, *v, *o, *lse, *d_o, *dq, *dk, *dv;
};

static struct rows rows_new(const struct family *f, int rows)
{
    const size_t wide = (size_t)rows * f->shape.H * f->shape.D,
                 narrow = (size_t)rows * f->shape.K * f->shape.D;
    return (struct rows){.q = floats(wide, 1, 2),
                         .k = floats(narrow, 2, 2),
                         .v = floats(narrow, 3, 1),
                         .o = guarded(wide * 4),
                         .lse = guarded((size_t)rows * f->shape.H * 4),
                         .d_o = floats(wide, 4, 1),
                         .dq = floats(wide, 5, 1),
                         .dk = floats(narrow, 6, 1),
                         .dv = floats(narrow, 7, 1)};
}

static struct family family_of(int prompt, int count, const int *own, int H, int K, int D)
{
    struct family f = {.shape = {H, K, D}, .prompt = prompt, .count = count, .before = 3};
    f.shared[f.segments++] = (struct segment){.count = f.before};
    f.shared[f.segments++] = (struct segment){.first = f.before, .count = prompt};
    f.rows = f.before + prompt;
    for (int i = 0; i < count; i++) {
        f.own[i] = own[i];
        f.shared[f.segments++] =
            (struct segment){.first = f.rows, .count = own[i], .start = prompt, .prefix = f.before};
        f.apart[i] = (struct segment){.first = f.apart_rows, .count = prompt + own[i]};
        f.rows += own[i];
        f.apart_rows += prompt + own[i];
    }
    f.shared[f.segments++] = (struct segment){.first = f.rows, .count = 2};
    f.rows += 2;
    return f;
}

static void copy_rows(float *to, int at, const float *from, int from_row, int rows, int width)
{
    memcpy(to + (size_t)at * width, from + (size_t)from_row * width, (size_t)rows * width * 4);
}

/* Rows of the shared batch to where completion i has them alone. */
static void spread(const struct family *f, const struct rows *shared, struct rows *apart)
{
    const int H = f->shape.H * f->shape.D, K = f->shape.K * f->shape.D;
    for (int i = 0; i < f->count; i++) {
        const int to = f->apart[i].first, at[] = {to, to + f->prompt};
        const int from[] = {f->before, f->shared[i + 2].first}, n[] = {f->prompt, f->own[i]};
        for (int part = 0; part < 2; part++) {
            copy_rows(apart->q, at[part], shared->q, from[part], n[part], H);
            copy_rows(apart->k, at[part], shared->k, from[part], n[part], K);
            copy_rows(apart->v, at[part], shared->v, from[part], n[part], K);
            copy_rows(apart->d_o, at[part], shared->d_o, from[part], n[part], H);
        }
        /* the prompt's own queries are there once: the first copy has them */
        if (i)
            memset(apart->d_o + (size_t)to * H, 0, (size_t)f->prompt * H * 4);
    }
}

static void run(struct backend *be, const struct family *f, const struct rows *r,
                const struct segment *segments, int count)
{
    assert_ok(
        be->ops->attention(be, r->o, r->lse, r->q, r->k, r->v, segments, count, &f->shape, 0));
    assert_ok(be->ops->attention_backward(be, r->dq, r->dk, r->dv, r->d_o, r->q, r->k, r->v, r->o,
                                          r->lse, segments, count, &f->shape));
}

/* Forward and dq bit for bit; dk and dv of the prompt are the sum over its copies, in another
 * order. */
static void equal_apart(const struct family *f, const struct rows *shared, const struct rows *apart)
{
    const int H = f->shape.H, D = f->shape.D, K = f->shape.K * D;
    for (int i = 0; i < f->count; i++) {
        const int to = f->apart[i].first + f->prompt, from = f->shared[i + 2].first;
        const size_t wide = (size_t)f->own[i] * H * D * 4;
        assert_same_bits(shared->o + from * H * D, apart->o + to * H * D, wide, "own o");
        assert_same_bits(shared->lse + from * H, apart->lse + to * H, (size_t)f->own[i] * H * 4,
                         "own lse");
        assert_same_bits(shared->o + f->before * H * D, apart->o + f->apart[i].first * H * D,
                         (size_t)f->prompt * H * D * 4, "prompt's o");
        assert_same_bits(shared->dq + from * H * D, apart->dq + to * H * D, wide, "own dq");
        for (int j = 0; j < f->own[i] * K; j++) {
            assert_near(shared->dk[from * K + j], apart->dk[to * K + j], 1e-6);
            assert_near(shared->dv[from * K + j], apart->dv[to * K + j], 1e-6);
        }
    }
    for (int j = 0; j < f->prompt * K; j++) {
        double dk = 0, dv = 0;
        for (int i = 0; i < f->count; i++) {
            dk += (double)apart->dk[f->apart[i].first * K + j];
            dv += (double)apart->dv[f->apart[i].first * K + j];
        }
        assert_near(shared->dk[f->before * K + j], dk, 4e-6); // float32 sums of up to 60 terms
        assert_near(shared->dv[f->before * K + j], dv, 4e-6);
    }
}

static const struct {
    int prompt, count, own[SHARING_MAX], H, K, D;
} cases[] = {{1, 2, {1, 1}, 1, 1, 2},
             {5, 3, {4, 1, 7}, 4, 2, 16},
             {40, 8, {6, 6, 6, 1, 6, 9, 2, 6}, 4, 4, 32},
             {63, 1, {70}, 6, 1, 20},
             {64, 2, {64, 3}, 2, 2, 10},
             {65, 2, {30, 29}, 8, 2, 12},
             {255, 3, {1, 2, 40}, 2, 1, 16},
             {300, 2, {5, 260}, 2, 2, 6}};
enum { CASES = sizeof cases / sizeof *cases };

static struct family family_at(size_t n)
{
    return family_of(cases[n].prompt, cases[n].count, cases[n].own, cases[n].H, cases[n].K,
                     cases[n].D);
}

static void a_shared_prompt_changes_no_bit_of_the_forward(void **state)
{
    (void)state;
    for (int i = 0; i < all_backends(); i++)
        for (size_t n = 0; n < CASES; n++) {
            const struct family f = family_at(n);
            struct rows shared = rows_new(&f, f.rows), apart = rows_new(&f, f.apart_rows);
            spread(&f, &shared, &apart);
            run(backends[i], &f, &shared, f.shared, f.segments);
            run(backends[i], &f, &apart, f.apart, f.count);
            equal_apart(&f, &shared, &apart);
            guarded_free_all();
        }
    free_backends();
}

static void threads_and_instruction_sets_agree(void **state)
{
    (void)state;
    for (size_t n = 0; n < CASES; n++) {
        const struct family f = family_at(n);
        struct rows first = rows_new(&f, f.rows);
        const size_t wide = (size_t)f.rows * f.shape.H * f.shape.D * 4,
                     narrow = (size_t)f.rows * f.shape.K * f.shape.D * 4;
        for (int i = 0; i < all_backends(); i++) {
            struct rows r = i ? rows_new(&f, f.rows) : first;
            run(backends[i], &f, &r, f.shared, f.segments);
            assert_same_bits(r.o, first.o, wide, backend_names[i]);
            assert_same_bits(r.dq, first.dq, wide, backend_names[i]);
            assert_same_bits(r.dk, first.dk, narrow, backend_names[i]);
            assert_same_bits(r.dv, first.dv, narrow, backend_names[i]);
        }
        guarded_free_all();
    }
    free_backends();
}

/* What follows in the same call does not show: the families of two calls are those of one. */
static void a_family_is_computed_alike_alone(void **state)
{
    (void)state;
    const struct family f = family_at(1);
    for (int i = 0; i < all_backends(); i++) {
        struct rows all = rows_new(&f, f.rows), alone = rows_new(&f, f.rows);
        const int K = f.shape.K * f.shape.D, end = f.rows - 2 - f.before;
        run(backends[i], &f, &all, f.shared, f.segments);
        run(backends[i], &f, &alone, f.shared + 1, f.count + 1);
        assert_same_bits(all.dk + f.before * K, alone.dk + f.before * K, (size_t)end * K * 4, "dk");
        assert_same_bits(all.dv + f.before * K, alone.dv + f.before * K, (size_t)end * K * 4, "dv");
        guarded_free_all();
    }
    free_backends();
}

static void other_prefixes_are_refused(void **state)
{
    (void)state;
    all_backends();
    struct backend *be = backends[0];
    const struct attention_shape shape = {2, 2, 8};
    float *x = floats(16 * 16, 1, 1), *o = guarded(16 * 16 * 4), *lse = guarded(16 * 2 * 4);
    static const struct segment bad[][3] = {
        {{.count = 4}, {.first = 4, .count = 2, .start = 5}, {0}},              // too long
        {{.count = 4}, {.first = 4, .count = 2, .start = 2, .prefix = 1}, {0}}, // from its middle
        {{.count = 4},
         {.first = 4, .count = 2},
         {.first = 6, .count = 1, .start = 2}},        // not the last
        {{.count = 4, .start = 1}, {.first = 4}, {0}}, // none before
        {{.count = 4}, {.first = 4, .count = 2, .start = 4, .prefix = -1}, {0}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_err(ERR_RANGE, "must begin the last segment",
                   be->ops->attention(be, o, NULL, x, x, x, bad[i], 3, &shape, 0));
        assert_err(ERR_RANGE, "must begin the last segment",
                   be->ops->attention_backward(be, o, o, o, x, x, x, x, x, lse, bad[i], 3, &shape));
    }
    guarded_free_all();
    free_backends();
}

TESTS(cmocka_unit_test(a_shared_prompt_changes_no_bit_of_the_forward),
      cmocka_unit_test(threads_and_instruction_sets_agree),
      cmocka_unit_test(a_family_is_computed_alike_alone),
      cmocka_unit_test(other_prefixes_are_refused))
