/* Masters and moments in the host's memory: the same walk, the same bits, the same file. */
#include "base/bytes.h"
#include "base/file.h"
#include "testing/paging.h"
#include "tiny.h"
#include <math.h>

static const int lengths[] = {5, 40, 33, 1, 17, 2};
enum { SEQUENCES = 6, ROWS = 98, STEPS = 4 };

static void walks_visit_each_element_once(void **state)
{
    (void)state;
    static const char *const kinds[] = {"cpu", "opaque"};
    for (int i = 0; i < 2; i++) {
        SCOPED(backend) be = NULL;
        assert_ok(backend_open(kinds[i], &(struct backend_config){.threads = 2}, &be));
        paging_check(be, 32 * 900);
        paging_check(be, 32 * 1024);
    }
}

/* All is on the device, or three pieces are there and all is on the host. */
static void bytes_are_of_the_place(void **state)
{
    (void)state;
    const size_t many = (size_t)8 << 30;
    assert_int_equal(states_bytes(many, STATES_DEVICE).device, 12 * many);
    assert_int_equal(states_bytes(many, STATES_DEVICE).host, 0);
    assert_int_equal(states_bytes(many, STATES_HOST).host, 12 * many);
    assert_int_equal(states_bytes(many, STATES_HOST).device, 3 * 12 * (4 << 20));
}

/* ---- two optimizers beside each other */

struct bench {
    struct backend *be;
    struct model *model;
    struct forward *fw;
    struct gradient *grad;
    struct optimizer *opt;
};

static void bench_init(struct bench *b, enum states_place place)
{
    const struct model_config shape = tiny_config(true);
    struct optimizer_config config = {0.9, 0.95, 1e-8, 0.1, 0.5, place};
    *b = (struct bench){.be = tiny_backend(1)};
    assert_ok(model_new(b->be, &shape, 5, &b->model));
    assert_ok(forward_new(b->model, ROWS, 16, FORWARD_ALL, &b->fw));
    assert_ok(gradient_new(b->model, &b->grad));
    assert_ok(optimizer_new(b->model, &config, NULL, &b->opt));
}

static void bench_done(struct bench *b)
{
    optimizer_free(b->opt);
    gradient_free(b->grad);
    forward_free(b->fw);
    model_free(b->model);
    backend_free(b->be);
}

static void update(struct bench *b, uint64_t seed, struct optimizer_result *ret)
{
    SCOPED_VALUE(tiny_batch) batch = tiny_batch_of(lengths, 0, SEQUENCES, b->model->config.V, seed);
    assert_ok(gradient_zero(b->grad));
    for (int i = 0; i < batch.rows; i++)
        batch.dlogp[i] = -1.0f / (float)batch.rows;
    tiny_backward(b->fw, &batch, b->grad);
    assert_ok(optimizer_step(b->opt, b->grad, 1e-3 * (double)seed, ret));
}

static void saved(const struct bench *b, const char *name, struct bytes *ret)
{
    SCOPED_MEM char *path = file_join(testing_directory(), name);
    assert_ok(optimizer_save(b->opt, path));
    assert_ok(file_read(path, 1 << 24, ret));
}

static void assert_same(const struct bench *a, const struct bench *b)
{
    SCOPED_VALUE(bytes) x = {0};
    SCOPED_VALUE(bytes) y = {0};
    assert_same_weights(a->model, b->model);
    saved(a, "a.safetensors", &x);
    saved(b, "b.safetensors", &y);
    assert_int_equal(x.len, y.len);
    assert_memory_equal(x.data, y.data, x.len);
    assert_ok(optimizer_verify(b->opt));
}

/* Half of the tensors stand still, as beside a critic that warms up. */
static bool *every_second(const struct bench *b)
{
    const int count = b->model->params->layout->count;
    bool *trains = mem_array((size_t)count, sizeof *trains);
    for (int i = 0; i < count; i++)
        trains[i] = i % 2;
    return trains;
}

static void both_places_make_the_same_steps(void **state)
{
    (void)state;
    struct bench __attribute__((cleanup(bench_done))) device;
    struct bench __attribute__((cleanup(bench_done))) host;
    bench_init(&device, STATES_DEVICE);
    bench_init(&host, STATES_HOST);
    assert_true(optimizer_bytes(host.opt).host == optimizer_bytes(device.opt).device);
    SCOPED_MEM bool *trains = every_second(&host);
    for (int t = 1; t <= STEPS; t++) {
        struct optimizer_result a, b;
        optimizer_select(device.opt, t == 3 ? trains : NULL);
        optimizer_select(host.opt, t == 3 ? trains : NULL);
        update(&device, (uint64_t)t, &a);
        update(&host, (uint64_t)t, &b);
        assert_true(a.grad_norm == b.grad_norm && a.changed == b.changed && a.changed > 0);
        assert_true(digest_equal(&a.digest_change, &b.digest_change));
        assert_same(&device, &host);
    }
}

/* Saved in one place, loaded in the other, and on from there. */
static void a_file_is_of_either_place(void **state)
{
    (void)state;
    for (int from = 0; from < 2; from++) {
        struct bench __attribute__((cleanup(bench_done))) a;
        struct bench __attribute__((cleanup(bench_done))) b;
        struct optimizer_result result;
        bench_init(&a, (enum states_place)from);
        bench_init(&b, (enum states_place) !from);
        update(&a, 1, &result);
        update(&a, 2, &result);
        update(&b, 7, &result); // gives way to the loaded one
        SCOPED_MEM char *path = file_join(testing_directory(), "optimizer.safetensors");
        assert_ok(optimizer_save(a.opt, path));
        assert_ok(optimizer_load(b.opt, path));
        assert_same(&a, &b);
        update(&a, 3, &result);
        update(&b, 3, &result);
        assert_same(&a, &b);
    }
}

/* Masters go a third of the way to another model's values, twice; then all of it. */
static void it_follows_another_model(void **)
{
    enum { AT = 100 };
    struct digest digest;
    const struct model_config shape = tiny_config(true), other = tiny_config(false);
    SCOPED(backend) be = tiny_backend(1);
    SCOPED(model) model = NULL;
    SCOPED(model) source = NULL;
    SCOPED(model) strange = NULL;
    SCOPED(optimizer) opt = NULL;
    bf16 mine[AT], theirs[AT], now[AT];
    assert_ok(model_new(be, &shape, 5, &model));
    assert_ok(optimizer_new(model, &OPTIMIZER_DEFAULTS, NULL, &opt));
    assert_ok(model_new(be, &shape, 6, &source));
    assert_ok(model_new(be, &other, 6, &strange));
    assert_ok(model_copy(model, 0, AT, mine));
    assert_ok(model_copy(source, 0, AT, theirs));
    assert_ok(optimizer_follow(opt, source, 1.0 / 3));
    assert_ok(optimizer_follow(opt, source, 1.0 / 3));
    assert_ok(model_copy(model, 0, AT, now));
    for (int i = 0; i < AT; i++) {
        const double to = (double)bf16_to_float(theirs[i]),
                     want = to + 4.0 / 9 * ((double)bf16_to_float(mine[i]) - to);
        assert_near((double)bf16_to_float(now[i]), want, fabs(want) / 250);
    }
    assert_ok(optimizer_verify(opt));
    assert_err(ERR_INVALID, "other shapes", optimizer_follow(opt, strange, 1));
    assert_ok(optimizer_follow(opt, source, 1));
    assert_ok(model_digest(source, &digest));
    const struct digest is = optimizer_digest(opt);
    assert_true(digest_equal(&digest, &is));
}

TESTS(cmocka_unit_test(it_follows_another_model), cmocka_unit_test(walks_visit_each_element_once),
      cmocka_unit_test(bytes_are_of_the_place), cmocka_unit_test(both_places_make_the_same_steps),
      cmocka_unit_test(a_file_is_of_either_place))
