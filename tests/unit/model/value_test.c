/* The value's head: on a trunk of its own, and alone on the trunk of another model. Held against
 * the forward in double (reference.h) and its differences. */
#include "base/file.h"
#include "reference.h"

enum { V = 11, C = 16, F = 24, L = 2, H = 2, K = 1, SEQUENCES = 3, ROWS = 15 };
static const int lengths[SEQUENCES] = {9, 1, 5};

static struct model_config config_of(unsigned parts)
{
    struct model_config config = config_default(V, C, F, L, H, K, 32, false);
    config.parts = parts;
    return config;
}

/* Every weight is drawn, norms too. */
static void draw_all(struct model *model, uint64_t seed)
{
    const size_t elements = model->params->layout->elements;
    const struct rng rng = rng_keyed(seed, RNG_TEST, 0, 0);
    SCOPED_MEM bf16 *value = mem_array(elements, sizeof *value);
    for (size_t j = 0; j < elements; j++)
        value[j] = bf16_from_float((float)((2 * rng_uniform(&rng, j) - 1) * 0.4 + 0.1));
    assert_ok(model_put(model, value, NULL));
}

/* A trunk (with a head of its own), and who has the value's head: the same model, or another. */
struct critic {
    struct backend *be;
    struct model *trunk, *alone;
    struct forward *forward;
    struct gradient *grad, *grad_alone;
    struct reference ref, ref_alone;
    struct tiny_batch batch;
};

static struct model *head_of(struct critic *c)
{
    return c->alone ? c->alone : c->trunk;
}

static struct gradient *head_gradient(struct critic *c)
{
    return c->alone ? c->grad_alone : c->grad;
}

static struct critic critic_of(bool shared)
{
    struct critic c = {.be = tiny_backend(2)};
    struct model_config config = config_of(shared ? PARTS_LANGUAGE : PARTS_CRITIC);
    assert_ok(model_new(c.be, &config, 5, &c.trunk));
    draw_all(c.trunk, 7);
    if (shared) {
        assert_ok(model_new_value(c.be, &config, &c.alone));
        assert_int_equal(c.alone->params->layout->count, 1);
        draw_all(c.alone, 8);
        c.ref_alone = reference_of(c.alone);
        assert_ok(gradient_new(c.alone, &c.grad_alone));
    }
    c.ref = reference_of(c.trunk);
    assert_ok(gradient_new(c.trunk, &c.grad));
    assert_ok(forward_new(c.trunk, ROWS, 4, FORWARD_ALL, &c.forward)); // rows in several chunks
    c.batch = tiny_batch_of(lengths, 0, SEQUENCES, V, 1);
    tiny_forward(c.forward, &c.batch);
    return c;
}

static void critic_done(struct critic *c)
{
    tiny_batch_done(&c->batch);
    forward_free(c->forward);
    gradient_free(c->grad);
    gradient_free(c->grad_alone);
    reference_done(&c->ref);
    reference_done(&c->ref_alone);
    model_free(c->trunk);
    model_free(c->alone);
    backend_free(c->be);
}

/* Values of the batch's rows by the definition; returns sum of dlogp * value. */
static double want_values(struct critic *c, double *ret)
{
    const struct reference *head = c->alone ? &c->ref_alone : &c->ref;
    const struct tiny_batch *b = &c->batch;
    double loss = 0;
    for (int s = 0, row = 0; s < b->count; s++) {
        const int first = b->segment[s].first, n = b->segment[s].count;
        reference_row hidden[REFERENCE_ROWS];
        reference_hidden(&c->ref, b->token + first, n, hidden);
        for (int i = 0; i + 1 < n; i++, row++) {
            reference_map(head, head->model->params->head[HEAD_VALUE], hidden[i], &ret[row]);
            loss += b->dlogp[row] * ret[row];
        }
    }
    return loss;
}

/* Hidden states are below 4, each a float32 chain of some 30 roundings in each of two layers. */
static void values_are_the_definition(void **state)
{
    (void)state;
    for (int shared = 0; shared < 2; shared++) {
        SCOPED_VALUE(critic) c = critic_of(shared);
        float got[ROWS];
        double want[ROWS], largest = 0;
        want_values(&c, want);
        assert_ok(forward_value(c.forward, head_of(&c), c.batch.row, c.batch.rows, got));
        for (int i = 0; i < c.batch.rows; i++) {
            assert_near(got[i], want[i], 8e-6);
            largest = fmax(largest, fabs(want[i]));
        }
        assert_true(largest > 0.1);
    }
}

/* The worst difference from the slopes of want_values by these weights. */
static double worst_slope(struct critic *c, struct reference *ref, const struct gradient *grad,
                          double *ret_largest)
{
    double value[ROWS], worst = 0;
    SCOPED_MEM float *flat = gradient_of(grad);
    *ret_largest = 0;
    for (size_t j = 0; j < ref->model->params->layout->elements; j++) {
        const double h = 1e-5, at = ref->w[j];
        ref->w[j] = at + h;
        const double up = want_values(c, value);
        ref->w[j] = at - h;
        const double slope = (up - want_values(c, value)) / (2 * h);
        ref->w[j] = at;
        *ret_largest = fmax(*ret_largest, fabs(slope));
        worst = fmax(worst, fabs(slope - (double)flat[j]));
    }
    return worst;
}

/* Tolerances as family_test.c has them: float32 sums of a few dozen rows. */
static void slopes_are_those_of_the_definition(void **state)
{
    (void)state;
    for (int shared = 0; shared < 2; shared++) {
        SCOPED_VALUE(critic) c = critic_of(shared);
        double largest;
        assert_ok(backward_begin(c.forward));
        assert_ok(backward_value(c.forward, head_of(&c), c.batch.row, c.batch.dlogp, c.batch.rows,
                                 head_gradient(&c)));
        assert_ok(backward_body(c.forward, c.grad));
        const double worst = worst_slope(&c, &c.ref, c.grad, &largest);
        print_message("%s: largest slope %.3g, worst difference %.2e\n",
                      shared ? "shared" : "separate", largest, worst);
        assert_true(largest > 0.1 && worst < 2e-6 * fmax(largest, 1));
        if (shared)
            assert_true(worst_slope(&c, &c.ref_alone, c.grad_alone, &largest) < 2e-6 * largest);
    }
}

/* Both heads on one trunk: its gradient is the sum, and neither's outputs are taken for the
 * other's. */
static void two_heads_add_up_on_one_trunk(void **state)
{
    (void)state;
    SCOPED_VALUE(critic) c = critic_of(true);
    const struct tiny_batch *b = &c.batch;
    SCOPED(gradient) both = NULL;
    float value[ROWS], again[ROWS], logp[ROWS], logp_again[ROWS];
    assert_ok(gradient_new(c.trunk, &both));
    assert_ok(forward_value(c.forward, c.alone, b->row, b->rows, value));
    assert_ok(forward_logp(c.forward, b->row, b->target, b->rows, 0.8f, logp, NULL));
    assert_ok(forward_value(c.forward, c.alone, b->row, b->rows, again));
    assert_ok(forward_logp(c.forward, b->row, b->target, b->rows, 0.8f, logp_again, NULL));
    assert_memory_equal(value, again, sizeof(float) * (size_t)b->rows);
    assert_memory_equal(logp, logp_again, sizeof(float) * (size_t)b->rows);
    assert_ok(backward_begin(c.forward));
    assert_ok(backward_head(c.forward, b->row, b->target, b->dlogp, b->rows, 0.8f, both));
    assert_ok(backward_value(c.forward, c.alone, b->row, b->dlogp, b->rows, c.grad_alone));
    assert_ok(backward_body(c.forward, both));
    assert_ok(backward_begin(c.forward));
    assert_ok(backward_value(c.forward, c.alone, b->row, b->dlogp, b->rows, c.grad_alone));
    assert_ok(backward_body(c.forward, c.grad));
    assert_ok(backward_begin(c.forward));
    assert_ok(backward_head(c.forward, b->row, b->target, b->dlogp, b->rows, 0.8f, c.grad));
    assert_ok(backward_body(c.forward, c.grad));
    SCOPED_MEM float *x = gradient_of(both);
    SCOPED_MEM float *y = gradient_of(c.grad);
    for (size_t j = 0; j < both->count; j++)
        assert_near(x[j], y[j], 2e-5 * fmax(1, fabsf(y[j])));
}

/* ---- directories */

static void a_critic_begins_from_a_language_model(void **state)
{
    (void)state;
    for (int tied = 0; tied < 2; tied++) {
        SCOPED(backend) be = tiny_backend(1);
        SCOPED(model) policy = NULL;
        SCOPED(model) critic = NULL;
        const char *directory = testing_directory();
        struct model_config config = tiny_config(tied);
        bool fresh = false;
        assert_ok(model_new(be, &config, 5, &policy));
        assert_ok(model_save(policy, directory));
        assert_ok(model_load_critic(be, directory, &critic, &fresh));
        assert_true(fresh);
        const struct layout *layout = critic->params->layout;
        const int head = critic->params->head[HEAD_VALUE].weight;
        assert_string_equal(layout->tensor[head].name, "score.weight");
        assert_null(layout_find(layout, "lm_head.weight"));
        SCOPED_MEM bf16 *had = flat_of(policy);
        SCOPED_MEM bf16 *got = flat_of(critic);
        assert_memory_equal(got, had, layout->tensor[head].offset * sizeof *got);
        for (int c = 0; c < config.C; c++)
            assert_int_equal(got[layout->tensor[head].offset + (size_t)c], 0);
    }
}

static void a_critic_is_written_and_read(void **state)
{
    (void)state;
    SCOPED(backend) be = tiny_backend(1);
    SCOPED(model) critic = NULL;
    SCOPED(model) got = NULL;
    SCOPED(model) policy = NULL;
    const char *directory = testing_directory();
    struct model_config config = config_of(PARTS_CRITIC);
    bool fresh = true;
    assert_ok(model_new(be, &config, 5, &critic));
    assert_ok(model_draw_value(critic, 3, 0.2));
    assert_ok(model_save(critic, directory));
    assert_ok(model_load_critic(be, directory, &got, &fresh));
    assert_false(fresh);
    assert_int_equal(got->config.parts, PARTS_CRITIC);
    assert_same_weights(critic, got);
    assert_err(ERR_INVALID, "'architectures' names another model than 'LlamaForCausalLM'",
               model_load(be, directory, &policy));
    SCOPED_MEM char *path = file_join(directory, "config.json");
    SCOPED_JSON json_t *json = config_json(&config);
    json_object_del(json, "id2label");
    SCOPED_MEM char *text = json_dumps(json, 0);
    assert_ok(file_write(path, text, strlen(text)));
    assert_err(ERR_INVALID, "'id2label' has 2 labels; 1 is supported: the value",
               model_load_critic(be, directory, &policy, &fresh));
}

/* 64 draws of std 0.2: within 4 standard errors, 9 %. */
static void a_drawn_head_has_the_spread_asked_for(void **state)
{
    (void)state;
    SCOPED(backend) be = tiny_backend(1);
    SCOPED(model) a = NULL;
    SCOPED(model) b = NULL;
    const struct model_config config = tiny_config(true);
    double squares = 0;
    assert_ok(model_new_value(be, &config, &a));
    assert_ok(model_new_value(be, &config, &b));
    assert_ok(model_draw_value(a, 3, 0.2));
    assert_ok(model_draw_value(b, 3, 0.2));
    assert_same_weights(a, b);
    SCOPED_MEM bf16 *value = flat_of(a);
    for (int c = 0; c < config.C; c++)
        squares += pow(bf16_to_float(value[c]), 2);
    assert_near(sqrt(squares / config.C), 0.2, 0.2 * 4 * 0.09);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_the_definition),
        cmocka_unit_test(slopes_are_those_of_the_definition),
        cmocka_unit_test(two_heads_add_up_on_one_trunk),
        cmocka_unit_test(a_critic_begins_from_a_language_model),
        cmocka_unit_test(a_critic_is_written_and_read),
        cmocka_unit_test(a_drawn_head_has_the_spread_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
