/* Ops in which no tensor core takes part have the bits that the golden file has of them: the
 * emulator's, which wrote it. On a device the same test says whether its arithmetic, and what nvcc
 * made of ours, is the one that we mean.
 *
 * RLHFD_GOLDEN=write writes them (testing/golden.h). */
#include "base/hash.h"
#include "cuda/module.h"
#include "cuda/noise.h"
#include "cuda/settings.h"
#include "tensor/rope.h"
#include "testing/golden.h"
#include <math.h>

enum { N = 37, C = 200, V = 1003, HEADS = 3, D = 32, COUNT = N * C };

static void check_bytes(const char *name, const void *bytes, size_t count)
{
    char text[DIGEST_TEXT];
    const struct digest digest = hash128(bytes, count, 0);
    SCOPED_JSON json_t *made = json_string(digest_text(&digest, text));
    golden_check("cuda_ops", name, made);
}

/* `count` floats of y, as the op left them. */
static void check(struct backend *be, const char *name, err_t e, const struct buffer *y,
                  size_t count)
{
    SCOPED_MEM float *got = mem_array(count, sizeof *got);
    assert_ok(e);
    assert_ok(be->ops->sync(be));
    assert_ok(buffer_get(y, 0, count * sizeof *got, got));
    for (size_t i = 0; i < count; i++)
        assert_false(isnan(got[i]));
    check_bytes(name, got, count * sizeof *got);
}

static void sums_and_products(void **state)
{
    (void)state;
    SCOPED(backend) be = cuda_module_open();
    const struct backend_ops *ops = be->ops;
    SCOPED_VALUE(buffer) x = noise_there(be, 1, COUNT, 3, 0), y = noise_there(be, 2, COUNT, 1, 0);
    SCOPED_VALUE(buffer) z = noise_there(be, 3, COUNT, 9, 0);
    SCOPED_MEM bf16 *b = noise(4, C, 1, 0);
    SCOPED_VALUE(buffer) bias = bytes_there(be, b, C * sizeof *b);
    check(be, "add", ops->add(be, y.address, x.address, COUNT), &y, COUNT);
    check(be, "scale", ops->scale(be, y.address, 0.7f, COUNT), &y, COUNT);
    check(be, "bias", ops->bias(be, x.address, bias.address, N, C), &x, COUNT);
    check(be, "swiglu", ops->swiglu(be, y.address, z.address, x.address, COUNT), &y, COUNT);
    check(be, "gelu", ops->gelu(be, y.address, z.address, COUNT, 0), &y, COUNT);
    check(be, "gelu_tanh", ops->gelu(be, y.address, z.address, COUNT, 1), &y, COUNT);
    check(be, "round_bf16", ops->round_bf16(be, z.address, COUNT), &z, COUNT);
}

static void norms(void **state)
{
    (void)state;
    SCOPED(backend) be = cuda_module_open();
    SCOPED_VALUE(buffer) x = noise_there(be, 5, COUNT, 3, 0.5), y = floats_there(be, NULL, COUNT);
    SCOPED_VALUE(buffer) kept = floats_there(be, NULL, 2 * N);
    SCOPED_MEM bf16 *w = noise(6, C, 0.5, 1);
    SCOPED_VALUE(buffer) weight = bytes_there(be, w, C * sizeof *w);
    check(be, "rmsnorm",
          be->ops->rmsnorm(be, y.address, kept.address, x.address, weight.address, 1e-5f, N, C), &y,
          COUNT);
    check(be, "layernorm",
          be->ops->layernorm(be, y.address, kept.address, x.address, weight.address, 1e-5f, N, C),
          &y, COUNT);
}

/* Norms of x, their slopes for dy = z, and sums over rows. */
static void slopes_of_norms(void **state)
{
    (void)state;
    SCOPED(backend) be = cuda_module_open();
    const struct backend_ops *ops = be->ops;
    SCOPED_VALUE(buffer)
    x = noise_there(be, 5, COUNT, 3, 0.5), z = noise_there(be, 12, COUNT, 1, 0);
    SCOPED_VALUE(buffer) y = floats_there(be, NULL, COUNT), kept = floats_there(be, NULL, 2 * N);
    SCOPED_VALUE(buffer) dx = noise_there(be, 13, COUNT, 1, 0), sums = noise_there(be, 14, C, 1, 0);
    SCOPED_MEM bf16 *w = noise(6, C, 0.5, 1);
    SCOPED_VALUE(buffer) weight = bytes_there(be, w, C * sizeof *w);
    assert_ok(ops->rmsnorm(be, y.address, kept.address, x.address, weight.address, 1e-5f, N, C));
    check(be, "rmsnorm_dx",
          ops->rmsnorm_backward(be, dx.address, sums.address, z.address, x.address, kept.address,
                                weight.address, N, C),
          &dx, COUNT);
    check(be, "rmsnorm_dweight", OK, &sums, C);
    assert_ok(ops->layernorm(be, y.address, kept.address, x.address, weight.address, 1e-5f, N, C));
    check(be, "layernorm_dx",
          ops->layernorm_backward(be, dx.address, sums.address, z.address, x.address, kept.address,
                                  weight.address, N, C),
          &dx, COUNT);
    check(be, "layernorm_dweight", OK, &sums, C);
    check(be, "bias_backward", ops->bias_backward(be, sums.address, z.address, N, C), &sums, C);
}

static void slopes_of_elements(void **state)
{
    (void)state;
    SCOPED(backend) be = cuda_module_open();
    const struct backend_ops *ops = be->ops;
    SCOPED_VALUE(buffer)
    gate = noise_there(be, 3, COUNT, 9, 0), up = noise_there(be, 1, COUNT, 3, 0);
    SCOPED_VALUE(buffer) dy = noise_there(be, 12, COUNT, 1, 0);
    SCOPED_VALUE(buffer) a = floats_there(be, NULL, COUNT), b = floats_there(be, NULL, COUNT);
    check(
        be, "swiglu_dgate",
        ops->swiglu_backward(be, a.address, b.address, dy.address, gate.address, up.address, COUNT),
        &a, COUNT);
    check(be, "swiglu_dup", OK, &b, COUNT);
    check(be, "gelu_dx", ops->gelu_backward(be, a.address, dy.address, gate.address, COUNT, 0), &a,
          COUNT);
    check(be, "gelu_tanh_dx", ops->gelu_backward(be, a.address, dy.address, gate.address, COUNT, 1),
          &a, COUNT);
}

static void rows_that_are_added(void **state)
{
    (void)state;
    SCOPED(backend) be = cuda_module_open();
    SCOPED_VALUE(buffer) x = noise_there(be, 7, COUNT, 3, 0), y = noise_there(be, 2, COUNT, 1, 0);
    int32_t row[N];
    for (int i = 0; i < N; i++)
        row[i] = i * 11 % 7;
    SCOPED_VALUE(buffer) token = bytes_there(be, row, sizeof row);
    check(be, "scatter_add", be->ops->scatter_add(be, y.address, x.address, row, N, C), &y, COUNT);
    check(be, "embed_backward",
          be->ops->embed_backward(be, y.address, x.address, token.address, N, C), &y, COUNT);
}

static void the_optimizer(void **state)
{
    (void)state;
    enum { FIRST = 1 << 20, WORDS = (COUNT + 31) / 32 };
    SCOPED(backend) be = cuda_module_open();
    const struct adamw_step step = {1e-3f, 0.9f, 0.99f, 1e-8f, 0.1f, 0.5f, 3};
    SCOPED_MEM bf16 *values = noise(15, COUNT, 0.05, 0);
    SCOPED_VALUE(buffer) master = floats_there(be, values, COUNT);
    SCOPED_VALUE(buffer) w = bytes_there(be, values, COUNT * sizeof *values);
    SCOPED_VALUE(buffer) m = noise_there(be, 16, COUNT, 1e-3, 0);
    SCOPED_VALUE(buffer) v = noise_there(be, 17, COUNT, 1e-6, 1e-5);
    SCOPED_VALUE(buffer) grad = noise_there(be, 18, COUNT, 1e-2, 0);
    SCOPED_VALUE(buffer) marks = floats_there(be, NULL, WORDS), total = {0};
    double squares = 0;
    uint32_t marked[WORDS];
    struct adamw_total sum;
    assert_ok(buffer_alloc(be, sizeof sum, &total));
    check(be, "adamw_master",
          be->ops->adamw(be, master.address, w.address, m.address, v.address, grad.address, FIRST,
                         COUNT, &step, marks.address, total.address),
          &master, COUNT);
    check(be, "adamw_m", OK, &m, COUNT);
    check(be, "adamw_v", OK, &v, COUNT);
    assert_ok(buffer_get(&w, 0, COUNT * sizeof *values, values));
    assert_ok(buffer_get(&marks, 0, sizeof marked, marked));
    assert_ok(buffer_get(&total, 0, sizeof sum, &sum));
    check_bytes("adamw_w", values, COUNT * sizeof *values);
    check_bytes("adamw_marks", marked, sizeof marked);
    check_bytes("adamw_total", &sum, sizeof sum);
    assert_ok(be->ops->square_sum(be, grad.address, COUNT, &squares));
    check_bytes("square_sum", &squares, sizeof squares);
}

static void rows_of_tables(void **state)
{
    (void)state;
    SCOPED(backend) be = cuda_module_open();
    SCOPED_VALUE(buffer) x = noise_there(be, 7, COUNT, 3, 0), y = floats_there(be, NULL, COUNT);
    SCOPED_MEM bf16 *w = noise(8, (size_t)V * C, 1, 0);
    int32_t row[N], token[N];
    for (int i = 0; i < N; i++) {
        row[i] = i * 11 % N;
        token[i] = i * 271 % V;
    }
    check(be, "gather", be->ops->gather(be, y.address, x.address, row, N, C), &y, COUNT);
    struct weight *table = NULL;
    const struct weight_form form = {.N = V, .K = C, .packed = true};
    SCOPED_VALUE(buffer) there_token = bytes_there(be, token, sizeof token);
    assert_ok(be->ops->weights_new(be, &form, 1, &table));
    assert_ok(be->ops->weight_put(be, table, w, 0, V));
    check(be, "embed", be->ops->embed(be, y.address, table, there_token.address, N), &y, COUNT);
    be->ops->weight_free(be, table);
}

static void turns(void **state)
{
    (void)state;
    enum { POSITIONS = 512, R = D };
    SCOPED(backend) be = cuda_module_open();
    SCOPED_VALUE(buffer) x = noise_there(be, 9, (size_t)N * HEADS * D, 2, 0);
    static float cosine[POSITIONS * R / 2], sine[POSITIONS * R / 2];
    const struct rope rope = {.kind = ROPE_DEFAULT, .R = R, .theta = 1e4};
    int32_t position[N];
    for (int i = 0; i < N; i++)
        position[i] = i * 13 % POSITIONS;
    rope_table(cosine, sine, POSITIONS, &rope);
    SCOPED_VALUE(buffer) c = bytes_there(be, cosine, sizeof cosine);
    SCOPED_VALUE(buffer) s = bytes_there(be, sine, sizeof sine);
    SCOPED_VALUE(buffer) p = bytes_there(be, position, sizeof position);
    check(be, "rope",
          be->ops->rope(be, x.address, p.address, c.address, s.address, N, HEADS, D, R, 0), &x,
          (size_t)N * HEADS * D);
}

static void the_vocabulary(void **state)
{
    (void)state;
    SCOPED(backend) be = cuda_module_open();
    SCOPED_VALUE(buffer) logits = noise_there(be, 10, (size_t)N * V, 6, 0);
    static const struct token_range range[] = {{3, 5}, {900, 103}};
    float both[2][N];
    int32_t token[N];
    struct token_request request[3 * N];
    struct token_draw draw[3 * N];
    for (int i = 0; i < N; i++)
        token[i] = 8 + i * 23 % 800;
    assert_ok(be->ops->token_logp(be, both[0], both[1], logits.address, token, 0.9f, N, V));
    check_bytes("token_logp", both, sizeof both);
    SCOPED_VALUE(buffer) slopes = noise_there(be, 10, (size_t)N * V, 6, 0);
    check(be, "token_logp_backward",
          be->ops->token_logp_backward(be, slopes.address, both[0], token, 0.9f, N, V), &slopes,
          (size_t)N * V);
    check(be, "token_mask", be->ops->token_mask(be, logits.address, range, 2, N, V), &logits,
          (size_t)N * V);
    for (int i = 0; i < 3 * N; i++)
        request[i] = (struct token_request){.row = i % N,
                                            .greedy = i % 5 == 0,
                                            .inverse_temperature = 1.25f,
                                            .repetition_penalty = i % 3 ? 0 : 1.3f,
                                            .token = token,
                                            .tokens = i % N,
                                            .top_k = i % 4 ? 0 : 40,
                                            .top_p = i % 2 ? 0 : 0.9f,
                                            .min_p = i % 7 ? 0 : 0.02f,
                                            .rng = rng_keyed(7, RNG_TEST, (uint64_t)i, 0),
                                            .counter = (uint64_t)i};
    assert_ok(be->ops->token_draw(be, logits.address, N, V, request, 3 * N, draw));
    double drawn[3 * N][4];
    for (int i = 0; i < 3 * N; i++) {
        assert_true(draw[i].finite);
        drawn[i][0] = draw[i].token;
        drawn[i][1] = (double)draw[i].logp;
        drawn[i][2] = draw[i].mass;
        drawn[i][3] = draw[i].share;
    }
    check_bytes("token_draw", drawn, sizeof drawn);
}

static void digests_of_weights(void **state)
{
    (void)state;
    SCOPED(backend) be = cuda_module_open();
    SCOPED_MEM bf16 *w = noise(11, COUNT, 1, 0);
    SCOPED_VALUE(buffer) weights = bytes_there(be, w, COUNT * sizeof *w);
    struct digest digest;
    assert_ok(be->ops->digest(be, weights.address, 12345, COUNT, &digest));
    const struct digest want = weights_digest(w, 12345, COUNT);
    assert_memory_equal(&digest, &want, sizeof want);
}

TESTS_UNDER_EACH_SETTING(cmocka_unit_test(sums_and_products), cmocka_unit_test(norms),
                         cmocka_unit_test(slopes_of_norms), cmocka_unit_test(slopes_of_elements),
                         cmocka_unit_test(rows_that_are_added), cmocka_unit_test(the_optimizer),
                         cmocka_unit_test(rows_of_tables), cmocka_unit_test(turns),
                         cmocka_unit_test(the_vocabulary), cmocka_unit_test(digests_of_weights))
