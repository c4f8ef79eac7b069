#include "learner/round/stages.h"
#include "learner/round/advantages.h"
#include "learner/round/masking.h"
#include "learner/round/mismatching.h"
#include "learner/round/referring.h"
#include "learner/round/shaping.h"
#include "learner/round/values.h"
#include "learner/store/lag.h"
#include "rl/advantages/gae.h"
#include "rl/advantages/second_moment.h"
#include "rl/preference/label.h"
#include <math.h>

void round_run_done(struct round_run *run)
{
    round_batch_free(run->batch);
}

static bool reward_pays(const struct round_run *run)
{
    return run->config.kl_in_reward && run->config.kl.coef > 0;
}

/* Columns that stages read before the first update, which then have to be filled by a pass. */
static uint64_t needs_of_stages(const struct round_run *run)
{
    uint64_t needs = 0;
    const struct objective_config *settings = run->config.settings;
    if (settings->advantage == ADVANTAGE_GAE)
        needs |= NEEDS_OF_GAE | COLUMN_BIT(COLUMN_TOKEN_REWARD);
    if (settings->advantage == ADVANTAGE_TO_GO)
        needs |= COLUMN_BIT(COLUMN_TOKEN_REWARD);
    if (settings->advantage == ADVANTAGE_ESS || settings->mask.mask == MASK_M2)
        needs |= NEEDS_OF_CORRECTION;
    if (reward_pays(run))
        needs |= NEEDS_OF_KL | COLUMN_BIT(run->config.kl.logp);
    return needs;
}

uint64_t round_run_needs(const struct round_run *run)
{
    const struct round_config *config = &run->config;
    uint64_t needs = objective_needs(config->objective, config->settings);
    if (config->proximal && objective_has_ratio(config->settings)) {
        needs |= COLUMN_BIT(COLUMN_PROXIMAL_LOGP);
        if (config->settings->correction.correction == CORRECTION_NONE)
            needs &= ~COLUMN_BIT(COLUMN_BEHAVIOUR_LOGP); // of rows from files nobody has it
    }
    if (run->round->updates == 1) // the step fills it: step.h
        needs &= ~COLUMN_BIT(COLUMN_PROXIMAL_LOGP);
    return needs | needs_of_stages(run);
}

/* ---- columns */

/* Whatever the objective is, the stages that follow read rewards. */
static err_t gather(struct round_run *run)
{
    shaping_unmeasured(run->report);
    run->batch = round_batch_new(run->round, run->groups, &run->config);
    return round_batch_check(run->batch, COLUMN_BIT(COLUMN_REWARD), NULL,
                             run->batch->columns->sequences, "every round");
}

/* No update has been made: the present weights are those that the round began with. */
static err_t fill_proximal(struct round_run *run)
{
    struct columns *columns = run->batch->columns;
    const struct step_batch whole = {.sequences = columns->sequences,
                                     .sequence = run->batch->sequence,
                                     .inverse_temperature = 1.0f / run->config.temperature};
    return step_logp(run->step, &whole, columns_add(columns, COLUMN_PROXIMAL_LOGP));
}

/* Of an adapter's base, which stands still: filled here at any time alike. */
static bool refers(const struct round_run *run)
{
    return referring_is_wanted(run->recipe, round_run_needs(run));
}

static err_t fill_reference(struct round_run *run)
{
    return referring_fill(run->step, run->model, run->recipe, run->batch);
}

/* No update has been made, or values are made anew with each pass. */
static err_t fill_value(struct round_run *run)
{
    return values_fill(run->critic, run->batch, run->config.settings->gae.bootstrap);
}

/* With advantages of tokens their rewards pay instead. */
static err_t pay_in_reward(struct round_run *run)
{
    const struct kl_cost *cost = &run->config.kl;
    const struct columns *columns = run->batch->columns;
    double kl;
    TRY(round_batch_check(run->batch, NEEDS_OF_KL, NULL, columns->sequences,
                          "a KL term in the reward"));
    if (objective_of_tokens(run->config.settings))
        return OK;
    for (size_t s = 0; s < columns->sequences; s++)
        if (reference_kl(columns, s, cost, &kl))
            columns->at[COLUMN_REWARD][s] -= cost->coef * kl;
    return OK;
}

static err_t fill_token_reward(struct round_run *run)
{
    const struct kl_cost none = {.coef = 0}, *cost = reward_pays(run) ? &run->config.kl : &none;
    token_reward_fill(&run->config.settings->gae, cost, run->batch->columns);
    return OK;
}

static bool has_gae(const struct round_run *run)
{
    return run->config.settings->advantage == ADVANTAGE_GAE;
}

static bool has_to_go(const struct round_run *run)
{
    return run->config.settings->advantage == ADVANTAGE_TO_GO;
}

static err_t fill_gae(struct round_run *run)
{
    const uint64_t needs = objective_needs(run->config.objective, run->config.settings) &
                           ~(COLUMN_BIT(COLUMN_TOKEN_ADVANTAGE) | COLUMN_BIT(COLUMN_RETURNS));
    TRY(round_batch_check(run->batch, needs, NULL, run->batch->columns->sequences,
                          "an advantage by gae"));
    gae_fill(&run->config.settings->gae, run->batch->columns);
    return OK;
}

static err_t fill_label(struct round_run *run)
{
    struct columns *columns = run->batch->columns;
    double *label = columns_add(columns, COLUMN_LABEL);
    for (size_t g = 0; g < columns->units; g++)
        label_group(&run->config.settings->label, columns->at[COLUMN_REWARD] + columns->unit[g],
                    columns->unit[g + 1] - columns->unit[g], label + columns->unit[g]);
    return OK;
}

static bool masks(const struct round_run *run)
{
    const struct recipe_learner *learner = &run->recipe->learner;
    if (run->batch->longer) // a value of a whole completion is of all its tokens
        return false;
    return learner->mask_truncated_completions || learner->max_token_lag > 0 ||
           run->config.settings->mask.mask == MASK_M2;
}

static err_t mask(struct round_run *run)
{
    const struct recipe_learner *learner = &run->recipe->learner;
    const struct mask_rules rules = {.truncated = learner->mask_truncated_completions,
                                     .max_token_lag = (uint64_t)learner->max_token_lag};
    round_batch_mask(run->batch, run->round, run->groups, &rules, &run->report->stale_token_share);
    if (run->config.settings->mask.mask == MASK_M2)
        second_moment_mask(run->config.settings->mask.high, run->batch->columns);
    return OK;
}

/* ---- training */

static bool always(const struct round_run *run)
{
    (void)run;
    return true;
}

static err_t choose(struct round_run *run)
{
    struct round_batch *batch = run->batch;
    round_batch_choose(batch);
    return round_batch_check(batch, round_run_needs(run), batch->chosen,
                             batch->first_chosen[batch->columns->units],
                             run->config.objective->row.name);
}

/* Whether the critic is a model of its own, with updates of its own. */
static bool separate(const struct round_run *run)
{
    return run->critic && run->critic != run->step;
}

/* What a critic's own step measured, beside what the policy's did. */
static void add_critic(struct step_result *result, const struct step_result *critic)
{
    result->critic_grad_norm = critic->grad_norm;
    result->critic_lr = critic->lr;
    for (size_t i = 0; i < RL_FIGURES_COUNT; i++)
        if (isnan(result->figures.at[i]))
            result->figures.at[i] = critic->figures.at[i];
}

/* The figures of a policy that was not trained. */
static void no_policy(struct step_result *result)
{
    result->grad_norm = result->lr = result->entropy = NAN;
    result->figures.loss = result->figures.loss_kl = NAN;
}

static err_t one_update(const struct round_run *run, const struct round_part *part,
                        struct step_result *ret)
{
    struct step_result critic, result;
    if (separate(run))
        TRY(step_run(run->critic, &part->batch, &critic));
    if (separate(run) && run->warmup)
        result = critic;
    else
        TRY(step_run(run->step, &part->batch, &result));
    if (separate(run))
        add_critic(&result, &critic);
    if (run->warmup)
        no_policy(&result);
    *ret = result;
    return OK;
}

/* An update that trains nothing has no figures: none of its groups has a pair, or all of its tokens
 * are masked. */
static void add_result(struct round_report *report, const struct step_result *r, double *filled,
                       struct step_mismatch *mismatch)
{
    report->grad_norm += r->grad_norm;
    report->lr = r->lr;
    report->critic_grad_norm += r->critic_grad_norm;
    report->critic_lr = r->critic_lr;
    report->logp_compared += r->compared;
    report->logp_differing += r->differing;
    report->tokens_trained += r->targets;
    mismatch->tokens += r->mismatch.tokens;
    mismatch->k1 += r->mismatch.k1;
    mismatch->k3 += r->mismatch.k3;
    if (r->trained == 0)
        return;
    *filled += 1;
    report->entropy += r->entropy;
    rl_figures_add(&report->figures, &r->figures);
}

/* A pass after the first has values and targets of its own, if the recipe says so. */
static err_t begin_pass(struct round_run *run, uint32_t u)
{
    const struct recipe_learner *learner = &run->recipe->learner;
    const uint32_t minibatches = run->round->updates / (uint32_t)learner->epochs;
    if (!run->critic || learner->critic.values != RECIPE_VALUES_EPOCH || !u || u % minibatches)
        return OK;
    TRY(fill_value(run));
    return fill_gae(run);
}

static err_t make_updates(struct round_run *run)
{
    const uint32_t updates = run->round->updates, epochs = (uint32_t)run->recipe->learner.epochs;
    double filled = 0;
    struct step_mismatch mismatch = {0};
    for (uint32_t u = 0; u < updates; u++) {
        TRY(begin_pass(run, u));
        SCOPED(round_part) part = round_batch_part(run->batch, u, updates, epochs);
        struct step_result result;
        TRY(one_update(run, part, &result));
        add_result(run->report, &result, &filled, &mismatch);
        TRY(run->done(run->arg, u));
    }
    run->report->grad_norm /= updates;
    run->report->critic_grad_norm /= updates;
    run->report->entropy /= filled; // NaN, written as null, where nothing was trained
    run->report->kl_mismatch = mismatch.k1 / mismatch.tokens; // NaN: no such token
    run->report->kl_mismatch_k3 = mismatch.k3 / mismatch.tokens;
    rl_figures_average(&run->report->figures, filled);
    return OK;
}

/* ---- the report */

/* Whether every score that there is reached what its scorer calls success: of one that does not
 * apply nothing is asked. */
static bool succeeded(const struct group *group, uint32_t i, const struct recipe_scorers *scorers)
{
    for (size_t k = 0; k < scorers->count; k++)
        if (group_score(group, i, k) < scorers->at[k].success)
            return false;
    return true;
}

/* Of all completions, those that mask leaves out too. */
static void report_rewards(const struct round_run *run)
{
    double n = 0, sum = 0, squares = 0, good = 0, cut = 0;
    for (size_t g = 0; g < run->round->groups; g++)
        for (uint32_t i = 0; i < run->groups[g]->completions; i++) {
            const double reward = group_value(run->groups[g], COLUMN_REWARD, i);
            n++;
            sum += reward;
            squares += reward * reward;
            good += succeeded(run->groups[g], i, &run->recipe->rewarder.scorers);
            cut += run->groups[g]->completion[i].finish == FINISH_LENGTH;
        }
    run->report->reward_mean = sum / n;
    run->report->reward_std =
        sqrt(fmax(0, squares / n - run->report->reward_mean * run->report->reward_mean));
    run->report->success = good / n;
    run->report->truncated_share = cut / n;
}

static void report_lag(const struct round_run *run)
{
    const struct round *round = run->round;
    double lag = 0, largest = 0, updates = 0;
    for (size_t g = 0; g < round->groups; g++) {
        const double rounds = (double)lag_of(round->round, round->group[g].age);
        lag += rounds;
        largest = fmax(largest, rounds);
        updates += (double)(round->first_version - group_oldest_version(run->groups[g]));
    }
    run->report->lag_mean = lag / (double)round->groups;
    run->report->lag_max = largest;
    run->report->lag_updates = updates / (double)round->groups;
}

/* Mean over the completions that have a reference of the summed behaviour - reference logp, nats;
 * NaN: none has. */
static double mean_kl(const struct columns *columns)
{
    const struct kl_cost nats = {.kl = KL_K1, .logp = COLUMN_BEHAVIOUR_LOGP};
    double sum = 0, count = 0, kl;
    for (size_t s = 0; s < columns->sequences; s++)
        if (reference_kl(columns, s, &nats, &kl)) {
            sum += kl;
            count++;
        }
    return sum / count;
}

static void report_lengths(const struct round_run *run)
{
    double tokens = 0;
    for (size_t g = 0; g < run->round->groups; g++)
        for (uint32_t i = 0; i < run->groups[g]->completions; i++) {
            tokens += run->groups[g]->completion[i].tokens;
            report_length(run->groups[g]->completion[i].tokens);
        }
    run->report->length_mean = tokens / (double)run->batch->columns->sequences;
}

/* Over the completions that have a value; NaN: none has. */
static double mean_of(const struct columns *columns, enum column column)
{
    const double *value = columns->at[column];
    double sum = 0, count = 0;
    for (size_t s = 0; value && s < columns->sequences; s++) {
        sum += isnan(value[s]) ? 0 : value[s];
        count += !isnan(value[s]);
    }
    return sum / count;
}

static err_t report(struct round_run *run)
{
    const struct columns *columns = run->batch->columns;
    report_rewards(run);
    report_lag(run);
    report_lengths(run);
    run->report->ensemble_std_mean = mean_of(columns, COLUMN_ENSEMBLE_STD);
    run->report->kl_reference = mean_kl(columns);
    values_report(run->round, columns, run->report);
    return OK;
}

/* ---- the list */

static const struct stage stages[] = {
    {"gather", COLUMN_BIT(COLUMN_FRESH) | COLUMN_BIT(COLUMN_FOREIGN), always, gather},
    {"proximal", COLUMN_BIT(COLUMN_PROXIMAL_LOGP), NULL, fill_proximal},
    {"shape", COLUMN_BIT(COLUMN_REWARD), shaping_is_wanted, shaping_run},
    {"reference", COLUMN_BIT(COLUMN_REFERENCE_LOGP), refers, fill_reference},
    {"mismatched", COLUMN_BIT(COLUMN_MISMATCHED_REFERENCE), NULL, mismatching_fill},
    {"value", COLUMN_BIT(COLUMN_VALUE) | COLUMN_BIT(COLUMN_BOOTSTRAP_VALUE), NULL, fill_value},
    {"good", COLUMN_BIT(COLUMN_IMITATED), NULL, advantages_mark_good},
    {"reward", COLUMN_BIT(COLUMN_REWARD), reward_pays, pay_in_reward},
    {"advantage", COLUMN_BIT(COLUMN_ADVANTAGE), NULL, advantages_fill},
    {"label", COLUMN_BIT(COLUMN_LABEL), NULL, fill_label},
    {"token_reward", COLUMN_BIT(COLUMN_TOKEN_REWARD), NULL, fill_token_reward},
    {"to_go", COLUMN_BIT(COLUMN_TOKEN_ADVANTAGE), has_to_go, advantages_fill_to_go},
    {"gae", COLUMN_BIT(COLUMN_TOKEN_ADVANTAGE) | COLUMN_BIT(COLUMN_RETURNS), has_gae, fill_gae},
    {"group_tokens", COLUMN_BIT(COLUMN_GROUP_TOKENS), NULL, advantages_fill_group_tokens},
    {"mask", COLUMN_BIT(COLUMN_MASKED), masks, mask},
    {"choose", 0, always, choose},
    {"updates", 0, always, make_updates},
    {"report", 0, always, report},
};

const struct stage *stage_at(size_t i)
{
    return i < sizeof stages / sizeof *stages ? &stages[i] : NULL;
}

bool stage_runs(const struct stage *stage, const struct round_run *run)
{
    return stage->wanted ? stage->wanted(run) : stage->fills & round_run_needs(run);
}

err_t stages_run(struct round_run *run)
{
    const struct stage *stage;
    for (size_t i = 0; (stage = stage_at(i)); i++)
        if (stage_runs(stage, run))
            TRY(stage->run(run));
    return OK;
}
