/* Five passes over one batch against PyTorch's; tests/golden/trajectory.py made the files. The
 * learner computes with float32 masters rounded to bf16. A loop that rounds them, too, comes to the
 * same weights, up to float32's own errors. A loop that does not leaves that trajectory by a
 * quarter of the change. Without the clip it would be a twentieth: tokens that reach the clip's
 * edge a step earlier or later are the rest. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "learner/round/updates.h"
#include "learner/settings.h"
#include "model/files/safetensors.h"
#include "unit/model/tiny.h"
#include <math.h>

enum { GROUPS = 6, K = 4, VERSION = 40, ROUND = 20 };

static uint32_t *tokens_of(const json_t *list, uint32_t *ret_count)
{
    *ret_count = (uint32_t)json_array_size(list);
    uint32_t *token = mem_array(*ret_count, sizeof *token);
    for (uint32_t i = 0; i < *ret_count; i++)
        token[i] = (uint32_t)json_integer_value(json_array_get(list, i));
    return token;
}

static struct group *group_of(const json_t *from)
{
    struct group *group = mem_new(sizeof *group);
    *group = (struct group){.temperature = 0.8f,
                            .completions = K,
                            .completion = mem_array(K, sizeof(struct completion))};
    group->prompt_token = tokens_of(json_object_get(from, "prompt"), &group->prompt_tokens);
    for (uint32_t i = 0; i < K; i++) {
        struct completion *c = &group->completion[i];
        *c = (struct completion){.spans = 1,
                                 .span = mem_array(1, sizeof(struct span)),
                                 .finish = FINISH_EOS,
                                 .text = mem_string("")};
        c->token = tokens_of(json_array_get(json_object_get(from, "completions"), i), &c->tokens);
        c->span[0].version = VERSION;
        completion_one_turn(c);
    }
    double *reward = group_add(group, COLUMN_REWARD, 1);
    group_add(group, COLUMN_BEHAVIOUR_LOGP, 1);
    for (uint32_t i = 0; i < K; i++) {
        const json_t *logp = json_array_get(json_object_get(from, "logp"), i);
        reward[i] = json_number_value(json_array_get(json_object_get(from, "rewards"), i));
        for (uint32_t t = 0; t < group->completion[i].tokens; t++)
            ((float *)group_values(group, COLUMN_BEHAVIOUR_LOGP, i))[t] =
                (float)json_number_value(json_array_get(logp, t));
    }
    return group;
}

static struct recipe *recipe_of(void)
{
    static const char text[] =
        "learner: {objective: rloo, groups: 6, updates_per_round: 5, epochs: 5, micro_tokens: 64,\n"
        "          optimizer: {lr: 1e-3}}\n"
        "generator: {num_generations: 4, max_tokens: 12, temperature: 0.8}\n"
        "data: {max_prompt_tokens: 20}\n"
        "rewarder: {scorers: [{kind: exact, column: completion}]}\n";
    struct recipe *recipe = NULL;
    assert_ok(recipe_parse(text, sizeof text - 1, "r.yaml", ".", NULL, &recipe));
    return recipe;
}

static err_t ignore(void *arg, uint32_t u)
{
    (void)arg, (void)u;
    return OK;
}

/* Trains the batch; the optimizer's file. */
static struct safetensors *trained(const json_t *input, const char *directory)
{
    SCOPED(recipe) recipe = recipe_of();
    SCOPED(backend) be = tiny_backend(1);
    SCOPED_VALUE(trainees) trainees = {0};
    SCOPED(updates) updates = NULL;
    struct model *model;
    struct group *group[GROUPS];
    struct round_group place[GROUPS] = {0};
    struct round_report report = {0};
    struct safetensors *made;
    const struct optimizer_config optimizer = settings_optimizer(&recipe->learner.optimizer);
    SCOPED_MEM char *path = mem_printf("%s/optimizer.safetensors", testing_directory());
    assert_ok(model_load(be, directory, &model));
    assert_ok(trainees_add(&trainees, "policy", model, &optimizer, NULL));
    for (size_t g = 0; g < GROUPS; g++) {
        group[g] = group_of(json_array_get(json_object_get(input, "groups"), g));
        place[g].age = ROUND;
    }
    const struct round round = {.updates = 5,
                                .round = ROUND,
                                .first_version = VERSION,
                                .seed = 1,
                                .groups = GROUPS,
                                .group = place};
    assert_ok(updates_new(recipe, &trainees, &updates));
    assert_ok(updates_run(updates, &round, group, ignore, NULL, &report));
    assert_true(report.figures.clip_frac > 0); // the clip has a part in it
    assert_ok(optimizer_save(trainees_first(&trainees)->optimizer, path));
    assert_ok(safetensors_open(path, &made));
    for (size_t g = 0; g < GROUPS; g++)
        group_free(group[g]);
    return made;
}

static float *values_of(const struct safetensors *in, const char *prefix,
                        const struct tensor_info *like)
{
    SCOPED_MEM char *name = mem_printf("%s%s", prefix, like->name);
    const struct tensor_info *info = safetensors_find(in, name);
    assert_non_null(info);
    assert_int_equal(info->count, like->count);
    float *values = mem_array(info->count, sizeof *values);
    assert_ok(safetensors_read_f32(in, info, values));
    return values;
}

/* |got - want| over all tensors, as a share of |want - begin|. */
static double distance(const struct safetensors *got, const struct safetensors *want,
                       const char *prefix, const struct safetensors *begin)
{
    double apart = 0, change = 0;
    for (int i = 0; i < safetensors_count(begin); i++) {
        const struct tensor_info *info = safetensors_at(begin, i);
        SCOPED_MEM float *a = values_of(got, "master.", info), *b = values_of(want, prefix, info),
                         *c = values_of(begin, "", info);
        for (size_t j = 0; j < info->count; j++) {
            apart += ((double)a[j] - b[j]) * ((double)a[j] - b[j]);
            change += ((double)b[j] - c[j]) * ((double)b[j] - c[j]);
        }
    }
    return sqrt(apart / change);
}

static void passes_agree_with_a_loop_that_rounds(void **)
{
    SCOPED_MEM char *model = mem_printf("%s/llama_untied", TEST_GOLDEN);
    SCOPED_JSON json_t *input = NULL;
    SCOPED(safetensors) begin = NULL, *want = NULL;
    assert_ok(json_read_file(TEST_GOLDEN "/trajectory/input.json", 1 << 20, &input));
    assert_ok(safetensors_open(TEST_GOLDEN "/trajectory/masters.safetensors", &want));
    assert_ok(safetensors_open_model(model, &begin));
    SCOPED(safetensors) made = trained(input, model);
    const json_t *share = json_array_get(json_object_get(input, "shares"), 0);
    const double by_rounding =
        json_number_value(json_array_get(json_object_get(share, "by_rounding"), 4));
    const double rounded = distance(made, want, "rounded.", begin),
                 exact = distance(made, want, "exact.", begin);
    print_message("from a loop that rounds %.2e, from one that does not %.4f (PyTorch's own two: "
                  "%.4f)\n",
                  rounded, exact, by_rounding);
    assert_true(rounded < 1e-4); // PyTorch's float64 is 6e-6 from its float32
    assert_true(by_rounding > 0.05);
    assert_near(exact, by_rounding, 0.01); // shares of the change of one loop, and of the other
}

TESTS(cmocka_unit_test(passes_agree_with_a_loop_that_rounds))
