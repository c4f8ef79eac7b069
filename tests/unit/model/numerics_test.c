/* Which log-probabilities and which trainings have the same bits, as a backend and its model
 * declare it. */
#include "model/numerics.h"
#include "unit/model/tiny.h"
#include <stdio.h>

struct scene {
    struct backend *be;
    struct model *model;
};

static struct scene scene_open(int threads)
{
    const struct model_config config = tiny_config(true);
    struct scene s = {.be = tiny_backend(threads)};
    assert_ok(model_new(s.be, &config, 3, &s.model));
    return s;
}

static void scene_close(struct scene *s)
{
    model_free(s->model);
    backend_free(s->be);
}

static void declare(struct numerics *ret, enum numerics_class repeats, const char *id)
{
    ret->repeats = repeats;
    snprintf(ret->id, sizeof ret->id, "%s", id);
}

/* Recorded rounds and stored groups hold these texts: none of them changes without the bits. */
static void the_cpu_is_the_same_on_every_machine(void **)
{
    struct scene s = scene_open(1), other = scene_open(3);
    assert_int_equal(s.be->forward.repeats, NUMERICS_EXACT);
    assert_int_equal(s.be->training.repeats, NUMERICS_EXACT);
    SCOPED_MEM char *forward = model_forward_id(s.model);
    SCOPED_MEM char *threads = model_forward_id(other.model);
    SCOPED_MEM char *training = model_training_id(s.model);
    assert_string_equal(forward, "backend=cpu kernels=2 kv=fp32");
    assert_string_equal(forward, threads);
    assert_non_null(strstr(training, "backend=cpu kernels=2 kv=fp32 layout="));
    scene_close(&s);
    scene_close(&other);
}

static void ids_differ_by_every_part(void **)
{
    struct scene s = scene_open(1);
    SCOPED_MEM char *forward = model_forward_id(s.model);
    SCOPED_MEM char *training = model_training_id(s.model);
    s.model->kv = KV_BF16;
    SCOPED_MEM char *rounded = model_forward_id(s.model);
    assert_string_equal(rounded, "backend=cpu kernels=2 kv=bf16");
    assert_false(model_same_forward(s.model, forward));
    s.model->kv = KV_F32;
    assert_true(model_same_forward(s.model, forward));
    s.be->round_head = true; // nothing to a backend that rounds nowhere
    assert_true(model_same_forward(s.model, forward));
    s.be->rounds = true;
    SCOPED_MEM char *head = model_forward_id(s.model);
    assert_string_equal(head, "backend=cpu kernels=2 kv=fp32 head=bf16");
    s.be->round_head = false;
    SCOPED_MEM char *precise = model_training_id(s.model);
    assert_non_null(strstr(precise, " kv=fp32 head=float32 layout="));
    s.be->rounds = false;
    declare(&s.be->forward, NUMERICS_EXACT, "backend=cpu kernels=3");
    assert_false(model_same_forward(s.model, forward));
    SCOPED_MEM char *same = model_training_id(s.model);
    assert_string_equal(same, training);
    declare(&s.be->training, NUMERICS_INVARIANT,
            "backend=cuda kernels=3 build=5f1c arch=sm_90 cublas=12.4.5 devices=1");
    SCOPED_MEM char *device = model_training_id(s.model);
    assert_non_null(strstr(device, "cublas=12.4.5 devices=1 kv=fp32 layout="));
    const struct model_config larger = config_default(38, 64, 48, 2, 4, 2, 96, true);
    SCOPED(model) model = NULL;
    assert_ok(model_new(s.be, &larger, 3, &model));
    SCOPED_MEM char *layout = model_training_id(model);
    assert_string_not_equal(layout, device);
    model_free(STEAL(model));
    scene_close(&s);
}

/* A softmax that leaves ids out has other bits; older builds left none out. */
static void ids_without_a_token_are_part_of_both(void **)
{
    struct scene s = scene_open(1);
    const struct token_range vacant[] = {{3, 1}, {30, 7}};
    s.model->vacant = mem_copy(vacant, sizeof vacant);
    s.model->vacants = 2;
    SCOPED_MEM char *forward = model_forward_id(s.model);
    SCOPED_MEM char *training = model_training_id(s.model);
    assert_string_equal(forward, "backend=cpu kernels=2 kv=fp32 vacant=8");
    assert_non_null(strstr(training, "kv=fp32 vacant=8 layout="));
    assert_true(model_same_forward(s.model, forward));
    assert_false(model_same_forward(s.model, NULL));
    assert_false(model_same_forward(s.model, "backend=cpu kernels=2 kv=fp32"));
    scene_close(&s);
}

/* Groups of builds that wrote no id came from the CPU's kernels of that time. They are compared as
 * long as ours are those. */
static void an_unnamed_forward_is_that_of_older_builds(void **)
{
    struct scene s = scene_open(1);
    for (enum kv_format kv = KV_F32; kv <= KV_BF16; kv++) {
        s.model->kv = kv;
        assert_true(model_same_forward(s.model, NULL) && model_same_forward(s.model, ""));
    }
    declare(&s.be->forward, NUMERICS_EXACT, "backend=cpu kernels=3");
    assert_false(model_same_forward(s.model, NULL) || model_same_forward(s.model, ""));
    declare(&s.be->forward, NUMERICS_INVARIANT, "backend=cuda kernels=2");
    assert_false(model_same_forward(s.model, NULL));
    scene_close(&s);
}

static void what_is_not_repeatable_equals_nothing(void **)
{
    struct scene s = scene_open(1);
    declare(&s.be->forward, NUMERICS_NONE, "backend=fast kernels=1");
    SCOPED_MEM char *own = model_forward_id(s.model);
    assert_false(model_same_forward(s.model, own));
    scene_close(&s);
}

TESTS(cmocka_unit_test(the_cpu_is_the_same_on_every_machine),
      cmocka_unit_test(ids_differ_by_every_part),
      cmocka_unit_test(ids_without_a_token_are_part_of_both),
      cmocka_unit_test(an_unnamed_forward_is_that_of_older_builds),
      cmocka_unit_test(what_is_not_repeatable_equals_nothing))
