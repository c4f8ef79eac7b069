#include "learner/round/updates.h"
#include "base/mem.h"
#include "learner/round/measuring.h"
#include "learner/round/stages.h"
#include "learner/settings.h"
#include "svc/recipe/recipe_default.h"
#include "svc/recipe/recipe_lora.h"
#include <math.h>

struct updates {
    const struct recipe *recipe;
    struct trainee *policy, *critic; // critic NULL: the objective has none
    struct trainee *reference;       // one that moves; NULL: none does
    struct model *referred;          // the learner's reference; NULL: it keeps none
    struct step *step;
    struct step *critic_step; // of a critic that is a model of its own; else NULL
    struct kl_control kl;
    enum kl estimator;
    struct running running;
    const struct referee *referee;
};

/* A head alone reads the policy's hidden states. */
static bool is_shared(const struct trainee *critic)
{
    return critic && !(critic->model->config.parts & PART_TRUNK);
}

static int64_t all_updates(const struct recipe *recipe)
{
    return recipe->run.rounds * recipe->learner.updates_per_round;
}

/* An adapter's base is run beside the policy where whole rows are compared. */
static struct model *reference_of(const struct updates *updates, const struct recipe *recipe,
                                  const struct step_config *config)
{
    const unsigned terms = objective_terms(&config->objective->row, &config->settings);
    const bool base = recipe_refers_to_base(recipe) && terms & ROW_TERMS_OF_REFERENCE;
    return base ? updates->policy->model : updates->referred;
}

/* Of the policy's step; a shared critic is trained there, too. While the critic warms up the policy
 * makes no updates. */
static err_t step_config_of(struct updates *updates, const struct recipe *recipe,
                            struct step_config *ret)
{
    const struct recipe_critic *critic = &recipe->learner.critic;
    const int64_t all = all_updates(recipe),
                  warmup = critic->warmup_rounds * recipe->learner.updates_per_round;
    struct step_config config = {
        .proximal = recipe->learner.ratio_to == RECIPE_TO_PROXIMAL,
        .micro_tokens = (int)recipe->learner.micro_tokens,
        .checkpointing = recipe->learner.gradient_checkpointing,
        .longest = settings_longest(recipe, &updates->policy->model->config),
        .completions = (int)recipe->generator.num_generations,
        .schedule = settings_schedule(&recipe->learner.optimizer, !updates->critic ? all
                                                                  : warmup < all   ? all - warmup
                                                                                   : 0),
        .critic = is_shared(updates->critic) ? updates->critic : NULL,
        .critic_schedule = settings_schedule(&critic->optimizer, all),
        .running = &updates->running};
    TRY(settings_objective(recipe, &config.objective, &config.settings));
    if (objective_is_reward(&config.objective->row)) { // values alone
        config.critic = updates->policy;
        config.proximal = false;
    }
    config.reference = reference_of(updates, recipe, &config);
    config.steers_entropy = recipe->learner.rows.entropy_target > 0;
    *ret = config;
    return OK;
}

/* Of a critic that is a model of its own, from the policy's. */
static struct step_config critic_config(const struct updates *updates,
                                        const struct step_config *policy)
{
    struct step_config config = *policy;
    config.critic = updates->critic;
    config.schedule = policy->critic_schedule;
    config.proximal = false;
    config.reference = NULL;
    return config;
}

/* Makes the steps, or gives those that are there other settings. */
static err_t set_steps(struct updates *updates, const struct recipe *recipe)
{
    struct step_config config;
    TRY(step_config_of(updates, recipe, &config));
    TRY(updates->step ? step_configure(updates->step, &config)
                      : step_new(updates->policy, &config, &updates->step));
    if (!updates->critic || config.critic)
        return OK;
    config = critic_config(updates, &config);
    return updates->critic_step ? step_configure(updates->critic_step, &config)
                                : step_new(updates->critic, &config, &updates->critic_step);
}

/* All that is no step's. */
static void take(struct updates *updates, const struct recipe *recipe)
{
    struct optimizer_config optimizer = settings_optimizer(&recipe->learner.optimizer);
    optimizer_configure(updates->policy->optimizer, &optimizer);
    optimizer = settings_optimizer(&recipe->learner.critic.optimizer);
    if (updates->critic)
        optimizer_configure(updates->critic->optimizer, &optimizer);
    kl_find(recipe_kl_estimator(recipe), &updates->estimator);
    updates->kl.coef = recipe->learner.kl.coef;
    updates->recipe = recipe;
}

err_t updates_new(const struct recipe *recipe, struct trainees *trainees, struct updates **ret)
{
    SCOPED(updates) updates = mem_new(sizeof *updates);
    updates->policy = trainees_first(trainees);
    updates->critic = trainees_find(trainees, TRAINEE_CRITIC);
    updates->reference = trainees_find(trainees, TRAINEE_REFERENCE);
    updates->referred = updates->reference ? updates->reference->model : trainees->frozen;
    TRY(set_steps(updates, recipe));
    take(updates, recipe);
    *ret = STEAL(updates);
    return OK;
}

err_t updates_configure(struct updates *updates, const struct recipe *recipe)
{
    TRY(set_steps(updates, recipe));
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

/* While the critic warms up the policy makes no updates. */
static void set_left(struct updates *updates, const struct round *round)
{
    const int64_t warmup = updates->critic ? updates->recipe->learner.critic.warmup_rounds : 0,
                  now = (int64_t)round->round, end = (int64_t)round->run_rounds,
                  begin = now > warmup ? now : warmup, all = (end - now) * (int64_t)round->updates,
                  left = end > begin ? (end - begin) * (int64_t)round->updates : 0;
    step_set_left(updates->step, left, all);
    if (updates->critic_step)
        step_set_left(updates->critic_step, all, 0);
}

/* ---- the reference */

struct ending {
    struct updates *updates;
    const struct round *round;
    err_t (*done)(void *arg, uint32_t u);
    void *arg;
};

/* Behind the round's last update, and before anyone hears of it: the update's record has the moved
 * reference. Versions count updates, so when it moves follows from the record alone. */
static err_t update_made(void *arg, uint32_t u)
{
    const struct ending *ending = arg;
    const struct round *round = ending->round;
    const struct recipe_reference *config = &ending->updates->recipe->learner.reference;
    const uint64_t every = (uint64_t)config->sync_steps, before = round->first_version / every,
                   after = (round->first_version + round->updates) / every;
    struct trainee *reference = ending->updates->reference;
    if (reference && u + 1 == round->updates && after > before)
        TRY(err_wrap(
            optimizer_follow(reference->optimizer, ending->updates->policy->model,
                             config->kind == RECIPE_REFERENCE_EMA ? config->mixup_alpha : 1),
            TRAINEE_REFERENCE));
    return ending->done(ending->arg, u);
}

/* ---- the entropy's bonus */

static double entropy_coef(const struct updates *updates)
{
    const struct recipe_rows *rows = &updates->recipe->learner.rows;
    return rows->entropy_target > 0
               ? running_or(&updates->running, RUNNING_entropy_coef, rows->entropy_coef)
               : rows->entropy_coef;
}

/* A round that trained nothing has no entropy, and changes nothing. */
static void steer_entropy(struct updates *updates, double entropy)
{
    const struct recipe_rows *rows = &updates->recipe->learner.rows;
    if (!(rows->entropy_target > 0) || isnan(entropy))
        return;
    const double step =
        entropy < rows->entropy_target ? rows->entropy_coef_delta : -rows->entropy_coef_delta;
    running_set(&updates->running, RUNNING_entropy_coef, fmax(0, entropy_coef(updates) + step));
}

err_t updates_run(struct updates *updates, const struct round *round, struct group *const *groups,
                  err_t (*done)(void *arg, uint32_t u), void *arg, struct round_report *report)
{
    struct ending ending = {updates, round, done, arg};
    const struct round_config config = round_config(updates);
    step_set_kl(updates->step, config.kl_in_reward ? 0 : config.kl.coef);
    step_set_entropy(updates->step, entropy_coef(updates));
    const bool warmup =
        updates->critic && round->round < (uint64_t)updates->recipe->learner.critic.warmup_rounds;
    step_set_warmup(updates->step, warmup);
    if (round->run_rounds) // before it was recorded, run.rounds alone was the end
        set_left(updates, round);
    SCOPED_VALUE(round_run)
    run = {.round = round,
           .groups = groups,
           .recipe = updates->recipe,
           .config = config,
           .model = updates->policy->model,
           .referee = updates->referee,
           .running = &updates->running,
           .step = updates->step,
           .critic = updates->critic_step ? updates->critic_step
                     : updates->critic    ? updates->step
                                          : NULL,
           .warmup = warmup,
           .done = update_made,
           .arg = &ending,
           .report = report};
    TRY(stages_run(&run));
    steer_entropy(updates, report->entropy);
    report->kl_coef = updates->kl.coef;
    report->entropy_coef = step_settings(updates->step)->rows.entropy_coef;
    report->run_rounds = round->run_rounds ? (double)round->run_rounds : NAN;
    steer_kl(updates, report->kl_reference, run.batch->columns->sequences);
    return OK;
}

err_t updates_measure(struct updates *updates, const struct round *round,
                      struct group *const *groups, struct rl_figures *ret)
{
    struct round_report report = {0};
    const struct round_config config = round_config(updates);
    struct running running = updates->running; // a copy: held-out rewards do not move it
    SCOPED_VALUE(round_run)
    run = {.round = round,
           .groups = groups,
           .recipe = updates->recipe,
           .config = config,
           .model = updates->policy->model,
           .referee = updates->referee,
           .running = &running,
           .step = updates->step,
           .report = &report};
    return measuring_run(&run, ret);
}

void updates_set_referee(struct updates *updates, const struct referee *referee)
{
    updates->referee = referee;
}

double updates_kl_coef(const struct updates *updates)
{
    return updates->kl.coef;
}

void updates_set_kl_coef(struct updates *updates, double coef)
{
    updates->kl.coef = coef;
}

const struct running *updates_running(const struct updates *updates)
{
    return &updates->running;
}

void updates_set_running(struct updates *updates, const struct running *running)
{
    updates->running = *running;
}

size_t updates_bytes(const struct updates *updates)
{
    return step_bytes(updates->step) +
           (updates->critic_step ? step_bytes(updates->critic_step) : 0);
}

uint64_t updates_workspaces(const struct updates *updates)
{
    return step_workspaces(updates->step) +
           (updates->critic_step ? step_workspaces(updates->critic_step) : 0);
}

void updates_free(struct updates *updates)
{
    if (!updates)
        return;
    step_free(updates->step);
    step_free(updates->critic_step);
    mem_free(updates);
}
