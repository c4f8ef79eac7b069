/* Training on the module: supervised updates of a small model beside the CPU's, from the same
 * weights and data. The losses fall together. A second run has the same digests under another
 * schedule and with other micro-batches. */
#include "cuda/calls.h"
#include "testing/models.h"
#include "testing/paging.h"
#include "unit/model/tiny.h"
#include <math.h>

enum { SEQUENCES = 5, UPDATES = 8, REPLAYED = 4, ROWS_MOST = 160, HEAD_ROWS = 64 };
static const int lengths[SEQUENCES] = {24, 40, 17, 33, 9};

static bool checked(void)
{
    const char *path = getenv("RLHFD_BACKEND");
    return path && strstr(path, "_checked") && !getenv("RLHFD_EMU");
}

struct run {
    struct backend *be;
    struct model *model;
    struct forward *fw;
    struct gradient *grad;
    struct optimizer *opt;
};

static void run_done(struct run *r)
{
    optimizer_free(r->opt);
    gradient_free(r->grad);
    forward_free(r->fw);
    model_free(r->model);
    backend_free(r->be);
}

/* Of a backend, which is the run's own from here on. */
static struct run run_of(struct backend *be, const struct model_config *config)
{
    const struct optimizer_config settings = {0.9, 0.99, 1e-8, 0.1, 1};
    struct run r = {.be = be};
    assert_ok(model_new(be, config, 5, &r.model));
    assert_ok(forward_new(r.model, ROWS_MOST, HEAD_ROWS, FORWARD_ALL, &r.fw));
    assert_ok(gradient_new(r.model, &r.grad));
    assert_ok(optimizer_new(r.model, &settings, NULL, &r.opt));
    return r;
}

static struct backend *cpu_open(void)
{
    struct backend *be = NULL;
    assert_ok(backend_open("cpu", &(struct backend_config){.threads = 1}, &be));
    return be;
}

/* Adds the gradient of the mean loss of `all` tokens; returns this batch's sum of losses. */
static double add_gradient(struct run *r, struct tiny_batch *b, int all)
{
    float logp[ROWS_MOST];
    double loss = 0;
    tiny_forward(r->fw, b);
    assert_ok(forward_logp(r->fw, b->row, b->target, b->rows, 1, logp, NULL));
    for (int i = 0; i < b->rows; i++) {
        b->dlogp[i] = -1.0f / (float)all;
        loss -= (double)logp[i];
    }
    assert_ok(backward_run(r->fw, b->row, b->target, b->dlogp, b->rows, 1, r->grad));
    return loss;
}

/* The gradient over all sequences, `each` of them in a micro-batch: the mean loss. */
static double whole_gradient(struct run *r, int each)
{
    int all = 0;
    double loss = 0;
    for (int s = 0; s < SEQUENCES; s++)
        all += lengths[s] - 1;
    assert_ok(gradient_zero(r->grad));
    for (int s = 0; s < SEQUENCES; s += each) {
        const int count = s + each < SEQUENCES ? each : SEQUENCES - s;
        SCOPED_VALUE(tiny_batch) b = tiny_batch_of(lengths, s, count, r->model->config.V, 3);
        loss += add_gradient(r, &b, all);
    }
    return loss / all;
}

static double update(struct run *r, int each, struct optimizer_result *ret)
{
    const double loss = whole_gradient(r, each);
    assert_ok(optimizer_step(r->opt, r->grad, 3e-3, ret));
    return loss;
}

/* The CPU's loss and the norm of its gradient at another run's weights. */
static double shadow_of(struct run *shadow, const struct run *r, double *ret_norm)
{
    double squares = 0;
    copy_weights(shadow->model, r->model);
    const double loss = whole_gradient(shadow, SEQUENCES);
    assert_ok(gradient_sum(shadow->grad));
    assert_ok(shadow->be->ops->square_sum(shadow->be, shadow->grad->flat.address,
                                          shadow->grad->count, &squares));
    *ret_norm = sqrt(squares);
    return loss;
}

/* At the same weights loss and gradient differ by the roundings of operands to bf16 alone. Of two
 * trainings the weights themselves part: AdamW's first steps have the size of the rate, whatever
 * size a gradient has, and a gradient near 0 may have either sign. */
static void losses_fall_together(void **state)
{
    (void)state;
    const struct model_config config = tiny_config(true);
    SCOPED_VALUE(run) here = run_of(cuda_module_open(), &config);
    SCOPED_VALUE(run) there = run_of(cpu_open(), &config);
    SCOPED_VALUE(run) shadow = run_of(cpu_open(), &config);
    double first = 0, last = 0;
    for (int i = 0; i < UPDATES; i++) {
        struct optimizer_result a, b;
        double norm;
        const double exact = shadow_of(&shadow, &here, &norm);
        last = update(&here, SEQUENCES, &a);
        const double cpus = update(&there, SEQUENCES, &b);
        print_message("update %d: loss %.5f, by the CPU %.5f, the CPU's own %.5f; norm %.4f, by "
                      "the CPU %.4f\n",
                      i + 1, last, exact, cpus, a.grad_norm, norm);
        assert_near(last, exact, 1e-3);
        assert_near(a.grad_norm / norm, 1, 5e-3);
        assert_near(last, cpus, 1e-2);
        assert_near(a.changed, b.changed, 0.02);
        assert_true(last != cpus);
        first = i ? first : last;
    }
    assert_true(first - last > 0.5);
}

/* Each update's digest of the weights; that of the optimizer is the model's. */
static void digests_of(const char *seed, int each, bool tied, struct digest ret[REPLAYED])
{
    const struct model_config config = tiny_config(tied);
    cuda_module_seed(seed);
    SCOPED_VALUE(run) r = run_of(cuda_module_open(), &config);
    for (int i = 0; i < REPLAYED; i++) {
        struct optimizer_result result;
        const struct digest before = optimizer_digest(r.opt);
        update(&r, each, &result);
        ret[i] = optimizer_digest(r.opt);
        const struct digest sum = weights_digest_add(before, result.digest_change);
        assert_memory_equal(&sum, &ret[i], sizeof sum);
        assert_ok(optimizer_verify(r.opt));
        assert_true(result.changed > 0);
    }
}

static void a_replay_has_the_same_digests(void **state)
{
    (void)state;
    for (int tied = 0; tied < 2 - checked(); tied++) {
        struct digest once[REPLAYED], again[REPLAYED];
        digests_of("0", SEQUENCES, tied, once);
        digests_of("1", 1 + tied, tied, again);
        assert_memory_equal(again, once, sizeof once);
    }
    cuda_module_seed("0");
}

/* However many tensors there are: for the gradient's norm, and for the count and the digest of what
 * changed. After the first update no memory is made or freed. */
static void an_update_waits_twice(void **state)
{
    (void)state;
    const char *path = getenv("RLHFD_BACKEND");
    if (path && !strstr(path, "cuda_emu"))
        skip(); // The emulator counts; a device does not.
    const struct model_config config = tiny_config(true);
    SCOPED_VALUE(run) r = run_of(cuda_module_open(), &config);
    struct optimizer_result result;
    update(&r, SEQUENCES, &result);
    whole_gradient(&r, SEQUENCES);
    const struct cuda_emu_calls before = calls();
    assert_ok(optimizer_step(r.opt, r.grad, 1e-3, &result));
    const struct cuda_emu_calls after = calls();
    assert_int_equal(after.waits - before.waits, 2);
    whole_gradient(&r, SEQUENCES);
    assert_int_equal(calls().memory, before.memory);
}

/* Pages of the optimizer's states: copies in both directions beside the ops. */
static void pages_come_in_any_order_of_the_streams(void **state)
{
    (void)state;
    static const char *const seeds[] = {"0", "1", "2", "3", "4", "5"};
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        cuda_module_seed(seeds[i]);
        SCOPED(backend) be = cuda_module_open();
        paging_check(be, 32 * 600);
    }
}

TESTS(cmocka_unit_test(losses_fall_together), cmocka_unit_test(a_replay_has_the_same_digests),
      cmocka_unit_test(an_update_waits_twice),
      cmocka_unit_test(pages_come_in_any_order_of_the_streams))
