/* A model, its trainee, and a round for it: groups of random tokens, with random log-probabilities
 * of generator and reference. */
#pragma once
#include "base/mem.h"
#include "base/rng.h"
#include "learner/round/updates.h"
#include "learner/settings.h"
#include "tensor/digest.h"
#include "unit/model/tiny.h"
#include <stdlib.h>

enum { GROUPS = 6, K = 3 };

struct bench {
    struct recipe *recipe;
    struct backend *be;
    struct trainees trainees;
    struct model *model;  // the policy's
    struct model *critic; // NULL: the objective has none
    struct updates *updates;
    struct round round;
    struct round_group place[GROUPS];
    struct group *group[GROUPS];
};

static inline struct recipe *kit_recipe(const char *learner, const char *set)
{
    const char *sets[] = {"learner.micro_tokens=64", "learner.optimizer.lr=1e-3", set};
    SCOPED_MEM char *text =
        mem_printf("learner: {groups: %d, %s}\n"
                   "generator: {num_generations: %d, max_tokens: 12, temperature: 0.8}\n"
                   "data: {max_prompt_tokens: 20}\n"
                   "rewarder: {reference: frozen, scorers: [{kind: exact, column: completion}]}\n",
                   GROUPS, learner, K);
    struct recipe_source source = {.sets = sets, .sets_count = set ? 3 : 2};
    struct recipe *recipe = NULL;
    assert_ok(recipe_parse(text, strlen(text), "r.yaml", ".", &source, &recipe));
    return recipe;
}

static inline uint32_t *kit_random_tokens(const struct rng *rng, uint64_t from, uint32_t count)
{
    uint32_t *token = mem_array(count, sizeof *token);
    for (uint32_t i = 0; i < count; i++)
        token[i] = (uint32_t)rng_below(rng, from + i, 37);
    return token;
}

static inline void kit_random_completion(const struct rng *rng, uint32_t i, uint64_t version,
                                         struct completion *ret)
{
    uint64_t at = 1000 * (i + 1);
    uint32_t tokens = 1 + (uint32_t)rng_below(rng, at, 12);
    *ret = (struct completion){.tokens = tokens,
                               .token = kit_random_tokens(rng, at + 1, tokens),
                               .spans = 1,
                               .span = mem_array(1, sizeof(struct span)),
                               .finish = FINISH_EOS,
                               .text = mem_string("")};
    ret->span[0].version = version;
    completion_one_turn(ret);
}

static inline float *tokens_of(struct group *group, enum column column, uint32_t i)
{
    return (float *)group_values(group, column, i);
}

static inline void kit_random_columns(const struct rng *rng, struct group *group)
{
    group_add(group, COLUMN_REWARD, 1);
    group_add(group, COLUMN_SCORES, 1);
    group_add(group, COLUMN_BEHAVIOUR_LOGP, 1);
    group_add(group, COLUMN_REFERENCE_LOGP, 1);
    for (uint32_t i = 0; i < K; i++) {
        const uint64_t at = 1000 * (i + 1);
        float *logp = tokens_of(group, COLUMN_BEHAVIOUR_LOGP, i),
              *reference = tokens_of(group, COLUMN_REFERENCE_LOGP, i);
        double *reward = (double *)group_values(group, COLUMN_REWARD, i);
        *reward = (double)rng_below(rng, at + 99, 3);
        for (uint32_t t = 0; t < group->completion[i].tokens; t++) {
            logp[t] = -1.0f - 4 * (float)rng_uniform(rng, at + 400 + t);
            reference[t] = -1.0f - 4 * (float)rng_uniform(rng, at + 200 + t);
        }
    }
}

static inline void set_rewards(struct group *group, double reward)
{
    double *of = group_add(group, COLUMN_REWARD, 1);
    for (uint32_t i = 0; i < K; i++)
        of[i] = reward;
}

static inline struct group *kit_random_group(uint64_t g, uint64_t version)
{
    struct rng rng = rng_keyed(5, RNG_TEST, g, 0);
    struct group *group = mem_new(sizeof *group);
    *group = (struct group){.prompt_tokens = 1 + (uint32_t)rng_below(&rng, 0, 20),
                            .temperature = 0.8f,
                            .completions = K,
                            .completion = mem_array(K, sizeof(struct completion))};
    group->prompt_token = kit_random_tokens(&rng, 1, group->prompt_tokens);
    for (uint32_t i = 0; i < K; i++)
        kit_random_completion(&rng, i, version, &group->completion[i]);
    kit_random_columns(&rng, group);
    return group;
}

/* A critic with weights of its own, or a head for the policy's hidden states. */
static inline void kit_add_critic(struct bench *b)
{
    const struct recipe_critic *settings = &b->recipe->learner.critic;
    const struct optimizer_config optimizer = settings_optimizer(&settings->optimizer);
    struct model_config config = b->model->config;
    config.parts = PARTS_CRITIC;
    config.tied = false;
    if (settings->model == RECIPE_CRITIC_SHARED)
        assert_ok(model_new_value(b->be, &config, &b->critic));
    else
        assert_ok(model_new(b->be, &config, 4, &b->critic));
    assert_ok(model_draw_value(b->critic, 5, settings->head == RECIPE_CRITIC_NORMAL ? 0.1 : 0));
    assert_ok(trainees_add(&b->trainees, TRAINEE_CRITIC, b->critic, &optimizer, NULL));
}

static inline void bench_open(struct bench *b, const char *learner, const char *set)
{
    *b = (struct bench){.recipe = kit_recipe(learner, set), .be = tiny_backend(1)};
    struct model_config config = tiny_config(true);
    struct optimizer_config optimizer = settings_optimizer(&b->recipe->learner.optimizer);
    assert_ok(model_new(b->be, &config, 3, &b->model));
    assert_ok(trainees_add(&b->trainees, "policy", b->model, &optimizer, NULL));
    if (objective_has_critic(objective_row(b->recipe->learner.objective)))
        kit_add_critic(b);
    for (size_t g = 0; g < GROUPS; g++)
        b->group[g] = kit_random_group(g, 40);
    b->round = (struct round){.updates = (uint32_t)b->recipe->learner.updates_per_round,
                              .round = 20,
                              .first_version = 40,
                              .seed = 1,
                              .groups = GROUPS,
                              .group = b->place};
    for (size_t g = 0; g < GROUPS; g++)
        b->place[g].age = 20;
    assert_ok(updates_new(b->recipe, &b->trainees, &b->updates));
}

static inline void bench_close(struct bench *b)
{
    for (size_t g = 0; g < GROUPS; g++)
        group_free(b->group[g]);
    updates_free(b->updates);
    trainees_done(&b->trainees);
    backend_free(b->be);
    recipe_free(b->recipe);
}

static inline err_t count_update(void *arg, uint32_t u)
{
    int *made = arg;
    assert_int_equal(u, *made);
    ++*made;
    return OK;
}

static inline struct digest bench_weights(const struct bench *b)
{
    return weights_digest_of(b->model);
}

static inline struct round_report bench_run(struct bench *b)
{
    struct round_report report = {0};
    int made = 0;
    assert_ok(updates_run(b->updates, &b->round, b->group, count_update, &made, &report));
    assert_int_equal(made, b->round.updates);
    return report;
}
