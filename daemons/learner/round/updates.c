#include "learner/round/updates.h"
#include "base/mem.h"
#include "learner/round/roundbatch.h"
#include "learner/settings.h"
#include <math.h>

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
    kl_find(recipe->learner.kl.estimator,
            &updates->estimator); // the recipe allows only known words
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

/* Sums over the updates; those that trained nothing (no group had a pair) have no figures. */
struct sums {
    struct round_report *report;
    double filled;
};

static void add_result(struct sums *sums, const struct step_result *r)
{
    struct round_report *report = sums->report;
    report->grad_norm += r->grad_norm;
    report->lr = r->lr;
    report->logp_compared += r->compared;
    report->logp_differing += r->differing;
    report->tokens_trained += r->targets;
    if (r->targets == 0)
        return;
    sums->filled++;
    report->loss += r->loss;
    report->entropy += r->entropy;
    report->kl_behaviour += r->kl_behaviour;
    report->kl_behaviour_k3 += r->kl_behaviour_k3;
    report->clip_frac += r->clip_frac;
    report->ess += r->ess;
    report->pairs += r->pairs;
    report->rewards_margin += r->margin;
    report->rewards_accuracy += r->accuracy;
}

static void average(struct sums *sums, uint32_t updates)
{
    struct round_report *report = sums->report;
    report->grad_norm /= updates;
    report->loss /= sums->filled; // NaN, written as null, where nothing was trained
    report->entropy /= sums->filled;
    report->kl_behaviour /= sums->filled;
    report->kl_behaviour_k3 /= sums->filled;
    report->clip_frac /= sums->filled;
    report->ess /= sums->filled;
    report->rewards_margin /= sums->filled;
    report->rewards_accuracy /= sums->filled;
}

/* Where later updates need them: log-probabilities under the weights the round begins with. */
static err_t keep_old(struct updates *updates, struct round_batch *batch, uint32_t count)
{
    if (updates->recipe->learner.ratio_to != RECIPE_TO_PROXIMAL || count == 1)
        return OK;
    SCOPED(round_part) whole = round_batch_part(batch, 0, 1, 1);
    SCOPED_MEM float *logp = mem_array(batch->targets, sizeof *logp);
    TRY(step_logp(updates->step, &whole->batch, logp));
    round_batch_set_old(batch, whole, logp);
    return OK;
}

static err_t run_all(struct updates *updates, struct round_batch *batch, const struct round *round,
                     err_t (*done)(void *arg, uint32_t u), void *arg, struct sums *sums)
{
    TRY(keep_old(updates, batch, round->updates));
    for (uint32_t u = 0; u < round->updates; u++) {
        SCOPED(round_part)
        part =
            round_batch_part(batch, u, round->updates, (uint32_t)updates->recipe->learner.epochs);
        struct step_result result;
        TRY(step_run(updates->step, &part->batch, &result));
        add_result(sums, &result);
        TRY(done(arg, u));
    }
    return OK;
}

/* The controller sees what the round's groups cost, whatever became of the weights since they were made. */
static void steer_kl(struct updates *updates, const struct round_batch *batch)
{
    const struct recipe_kl *kl = &updates->recipe->learner.kl;
    kl_control_update(&updates->kl, kl->target, (double)kl->horizon, round_batch_kl(batch),
                      (double)batch->sequences);
}

err_t updates_run(struct updates *updates, const struct round *round, struct group *const *groups,
                  err_t (*done)(void *arg, uint32_t u), void *arg, struct round_report *report)
{
    const struct recipe *recipe = updates->recipe;
    bool in_reward = recipe->learner.kl.place == RECIPE_KL_IN_REWARD;
    step_set_kl(updates->step, in_reward ? 0 : updates->kl.coef);
    struct round_config config = {.settings = step_settings(updates->step),
                                  .margin = recipe->learner.dpo.margin,
                                  .ties_first = recipe->learner.dpo.ties == RECIPE_TIES_FIRST,
                                  .kl_in_reward = in_reward,
                                  .kl = updates->estimator,
                                  .kl_coef = updates->kl.coef,
                                  .temperature = (float)recipe->generator.temperature,
                                  .caches_mix = recipe->generator.in_flight == RECIPE_CONTINUE};
    SCOPED(round_batch) batch = NULL;
    TRY(round_batch_new(round, groups, &config, &batch));
    struct sums sums = {.report = report};
    TRY(run_all(updates, batch, round, done, arg, &sums));
    average(&sums, round->updates);
    report->kl_coef = updates->kl.coef;
    round_batch_report(batch, round, groups, recipe, report);
    steer_kl(updates, batch);
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
