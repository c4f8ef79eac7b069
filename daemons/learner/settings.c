#include "learner/settings.h"
#include "base/mem.h"
#include <string.h>

static enum reduce reduction(const char *name, enum reduce otherwise)
{
    static const struct {
        const char *name;
        enum reduce reduce;
    } names[] = {{"token_mean", REDUCE_TOKEN_MEAN},
                 {"seq_mean_token_mean", REDUCE_SEQ_MEAN_TOKEN_MEAN},
                 {"seq_mean_token_sum", REDUCE_SEQ_MEAN_TOKEN_SUM}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i].name) == 0)
            return names[i].reduce;
    return otherwise;
}

static enum correction correction(const char *name)
{
    static const struct {
        const char *name;
        enum correction correction;
    } names[] = {{"tis_token", CORRECTION_TIS_TOKEN},
                 {"tis_seq", CORRECTION_TIS_SEQ},
                 {"mis_token", CORRECTION_MIS_TOKEN},
                 {"mis_seq", CORRECTION_MIS_SEQ},
                 {"geo_mask", CORRECTION_GEO_MASK}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i].name) == 0)
            return names[i].correction;
    return CORRECTION_NONE;
}

static void set_pairs(const struct recipe_dpo *dpo, struct pair_config *ret)
{
    if (ret->loss == PAIR_NONE)
        return;
    pair_loss_find(dpo->loss_type, &ret->loss); // the recipe allows only known words
    ret->beta = dpo->beta;
    ret->label_smoothing = dpo->label_smoothing;
}

err_t settings_objective(const struct recipe *recipe, const struct objective **ret,
                         struct objective_config *ret_config)
{
    const struct recipe_learner *learner = &recipe->learner;
    const struct objective *objective = objective_find(learner->objective);
    if (!objective)
        return err_new(ERR_INVALID, "%s: learner.objective: '%s' is not known", recipe->file,
                       learner->objective);
    struct objective_config config = objective->defaults;
    config.gate.epsilon_low = learner->epsilon;
    config.gate.epsilon_high = learner->epsilon_high;
    config.reduce = reduction(learner->reduction, config.reduce);
    bool ratios = config.gate.gate != GATE_NONE;
    if (ratios &&
        learner->ratio_to == RECIPE_TO_PROXIMAL) // to behaviour, the ratio itself corrects
        config.correction =
            (struct correction_config){.correction = correction(learner->correction.kind),
                                       .low = learner->correction.low,
                                       .high = learner->correction.high};
    config.kl_coef = learner->kl.place == RECIPE_KL_IN_LOSS ? learner->kl.coef : 0;
    kl_find(learner->kl.estimator, &config.kl);
    set_pairs(&learner->dpo, &config.pair);
    TRY(err_wrap(objective_check(&config), "%s: learner", recipe->file));
    *ret = objective;
    *ret_config = config;
    return OK;
}

struct schedule settings_schedule(const struct recipe_optimizer *optimizer, int64_t updates)
{
    struct schedule schedule = {.lr = optimizer->lr,
                                .min_lr_ratio = optimizer->min_lr_ratio,
                                .warmup = optimizer->warmup,
                                .total = updates};
    schedule_find(optimizer->schedule, &schedule.kind); // the recipe allows only known words
    return schedule;
}

struct optimizer_config settings_optimizer(const struct recipe_optimizer *optimizer)
{
    return (struct optimizer_config){.beta1 = optimizer->betas.at[0],
                                     .beta2 = optimizer->betas.at[1],
                                     .eps = optimizer->eps,
                                     .weight_decay = optimizer->weight_decay,
                                     .clip_norm = optimizer->clip_norm};
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
        .priority_exponent = recipe->replay.priority_exponent};
}

uint64_t settings_checkpoint_bytes(const struct model *model)
{
    enum { TEXTS = 1 << 20 }; // tokenizer, manifest
    size_t each = sizeof *model->values + 3 * sizeof(float);
    return (uint64_t)model->params->layout->elements * each + TEXTS;
}

int settings_longest(const struct recipe *recipe, const struct model_config *config)
{
    int64_t longest = recipe->data.max_prompt_tokens + recipe->generator.max_tokens;
    return longest < config->max_positions ? (int)longest : config->max_positions;
}

char *settings_fingerprint(const struct model *model)
{
    struct digest layout = layout_digest(model->params->layout);
    char text[DIGEST_TEXT];
    /* Kernel revision: raise it whenever an op's order of operations changes. Threads and instruction set do not matter. */
    enum { KERNEL_REVISION = 2 };
    return mem_printf("backend=%s kernels=%d kv=%s layout=%s ranks=1", model->be->ops->name,
                      KERNEL_REVISION, model->kv == KV_BF16 ? "bf16" : "fp32",
                      digest_text(&layout, text));
}
