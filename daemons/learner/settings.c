#include "learner/settings.h"
#include "base/mem.h"
#include "learner/preferences.h"
#include "model/files/identity.h"
#include "model/numerics.h"
#include "svc/recipe/recipe_default.h"
#include "svc/recipe/recipe_shared.h"

/* As it is written, else as the row has it. */
static double number_or(double written, double row)
{
    return written == RECIPE_NUMBER_DEFAULT ? row : written;
}

/* The same of a limit. A gate that is not the row's own may find none there. */
static double limit_or(double written, double row, bool own, double usual)
{
    return number_or(written, own || row > 0 ? row : usual);
}

/* Settings that one kind of gate has. */
static void set_kind(const struct recipe_learner *learner, struct gate_config *ret)
{
    switch (ret->gate) {
    case GATE_SOFT:
        ret->temperature =
            (struct by_sign){learner->sapo.temperature_pos, learner->sapo.temperature_neg};
        break;
    case GATE_BELL:
        ret->k = (struct by_sign){learner->vespo.k_pos, learner->vespo.k_neg};
        ret->lambda = (struct by_sign){learner->vespo.lambda_pos, learner->vespo.lambda_neg};
        break;
    case GATE_TAPER:
        ret->positive = learner->topr.positive;
        ret->low = learner->topr.low;
        ret->high = learner->topr.high;
        break;
    case GATE_BAND:
        ret->low = learner->a_lol.low;
        ret->high = learner->a_lol.high;
        break;
    case GATE_TV:
        ret->delta = learner->dppo.delta;
        break;
    case GATE_KL_CAP:
        ret->kl_max = learner->crpg.kl_max;
        break;
    default:
        break;
    }
}

/* Words that are not known (default) leave what the objective's row has; the recipe allows no
 * others. */
static void set_gate(const struct recipe *recipe, struct gate_config *ret)
{
    const struct recipe_learner *learner = &recipe->learner;
    const struct gate_config row = *ret;
    gate_find(learner->gate, &ret->gate);
    const bool own = ret->gate == row.gate;
    ret->epsilon_low = limit_or(learner->epsilon, row.epsilon_low, own, 0.2);
    ret->epsilon_high = limit_or(recipe_epsilon_high(recipe), row.epsilon_high, own, 0.2);
    ret->dual = number_or(learner->delta, row.dual);
    ret->cap = limit_or(learner->cap, row.cap, own, 2);
    set_kind(learner, ret);
}

static void set_mask(const struct recipe_mask *mask, struct mask_config *ret)
{
    if (mask_find(mask->kind, &ret->mask))
        *ret = mask_default(ret->mask);
    ret->low = number_or(mask->low, ret->low);
    ret->high = number_or(mask->high, ret->high);
}

static void set_select(const struct recipe_select *select, struct selection_config *ret)
{
    selection_find(select->kind, &ret->kind);
    if (ret->kind == SELECT_THRESHOLD)
        ret->above = select->above;
    if (ret->kind == SELECT_POWER)
        ret->power = select->power;
}

/* Terms of the loss beside the objective's, and the size of the step. */
static void set_terms(const struct recipe_learner *learner, struct objective_config *ret)
{
    ret->behaviour_coef = number_or(learner->behaviour_coef, ret->behaviour_coef);
    ret->nll.coef = number_or(learner->nll.coef, ret->nll.coef);
    reduce_find(learner->nll.reduction, &ret->nll.reduce);
    if (ret->nll.coef > 0)
        ret->nll.above = learner->nll.above;
    step_rule_find(learner->ess_step.rule, &ret->step.rule);
    if (ret->step.rule != STEP_FULL)
        ret->step.base = learner->ess_step.base;
}

static void set_advantage(const struct recipe_learner *learner, struct objective_config *ret)
{
    advantage_find(learner->advantage, &ret->advantage);
    ret->advantage_epsilon = learner->advantage_epsilon;
    if (ret->advantage == ADVANTAGE_SHIFTED)
        ret->advantage_shift = learner->asymre.delta_v;
    if (ret->advantage == ADVANTAGE_SOFT_VALUE)
        ret->advantage_beta = learner->advantage_beta;
    if (strcmp(learner->normalize_advantages, "default") != 0)
        ret->whiten = strcmp(learner->normalize_advantages, "true") == 0;
    if (ret->advantage == ADVANTAGE_TO_GO)
        ret->gae.gamma = learner->ppo.gamma;
}

/* A ratio to behaviour corrects by itself. */
static void set_policy(const struct recipe *recipe, struct objective_config *ret)
{
    const struct recipe_learner *learner = &recipe->learner;
    set_advantage(learner, ret);
    ratio_find(learner->importance_sampling_level, &ret->ratio);
    set_mask(&learner->mask, &ret->mask);
    set_terms(learner, ret);
    if (learner->ratio_to != RECIPE_TO_PROXIMAL || ret->gate.base == BASE_BEHAVIOUR)
        return;
    ret->correction = recipe_correction_kind(recipe);
}

/* The correction's limit is rho_bar: a token is weighed once. */
static void set_critic(const struct recipe_ppo *ppo, struct objective_config *ret)
{
    ret->gae.gamma = ppo->gamma;
    ret->gae.lambda = number_or(ppo->lambda, ret->gae.lambda);
    ret->gae.lambda_alpha = number_or(ppo->lambda_alpha, ret->gae.lambda_alpha);
    ret->gae.macro = ppo->macro ? (int)ppo->macro : ret->gae.macro;
    ret->gae.c_bar = ppo->c_bar;
    ret->gae.rho_bar = ppo->rho_bar;
    ret->gae.bootstrap = ppo->truncated == RECIPE_TRUNCATED_BOOTSTRAP;
    ret->gae.whiten_advantages = ppo->whiten_advantages;
    ret->gae.whiten_rewards = ppo->whiten_rewards;
    ret->value.clip = ppo->cliprange_value;
    ret->value.coef = ppo->vf_coef;
    ret->correction =
        (struct correction_config){.correction = CORRECTION_TIS_TOKEN, .high = ppo->rho_bar};
}

static void set_number(double from, double *to)
{
    if (from != RECIPE_NUMBER_DEFAULT)
        *to = from;
}

/* Terms of whole rows, and objectives on them. */
static void set_rows(const struct recipe_learner *learner, struct objective_config *ret)
{
    const bool has_one = ret->rows.distance != DISTANCE_NONE;
    ret->rows.entropy_coef = learner->rows.entropy_coef;
    distance_find(learner->rows.distance, &ret->rows.distance);
    if (ret->rows.distance != DISTANCE_NONE) {
        ret->rows.coef = has_one ? ret->rows.coef : 1;
        ret->rows.beta = has_one ? ret->rows.beta : 0.5;
        set_number(learner->rows.coef, &ret->rows.coef);
        set_number(learner->rows.beta, &ret->rows.beta);
    }
    set_number(learner->dpo.beta, &ret->tdpo.beta);
    set_number(learner->tdpo.alpha, &ret->tdpo.alpha);
    if (ret->contrast.coef > 0)
        ret->contrast.coef = learner->contrast.coef;
    if (ret->ift.gamma > 0)
        ret->ift = (struct ift_config){learner->ift.gamma, learner->ift.detached};
}

err_t settings_objective(const struct recipe *recipe, const struct objective **ret,
                         struct objective_config *ret_config)
{
    const struct recipe_learner *learner = &recipe->learner;
    const struct objective *objective = objective_find(learner->objective);
    if (!objective)
        return err_new(ERR_INVALID, "%s: learner.objective: '%s' is not known", recipe->file,
                       learner->objective);
    struct objective_config config = objective->row.defaults;
    const int64_t length = learner->reduction_length;
    if (objective_takes_gate(&objective->row))
        set_gate(recipe, &config.gate);
    if (objective_is_policy(&objective->row))
        set_policy(recipe, &config);
    if (objective_has_critic(&objective->row))
        set_critic(&learner->ppo, &config);
    TRY(preferences_set(recipe, &config));
    if (objective_is_reward(&objective->row))
        config.reward = (struct reward_config){learner->reward_model.center_rewards_coefficient,
                                               learner->dpo.margin};
    set_rows(learner, &config);
    if (objective->row.data == DATA_REWARDS)
        set_select(&learner->select, &config.select);
    reduce_find(learner->reduction, &config.reduce);
    config.reduce_length = (double)(length ? length : recipe->generator.max_tokens);
    config.kl_coef = learner->kl.place == RECIPE_KL_IN_LOSS ? learner->kl.coef : 0;
    kl_find(recipe_kl_estimator(recipe), &config.kl);
    TRY(err_wrap(objective_check(objective, &config), "%s: learner", recipe->file));
    *ret = objective;
    *ret_config = config;
    return OK;
}

struct schedule settings_schedule(const struct recipe_optimizer *optimizer, int64_t updates)
{
    struct schedule schedule = {.lr = optimizer->lr,
                                .min_lr_ratio = optimizer->min_lr_ratio,
                                .warmup = optimizer->warmup,
                                .course = {.total = updates}};
    schedule_find(optimizer->schedule, &schedule.kind); // the recipe allows only known words
    return schedule;
}

struct optimizer_config settings_optimizer(const struct recipe_optimizer *optimizer)
{
    return (struct optimizer_config){.beta1 = optimizer->betas.at[0],
                                     .beta2 = optimizer->betas.at[1],
                                     .eps = optimizer->eps,
                                     .weight_decay = optimizer->weight_decay,
                                     .clip_norm = optimizer->clip_norm,
                                     .states = (enum states_place)optimizer->states};
}

struct store_rules settings_store(const struct recipe *recipe)
{
    enum { MAX_FAILURES = 5 };
    bool keep = recipe->lag.on_stale == RECIPE_STALE_KEEP;
    return (struct store_rules){
        .eta = (uint64_t)recipe_lag_target(recipe),
        .limit = (uint64_t)(keep ? recipe->lag.hard_max : recipe_lag_target(recipe)),
        .ease = (uint64_t)(keep ? recipe->lag.hard_max : recipe_lag_most(recipe)),
        .groups = (uint64_t)recipe->learner.groups,
        .straggler =
            recipe->lag.straggler == RECIPE_STRAGGLER_DROP ? STRAGGLER_DROP : STRAGGLER_WAIT,
        .last_batch =
            recipe->learner.last_batch == RECIPE_LAST_DROP ? LAST_BATCH_DROP : LAST_BATCH_SHORT,
        .max_groups = (uint64_t)recipe->replay.max_groups,
        .rounds = (uint64_t)recipe->run.rounds,
        .epochs = (uint64_t)recipe->data.epochs,
        .lease_ms = (uint32_t)recipe->learner.lease_ms,
        .max_failures = MAX_FAILURES,
        .min_free_bytes = (uint64_t)recipe->replay.min_free_bytes,
        .policy = (enum replay_policy)recipe->replay.policy,
        .max_uses = (uint32_t)recipe->replay.max_uses,
        .priority_exponent = recipe->replay.priority_exponent,
        .filter_equal = recipe->learner.filter.zero_variance,
        .filter_truncated = recipe->learner.filter.truncated};
}

uint64_t settings_checkpoint_bytes(const struct model *model)
{
    enum { TEXTS = 1 << 20 }; // tokenizer, manifest
    size_t each = sizeof(bf16) + 3 * sizeof(float);
    return (uint64_t)model->params->layout->elements * each + TEXTS;
}

int settings_longest(const struct recipe *recipe, const struct model_config *config)
{
    return config_context(config, recipe->data.max_prompt_tokens, recipe->generator.max_tokens);
}

char *settings_fingerprint(const struct model *policy, const struct model *critic)
{
    char text[DIGEST_TEXT];
    SCOPED_MEM char *id = model_training_id(policy);
    if (!critic)
        return mem_printf("%s ranks=1", id);
    const struct digest layout = layout_digest(critic->params->layout);
    return mem_printf("%s critic=%s ranks=1", id, digest_text(&layout, text));
}

err_t settings_repeatable(const struct backend *be)
{
    if (be->training.repeats != NUMERICS_NONE)
        return OK;
    return err_new(ERR_INVALID,
                   "the training of backend '%s' (%s) is not repeatable, so no restart could train "
                   "recorded rounds again: start the learner with another backend",
                   be->ops->name, be->training.id);
}

uint64_t settings_columns(const struct recipe *recipe)
{
    return COLUMN_BIT(COLUMN_BEHAVIOUR_LOGP) | COLUMN_BIT(COLUMN_REWARD) |
           (recipe->rewarder.scorers.count ? COLUMN_BIT(COLUMN_SCORES) : 0);
}

uint64_t settings_trained_columns(const struct recipe *recipe)
{
    uint64_t set = 0;
    for (unsigned id = 0; id < COLUMNS; id++) {
        const struct column_row *row = column_row(id);
        if (row && row->origin == ORIGIN_REWARDER && *row->key &&
            recipe_has(recipe, row->key, row->value))
            set |= COLUMN_BIT(id);
    }
    return set;
}

err_t settings_hellos(const struct recipe *recipe, const struct model *policy, bool chat,
                      struct hello *ret_samples, struct hello *ret_scores)
{
    const bool same = recipe->run.mixed_numerics == RECIPE_NUMERICS_REFUSE;
    SCOPED_VALUE(hello)
    samples = {.forward = model_forward_id(policy), .unasked = chat ? NULL : MODEL_CHAT_TEMPLATE};
    recipe_of_samples(recipe, hello_put, &samples);
    model_adapter_identity(policy, hello_put, &samples);
    TRY(model_identity(recipe->model.path, hello_put, &samples));
    recipe_of_scores(recipe, hello_put, ret_scores);
    if (same) {
        samples.same_forward = model_arithmetic_id(policy);
        ret_scores->same_forward =
            model_arithmetic_id(policy); // a reference's vocabulary may differ
    }
    *ret_samples = samples;
    samples = (struct hello){0};
    return OK;
}
