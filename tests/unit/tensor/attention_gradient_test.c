/* The backward of attention against central differences of its definition. */
#include "finite.h"

/* ---- attention: a sequence, then a prompt and two completions that share its first rows; grouped
 * heads */

enum { T = 40, H = 4, K = 2, D = 6, FIRST = 6, PROMPT = 18, SHARED = 17, SECOND = 27 };

/* The position of row n in its sequence. */
static int position_of(int n)
{
    const int first = n < FIRST ? 0 : FIRST;
    return n < PROMPT ? n - first : SHARED - FIRST + n - (n < SECOND ? PROMPT : SECOND);
}

/* Whether row n sees row j, whatever the window. */
static int may_see(int n, int j)
{
    if (n < FIRST || j < FIRST)
        return n < FIRST && j <= n;
    if (n < PROMPT)
        return j <= n;
    return j < SHARED || (j <= n && j >= (n < SECOND ? PROMPT : SECOND));
}

static int sees(int n, int j, int window)
{
    return may_see(n, j) && (!window || position_of(n) - position_of(j) < window);
}

static double attention_row(const struct problem *p, int n, int h)
{
    const double *q = p->x + (n * H + h) * D, *k = p->x + T * H * D, *v = k + T * K * D;
    const int head = h / (H / K);
    double e[T], total = 0, loss = 0;
    for (int j = 0; j <= n; j++) {
        double score = 0;
        for (int d = 0; d < D; d++)
            score += q[d] * k[(j * K + head) * D + d];
        e[j] = sees(n, j, p->option) ? exp(score / sqrt(D)) : 0;
        total += e[j];
    }
    for (int j = 0; j <= n; j++)
        for (int d = 0; d < D; d++)
            loss += p->weight[(n * H + h) * D + d] * e[j] / total * v[(j * K + head) * D + d];
    return loss;
}

static double attention_loss(const struct problem *p)
{
    double loss = 0;
    for (int n = 0; n < T; n++)
        for (int h = 0; h < H; h++)
            loss += attention_row(p, n, h);
    return loss;
}

static void attention_slope_of(int window)
{
    const struct attention_shape shape = {H, K, D, window};
    const int shared = SHARED - FIRST;
    const struct segment segments[] = {
        {.first = 0, .count = FIRST},
        {.first = FIRST, .count = PROMPT - FIRST},
        {.first = PROMPT, .count = SECOND - PROMPT, .start = shared, .prefix = FIRST},
        {.first = SECOND, .count = T - SECOND, .start = shared, .prefix = FIRST}};
    all_backends();
    struct backend *be = backends[backend_count - 1];
    float *q = floats(T * H * D, 1, 2), *k = floats(T * K * D, 2, 2), *v = floats(T * K * D, 3, 1);
    float *d_o = floats(T * H * D, 4, 1), *o = guarded(T * H * D * 4), *lse = guarded(T * H * 4);
    float *dq = guarded(T * H * D * 4), *dk = floats(T * K * D, 5, 1),
          *dv = floats(T * K * D, 6, 1);
    assert_ok(be->ops->attention(be, o, lse, q, k, v, segments, 4, &shape, 0));
    assert_ok(
        be->ops->attention_backward(be, dq, dk, dv, d_o, q, k, v, o, lse, segments, 4, &shape));
    struct problem p = {.loss = attention_loss, .option = window};
    const int at_q = put(&p, q, T * H * D), at_k = put(&p, k, T * K * D),
              at_v = put(&p, v, T * K * D);
    put_weight(&p, d_o, T * H * D);
    compare(&p, at_q, dq, T * H * D, 2e-6);
    compare(&p, at_k, dk, T * K * D, 4e-6);
    compare(&p, at_v, dv, T * K * D, 4e-6);
    const struct segment cached = {.count = 1, .kv = (struct kv_pages *)o};
    assert_err(
        ERR_INVALID, "through pages",
        be->ops->attention_backward(be, dq, dk, dv, d_o, q, k, v, o, lse, &cached, 1, &shape));
    guarded_free_all();
    free_backends();
}

static void attention_slope(void **state)
{
    (void)state;
    static const int windows[] = {0, 1, 5, 14, T};
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++)
        attention_slope_of(windows[i]);
}

TESTS(cmocka_unit_test(attention_slope))
