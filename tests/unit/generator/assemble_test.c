/* A group says whose numerics its log-probabilities come from. */
#include "generator/assemble.h"
#include "unit/model/tiny.h"

static void a_group_carries_the_id_of_its_forward(void **)
{
    const struct model_config config = tiny_config(true);
    SCOPED(backend) be = tiny_backend(1);
    SCOPED(model) model = NULL;
    assert_ok(model_new(be, &config, 3, &model));
    model->kv = KV_BF16;
    struct lease_grant *grant = mem_new(sizeof *grant);
    *grant = (struct lease_grant){.id = group_id("run", 0, 5, 1), .slot = 5, .attempt = 1};
    grant->row = mem_string("{}");
    struct assembly *a = assembly_new(grant, "run", "g", model, 2, 1.0f);
    assert_string_equal(a->group->generator, "g");
    assert_string_equal(a->group->forward, "backend=cpu kernels=2 kv=bf16");
    assembly_free(a);
}

TESTS(cmocka_unit_test(a_group_carries_the_id_of_its_forward))
