#include "learner/round/updates.h"
#include "base/mem.h"
#include "learner/round/stages.h"
#include "learner/settings.h"
#include "svc/recipe/recipe_default.h"

struct updates {
    const struct recipe *recipe;
    struct trainee *policy;
    struct step *step;
    struct kl_control kl;
    enum kl estimator;
};

static err_t step_config_of(const struct recipe *recipe, const struct model *model,
                            struct step_config *ret)
{
    struct step_config config = {
        .proximal = recipe->learner.ratio_to == RECIPE_TO_PROXIMAL,
        .micro_tokens = (int)recipe->learner.micro_tokens,
        .checkpointing = recipe->learner.gradient_checkpointing,
        .longest = settings_longest(recipe, &model->config),
        .completions = (int)recipe->generator.num_generations,
        .schedule = settings_schedule(&recipe->learner.optimizer,
                                      recipe->run.rounds * recipe->learner.updates_per_round)};
    TRY(settings_objective(recipe, &config.objective, &config.settings));
    *ret = config;
    return OK;
}

/* All that is no step's. */
static void take(struct updates *updates, const struct recipe *recipe)
{
    struct optimizer_config optimizer = settings_optimizer(&recipe->learner.optimizer);
    optimizer_configure(updates->policy->optimizer, &optimizer);
    kl_find(recipe_kl_estimator(recipe), &updates->estimator);
    updates->kl.coef = recipe->learner.kl.coef;
    updates->recipe = recipe;
}

err_t updates_new(const struct recipe *recipe, struct trainees *trainees, struct updates **ret)
{
    struct step_config config;
    SCOPED(updates) updates = mem_new(sizeof *updates);
    updates->policy = trainees_first(trainees);
    TRY(step_config_of(recipe, updates->policy->model, &config));
    TRY(step_new(updates->policy, &config, &updates->step));
    take(updates, recipe);
    *ret = STEAL(updates);
    return OK;
}

err_t updates_configure(struct updates *updates, const struct recipe *recipe)
{
    struct step_config config;
    TRY(step_config_of(recipe, updates->policy->model, &config));
    TRY(step_configure(updates->step, &config));
    take(updates, recipe);
    return OK;
}

/* The controller sees what the round's groups cost, whatever became of the weights since they were
 * made. */
static void steer_kl(struct updates *updates, double kl, size_t completions)
{
    const struct recipe_kl *settings = &updates->recipe->learner.kl;
    kl_control_update(&updates->kl, settings->target, (double)settings->horizon, kl,
                      (double)completions);
}

static struct kl_cost kl_cost(const struct updates *updates)
{
    const bool proximal = updates->recipe->learner.kl.logp == RECIPE_KL_OF_PROXIMAL;
    return (struct kl_cost){.coef = updates->kl.coef,
                            .kl = updates->estimator,
                            .logp = proximal ? COLUMN_PROXIMAL_LOGP : COLUMN_BEHAVIOUR_LOGP};
}

static struct round_config round_config(const struct updates *updates)
{
    const struct recipe *recipe = updates->recipe;
    return (struct round_config){.objective = step_objective(updates->step),
                                 .settings = step_settings(updates->step),
                                 .margin = recipe->learner.dpo.margin,
                                 .ties_first = recipe->learner.dpo.ties == RECIPE_TIES_FIRST,
                                 .kl_in_reward = recipe->learner.kl.place == RECIPE_KL_IN_REWARD,
                                 .kl = kl_cost(updates),
                                 .proximal = recipe->learner.ratio_to == RECIPE_TO_PROXIMAL,
                                 .temperature = (float)recipe->generator.temperature,
                                 .model = updates->policy->model,
                                 .caches_mix = recipe->generator.in_flight == RECIPE_CONTINUE};
}

err_t updates_run(struct updates *updates, const struct round *round, struct group *const *groups,
                  err_t (*done)(void *arg, uint32_t u), void *arg, struct round_report *report)
{
    const struct round_config config = round_config(updates);
    step_set_kl(updates->step, config.kl_in_reward ? 0 : config.kl.coef);
    SCOPED_VALUE(round_run)
    run = {.round = round,
           .groups = groups,
           .recipe = updates->recipe,
           .config = config,
           .step = updates->step,
           .done = done,
           .arg = arg,
           .report = report};
    TRY(stages_run(&run));
    report->kl_coef = updates->kl.coef;
    steer_kl(updates, report->kl_reference, run.batch->columns->sequences);
    return OK;
}

double updates_kl_coef(const struct updates *updates)
{
    return updates->kl.coef;
}

void updates_set_kl_coef(struct updates *updates, double coef)
{
    updates->kl.coef = coef;
}

size_t updates_bytes(const struct updates *updates)
{
    return step_bytes(updates->step);
}

uint64_t updates_workspaces(const struct updates *updates)
{
    return step_workspaces(updates->step);
}

void updates_free(struct updates *updates)
{
    if (!updates)
        return;
    step_free(updates->step);
    mem_free(updates);
}
