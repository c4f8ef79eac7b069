/* The models of a recipe: where a critic starts, which it refuses, and its way through a
 * checkpoint. */
#include "base/file.h"
#include "learner/train/checkpoint.h"
#include "learner/train/load.h"
#include "unit/learner/round_kit.h"
#include <string.h>

/* A directory with a policy, and one beside it to start a critic from. */
struct place {
    struct backend *be;
    const char *run;
    char *policy, *other;
};

static struct model_config shape_of(unsigned parts, int vocabulary)
{
    struct model_config config = tiny_config(true);
    config.V = vocabulary;
    config.parts = parts;
    config.tied = parts == PARTS_LANGUAGE;
    return config;
}

static void save(const struct place *p, const struct model_config *config, uint64_t seed,
                 const char *directory)
{
    SCOPED(model) model = NULL;
    assert_ok(model_new(p->be, config, seed, &model));
    assert_ok(model_save(model, directory));
    SCOPED_MEM char *path = file_join(directory, "tokenizer.json");
    assert_ok(file_copy(TEST_GOLDEN "/tokenizer/seen/tokenizer.json", path));
}

static struct place place_new(void)
{
    struct place p = {.be = tiny_backend(1), .run = testing_directory()};
    const struct model_config config = shape_of(PARTS_LANGUAGE, 37);
    p.policy = file_join(p.run, "policy");
    p.other = file_join(p.run, "other");
    save(&p, &config, 5, p.policy);
    return p;
}

static void place_done(struct place *p)
{
    mem_free(p->policy);
    mem_free(p->other);
    backend_free(p->be);
}

static struct recipe *recipe_of(const struct place *p, const char *learner)
{
    SCOPED_MEM char *text = mem_printf("model: {path: %s}\nlearner: {%s}\n", p->policy, learner);
    struct recipe *recipe = NULL;
    assert_ok(recipe_parse(text, strlen(text), "r.yaml", ".", NULL, &recipe));
    return recipe;
}

static void an_objective_says_who_is_trained(void **)
{
    static const struct {
        const char *learner;
        size_t count;
    } cases[] = {{"objective: rloo", 1}, {"objective: ppo", 2}};
    struct place p = place_new();
    for (size_t i = 0; i < 2; i++) {
        const char *names[TRAINEES_MAX];
        SCOPED(recipe) recipe = recipe_of(&p, cases[i].learner);
        SCOPED_VALUE(trainees) trainees = {0};
        assert_int_equal(load_names(recipe, names), cases[i].count);
        assert_ok(load_trainees(recipe, p.be, p.policy, NULL, &trainees));
        assert_int_equal(trainees.count, cases[i].count);
        for (size_t t = 0; t < trainees.count; t++)
            assert_string_equal(trainees.at[t].name, names[t]);
        assert_true((trainees_find(&trainees, TRAINEE_CRITIC) != NULL) == (i == 1));
        assert_ptr_equal(trainees_find(&trainees, TRAINEE_POLICY), trainees_first(&trainees));
        trainees_done(&trainees);
    }
    place_done(&p);
}

static const struct layout_tensor *head_of(const struct model *model)
{
    return &model->params->layout->tensor[model->params->head[HEAD_VALUE].weight];
}

/* Whether the head is zeros; the trunk, if it has one, is that of the directory. */
static bool begins_with_zeros(struct model *critic, const struct model *trunk)
{
    SCOPED_MEM bf16 *got = flat_of(critic);
    SCOPED_MEM bf16 *want = flat_of(trunk);
    const struct layout_tensor *head = head_of(critic);
    bool zeros = true;
    assert_memory_equal(got, want, head->offset * sizeof *got);
    for (size_t i = 0; i < head->count; i++)
        zeros = zeros && got[head->offset + i] == 0;
    return zeros;
}

static void a_critic_starts_where_the_recipe_says(void **)
{
    static const char *const models[] = {"separate", "shared"}, *const heads[] = {"zero", "normal"};
    struct place p = place_new();
    for (int model = 0; model < 2; model++)
        for (int head = 0; head < 2; head++) {
            SCOPED_MEM char *learner = mem_printf("objective: ppo, critic: {model: %s, head: %s}",
                                                  models[model], heads[head]);
            SCOPED(recipe) recipe = recipe_of(&p, learner);
            SCOPED_VALUE(trainees) trainees = {0};
            assert_ok(load_trainees(recipe, p.be, p.policy, NULL, &trainees));
            struct model *critic = trainees.at[1].model;
            assert_int_equal(critic->params->layout->count == 1, model);
            assert_true(begins_with_zeros(critic, trainees.at[0].model) == !head);
            trainees_done(&trainees);
        }
    place_done(&p);
}

static void a_reward_model_brings_its_head(void **)
{
    struct place p = place_new();
    const struct model_config config = shape_of(PARTS_CRITIC, 37);
    save(&p, &config, 9, p.other);
    SCOPED_MEM char *learner = mem_printf("objective: ppo, critic: {path: %s}", p.other);
    SCOPED(recipe) recipe = recipe_of(&p, learner);
    SCOPED_VALUE(trainees) trainees = {0};
    SCOPED(model) want = NULL;
    bool fresh = true;
    assert_ok(load_trainees(recipe, p.be, p.policy, NULL, &trainees));
    assert_ok(model_load_critic(p.be, p.other, &want, &fresh));
    assert_false(fresh);
    assert_same_weights(trainees.at[1].model, want);
    trainees_done(&trainees);
    model_free(STEAL(want));
    place_done(&p);
}

/* ---- masters */

/* Between two values of bf16, nearer to this one. */
static float beside(bf16 value, size_t i)
{
    return bf16_to_float(value) * (1 + (i % 2 ? 1.0f : -1.0f) / 1024);
}

/* The directory's weights again, in float32. */
static void widen(const struct model *model, const char *directory)
{
    const struct layout *layout = model->params->layout;
    SCOPED_MEM bf16 *flat = flat_of(model);
    SCOPED_MEM float *wide = mem_array(layout->elements, sizeof *wide);
    SCOPED_MEM struct tensor_source *tensors = mem_array((size_t)layout->count, sizeof *tensors);
    SCOPED_MEM char *path = file_join(directory, "model.safetensors");
    for (size_t i = 0; i < layout->elements; i++)
        wide[i] = beside(flat[i], i);
    for (int t = 0; t < layout->count; t++)
        tensors[t] = (struct tensor_source){.name = layout->tensor[t].name,
                                            .dtype = DTYPE_F32,
                                            .rows = layout->tensor[t].rows,
                                            .cols = layout->tensor[t].cols,
                                            .data = wide + layout->tensor[t].offset};
    assert_ok(safetensors_write(path, tensors, layout->count, NULL, 0));
}

/* Each master is the float32 value of the file, or the drawn bf16 of a head that the file lacks.
 * Masters are seen through the file they are saved to. */
static void assert_masters(const struct trainee *trainee, bool head_is_fresh)
{
    const struct layout *layout = trainee->model->params->layout;
    SCOPED_MEM char *path = file_join(testing_directory(), "optimizer.safetensors");
    SCOPED_MEM bf16 *flat = flat_of(trainee->model);
    SCOPED(safetensors) in = NULL;
    assert_ok(optimizer_save(trainee->optimizer, path));
    assert_ok(safetensors_open(path, &in));
    for (int t = 0; t < layout->count; t++) {
        const struct layout_tensor *tensor = &layout->tensor[t];
        const bool drawn = head_is_fresh && tensor == head_of(trainee->model);
        SCOPED_MEM char *name = mem_printf("master.%s", tensor->name);
        SCOPED_MEM float *master = mem_array(tensor->count, sizeof *master);
        assert_ok(safetensors_read_f32(in, safetensors_find(in, name), master));
        for (size_t i = 0; i < tensor->count; i++) {
            const size_t at = tensor->offset + i;
            assert_true(master[i] == (drawn ? bf16_to_float(flat[at]) : beside(flat[at], at)));
        }
    }
}

/* From the policy's directory, whose language model has no head of values, and from a reward
 * model's. */
static void a_critic_keeps_what_float32_says(void **)
{
    struct place p = place_new();
    SCOPED(model) policy = NULL;
    SCOPED(model) reward = NULL;
    bool fresh;
    const struct model_config config = shape_of(PARTS_CRITIC, 37);
    save(&p, &config, 9, p.other);
    assert_ok(model_load(p.be, p.policy, &policy));
    assert_ok(model_load_critic(p.be, p.other, &reward, &fresh));
    widen(policy, p.policy);
    widen(reward, p.other);
    for (int own = 0; own < 2; own++) {
        SCOPED_MEM char *learner =
            mem_printf("objective: ppo, critic: {head: normal, path: '%s'}", own ? p.other : "");
        SCOPED(recipe) recipe = recipe_of(&p, learner);
        SCOPED_VALUE(trainees) trainees = {0};
        assert_ok(load_trainees(recipe, p.be, p.policy, NULL, &trainees));
        assert_masters(&trainees.at[0], false);
        assert_masters(&trainees.at[1], !own);
        trainees_done(&trainees);
    }
    model_free(STEAL(policy));
    model_free(STEAL(reward));
    place_done(&p);
}

static void a_critic_of_other_tokens_is_refused(void **)
{
    struct place p = place_new();
    const struct model_config config = shape_of(PARTS_CRITIC, 41);
    save(&p, &config, 9, p.other);
    SCOPED_MEM char *learner = mem_printf("objective: ppo, critic: {path: %s}", p.other);
    SCOPED(recipe) recipe = recipe_of(&p, learner);
    SCOPED_VALUE(trainees) trainees = {0};
    assert_err(ERR_PRECONDITION, "learner.critic.path: '",
               load_trainees(recipe, p.be, p.policy, NULL, &trainees));
    trainees_done(&trainees);
    place_done(&p);
}

/* ---- checkpoints */

static void write_checkpoint(const struct place *p, const struct trainees *trainees)
{
    const struct checkpoint_info info = {.run = "run",
                                         .lineage = 1,
                                         .round = 2,
                                         .version = 4,
                                         .trainees = trainees_digests(trainees)};
    const struct checkpoint_tokenizer tokenizer = checkpoint_tokenizer(p->policy);
    assert_ok(checkpoint_write(p->run, trainees, &tokenizer, &info, 2));
}

/* PEFT's directory beside model.path; and a recipe that trains something else is told so. */
static void an_adapter_comes_back_from_a_checkpoint(void **)
{
    struct place p = place_new();
    SCOPED(recipe) recipe = recipe_of(&p, "objective: rloo");
    SCOPED_VALUE(trainees) was = {0};
    SCOPED_VALUE(trainees) is = {0};
    SCOPED_VALUE(trainees) none = {0};
    struct checkpoint_info info;
    recipe->lora.r = 4;
    assert_ok(load_trainees(recipe, p.be, p.policy, NULL, &was));
    struct model *adapter = was.at[0].model->adapter;
    assert_non_null(adapter);
    write_checkpoint(&p, &was);
    SCOPED_MEM char *path = checkpoint_path(p.run, 4);
    SCOPED_MEM char *weights = file_join(path, "model.safetensors");
    assert_ok(checkpoint_read(path, 1, &info));
    assert_false(file_exists(weights));
    assert_ok(load_trainees(recipe, p.be, path, &info.trainees, &is));
    assert_same_weights(adapter, is.at[0].model->adapter);
    recipe->lora.r = 0;
    assert_err(ERR_PRECONDITION, "holds an adapter, and this recipe trains all weights",
               load_trainees(recipe, p.be, path, &info.trainees, &none));
    recipe->lora.r = 4;
    assert_err(ERR_PRECONDITION, "holds all weights, and this recipe trains an adapter",
               load_trainees(recipe, p.be, p.policy, &info.trainees, &none));
    trainees_done(&was);
    trainees_done(&is);
    place_done(&p);
}

/* What lies in the checkpoint itself is the policy's, so it is one of Hugging Face's language
 * models; the critic's is in a directory of its name. */
static void both_come_back_from_a_checkpoint(void **)
{
    static const char *const learner[] = {"objective: ppo, critic: {head: normal}",
                                          "objective: ppo, critic: {head: normal, model: shared}"};
    for (int shared = 0; shared < 2; shared++) {
        struct place p = place_new();
        SCOPED(recipe) recipe = recipe_of(&p, learner[shared]);
        SCOPED_VALUE(trainees) was = {0};
        SCOPED_VALUE(trainees) is = {0};
        struct checkpoint_info info;
        SCOPED(model) policy = NULL;
        assert_ok(load_trainees(recipe, p.be, p.policy, NULL, &was));
        write_checkpoint(&p, &was);
        SCOPED_MEM char *path = checkpoint_path(p.run, 4);
        assert_ok(checkpoint_read(path, 1, &info));
        assert_ok(load_trainees(recipe, p.be, path, &info.trainees, &is));
        for (size_t i = 0; i < 2; i++) {
            SCOPED_MEM char *directory = checkpoint_trainee(path, &info.trainees, is.at[i].name);
            SCOPED_MEM char *state = file_join(directory, "optimizer.safetensors");
            assert_ok(optimizer_load(is.at[i].optimizer, state));
            assert_same_weights(is.at[i].model, was.at[i].model);
        }
        const struct trainee_digests digests = trainees_digests(&is);
        assert_null(trainee_digests_differ(&digests, &info.trainees));
        assert_ok(model_load(p.be, path, &policy));
        assert_same_weights(policy, was.at[0].model);
        assert_null(layout_find(policy->params->layout, "score.weight"));
        model_free(STEAL(policy));
        trainees_done(&was);
        trainees_done(&is);
        place_done(&p);
    }
}

TESTS(cmocka_unit_test(an_adapter_comes_back_from_a_checkpoint),
      cmocka_unit_test(an_objective_says_who_is_trained),
      cmocka_unit_test(a_critic_starts_where_the_recipe_says),
      cmocka_unit_test(a_reward_model_brings_its_head),
      cmocka_unit_test(a_critic_keeps_what_float32_says),
      cmocka_unit_test(a_critic_of_other_tokens_is_refused),
      cmocka_unit_test(both_come_back_from_a_checkpoint))
