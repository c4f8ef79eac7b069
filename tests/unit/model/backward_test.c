#include "tiny.h"
#include <math.h>

static const int lengths[] = {5, 40, 33, 1, 17, 2};
enum { SEQUENCES = 6, ROWS = 98 };

static void assert_zero(const struct gradient *grad)
{
    SCOPED_MEM float *flat = gradient_of(grad);
    for (size_t i = 0; i < grad->count; i++)
        assert_true(flat[i] == 0);
}

static void micro_batches_add_up_to_the_large_batch(void **state)
{
    (void)state;
    for (int tied = 0; tied < 2; tied++) {
        SCOPED(backend) be = tiny_backend(2);
        struct model_config config = tiny_config(tied);
        SCOPED(model) model = NULL;
        SCOPED(forward) large = NULL;
        SCOPED(forward) small = NULL;
        SCOPED(gradient) whole = NULL;
        SCOPED(gradient) parts = NULL;
        assert_ok(model_new(be, &config, 5, &model));
        assert_ok(forward_new(model, ROWS, 256, true, &large));
        assert_ok(forward_new(model, ROWS, 3, true, &small));
        assert_ok(gradient_new(model, &whole));
        assert_ok(gradient_new(model, &parts));
        SCOPED_VALUE(tiny_batch) all = tiny_batch_of(lengths, 0, SEQUENCES, config.V, 1);
        tiny_backward(large, &all, whole);
        for (int first = 0; first < SEQUENCES; first += 2) {
            SCOPED_VALUE(tiny_batch) some = tiny_batch_of(lengths, first, 2, config.V, 1);
            tiny_backward(small, &some, parts);
        }
        assert_ok(gradient_sum(whole));
        assert_ok(gradient_sum(parts));
        assert_same_gradient(whole, parts);
        assert_ok(gradient_zero(parts));
        assert_zero(parts);
    }
}

/* Twice after one run, so that the layers are walked again from the first. */
static void what_is_computed_again_has_the_same_bits(void **state)
{
    (void)state;
    for (int kv = 0; kv < 2; kv++) {
        SCOPED(backend) be = tiny_backend(2);
        struct model_config config = tiny_config(kv);
        config.L = 4;
        SCOPED(model) model = NULL;
        SCOPED(forward) all = NULL;
        SCOPED(forward) inputs = NULL;
        SCOPED(gradient) kept = NULL;
        SCOPED(gradient) again = NULL;
        assert_ok(model_new(be, &config, 5, &model));
        model->kv = kv ? KV_BF16 : KV_F32;
        assert_ok(forward_new(model, ROWS, 16, FORWARD_ALL, &all));
        assert_ok(forward_new(model, ROWS, 16, FORWARD_INPUTS, &inputs));
        assert_ok(gradient_new(model, &kept));
        assert_ok(gradient_new(model, &again));
        assert_true(forward_bytes(inputs) < forward_bytes(all) / 2);
        SCOPED_VALUE(tiny_batch) batch = tiny_batch_of(lengths, 0, SEQUENCES, config.V, 1);
        for (int i = 0; i < 2; i++) {
            tiny_backward(all, &batch, kept);
            tiny_backward(inputs, &batch, again);
            assert_ok(backward_run(all, batch.row, batch.target, batch.dlogp, batch.rows, 1, kept));
            assert_ok(
                backward_run(inputs, batch.row, batch.target, batch.dlogp, batch.rows, 1, again));
        }
        assert_ok(gradient_sum(kept));
        assert_ok(gradient_sum(again));
        assert_same_gradient(kept, again);
    }
}

static void threads_change_no_bit(void **state)
{
    (void)state;
    float *first = NULL;
    for (int threads = 1; threads <= 3; threads++) {
        SCOPED(backend) be = tiny_backend(threads);
        struct model_config config = tiny_config(true);
        SCOPED(model) model = NULL;
        SCOPED(forward) fw = NULL;
        SCOPED(gradient) grad = NULL;
        assert_ok(model_new(be, &config, 5, &model));
        assert_ok(forward_new(model, ROWS, 16, true, &fw));
        assert_ok(gradient_new(model, &grad));
        SCOPED_VALUE(tiny_batch) all = tiny_batch_of(lengths, 0, SEQUENCES, config.V, 1);
        tiny_backward(fw, &all, grad);
        assert_ok(gradient_sum(grad));
        float *flat = gradient_of(grad);
        if (first)
            assert_memory_equal(first, flat, grad->count * sizeof(float));
        free(first);
        first = flat;
    }
    free(first);
}

/* Logits are left where forward_logp had the same rows last; not where other rows, or nobody, came
 * between. */
static void stretches_add_up_to_one_run(void **state)
{
    enum { HEAD = 16 };
    (void)state;
    for (int tied = 0; tied < 2; tied++) {
        SCOPED(backend) be = tiny_backend(2);
        struct model_config config = tiny_config(tied);
        SCOPED(model) model = NULL;
        SCOPED(forward) fw = NULL;
        SCOPED(gradient) whole = NULL;
        SCOPED(gradient) parts = NULL;
        float logp[ROWS];
        assert_ok(model_new(be, &config, 5, &model));
        assert_ok(forward_new(model, ROWS, HEAD, true, &fw));
        assert_ok(gradient_new(model, &whole));
        assert_ok(gradient_new(model, &parts));
        SCOPED_VALUE(tiny_batch) b = tiny_batch_of(lengths, 0, SEQUENCES, config.V, 1);
        tiny_backward(fw, &b, whole);
        tiny_forward(fw, &b);
        assert_ok(backward_begin(fw));
        for (int at = 0, round = 0, rows; at < b.rows; at += rows, round++) {
            rows = b.rows - at < 7 ? b.rows - at : round == 3 ? HEAD + 5 : 7;
            const int other = round == 1 ? 0 : at; // what is left is of other rows, or untouched,
            assert_ok(
                forward_logp(fw, b.row + other, b.target + other, rows, 0.8f, logp + at, NULL));
            if (round == 2) // or only the rows of hidden states are others
                free(logits_of(model, fw, b.row, rows));
            assert_ok(
                backward_head(fw, b.row + at, b.target + at, b.dlogp + at, rows, 0.8f, parts));
        }
        assert_ok(backward_body(fw, parts));
        assert_ok(gradient_sum(whole));
        assert_ok(gradient_sum(parts));
        assert_same_gradient(whole, parts);
    }
}

static double loss_of(struct forward *fw, const struct tiny_batch *b)
{
    float logp[ROWS];
    double loss = 0;
    tiny_forward(fw, b);
    assert_ok(forward_logp(fw, b->row, b->target, b->rows, 0.8f, logp, NULL));
    for (int i = 0; i < b->rows; i++)
        loss += (double)b->dlogp[i] * logp[i];
    return loss;
}

/* Moves about half of a tensor's weights (which, by seed) two bf16 steps up their slope, or down;
 * returns by how much the loss should have changed. flat: all weights, of which some are changed;
 * grad: all gradients. */
static double move(struct model *model, bf16 *flat, const float *grad, int tensor, uint64_t seed,
                   int up)
{
    const struct layout_tensor *t = &model->params->layout->tensor[tensor];
    const struct rng rng = rng_keyed(seed, RNG_TEST, (uint64_t)tensor, 0);
    double expected = 0;
    for (size_t i = 0; i < t->count; i++) {
        bf16 *w = &flat[t->offset + i];
        const float slope = grad[t->offset + i], old = bf16_to_float(*w);
        if (rng_u64(&rng, i) & 1 || (*w & 0x7fff) < 16)
            continue;
        bool larger = (slope > 0) == up; // in value; in bits that is + for positive weights
        *w = (bf16)((*w & 0x8000) == 0 ? (larger ? *w + 2 : *w - 2) : (larger ? *w - 2 : *w + 2));
        expected += (double)slope * ((double)bf16_to_float(*w) - old);
    }
    assert_ok(model_put(model, flat, NULL));
    return expected;
}

/* The loss is a float32 sum of ~100 log-probabilities, good to ~1e-6; a tensor's move changes it by
 * 0.02 to 0.3. Two bf16 steps are up to 1.6 % of a weight: its curvature cancels between up and
 * down but for weights next to a power of two, whose steps differ: measured at most 0.0017, and a
 * wrong slope is off by far more than 0.004. */
static void slopes_agree_with_finite_differences(void **state)
{
    (void)state;
    for (int tied = 0; tied < 2; tied++) {
        SCOPED(backend) be = tiny_backend(1);
        struct model_config config = tiny_config(tied);
        SCOPED(model) model = NULL;
        SCOPED(forward) fw = NULL;
        SCOPED(gradient) grad = NULL;
        assert_ok(model_new(be, &config, 5, &model));
        assert_ok(forward_new(model, ROWS, 16, true, &fw));
        assert_ok(gradient_new(model, &grad));
        SCOPED_VALUE(tiny_batch) all = tiny_batch_of(lengths, 0, SEQUENCES, config.V, 1);
        tiny_backward(fw, &all, grad);
        assert_ok(gradient_sum(grad));
        const size_t bytes = model->params->layout->elements * sizeof(bf16);
        SCOPED_MEM bf16 *kept = flat_of(model);
        SCOPED_MEM bf16 *moved = flat_of(model);
        SCOPED_MEM float *slopes = gradient_of(grad);
        for (int i = 0; i < model->params->layout->count; i++) {
            double expected = 0, loss[2];
            for (int up = 0; up < 2; up++) {
                expected += (up ? 1 : -1) * move(model, moved, slopes, i, 9, up);
                loss[up] = loss_of(fw, &all);
                memcpy(moved, kept, bytes);
                assert_ok(model_put(model, moved, NULL));
            }
            assert_true(expected > 0.01);
            assert_near((loss[1] - loss[0]) / expected, 1, 0.004);
        }
    }
}

/* Rounding has slope 0 almost everywhere: its gradient is taken as 1, so what comes out is near the
 * gradient without it, and is that of the rounded forward's own attention. */
static void the_gradient_goes_straight_through_rounded_keys_and_values(void **state)
{
    (void)state;
    SCOPED(backend) be = tiny_backend(1);
    struct model_config config = tiny_config(true);
    SCOPED(model) model = NULL;
    SCOPED(forward) fw = NULL;
    float *flat[2] = {NULL, NULL};
    assert_ok(model_new(be, &config, 5, &model));
    assert_ok(forward_new(model, ROWS, 16, true, &fw));
    SCOPED_VALUE(tiny_batch) all = tiny_batch_of(lengths, 0, SEQUENCES, config.V, 1);
    for (int i = 0; i < 2; i++) {
        model->kv = i ? KV_BF16 : KV_F32;
        SCOPED(gradient) grad = NULL;
        assert_ok(gradient_new(model, &grad));
        tiny_backward(fw, &all, grad);
        assert_ok(gradient_sum(grad));
        flat[i] = gradient_of(grad);
    }
    for (int l = 0; l < config.L; l++) // of the matrices that make keys and values
        for (enum param_role role = PARAM_K; role <= PARAM_V; role++) {
            const struct layout_tensor *w =
                &model->params->layout->tensor[params_layer(model->params, l, role).weight];
            double size = 0, distance = 0;
            for (size_t i = w->offset; i < w->offset + w->count; i++) {
                const double x = (double)flat[0][i], y = (double)flat[1][i];
                size += x * x;
                distance += (x - y) * (x - y);
            }
            assert_true(size > 0 && distance > 0);
            assert_true(distance < 1e-4 * size); // a hundredth: bf16 keeps 8 bits
        }
    free(flat[0]);
    free(flat[1]);
}

static void a_workspace_that_keeps_nothing_refuses(void **state)
{
    (void)state;
    SCOPED(backend) be = tiny_backend(1);
    struct model_config config = tiny_config(true);
    SCOPED(model) model = NULL;
    SCOPED(forward) fw = NULL;
    SCOPED(forward) keeps = NULL;
    SCOPED(gradient) grad = NULL;
    assert_ok(model_new(be, &config, 5, &model));
    assert_ok(forward_new(model, 8, 16, false, &fw));
    assert_ok(forward_new(model, 8, 16, true, &keeps));
    assert_ok(gradient_new(model, &grad));
    assert_err(ERR_PRECONDITION, "keeps no activations",
               backward_run(fw, NULL, NULL, NULL, 0, 1, grad));
    assert_ok(forward_run(keeps, (int32_t[]){1, 2}, (int32_t[]){0, 1}, 2,
                          &(struct segment){.count = 2}, 1));
    assert_err(ERR_INVALID, "row 2",
               backward_run(keeps, &(int32_t){2}, &(int32_t){0}, &(float){1}, 1, 1, grad));
    assert_ok(backward_run(keeps, NULL, NULL, NULL, 0, 1, grad));
    assert_zero(grad);
}

TESTS(cmocka_unit_test(what_is_computed_again_has_the_same_bits),
      cmocka_unit_test(the_gradient_goes_straight_through_rounded_keys_and_values),
      cmocka_unit_test(micro_batches_add_up_to_the_large_batch),
      cmocka_unit_test(stretches_add_up_to_one_run), cmocka_unit_test(threads_change_no_bit),
      cmocka_unit_test(slopes_agree_with_finite_differences),
      cmocka_unit_test(a_workspace_that_keeps_nothing_refuses))
