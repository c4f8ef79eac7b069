#include "base/bytes.h"
#include "base/file.h"
#include "tiny.h"
#include <math.h>

static const int lengths[] = {5, 40, 33, 1, 17, 2};
enum { SEQUENCES = 6, ROWS = 98 };

/* Everything an update needs. */
struct bench {
    struct backend *be;
    struct model *model;
    struct forward *fw;
    struct gradient *grad;
    struct optimizer *opt;
};

static void bench_init(struct bench *b, bool tied, const struct optimizer_config *config)
{
    struct model_config shape = tiny_config(tied);
    *b = (struct bench){.be = tiny_backend(1)};
    assert_ok(model_new(b->be, &shape, 5, &b->model));
    assert_ok(forward_new(b->model, ROWS, 16, true, &b->fw));
    assert_ok(gradient_new(b->model, &b->grad));
    assert_ok(optimizer_new(b->model, config, NULL, &b->opt));
}

static void bench_done(struct bench *b)
{
    optimizer_free(b->opt);
    gradient_free(b->grad);
    forward_free(b->fw);
    model_free(b->model);
    backend_free(b->be);
}

static struct optimizer_result update(struct bench *b, uint64_t seed, double lr)
{
    struct optimizer_result result;
    SCOPED_VALUE(tiny_batch) batch = tiny_batch_of(lengths, 0, SEQUENCES, b->model->config.V, seed);
    assert_ok(gradient_zero(b->grad));
    for (int i = 0; i < batch.rows; i++)
        batch.dlogp[i] = -1.0f / (float)batch.rows;
    tiny_backward(b->fw, &batch, b->grad);
    assert_ok(optimizer_step(b->opt, b->grad, lr, &result));
    return result;
}

/* AdamW in plain double, from Loshchilov & Hutter 2019, algorithm 2. */
struct plain {
    double w, m, v;
};

static void plain_step(struct plain *p, double g, const struct optimizer_config *c, double lr,
                       double decay, int t)
{
    p->m = c->beta1 * p->m + (1 - c->beta1) * g;
    p->v = c->beta2 * p->v + (1 - c->beta2) * g * g;
    double m = p->m / (1 - pow(c->beta1, t)), v = p->v / (1 - pow(c->beta2, t));
    p->w -= lr * (m / (sqrt(v) + c->eps) + decay * p->w);
}

static void steps_agree_with_plain_adamw(void **state)
{
    (void)state;
    const struct optimizer_config config = {0.9, 0.95, 1e-8, 0.1, 0.5};
    struct bench __attribute__((cleanup(bench_done))) b;
    bench_init(&b, true, &config);
    const struct layout *layout = b.model->params->layout;
    SCOPED_MEM struct plain *plain = mem_array(layout->elements, sizeof *plain);
    SCOPED_MEM bf16 *start = flat_of(b.model);
    for (size_t i = 0; i < layout->elements; i++)
        plain[i].w = bf16_to_float(start[i]);
    for (int t = 1; t <= 5; t++) {
        struct optimizer_result result = update(&b, (uint64_t)t, 1e-3 * t);
        SCOPED_MEM float *grad = gradient_of(b.grad);
        double squares = 0;
        for (size_t i = 0; i < layout->elements; i++)
            squares += (double)grad[i] * grad[i];
        assert_int_equal(result.step, t);
        assert_near(result.grad_norm / sqrt(squares), 1, 1e-6);
        const double scale = sqrt(squares) > 0.5 ? 0.5 / sqrt(squares) : 1;
        for (int i = 0; i < layout->count; i++)
            for (size_t j = layout->tensor[i].offset;
                 j < layout->tensor[i].offset + layout->tensor[i].count; j++)
                plain_step(&plain[j], grad[j] * scale, &config, 1e-3 * t,
                           layout->tensor[i].cols ? 0.1 : 0, t);
    }
    /* Masters are seen through the file they are saved to. float32 against double over five steps
     * of up to 5e-3: 1e-6; where a gradient is rounding noise around 0, g / sqrt(v) amplifies it:
     * none here. */
    SCOPED_MEM char *path = file_join(testing_directory(), "optimizer.safetensors");
    SCOPED(safetensors) in = NULL;
    SCOPED_VALUE(buffer) masters = {0};
    SCOPED_MEM bf16 *value = flat_of(b.model);
    assert_ok(optimizer_save(b.opt, path));
    assert_ok(safetensors_open(path, &in));
    assert_ok(buffer_alloc(b.be, layout->elements * sizeof(float), &masters));
    assert_ok(optimizer_masters(b.model, path, &masters));
    for (int i = 0; i < layout->count; i++) {
        const struct layout_tensor *t = &layout->tensor[i];
        SCOPED_MEM char *name = mem_printf("master.%s", t->name);
        SCOPED_MEM float *master = mem_array(t->count, sizeof *master);
        SCOPED_MEM float *alone = mem_array(t->count, sizeof *alone);
        assert_ok(safetensors_read_f32(in, safetensors_find(in, name), master));
        assert_ok(buffer_get(&masters, t->offset * sizeof *alone, t->count * sizeof *alone, alone));
        assert_memory_equal(alone, master, t->count * sizeof *master);
        for (size_t j = 0; j < t->count; j++) {
            assert_near(master[j], plain[t->offset + j].w, 2e-6);
            assert_int_equal(value[t->offset + j], bf16_from_float(master[j]));
        }
    }
}

static void an_update_reports_the_share_that_changed(void **state)
{
    (void)state;
    const struct optimizer_config config = OPTIMIZER_DEFAULTS;
    struct bench __attribute__((cleanup(bench_done))) b;
    bench_init(&b, false, &config);
    const struct layout *layout = b.model->params->layout;
    SCOPED_MEM bf16 *before = flat_of(b.model);
    struct optimizer_result result = update(&b, 1, 1e-3);
    SCOPED_MEM bf16 *after = flat_of(b.model);
    size_t changed = 0;
    for (size_t i = 0; i < layout->elements; i++)
        changed += before[i] != after[i];
    assert_true(changed > 0);
    assert_true(result.changed == (double)changed / (double)layout->parameters);
    assert_true(update(&b, 1, 0).changed == 0);
}

static struct digest digest_of(const struct bench *b)
{
    return weights_digest_of(b->model);
}

static void assert_digest(struct digest got, struct digest want)
{
    char x[DIGEST_TEXT], y[DIGEST_TEXT];
    assert_string_equal(digest_text(&got, x), digest_text(&want, y));
}

static void the_digest_is_kept_by_its_changes(void **state)
{
    (void)state;
    const struct optimizer_config config = {0.9, 0.99, 1e-8, 0.1, 1};
    static const double rates[] = {1e-6, 1e-3, 0, 0.1, 1e-5};
    struct bench __attribute__((cleanup(bench_done))) b;
    bench_init(&b, true, &config);
    assert_digest(optimizer_digest(b.opt), digest_of(&b));
    for (int t = 0; t < 15; t++) {
        const struct digest before = optimizer_digest(b.opt);
        struct optimizer_result result = update(&b, (uint64_t)t, rates[t % 5]);
        assert_digest(optimizer_digest(b.opt), digest_of(&b));
        assert_digest(weights_digest_add(before, result.digest_change), optimizer_digest(b.opt));
        assert_ok(optimizer_verify(b.opt));
    }
    SCOPED_MEM char *path = file_join(testing_directory(), "optimizer.safetensors");
    assert_ok(optimizer_save(b.opt, path));
    update(&b, 99, 1e-3);
    assert_ok(optimizer_load(b.opt, path));
    assert_digest(optimizer_digest(b.opt), digest_of(&b));
    update(&b, 99, 1e-3);
    assert_ok(optimizer_verify(b.opt));
}

/* One bit of memory turns over: found as it is, and after a step that has read and mended the
 * value. */
static void a_bit_that_turns_over_is_found(void **state)
{
    (void)state;
    const struct optimizer_config config = OPTIMIZER_DEFAULTS;
    for (int stepped = 0; stepped < 2; stepped++)
        for (int bit = 0; bit < 16; bit++) {
            struct bench __attribute__((cleanup(bench_done))) b;
            bench_init(&b, true, &config);
            update(&b, 1, 1e-3);
            const size_t at = (size_t)bit * 1009 % b.model->params->layout->elements;
            SCOPED_MEM bf16 *held = flat_of(b.model);
            set_weight(b.model, at, held[at] ^ (bf16)(1 << bit));
            if (stepped)
                update(&b, 2, 1e-3);
            char sums[2][DIGEST_TEXT], want[128];
            const struct digest kept = optimizer_digest(b.opt), found = digest_of(&b);
            snprintf(want, sizeof want, "have digest %s, but %d updates made %s",
                     digest_text(&found, sums[0]), 1 + stepped, digest_text(&kept, sums[1]));
            assert_err(ERR_DATA_LOSS, want, optimizer_verify(b.opt));
        }
}

static void training_lowers_the_loss(void **state)
{
    (void)state;
    const struct optimizer_config config = OPTIMIZER_DEFAULTS;
    struct bench __attribute__((cleanup(bench_done))) b;
    bench_init(&b, true, &config);
    SCOPED_VALUE(tiny_batch) batch = tiny_batch_of(lengths, 0, SEQUENCES, b.model->config.V, 1);
    double mean[2] = {0, 0};
    for (int after = 0; after < 2; after++) {
        float logp[ROWS];
        for (int i = 0; i < 100 * after; i++)
            update(&b, 1, 3e-3);
        tiny_forward(b.fw, &batch);
        assert_ok(forward_logp(b.fw, batch.row, batch.target, batch.rows, 1, logp, NULL));
        for (int i = 0; i < batch.rows; i++)
            mean[after] -= logp[i] / batch.rows;
    }
    assert_true(mean[0] > 3.3 && mean[0] < 4); // log 37 = 3.6: knows nothing
    assert_true(mean[1] < 0.5);                // has learnt the six sequences by heart
}

static void a_saved_optimizer_goes_on_bit_for_bit(void **state)
{
    (void)state;
    const struct optimizer_config config = OPTIMIZER_DEFAULTS;
    struct bench __attribute__((cleanup(bench_done))) a;
    struct bench __attribute__((cleanup(bench_done))) b;
    bench_init(&a, true, &config);
    bench_init(&b, true, &config);
    SCOPED_MEM char *path = file_join(testing_directory(), "optimizer.safetensors");
    for (int t = 1; t <= 3; t++)
        update(&a, (uint64_t)t, 1e-3);
    const struct course course = {.from = 3, .total = 70, .done = 1.0 / 3};
    optimizer_set_course(a.opt, &course);
    assert_ok(optimizer_save(a.opt, path));
    assert_ok(optimizer_load(b.opt, path));
    const struct course loaded = optimizer_course(b.opt);
    assert_true(loaded.from == 3 && loaded.total == 70 && loaded.done == course.done);
    assert_int_equal(optimizer_steps(b.opt), 3);
    assert_same_weights(a.model, b.model);
    for (int t = 4; t <= 6; t++) {
        update(&a, (uint64_t)t, 1e-3);
        update(&b, (uint64_t)t, 1e-3);
    }
    assert_same_weights(a.model, b.model);
    SCOPED_VALUE(bytes) x = {0};
    SCOPED_VALUE(bytes) y = {0};
    SCOPED_MEM char *other = mem_printf("%s.b", path);
    assert_ok(optimizer_save(a.opt, path));
    assert_ok(optimizer_save(b.opt, other));
    assert_ok(file_read(path, 1 << 24, &x));
    assert_ok(file_read(other, 1 << 24, &y));
    assert_int_equal(x.len, y.len);
    assert_memory_equal(x.data, y.data, x.len);
}

static void a_bad_state_file_changes_nothing(void **state)
{
    (void)state;
    const struct optimizer_config config = OPTIMIZER_DEFAULTS;
    struct bench __attribute__((cleanup(bench_done))) a;
    struct bench __attribute__((cleanup(bench_done))) untied;
    bench_init(&a, true, &config);
    bench_init(&untied, false, &config);
    update(&a, 1, 1e-3);
    const size_t bytes = a.model->params->layout->elements * sizeof(bf16);
    SCOPED_MEM bf16 *before = flat_of(a.model);
    SCOPED_MEM char *path = file_join(testing_directory(), "optimizer.safetensors");
    assert_err(ERR_NOT_FOUND, "optimizer.safetensors", optimizer_load(a.opt, path));
    assert_ok(optimizer_save(untied.opt, path));
    assert_err(ERR_INVALID, "holds 63 tensors; this model's optimizer has 60",
               optimizer_load(a.opt, path));
    assert_ok(optimizer_save(a.opt, path));
    SCOPED_VALUE(bytes) file = {0};
    assert_ok(file_read(path, 1 << 24, &file));
    assert_ok(file_write(path, file.data, file.len - 4));
    assert_err(ERR_INVALID, "cut short", optimizer_load(a.opt, path));
    char *step = memmem(file.data, file.len, "\"step\":\"1\"", 10);
    assert_non_null(step);
    step[8] = 'x';
    assert_ok(file_write(path, file.data, file.len));
    assert_err(ERR_INVALID, "metadata 'step' is 'x'", optimizer_load(a.opt, path));
    step[8] = '1';
    char *name = memmem(file.data, file.len, "exp_avg_sq.model.norm", 21);
    assert_non_null(name);
    name[0] = 'E';
    assert_ok(file_write(path, file.data, file.len));
    assert_err(ERR_INVALID, "tensor 'exp_avg_sq.model.norm.weight' is missing",
               optimizer_load(a.opt, path));
    SCOPED_MEM bf16 *after = flat_of(a.model);
    assert_memory_equal(after, before, bytes);
    assert_int_equal(optimizer_steps(a.opt), 1);
}

static void a_gradient_that_is_not_finite_changes_nothing(void **state)
{
    (void)state;
    const struct optimizer_config config = OPTIMIZER_DEFAULTS;
    struct bench __attribute__((cleanup(bench_done))) b;
    bench_init(&b, false, &config);
    const size_t bytes = b.model->params->layout->elements * sizeof(bf16);
    SCOPED_MEM bf16 *before = flat_of(b.model);
    struct optimizer_result result;
    assert_ok(buffer_put(&b.grad->flat, 100 * sizeof(float), &(float){NAN}, sizeof(float)));
    assert_err(ERR_INVALID, "update 1: the gradient's norm is",
               optimizer_step(b.opt, b.grad, 1e-3, &result));
    SCOPED_MEM bf16 *after = flat_of(b.model);
    assert_memory_equal(after, before, bytes);
    assert_int_equal(optimizer_steps(b.opt), 0);
}

/* All three arrays as bytes of a file, which names them. */
static void read_state(struct optimizer *opt, struct safetensors **ret)
{
    SCOPED_MEM char *path = file_join(testing_directory(), "state.safetensors");
    assert_ok(optimizer_save(opt, path));
    assert_ok(safetensors_open(path, ret));
}

static void assert_same_state(const struct safetensors *a, const struct safetensors *b,
                              const struct layout_tensor *t)
{
    static const char *const prefixes[] = {"master", "exp_avg", "exp_avg_sq"};
    SCOPED_MEM float *x = mem_array(t->count, sizeof *x);
    SCOPED_MEM float *y = mem_array(t->count, sizeof *y);
    for (int i = 0; i < 3; i++) {
        SCOPED_MEM char *name = mem_printf("%s.%s", prefixes[i], t->name);
        assert_ok(safetensors_read_f32(a, safetensors_find(a, name), x));
        assert_ok(safetensors_read_f32(b, safetensors_find(b, name), y));
        assert_memory_equal(x, y, t->count * sizeof *x);
    }
}

/* Three updates of two models that begin alike: in one the tensors do not train, in the other their
 * gradients are zeroed. */
static void update_beside(struct bench *frozen, struct bench *masked, const bool *trains)
{
    const struct layout *layout = frozen->model->params->layout;
    optimizer_select(frozen->opt, trains);
    for (int t = 1; t <= 3; t++) {
        struct optimizer_result a = update(frozen, (uint64_t)t, 1e-3), b;
        assert_ok(gradient_sum(frozen->grad));
        SCOPED_MEM float *flat = gradient_of(frozen->grad);
        for (int i = 0; i < layout->count; i++)
            if (!trains[i])
                memset(flat + layout->tensor[i].offset, 0, layout->tensor[i].count * sizeof(float));
        assert_ok(buffer_put(&masked->grad->flat, 0, flat, layout->elements * sizeof(float)));
        assert_ok(optimizer_step(masked->opt, masked->grad, 1e-3, &b));
        assert_near(a.grad_norm / b.grad_norm, 1, 1e-14); // sums of doubles in another order
        assert_true(a.changed == b.changed);
    }
}

/* The gradient of what trains depends on the values of what does not, so the two agree only if
 * those stay; the masked one's stay because nothing decays. No clipping: its factor is of norms
 * that are summed in another order. */
static void a_frozen_tensor_is_as_if_it_had_no_gradient(void **)
{
    const struct optimizer_config config = {.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8};
    for (int tied = 0; tied < 2; tied++) {
        struct bench __attribute__((cleanup(bench_done))) frozen;
        struct bench __attribute__((cleanup(bench_done))) masked;
        SCOPED(safetensors) a = NULL;
        SCOPED(safetensors) b = NULL;
        bench_init(&frozen, tied, &config);
        bench_init(&masked, tied, &config);
        const struct layout *layout = frozen.model->params->layout;
        SCOPED_MEM bool *trains = mem_array((size_t)layout->count, sizeof *trains);
        for (int i = 0; i < layout->count; i++) // the embedding, and all of layer 1
            trains[i] = i != 0 && !strstr(layout->tensor[i].name, "layers.1.");
        update_beside(&frozen, &masked, trains);
        assert_same_weights(frozen.model, masked.model);
        read_state(frozen.opt, &a);
        read_state(masked.opt, &b);
        for (int i = 0; i < layout->count; i++)
            assert_same_state(a, b, &layout->tensor[i]);
    }
}

/* Decay and a gradient of any size, infinite included, do not reach it; the others learn. */
static void a_frozen_tensor_keeps_every_bit(void **)
{
    const struct optimizer_config config = {0.9, 0.99, 1e-8, 0.5, 1.0};
    struct bench __attribute__((cleanup(bench_done))) b;
    struct optimizer_result result;
    SCOPED(safetensors) before = NULL;
    SCOPED(safetensors) after = NULL;
    bench_init(&b, true, &config);
    const struct layout *layout = b.model->params->layout;
    SCOPED_MEM bool *trains = mem_array((size_t)layout->count, sizeof *trains);
    SCOPED_MEM float *flat = mem_array(layout->elements, sizeof *flat);
    for (int i = 1; i < layout->count; i++)
        trains[i] = true;
    update(&b, 1, 1e-2); // moments that must stay, too
    SCOPED_MEM bf16 *values = flat_of(b.model);
    read_state(b.opt, &before);
    optimizer_select(b.opt, trains);
    for (int t = 0; t < 3; t++) {
        assert_ok(gradient_zero(b.grad));
        for (size_t i = 0; i < layout->elements; i++)
            flat[i] = i < layout->tensor[0].count ? INFINITY : 1e-3f;
        assert_ok(buffer_put(&b.grad->flat, 0, flat, layout->elements * sizeof *flat));
        assert_ok(optimizer_step(b.opt, b.grad, 1e-2, &result));
        assert_near(result.grad_norm,
                    1e-3 * sqrt((double)(layout->elements - layout->tensor[0].count)), 1e-6);
    }
    read_state(b.opt, &after);
    assert_same_state(before, after, &layout->tensor[0]);
    SCOPED_MEM bf16 *now = flat_of(b.model);
    for (int i = 0; i < layout->count; i++) {
        const struct layout_tensor *t = &layout->tensor[i];
        const bool same =
            memcmp(values + t->offset, now + t->offset, t->count * sizeof *values) == 0;
        assert_int_equal(same, i == 0);
    }
    optimizer_select(b.opt, NULL);
    assert_err(ERR_INVALID, "norm", optimizer_step(b.opt, b.grad, 1e-2, &result));
}

static void float32_directories_keep_their_precision(void **state)
{
    (void)state;
    const struct optimizer_config config = OPTIMIZER_DEFAULTS;
    struct bench __attribute__((cleanup(bench_done))) b;
    bench_init(&b, false, &config);
    const struct layout *layout = b.model->params->layout;
    const char *directory = testing_directory();
    SCOPED_MEM char *path = file_join(directory, "model.safetensors");
    SCOPED_MEM float *values = mem_array(layout->elements, sizeof *values);
    SCOPED_MEM struct tensor_source *out = mem_array((size_t)layout->count, sizeof *out);
    const struct rng rng = rng_keyed(1, RNG_TEST, 0, 0);
    for (size_t i = 0; i < layout->elements; i++)
        values[i] = (float)rng_normal(&rng, i);
    for (int i = 0; i < layout->count; i++)
        out[i] = (struct tensor_source){layout->tensor[i].name,
                                        DTYPE_F32,
                                        layout->tensor[i].rows,
                                        layout->tensor[i].cols,
                                        values + layout->tensor[i].offset,
                                        NULL};
    assert_ok(model_save(b.model, directory));
    assert_ok(safetensors_write(path, out, layout->count, NULL, 0));
    SCOPED(model) model = NULL;
    SCOPED(optimizer) opt = NULL;
    SCOPED(optimizer) wrong = NULL;
    assert_ok(model_load(b.be, directory, &model));
    assert_ok(optimizer_new(model, &config, directory, &opt));
    SCOPED_MEM char *saved = file_join(directory, "optimizer.safetensors");
    assert_ok(optimizer_save(opt, saved));
    SCOPED(safetensors) in = NULL;
    assert_ok(safetensors_open(saved, &in));
    SCOPED_MEM float *got = mem_array(layout->tensor[0].count, sizeof *got);
    assert_ok(
        safetensors_read_f32(in, safetensors_find(in, "master.model.embed_tokens.weight"), got));
    assert_memory_equal(got, values, layout->tensor[0].count * sizeof *got);
    assert_err(ERR_PRECONDITION, "does not hold the weights",
               optimizer_new(b.model, &config, directory, &wrong));
}

/* ---- marks */

/* Marks gather over updates: whatever differs from the values at optimizer_mark is marked, and few
 * others are, whose values are back. A state that is loaded may change all. */
static void marks_gather_what_steps_change(void **)
{
    struct bench __attribute__((cleanup(bench_done))) b;
    const struct optimizer_config config = OPTIMIZER_DEFAULTS;
    bench_init(&b, false, &config);
    const size_t elements = b.model->params->layout->elements;
    SCOPED_MEM uint32_t *marks = mem_array(elements / 32 + 1, sizeof *marks);
    update(&b, 1, 1e-5);
    assert_null(optimizer_marks(b.opt));
    for (int round = 0; round < 2; round++) {
        size_t differ = 0, marked = 0;
        assert_ok(optimizer_mark(b.opt)); // clears them
        SCOPED_MEM bf16 *before = flat_of(b.model);
        for (uint64_t u = 0; u < 3; u++)
            update(&b, 2 + u, 1e-5);
        SCOPED_MEM bf16 *after = flat_of(b.model);
        assert_ok(b.be->ops->get(b.be, marks, optimizer_marks(b.opt), (elements + 31) / 32 * 4));
        for (size_t i = 0; i < elements; i++) {
            assert_true((marks[i / 32] >> i % 32 & 1) || before[i] == after[i]);
            differ += before[i] != after[i];
            marked += (marks[i / 32] >> i % 32 & 1);
        }
        assert_true(differ > 100 && marked < elements / 2);
        assert_true(marked - differ < differ / 5);
    }
    SCOPED_MEM char *path = file_join(testing_directory(), "marks.safetensors");
    assert_ok(optimizer_save(b.opt, path));
    assert_ok(optimizer_load(b.opt, path));
    assert_null(optimizer_marks(b.opt));
}

TESTS(cmocka_unit_test(marks_gather_what_steps_change),
      cmocka_unit_test(a_frozen_tensor_is_as_if_it_had_no_gradient),
      cmocka_unit_test(a_frozen_tensor_keeps_every_bit),
      cmocka_unit_test(steps_agree_with_plain_adamw),
      cmocka_unit_test(an_update_reports_the_share_that_changed),
      cmocka_unit_test(the_digest_is_kept_by_its_changes),
      cmocka_unit_test(a_bit_that_turns_over_is_found), cmocka_unit_test(training_lowers_the_loss),
      cmocka_unit_test(a_saved_optimizer_goes_on_bit_for_bit),
      cmocka_unit_test(a_bad_state_file_changes_nothing),
      cmocka_unit_test(a_gradient_that_is_not_finite_changes_nothing),
      cmocka_unit_test(float32_directories_keep_their_precision))
