/* Memory and disk by hand for a small model, and what each setting adds. ./dev bench memory holds
 * the same sums against real daemons. */
#include "base/bytes.h"
#include "base/mem.h"
#include "ctl/make/gpu_plan.h"
#include "ctl/make/reward_paths.h"
#include "ctl/make/sizing.h"
#include "testing/testing.h"
#include <math.h>
#include <string.h>

enum { V = 512, C = 128, F = 384, L = 4, H = 4 };
#define MIB 1048576.0

static struct sizing with_adapter(const char *text, double adapter)
{
    struct recipe *recipe = NULL;
    struct sizing ret;
    const struct model_config config = config_default(V, C, F, L, H, H, 128, true);
    assert_ok(recipe_parse(text, strlen(text), "r.yaml", ".", &(struct recipe_source){0}, &recipe));
    sizing_make(recipe, &config, adapter, NULL, NULL, &ret);
    recipe_free(recipe);
    return ret;
}

static struct sizing of(const char *text)
{
    return with_adapter(text, 0);
}

#define DECODES "generator: {slots: 16, step_rows: 64, num_generations: 4, max_tokens: 32}\n"
#define EVAL    DECODES "data: {max_prompt_tokens: 64, eval: e.jsonl}\neval: {every: 8}\n"
#define BASE    DECODES "data: {max_prompt_tokens: 64}\n"

static void near(double got, double want)
{
    if (fabs(got - want) > 1e-6 * want)
        fail_msg("%.17g, wanted %.17g", got, want);
}

/* Embedding, per layer two norms and 4 C C + 3 C F, the last norm: all multiples of 32. */
static const double P = V * C + L * (2 * C + 4 * C * C + 3 * C * F) + C;

static void the_table_by_hand(void **)
{
    const struct sizing s = of(BASE "learner: {micro_tokens: 512}\ncheckpoint: {keep: 3}\n"
                                    "replay: {min_free_bytes: 1000}\n");
    near(s.parameters, P);
    const double kv = 16 * 2 * 64 * 2.0 * L * C * 2; // two pages a slot of 96 tokens
    near(s.generator, 20 * MIB + 6 * P + kv + 64 * (36.0 * C + 12 * F) + 4.0 * V * 16);
    const double rows = 1024; // a block of 16 sequences of 96 has more than micro_tokens
    near(s.learner, 34 * MIB + 25 * P + 4.0 * V * C + rows * (32.0 * C + 12 * F) * (L + 1) +
                        512 * 4.0 * (V + 2 * C));
    near(s.rewarder, 20 * MIB);
    near(s.checkpoint, 14 * P + MIB);
    near(s.disk, 5 * s.checkpoint + 1000);
}

/* The adapter alone has gradients, moments, versions and checkpoints. */
static void an_adapter_trains_alone(void **)
{
    const double A = 1000;
    const struct sizing full = of(BASE), s = with_adapter(BASE, A);
    near(full.learner - s.learner, 21 * P + 4.0 * V * C - 25 * A - 4 * C);
    near(full.generator - s.generator, 4 * P - 6 * A);
    near(full.checkpoint - s.checkpoint, 14 * (P - A));
}

static void settings_that_change_it(void **)
{
    const struct sizing s = of(BASE);
    near(of(EVAL).learner - s.learner, 2 * P);
    near(of(BASE "model: {kv: fp32}\n").generator - s.generator, 16 * 2 * 64 * 2.0 * L * C * 2);
    near(of("generator: {slots: 16, step_rows: 64, max_tokens: 32, kv_bytes: 123456789}\n"
            "data: {max_prompt_tokens: 64}\n")
                 .generator -
             of("generator: {slots: 16, step_rows: 64, max_tokens: 32, kv_bytes: 23456789}\n"
                "data: {max_prompt_tokens: 64}\n")
                 .generator,
         1e8);
    assert_true(of(BASE "learner: {gradient_checkpointing: true}\n").learner < s.learner);
    const struct sizing reference =
        of(BASE "rewarder: {reference: frozen}\nlearner: {micro_tokens: 2048}\n");
    near(reference.rewarder, 20 * MIB + 2 * P + 2048 * (36.0 * C + 12 * F) + 512 * 4.0 * V);
    const struct sizing ppo = of(BASE "learner: {objective: ppo}\n");
    assert_true(ppo.learner - s.learner > 20 * P && ppo.checkpoint - s.checkpoint == 16 * P);
    near(of(BASE "learner: {objective: ppo, critic: {model: shared}}\n").learner - s.learner,
         20.0 * C);
}

/* ---- reward models */

static err_t note_path(void *arg, const struct reward_path *path)
{
    bytes_printf(arg, "%s %s", path->key, path->path);
    bytes_printf(arg, path->tokens ? " %d\n" : "\n", (int)path->tokens);
    return OK;
}

/* Each directory once; values that are no texts are the check's business. */
static void reward_models_are_found_once_each(void **)
{
    static const char text[] =
        "rewarder:\n  scorers:\n    - {kind: reward_model, path: /a}\n    - {kind: length, max: 2}\n"
        "    - {kind: reward_model, paths: [/b, /a, /c], aggregate: min}\n"
        "    - {kind: reward_model, path: {no: text}, paths: [[/e], /d]}\n";
    SCOPED(recipe) recipe = NULL;
    SCOPED_VALUE(bytes) seen = {0};
    assert_ok(recipe_parse(text, strlen(text), "r.yaml", ".", &(struct recipe_source){0}, &recipe));
    assert_ok(reward_paths_each(recipe, note_path, &seen));
    assert_string_equal((const char *)seen.data,
                        "rewarder.scorers[0].path /a\nrewarder.scorers[2].paths[0] /b\n"
                        "rewarder.scorers[2].paths[2] /c\nrewarder.scorers[3].paths[1] /d\n");
}

/* Its trunk and a head of one row, and the rows of a forward: a block, or the longest sequence. */
static void a_reward_model_is_held_packed(void **)
{
    const struct model_config policy = config_default(V, C, F, L, H, H, 4096, true);
    struct model_config config = policy;
    config.parts = PARTS_CRITIC;
    config.tied = false;
    const double own = P + C; // a multiple of 32
    static const struct {
        const char *text;
        double rows;
    } cases[] = {{BASE, 1024},
                 {BASE "learner: {micro_tokens: 8192}\n", 1024},
                 {"data: {max_prompt_tokens: 1500}\ngenerator: {max_tokens: 500}\n", 2000}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        SCOPED(recipe) recipe = NULL;
        struct sizing s;
        assert_ok(recipe_parse(cases[i].text, strlen(cases[i].text), "r.yaml", ".",
                               &(struct recipe_source){0}, &recipe));
        sizing_make(recipe, &policy, 0, NULL, NULL, &s);
        sizing_add_reward_model(recipe, &config, false, &s);
        sizing_add_reward_model(recipe, &config, false, &s);
        near(s.rewarder, 20 * MIB + 2 * (2 * own + cases[i].rows * (36.0 * C + 12 * F)));
        sizing_add_reward_model(recipe, &config, true, &s); // an adapter beside one of them
        near(s.rewarder, 20 * MIB + 2 * 2 * own + 3 * cases[i].rows * (36.0 * C + 12 * F));
    }
}

/* A preference model is its scorer's own, and reads longer texts than the ring has. */
static void preference_models_are_each_scorers_own(void **)
{
    static const char text[] =
        "rewarder:\n  scorers:\n    - {kind: preference_model, path: /a}\n"
        "    - {kind: preference_model, path: /a, max_tokens: 512}\n"
        "    - {kind: preference_model, path: [no, text]}\n    - {kind: preference_model}\n";
    const struct model_config config = config_default(V, C, F, L, H, H, 2048, true);
    static const struct {
        int64_t tokens;
        double rows;
    } cases[] = {{512, 1024}, {1500, 1501}, {4096, 2049}} /* and the label */;
    SCOPED(recipe) recipe = NULL;
    SCOPED_VALUE(bytes) seen = {0};
    assert_ok(recipe_parse(text, strlen(text), "r.yaml", ".", &(struct recipe_source){0}, &recipe));
    assert_ok(reward_paths_each(recipe, note_path, &seen));
    assert_string_equal((const char *)seen.data, "rewarder.scorers[0].path /a 4096\n"
                                                 "rewarder.scorers[1].path /a 512\n");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sizing s = {0};
        sizing_add_preference_model(&config, cases[i].tokens, &s);
        near(s.rewarder, 2 * P + cases[i].rows * (36.0 * C + 12 * F) + 64 * 4.0 * V);
    }
}

/* ---- GPUs */

static struct gpu_plan on_gpus(const char *text)
{
    struct recipe *recipe = NULL;
    struct gpu_plan ret;
    const struct model_config config = config_default(V, C, F, L, H, H, 128, false);
    assert_ok(recipe_parse(text, strlen(text), "r.yaml", ".", &(struct recipe_source){0}, &recipe));
    assert_ok(gpu_plan_make(recipe, &config, NULL, NULL, &ret));
    recipe_free(recipe);
    return ret;
}

/* Shapes are multiples of 64, so nothing is padded. The embedding is not packed; cos and sin of 128
 * positions and heads of 32 lie beside. */
static void a_gpu_by_hand(void **)
{
    const double all = P + V * C, angles = 2 * 128 * 16 * 4.0, rings = 8 << 20;
    const struct gpu_plan plan = on_gpus(BASE "learner: {micro_tokens: 512}\n");
    const struct device_memory *learner = &plan.learner[0].memory;
    const double norms = 2 * ((2 * L + 1) * C), rows = 1024;
    near(learner->weights, 4 * all - 2 * V * C - norms + angles);
    near(learner->gradients, 4 * all);
    near(learner->states, 12 * all);
    assert_true(learner->host == 0 && learner->paged == 0 && learner->kv == 0);
    assert_true(learner->activations > rows * (32.0 * C + 12 * F) * L + 512 * 4.0 * (V + 2 * C));
    assert_true(learner->activations <
                rows * (32.0 * C + 12 * F) * (L + 2) + 512 * 4.0 * (V + 2 * C));
    assert_true(learner->scratch > rings / 2);
    near(plan.generator.weights, 2 * all + angles);
    near(plan.generator.kv, 16 * 2 * 64 * 2.0 * L * C * 2);
    const double list = 6 * (floor(all / 16) + 4096) + 4 * (9 * L + 3); // tensors of a layer: 9
    near(plan.generator.changes, list + rings / 2);
    near(learner->changes, 2 * list + all / 8);
    near(on_gpus(BASE "publish: {transport: nccl}\n").generator.changes, 2 * list + rings / 2);
    assert_true(on_gpus(BASE "publish: {delta: false}\n").learner[0].memory.changes == 0);
    assert_true(plan.rewarder.weights == 0);
}

static void assert_row(const struct gpu_plan *plan, int row, const char *settings)
{
    assert_true(row < plan->rows);
    assert_string_equal(plan->learner[row].settings, settings);
}

/* Each row takes less than the one before; what the recipe has already makes none. */
static void settings_that_leave_room(void **)
{
    const double all = P + V * C;
    const struct gpu_plan plan = on_gpus(BASE);
    assert_int_equal(plan.rows, 4);
    assert_row(&plan, 1, "learner.optimizer.states: host");
    assert_row(&plan, 2, "and learner.gradient_checkpointing: true");
    assert_row(&plan, 3, "lora.r: 16 alone");
    for (int i = 1; i < 3; i++)
        assert_true(device_memory_sum(&plan.learner[i].memory) <
                    device_memory_sum(&plan.learner[i - 1].memory));
    near(plan.learner[1].memory.host, 12 * all);
    near(plan.learner[1].memory.paged, 24 * all);
    const struct gpu_plan ppo = on_gpus(BASE "rewarder: {reference: frozen}\n"
                                             "learner: {objective: ppo, optimizer: {states: host}, "
                                             "gradient_checkpointing: true}\n");
    assert_int_equal(ppo.rows, 3);
    assert_row(&ppo, 1, "learner.critic.optimizer.states: host");
    near(ppo.learner[1].memory.host, 12 * (2 * all - V * C + C)); // its head: a row
    assert_true(ppo.rewarder.weights == ppo.generator.weights && ppo.rewarder.kv == 0);
    const struct gpu_plan adapter =
        on_gpus(BASE "lora: {r: 8}\nlearner: {gradient_checkpointing: true}\n");
    assert_int_equal(adapter.rows, 1);
    assert_true(adapter.learner[0].memory.states < plan.learner[0].memory.states / 5);
}

/* Weights of each, scratch of one: they share a backend. */
static void reward_models_on_a_gpu(void **)
{
    SCOPED(recipe) recipe = NULL;
    struct model_config config = config_default(V, C, F, L, H, H, 128, false);
    assert_ok(recipe_parse(BASE, strlen(BASE), "r.yaml", ".", &(struct recipe_source){0}, &recipe));
    struct gpu_plan plan = on_gpus(BASE);
    config.parts = PARTS_CRITIC;
    gpu_plan_add_reward_model(recipe, &config, false, &plan);
    const struct device_memory one = plan.rewarder;
    assert_true(one.weights > 2 * P && one.weights < 2.2 * P);
    assert_true(one.activations > 1024 * (32.0 * C + 12 * F) && one.scratch > 0);
    gpu_plan_add_reward_model(recipe, &config, false, &plan);
    near(plan.rewarder.weights, 2 * one.weights);
    near(plan.rewarder.activations, 2 * one.activations);
    near(plan.rewarder.scratch, one.scratch);
    gpu_plan_add_reward_model(recipe, &config, true, &plan);
    near(plan.rewarder.weights, 2 * one.weights);
    near(plan.rewarder.activations, 3 * one.activations);
}

/* Each with a backend of its own. */
static void preference_models_on_a_gpu(void **)
{
    const struct model_config config = config_default(V, C, F, L, H, H, 128, false);
    struct gpu_plan plan = on_gpus(BASE);
    gpu_plan_add_preference_model(&config, 4096, &plan);
    const struct device_memory one = plan.rewarder;
    assert_true(one.weights > 2 * P && one.weights < 2.2 * P + 4 * V * C);
    assert_true(one.activations > 1024 * (32.0 * C + 12 * F) && one.scratch > 0);
    gpu_plan_add_preference_model(&config, 4096, &plan);
    near(plan.rewarder.scratch, 2 * one.scratch);
    near(plan.rewarder.weights, 2 * one.weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reward_models_are_found_once_each),
                                       cmocka_unit_test(preference_models_are_each_scorers_own),
                                       cmocka_unit_test(preference_models_on_a_gpu),
                                       cmocka_unit_test(a_reward_model_is_held_packed),
                                       cmocka_unit_test(reward_models_on_a_gpu),
                                       cmocka_unit_test(the_table_by_hand),
                                       cmocka_unit_test(an_adapter_trains_alone),
                                       cmocka_unit_test(settings_that_change_it),
                                       cmocka_unit_test(a_gpu_by_hand),
                                       cmocka_unit_test(settings_that_leave_room)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
