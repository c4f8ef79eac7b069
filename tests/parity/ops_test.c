/* Every op on every instruction set with 1, 2 and 3 threads, and on opaque memory: the same bits as
 * the portable build's with one; no byte is touched on either side of what it is given.
 *
 * To add an op: a function that runs it for one size and keeps what it wrote, and a row. */
#include "base/bytes.h"
#include "tensor/adamw.h"
#include "tensor/rope.h"
#include "testing/tensors.h"

/* Rows and width of the case; what it wrote goes to out. */
typedef void parity_case(struct backend *be, int N, int C, struct bytes *out);

static void keep(struct bytes *out, const float *x, size_t count)
{
    bytes_put(out, x, count * sizeof *x);
}

static void matmul(struct backend *be, int N, int C, struct bytes *out)
{
    const int F = C / 2 + 1;
    float *x = floats((size_t)N * C, 1, 1), *y = floats((size_t)N * F, 2, 1),
          *dw = floats((size_t)F * C, 3, 1);
    bf16 *w = bf16s((size_t)F * C, 4, 1);
    struct weight *weight = weight_of(be, ON(be, w), F, C);
    run_op(be->ops->matmul(be, ON(be, y), ON(be, x), weight, N, 1));
    run_op(be->ops->matmul_dw(be, ON(be, dw), ON(be, y), ON(be, x), N, F, C, NULL));
    run_op(be->ops->matmul_dx(be, ON(be, x), ON(be, y), weight, N, 1));
    keep(out, y, (size_t)N * F);
    float *y2 = guarded((size_t)N * F * 4), *y3 = guarded((size_t)N * C * 4);
    bf16 *w3 = bf16s((size_t)C * C, 6, 1);
    struct weight *weight3 = weight_of(be, ON(be, w3), C, C);
    const struct product products[] = {
        {ON(be, y2), weight}, {ON(be, y3), weight3}, {ON(be, y), weight}};
    run_op(be->ops->matmuls(be, products, 3, ON(be, x), N));
    assert_same_bits(y, y2, (size_t)N * F * 4, "one input, twice one weight");
    run_op(be->ops->matmul(be, ON(be, y2), ON(be, x), weight, N, 0));
    assert_same_bits(y, y2, (size_t)N * F * 4, "alone and with others");
    be->ops->weight_free(be, weight3);
    be->ops->weight_free(be, weight);
    keep(out, y3, (size_t)N * C);
    keep(out, y, (size_t)N * F);
    keep(out, dw, (size_t)F * C);
    keep(out, x, (size_t)N * C);
}

/* Every other element becomes another, in two lists. */
static void changes(struct backend *be, int N, int C, struct bytes *out)
{
    const size_t count = (size_t)N * C, half = (count + 1) / 2, quarter = half / 2;
    bf16 *w = bf16s(count, 1, 1), *value = bf16s(half, 2, 1);
    float *x = floats((size_t)C, 3, 1), *y = guarded((size_t)N * 4);
    uint32_t *index = guarded(half * sizeof *index);
    struct weight *weight = weight_of(be, ON(be, w), N, C);
    struct weight_changes *list = NULL;
    for (size_t i = 0; i < half; i++)
        index[i] = (uint32_t)(2 * i);
    run_op(be->ops->changes_new(be, half, &list));
    run_op(be->ops->changes_add(be, list, weight, 0, index, value, quarter));
    run_op(be->ops->changes_add(be, list, weight, 0, index + quarter, value + quarter,
                                half - quarter));
    run_op(be->ops->changes_apply(be, list));
    run_op(be->ops->matmul(be, ON(be, y), ON(be, x), weight, 1, 0));
    run_op(be->ops->weight_get(be, weight, 0, count, w)); // of the rows
    be->ops->changes_free(be, list);
    be->ops->weight_free(be, weight);
    keep(out, y, (size_t)N);
    bytes_put(out, w, count * sizeof *w);
}

/* Marked elements of two extents as a list, and into a weight. */
static void listed(struct backend *be, int N, int C, struct bytes *out)
{
    const size_t count = (size_t)N * (size_t)C, second = (count + 31) / 32 * 32;
    const struct extent extent[] = {{0, count}, {second, 32}};
    bf16 *w = bf16s(second + 32, 1, 1), *rows = bf16s(count, 2, 1);
    uint32_t *marks = guarded((second / 32 + 1) * sizeof *marks), *list = guarded(6 * (count + 32));
    uint32_t found[2];
    for (size_t i = 0; i < second + 32; i += 1 + i % 7)
        marks[i / 32] |= (uint32_t)1 << i % 32;
    run_op(be->ops->changes_list(be, ON(be, w), ON(be, marks), extent, 2, count + 32, ON(be, list),
                                 found));
    const bf16 *value = (const bf16 *)(list + found[0] + found[1]);
    struct weight *weight = weight_of(be, ON(be, rows), N, C);
    run_op(be->ops->weight_change(be, weight, ON(be, list), ON(be, value), found[0]));
    run_op(be->ops->weight_get(be, weight, 0, count, rows));
    be->ops->weight_free(be, weight);
    bytes_put(out, found, sizeof found);
    bytes_put(out, list, (found[0] + found[1]) * 6);
    bytes_put(out, rows, count * sizeof *rows);
}

static void embed(struct backend *be, int N, int C, struct bytes *out)
{
    const int V = 11;
    int32_t *token = tokens((size_t)N, 1, V);
    bf16 *table = bf16s((size_t)V * C, 2, 1);
    float *y = guarded((size_t)N * C * 4), *dtable = floats((size_t)V * C, 3, 1);
    struct weight *weight = weight_of(be, ON(be, table), V, C);
    run_op(be->ops->embed(be, ON(be, y), weight, ON(be, token), N));
    run_op(be->ops->embed_backward(be, ON(be, dtable), ON(be, y), ON(be, token), N, C));
    be->ops->weight_free(be, weight);
    keep(out, y, (size_t)N * C);
    keep(out, dtable, (size_t)V * C);
}

static void rmsnorm(struct backend *be, int N, int C, struct bytes *out)
{
    const size_t size = (size_t)N * C;
    float *x = floats(size, 1, 3), *y = guarded(size * 4), *r = guarded((size_t)N * 4);
    float *dx = floats(size, 2, 1), *dy = floats(size, 3, 1), *dweight = floats((size_t)C, 4, 1);
    bf16 *weight = bf16s((size_t)C, 5, 2);
    run_op(be->ops->rmsnorm(be, ON(be, y), ON(be, r), ON(be, x), ON(be, weight), 1e-5f, N, C));
    run_op(be->ops->rmsnorm_backward(be, ON(be, dx), ON(be, dweight), ON(be, dy), ON(be, x),
                                     ON(be, r), ON(be, weight), N, C));
    keep(out, y, size);
    keep(out, r, (size_t)N);
    keep(out, dx, size);
    keep(out, dweight, (size_t)C);
}

static void layernorm(struct backend *be, int N, int C, struct bytes *out)
{
    const size_t size = (size_t)N * C;
    float *x = floats(size, 1, 3), *y = guarded(size * 4), *stats = guarded((size_t)N * 8);
    float *dx = floats(size, 2, 1), *dy = floats(size, 3, 1), *dweight = floats((size_t)C, 4, 1);
    bf16 *weight = bf16s((size_t)C, 5, 2);
    run_op(
        be->ops->layernorm(be, ON(be, y), ON(be, stats), ON(be, x), ON(be, weight), 1e-5f, N, C));
    run_op(be->ops->layernorm_backward(be, ON(be, dx), ON(be, dweight), ON(be, dy), ON(be, x),
                                       ON(be, stats), ON(be, weight), N, C));
    keep(out, y, size);
    keep(out, stats, (size_t)N * 2);
    keep(out, dx, size);
    keep(out, dweight, (size_t)C);
}

static void gelu(struct backend *be, int N, int C, struct bytes *out)
{
    const size_t size = (size_t)N * C;
    for (int by_tanh = 0; by_tanh < 2; by_tanh++) {
        float *x = floats(size, 1, by_tanh ? 12 : 100), *y = guarded(size * 4),
              *dx = floats(size, 2, 1);
        x[size / 2] = INFINITY;
        x[size - 1] = -0.0f;
        run_op(be->ops->gelu(be, ON(be, y), ON(be, x), size, by_tanh));
        run_op(be->ops->gelu_backward(be, ON(be, dx), ON(be, dx), ON(be, x), size, by_tanh));
        for (size_t i = 0; i < size; i++) // NaNs: which of them is not part of the promise
            dx[i] = isnan(dx[i]) ? 0 : dx[i];
        keep(out, y, size);
        keep(out, dx, size);
    }
}

static void bias(struct backend *be, int N, int C, struct bytes *out)
{
    const size_t size = (size_t)N * C;
    float *y = floats(size, 1, 1), *dbias = floats((size_t)C, 2, 1);
    bf16 *b = bf16s((size_t)C, 3, 1);
    run_op(be->ops->bias(be, ON(be, y), ON(be, b), N, C));
    run_op(be->ops->bias_backward(be, ON(be, dbias), ON(be, y), N, C));
    keep(out, y, size);
    keep(out, dbias, (size_t)C);
}

static void rows(struct backend *be, int N, int C, struct bytes *out)
{
    float *x = floats((size_t)N * C, 1, 1), *y = guarded((size_t)N * C * 4),
          *sum = floats((size_t)N * C, 2, 1);
    int32_t *row = tokens((size_t)N, 3, N); // some repeat
    run_op(be->ops->gather(be, ON(be, y), ON(be, x), row, N, C));
    for (int i = 0; i < N; i++)
        assert_same_bits(y + (size_t)i * C, x + (size_t)row[i] * C, (size_t)C * 4, "gathered row");
    run_op(be->ops->scatter_add(be, ON(be, sum), ON(be, x), row, N, C));
    run_op(be->ops->copy(be, ON(be, y), ON(be, x), (size_t)N * C * 4));
    run_op(be->ops->zero(be, ON(be, x), (size_t)N * C * 2));
    keep(out, sum, (size_t)N * C);
    keep(out, y, (size_t)N * C);
    keep(out, x, (size_t)N * C);
}

static void rope(struct backend *be, int N, int C, struct bytes *out)
{
    const int heads = 3, D = 2 * C, positions = 50;
    const size_t size = (size_t)N * heads * D;
    float *x = floats(size, 1, 1), *back = floats(size, 1, 1);
    float *cos = guarded((size_t)positions * C * 4), *sin = guarded((size_t)positions * C * 4);
    int32_t *position = tokens((size_t)N, 2, positions);
    const struct rope whole = {.R = D, .theta = 10000},
                      part = {.R = (C + 1) / 2 * 2, .theta = 10000};
    rope_table(cos, sin, positions, &whole);
    run_op(be->ops->rope(be, ON(be, x), ON(be, position), ON(be, cos), ON(be, sin), N, heads, D, D,
                         0));
    run_op(be->ops->rope(be, ON(be, back), ON(be, position), ON(be, cos), ON(be, sin), N, heads, D,
                         D, 1));
    rope_table(cos, sin, positions, &part);
    run_op(be->ops->rope(be, ON(be, x), ON(be, position), ON(be, cos), ON(be, sin), N, heads, D,
                         part.R, 0));
    keep(out, x, size);
    keep(out, back, size);
}

static void swiglu(struct backend *be, int N, int C, struct bytes *out)
{
    const size_t size = (size_t)N * C;
    float *gate = floats(size, 1, 100), *up = floats(size, 2, 3), *y = guarded(size * 4);
    float *dy = floats(size, 3, 1), *dgate = guarded(size * 4), *dup = guarded(size * 4);
    gate[0] = INFINITY;
    gate[size / 2] = -INFINITY;
    gate[size - 1] = -0.0f;
    run_op(be->ops->swiglu(be, ON(be, y), ON(be, gate), ON(be, up), size));
    run_op(be->ops->swiglu_backward(be, ON(be, dgate), ON(be, dup), ON(be, dy), ON(be, gate),
                                    ON(be, up), size));
    for (size_t i = 0; i < size; i++) // NaNs: which of them is not part of the promise
        y[i] = isnan(y[i]) ? 0 : y[i], dgate[i] = isnan(dgate[i]) ? 0 : dgate[i],
        dup[i] = isnan(dup[i]) ? 0 : dup[i];
    run_op(be->ops->add(be, ON(be, dy), ON(be, y), size));
    run_op(be->ops->scale(be, ON(be, dup), 0.7f, size));
    keep(out, y, size);
    keep(out, dgate, size);
    keep(out, dup, size);
    keep(out, dy, size);
}

static void attention_over(struct backend *be, int N, int C, int window, struct bytes *out)
{
    const int D = C % 2 ? C + 1 : C, H = 4, K = 2, first = N / 3;
    const struct attention_shape shape = {H, K, D, window};
    const int prompt = (N - first) / 2, half = (N - first - prompt) / 2, own = first + prompt;
    const struct segment segments[] = {
        {.first = 0, .count = first},
        {.first = first, .count = prompt},
        {.first = own, .count = half, .start = prompt, .prefix = first},
        {.first = own + half, .count = N - own - half, .start = prompt, .prefix = first}};
    const size_t wide = (size_t)N * H * D, narrow = (size_t)N * K * D;
    float *q = floats(wide, 1, 1), *k = floats(narrow, 2, 1), *v = floats(narrow, 3, 1),
          *o = guarded(wide * 4);
    float *lse = guarded((size_t)N * H * 4), *d_o = floats(wide, 4, 1);
    float *dq = floats(wide, 5, 1), *dk = floats(narrow, 6, 1), *dv = floats(narrow, 7, 1);
    run_op(be->ops->attention(be, ON(be, o), ON(be, lse), ON(be, q), ON(be, k), ON(be, v), segments,
                              4, &shape, 0));
    run_op(be->ops->attention_backward(be, ON(be, dq), ON(be, dk), ON(be, dv), ON(be, d_o),
                                       ON(be, q), ON(be, k), ON(be, v), ON(be, o), ON(be, lse),
                                       segments, 4, &shape));
    keep(out, o, wide);
    keep(out, lse, (size_t)N * H);
    keep(out, dq, wide);
    keep(out, dk, narrow);
    keep(out, dv, narrow);
}

static void attention(struct backend *be, int N, int C, struct bytes *out)
{
    attention_over(be, N, C, 0, out);
}

/* Windows within a vector and over several. */
static void window(struct backend *be, int N, int C, struct bytes *out)
{
    attention_over(be, N, C, 1 + (N + C) % 40, out);
}

/* Every rule, rows that requests share, a row that has no distribution. */
static void draw(struct backend *be, int N, int V, struct bytes *out)
{
    enum { RULES = 7, DRAWS = 3 * RULES };
    const struct token_request rules[RULES] = {
        {.counter = 1},
        {.counter = 2},
        {.top_k = 3, .top_p = 0.7f, .counter = 3},
        {.min_p = 0.05f, .counter = 4},
        {.repetition_penalty = 1.3f, .top_p = 0.9f, .counter = 5},
        {.greedy = true},
        {.greedy = true, .repetition_penalty = 0.7f},
    };
    struct token_request request[DRAWS];
    struct token_draw got[DRAWS];
    float *logits = floats((size_t)N * V, 1, 8);
    int32_t *token = tokens(5, 2, V);
    logits[(size_t)(N / 2) * V] = N > 1 ? NAN : 1;
    for (int i = 0; i < DRAWS; i++) {
        request[i] = rules[i % RULES];
        request[i].row = i / RULES * (N - 1) / 2;
        request[i].inverse_temperature = request[i].greedy ? 1 : 0.7f;
        request[i].token = token;
        request[i].tokens = 5;
    }
    run_op(be->ops->token_draw(be, ON(be, logits), N, V, request, DRAWS, got));
    for (int i = 0; i < DRAWS; i++) {
        const double numbers[] = {got[i].token, got[i].logp, got[i].mass, got[i].share};
        assert_int_equal(got[i].finite, N == 1 || request[i].row != N / 2);
        bytes_put(out, numbers, sizeof numbers);
    }
}

static void vocabulary(struct backend *be, int N, int V, struct bytes *out)
{
    const size_t size = (size_t)N * V;
    float *logits = floats(size, 1, 30), *logp = guarded((size_t)N * 4);
    float *entropy = guarded((size_t)N * 4), *dlogp = floats((size_t)N, 2, 1);
    int32_t *token = tokens((size_t)N, 3, V);
    logits[size - 1] = -INFINITY;
    token[N - 1] = 0;
    dlogp[N / 2] = 0;
    run_op(be->ops->token_logp(be, logp, entropy, ON(be, logits), token, 0.7f, N, V));
    run_op(be->ops->token_logp_backward(be, ON(be, logits), dlogp, token, 0.7f, N, V));
    keep(out, V > 1 ? logp : dlogp, (size_t)N); // one token at -infinity: not a number
    keep(out, V > 1 ? entropy : dlogp, (size_t)N);
    keep(out, V > 1 ? logits : dlogp, V > 1 ? size : 1);
}

static void terms(struct backend *be, int N, int V, struct bytes *out)
{
    const size_t size = (size_t)N * V;
    float *logits = floats(size, 1, 30), *reference = floats(size, 4, 30);
    float *value[TERM_COUNT], *slope = floats((size_t)N, 2, 1);
    struct row_values values;
    struct row_slopes slopes;
    int32_t *token = tokens((size_t)N, 3, V);
    const struct row_call call = {token, 0.7f, 0.3f, N, V};
    logits[size - 1] = V > 1 ? -INFINITY : 0;
    slope[N / 2] = 0;
    for (int k = 0; k < TERM_SLOPES; k++)
        slopes.at[k] = slope;
    for (int k = 0; k < TERM_COUNT; k++)
        values.at[k] = value[k] = guarded((size_t)N * 4);
    run_op(be->ops->row_terms(be, ON(be, logits), ON(be, reference), &call, &values));
    run_op(be->ops->row_terms_backward(be, ON(be, logits), ON(be, reference), &call, &slopes));
    for (int k = 0; k < TERM_COUNT; k++)
        keep(out, value[k], (size_t)N);
    keep(out, logits, size);
}

/* Every third token from the second on, then the rest as of one softmax. */
static void mask(struct backend *be, int N, int V, struct bytes *out)
{
    struct token_range range[64];
    int ranges = 0;
    const size_t size = (size_t)N * V;
    float *logits = floats(size, 1, 8), *logp = guarded((size_t)N * 4);
    float *entropy = guarded((size_t)N * 4), *dlogp = floats((size_t)N, 2, 1);
    int32_t *token = guarded((size_t)N * 4);
    for (int v = 1; v < V && ranges < 63; v += 3)
        range[ranges++] = (struct token_range){v, 1};
    run_op(be->ops->token_mask(be, ON(be, logits), range, ranges, N, V));
    keep(out, logits, size);
    run_op(be->ops->token_logp(be, logp, entropy, ON(be, logits), token, 0.7f, N, V));
    run_op(be->ops->token_logp_backward(be, ON(be, logits), dlogp, token, 0.7f, N, V));
    keep(out, logp, (size_t)N);
    keep(out, entropy, (size_t)N);
    keep(out, logits, size);
}

static void optimizer(struct backend *be, int N, int C, struct bytes *out)
{
    const size_t size = (size_t)N * C * 7;
    float *master = floats(size, 1, 1), *m = floats(size, 2, 0.1), *v = floats(size, 3, 0.1),
          *grad = floats(size, 4, 1);
    bf16 *w = bf16s(size, 1, 1);
    const struct adamw_step step = {.lr = 1e-3f,
                                    .beta1 = 0.9f,
                                    .beta2 = 0.99f,
                                    .eps = 1e-8f,
                                    .weight_decay = 0.1f,
                                    .grad_scale = 0.3f,
                                    .step = 3};
    const size_t first = (size_t)N * 1000000007; // of a larger array
    const struct digest before = weights_digest(w, first, size);
    struct adamw_total *total = guarded(sizeof *total);
    double sum = 0;
    struct digest whole;
    run_op(be->ops->digest(be, ON(be, w), first, size, &whole));
    assert_same_bits(&whole, &before, sizeof before, "digest");
    for (size_t i = 0; i < size; i++)
        v[i] = fabsf(v[i]);
    run_op(be->ops->square_sum(be, ON(be, grad), size, &sum));
    run_op(be->ops->adamw(be, ON(be, master), ON(be, w), ON(be, m), ON(be, v), ON(be, grad), first,
                          size, &step, NULL, ON(be, total)));
    const struct digest after = weights_digest(w, first, size),
                        added = weights_digest_add(before, adamw_changes_of(total).digest);
    assert_same_bits(&added, &after, sizeof after, "digest by its change");
    keep(out, master, size);
    keep(out, m, size);
    keep(out, v, size);
    bytes_put(out, w, size * sizeof *w);
    bytes_put(out, total, sizeof *total);
    bytes_put(out, &sum, sizeof sum);
}

/* The same bits at every backend, guarded behind and before. */
static void size_agrees(parity_case *run, int N, int C)
{
    SCOPED_VALUE(bytes) want = {0};
    for (int i = 0; i < 2 * backend_count; i++) {
        SCOPED_VALUE(bytes) got = {0};
        const int at = i / 2;
        guard_before = i % 2;
        run(backends[at], N, C, i ? &got : &want);
        if (i)
            assert_same_bits(got.data, want.data, want.len, backend_names[at]);
        guarded_free_all();
    }
    guard_before = false;
}

static void all_backends_agree(parity_case *run)
{
    static const int sizes[][2] = {{1, 1},   {5, 3},    {3, 17},   {33, 16},
                                   {29, 64}, {40, 100}, {300, 32}, {9, 2048}};
    all_backends();
    add_opaque_backend();
    for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++) {
        const int N = sizes[n][0], C = sizes[n][1];
        if (C > 1000 && (run == attention || run == window || run == rope || run == matmul))
            continue; // slow in the portable build, and other sizes reach the same code
        size_agrees(run, N, C);
    }
    free_backends();
}

/* Sizes by lot, of every op; RLHFD_SHAPES=400: so many. */
static void odd_shapes_agree(void **state)
{
    static parity_case *const cases[] = {matmul,    changes, embed,     rmsnorm, layernorm,  rope,
                                         swiglu,    gelu,    attention, window,  vocabulary, bias,
                                         optimizer, rows,    draw,      mask,    listed,     terms};
    enum { CASES = sizeof cases / sizeof *cases, SHAPES = 20, ROWS = 90, COLUMNS = 150 };
    const char *text = getenv("RLHFD_SHAPES");
    const long asked = text ? strtol(text, NULL, 10) : 0, shapes = asked > 0 ? asked : SHAPES;
    const struct rng rng = rng_keyed(31, RNG_TEST, 0, 0);
    (void)state;
    all_backends();
    add_opaque_backend();
    for (long i = 0; i < shapes * CASES; i++) {
        const int N = 1 + (int)rng_below(&rng, (uint64_t)(2 * i), ROWS);
        const int C = 1 + (int)rng_below(&rng, (uint64_t)(2 * i + 1), COLUMNS);
        size_agrees(cases[i % CASES], N, C);
    }
    free_backends();
}

/* Head sizes that fill no vector, or one and a half, and the usual ones. */
static void head_sizes_agree(void **state)
{
    static const int sizes[] = {8, 24, 32, 40, 64, 72, 80, 96, 120, 128};
    (void)state;
    all_backends();
    for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++) {
        size_agrees(attention, 61, sizes[n]);
        size_agrees(window, 61, sizes[n]);
        size_agrees(rope, 7, sizes[n] / 2);
    }
    free_backends();
}

#define PARITY(name)                                                                               \
    static void name##_agrees(void **state)                                                        \
    {                                                                                              \
        (void)state;                                                                               \
        all_backends_agree(name);                                                                  \
    }
PARITY(matmul)
PARITY(embed)
PARITY(rmsnorm)
PARITY(layernorm)
PARITY(gelu)
PARITY(window)
PARITY(rows)
PARITY(rope)
PARITY(swiglu)
PARITY(attention)
PARITY(vocabulary)
PARITY(terms)
PARITY(draw)
PARITY(mask)
PARITY(optimizer)
PARITY(listed)
PARITY(bias)

TESTS(cmocka_unit_test(matmul_agrees), cmocka_unit_test(embed_agrees),
      cmocka_unit_test(rmsnorm_agrees), cmocka_unit_test(layernorm_agrees),
      cmocka_unit_test(gelu_agrees), cmocka_unit_test(window_agrees), cmocka_unit_test(rope_agrees),
      cmocka_unit_test(swiglu_agrees), cmocka_unit_test(attention_agrees),
      cmocka_unit_test(vocabulary_agrees), cmocka_unit_test(terms_agrees),
      cmocka_unit_test(draw_agrees), cmocka_unit_test(mask_agrees),
      cmocka_unit_test(optimizer_agrees), cmocka_unit_test(bias_agrees),
      cmocka_unit_test(rows_agrees), cmocka_unit_test(listed_agrees),
      cmocka_unit_test(head_sizes_agree), cmocka_unit_test(odd_shapes_agree))
