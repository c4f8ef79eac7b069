#include "rl/objective.h"
#include <math.h>
#include <string.h>

static const struct objective table[] = {
    {"sft",
     "likelihood of the targets",
     {.advantage = ADVANTAGE_ONE, .gate = {GATE_NONE}, .reduce = REDUCE_TOKEN_MEAN, .kl = KL_K3}},
    {"rloo",
     "REINFORCE, the others of the group as baseline, ratios clipped",
     {.advantage = ADVANTAGE_LOO,
      .ratio = RATIO_TOKEN,
      .gate = {GATE_CLIP, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2},
      .reduce = REDUCE_SEQ_MEAN_TOKEN_SUM,
      .kl = KL_K3}},
    {"grpo",
     "rewards normalised within the group, ratios clipped",
     {.advantage = ADVANTAGE_GROUP_Z,
      .advantage_epsilon = ADVANTAGE_EPSILON,
      .ratio = RATIO_TOKEN,
      .gate = {GATE_CLIP, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2},
      .reduce = REDUCE_SEQ_MEAN_TOKEN_MEAN,
      .kl = KL_K3}},
    {"online_dpo",
     "the best and the worst of a group as a pair, the reference as the base",
     {.advantage = ADVANTAGE_ONE,
      .gate = {GATE_NONE},
      .reduce = REDUCE_SEQ_MEAN_TOKEN_SUM,
      .kl = KL_K3,
      .pair = {PAIR_SIGMOID, .beta = 0.1}}},
};

const struct objective *objective_at(size_t i)
{
    return i < sizeof table / sizeof *table ? &table[i] : NULL;
}

const struct objective *objective_find(const char *name)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}

bool objective_needs_behaviour(const struct objective_config *config)
{
    return config->gate.gate != GATE_NONE || config->correction.correction != CORRECTION_NONE;
}

bool objective_pairs(const struct objective_config *config)
{
    return config->pair.loss != PAIR_NONE;
}

static err_t check_range(const char *name, double value, double min, double max)
{
    if (!(value >= min && value <= max))
        return err_new(ERR_INVALID, "%s is %g; %g to %g is allowed", name, value, min, max);
    return OK;
}

static err_t check_pair(const struct objective_config *config)
{
    const struct pair_config *pair = &config->pair;
    if (!(pair->beta > 0 && isfinite(pair->beta)))
        return err_new(ERR_INVALID, "beta is %g; more than 0 is allowed", pair->beta);
    if (!(pair->label_smoothing >= 0 && pair->label_smoothing < 0.5))
        return err_new(ERR_INVALID, "label_smoothing is %g; 0 to less than 0.5 is allowed",
                       pair->label_smoothing);
    if (pair->label_smoothing != 0 && pair->loss != PAIR_SIGMOID)
        return err_new(ERR_INVALID, "label_smoothing is %g; the %s loss has none: 0 is allowed",
                       pair->label_smoothing, pair_loss_name(pair->loss));
    if (config->gate.gate != GATE_NONE || config->correction.correction != CORRECTION_NONE)
        return err_new(ERR_INVALID, "a loss on pairs has no ratio: no gate and no correction");
    return OK;
}

err_t objective_check(const struct objective_config *config)
{
    const struct gate_config *gate = &config->gate;
    const struct correction_config *correction = &config->correction;
    TRY(check_range("advantage_epsilon", config->advantage_epsilon, 0, 1));
    TRY(check_range("kl_coef", config->kl_coef, 0, KL_COEF_MAX));
    if (gate->gate == GATE_CLIP) {
        TRY(check_range("epsilon_low", gate->epsilon_low, 0, 1));
        TRY(check_range("epsilon_high", gate->epsilon_high, 0, INFINITY));
        if (gate->dual != 0)
            TRY(check_range("dual", gate->dual, 1, INFINITY));
    }
    if (gate->gate == GATE_CAP)
        TRY(check_range("cap", gate->cap, 1e-6, INFINITY));
    if (correction->correction != CORRECTION_NONE) {
        TRY(check_range("correction low", correction->low, 0, INFINITY));
        TRY(check_range("correction high", correction->high, correction->low, INFINITY));
    }
    if (config->reduce == REDUCE_CONST_NORM)
        TRY(check_range("reduce_length", config->reduce_length, 1, 1e9));
    return objective_pairs(config) ? check_pair(config) : OK;
}

static err_t check_batch(const struct objective *objective, const struct objective_config *config,
                         const struct rl_batch *batch, const struct rl_totals *totals)
{
    const char *name = objective->name;
    if (config->advantage != ADVANTAGE_ONE && !batch->advantage && !batch->token_advantage)
        return err_new(ERR_INVALID, "%s needs advantages", name);
    if (batch->token_advantage && config->ratio != RATIO_TOKEN && config->gate.gate != GATE_NONE)
        return err_new(ERR_INVALID, "%s: a ratio of whole sequences takes one advantage for each",
                       name);
    if (config->gate.gate != GATE_NONE && !batch->old && !batch->behaviour)
        return err_new(ERR_INVALID, "%s needs the logp of the weights that sampled", name);
    if (config->correction.correction != CORRECTION_NONE && !(batch->old && batch->behaviour))
        return err_new(ERR_INVALID,
                       "%s: a correction needs both old and behaviour logp; ratios to "
                       "behaviour correct by themselves",
                       name);
    if (config->kl_coef > 0 && !batch->reference)
        return err_new(ERR_INVALID, "%s with kl_coef %g needs the reference's logp", name,
                       config->kl_coef);
    if (objective_pairs(config) && !batch->reference)
        return err_new(ERR_INVALID, "%s needs the reference's logp", name);
    if (objective_pairs(config) && batch->sequences % 2 != 0)
        return err_new(ERR_INVALID, "%s has %d sequences; pairs of them are allowed", name,
                       batch->sequences);
    for (int i = 0; i < batch->sequences; i++)
        if (!(totals->sequences > 0 && totals->tokens > 0) && rl_sequence_tokens(batch, i) > 0)
            return err_new(ERR_INVALID, "%s: the update's totals are 0", name);
    return OK;
}

/* All that one sequence's pass needs. */
struct pass {
    const struct objective_config *config;
    const struct rl_batch *batch;
    const struct rl_totals *totals;
    const double *base;             // what ratios are taken to; NULL: none
    int begin, end, tokens;         // of the sequence; tokens: unmasked
    double correction;              // the sequence's factor
    double per_token, per_sequence; // coefficients
    double *dlogp;
    struct rl_tally *tally;
};

static double advantage_of(const struct pass *pass, int i, int t)
{
    if (pass->batch->token_advantage)
        return pass->batch->token_advantage[t];
    return pass->batch->advantage ? pass->batch->advantage[i] : 1;
}

static double corrected(const struct pass *pass, int t)
{
    const struct correction_config *correction = &pass->config->correction;
    if (correction->correction == CORRECTION_NONE)
        return 1;
    return correction_token(correction, pass->correction,
                            pass->batch->old[t] - pass->batch->behaviour[t]);
}

static void count_unit(struct rl_tally *tally, const struct gate_value *value)
{
    tally->units += 1;
    tally->clipped += value->clipped;
}

static void count_weight(struct rl_tally *tally, double log_ratio)
{
    const double w = exp(log_ratio_clamp(log_ratio));
    tally->weights += 1;
    tally->weight += w;
    tally->weight_square += w * w;
    tally->weight_max = fmax(tally->weight_max, w);
}

static void token_units(struct pass *pass, int i)
{
    const struct rl_batch *batch = pass->batch;
    for (int t = pass->begin; t < pass->end; t++) {
        const double weight = rl_weight(batch, t);
        if (weight == 0)
            continue;
        const double log_ratio = pass->base ? batch->logp[t] - pass->base[t] : 0;
        const struct gate_value value =
            gate_at(&pass->config->gate, advantage_of(pass, i, t), log_ratio, batch->logp[t]);
        const double c = pass->per_token * weight * corrected(pass, t);
        pass->tally->policy += c * value.loss;
        pass->dlogp[t] += c * value.slope;
        count_unit(pass->tally, &value);
        if (batch->behaviour)
            count_weight(pass->tally, batch->logp[t] - batch->behaviour[t]);
    }
}

/* Sum over the sequence's unmasked tokens of x - y; y may be NULL. */
static double sum_of(const struct pass *pass, const double *x, const double *y)
{
    double sum = 0;
    for (int t = pass->begin; t < pass->end; t++)
        if (rl_weight(pass->batch, t) != 0)
            sum += y ? x[t] - y[t] : x[t];
    return sum;
}

/* One ratio for the sequence. A token correction weighs its own token's slope; the loss counts their mean. */
static void sequence_unit(struct pass *pass, int i)
{
    const struct rl_batch *batch = pass->batch;
    const double mean = pass->config->ratio == RATIO_GEOMETRIC ? 1.0 / pass->tokens : 1;
    const double log_ratio = sum_of(pass, batch->logp, pass->base) * mean;
    const struct gate_value value = gate_at(&pass->config->gate, advantage_of(pass, i, pass->begin),
                                            log_ratio, sum_of(pass, batch->logp, NULL) * mean);
    for (int t = pass->begin; t < pass->end; t++) {
        if (rl_weight(batch, t) == 0)
            continue;
        const double c = pass->per_sequence * corrected(pass, t);
        pass->tally->policy += c * value.loss / pass->tokens;
        pass->dlogp[t] += c * value.slope * mean;
    }
    count_unit(pass->tally, &value);
    if (batch->behaviour)
        count_weight(pass->tally, sum_of(pass, batch->logp, batch->behaviour) * mean);
}

/* The KL term, and both divergences for the record. */
static void divergences(struct pass *pass)
{
    const struct rl_batch *batch = pass->batch;
    for (int t = pass->begin; t < pass->end; t++) {
        const double weight = rl_weight(batch, t);
        if (weight == 0)
            continue;
        if (batch->behaviour) { // samples of the behaviour policy: KL(behaviour || current)
            pass->tally->compared += 1;
            pass->tally->k1 += batch->behaviour[t] - batch->logp[t];
            pass->tally->k3 += kl_at(KL_K3, batch->behaviour[t] - batch->logp[t]).value;
        }
        if (!batch->reference)
            continue;
        const double d = batch->logp[t] - batch->reference[t];
        pass->tally->referred += 1;
        pass->tally->reference_k1 += d;
        pass->tally->reference_k3 += kl_at(KL_K3, d).value;
        if (pass->config->kl_coef > 0) {
            const struct kl_value k = kl_at(pass->config->kl, d);
            const double c = pass->per_token * weight * pass->config->kl_coef;
            pass->tally->kl += c * k.value;
            pass->dlogp[t] += c * k.slope;
        }
    }
}

/* Its place, its coefficients, and its slopes at 0. */
static void open_sequence(struct pass *pass, int i)
{
    const struct objective_config *config = pass->config;
    pass->begin = pass->batch->first[i];
    pass->end = pass->batch->first[i + 1];
    pass->tokens = rl_sequence_tokens(pass->batch, i);
    for (int t = pass->begin; t < pass->end; t++)
        pass->dlogp[t] = 0;
    if (pass->tokens == 0)
        return;
    pass->per_token =
        reduce_token(config->reduce, pass->totals, pass->tokens, config->reduce_length);
    pass->per_sequence =
        reduce_sequence(config->reduce, pass->totals, pass->tokens, config->reduce_length);
}

static void sequence_pass(struct pass *pass, int i)
{
    const struct objective_config *config = pass->config;
    const struct rl_batch *batch = pass->batch;
    open_sequence(pass, i);
    if (pass->tokens == 0)
        return;
    pass->correction = 1;
    if (config->correction.correction != CORRECTION_NONE)
        pass->correction = correction_sequence(
            &config->correction, batch->old + pass->begin, batch->behaviour + pass->begin,
            batch->weight ? batch->weight + pass->begin : NULL, pass->end - pass->begin);
    if (config->ratio == RATIO_TOKEN || config->gate.gate == GATE_NONE)
        token_units(pass, i);
    else
        sequence_unit(pass, i);
    divergences(pass);
}

static struct pair_side side_of(struct pass *pass, int i)
{
    open_sequence(pass, i);
    return (struct pair_side){sum_of(pass, pass->batch->logp, pass->batch->reference),
                              pass->tokens};
}

static void count_pair(struct rl_tally *tally, double chosen, double rejected)
{
    tally->pairs += 1;
    tally->pairs_right += chosen > rejected;
    tally->rewards_chosen += chosen;
    tally->rewards_rejected += rejected;
}

/* One side of a pair: its tokens have one slope. */
static void side_pass(struct pass *pass, int i, double slope)
{
    const struct rl_batch *batch = pass->batch;
    open_sequence(pass, i);
    for (int t = pass->begin; t < pass->end; t++) {
        if (rl_weight(batch, t) == 0)
            continue;
        pass->dlogp[t] += slope;
        if (batch->behaviour)
            count_weight(pass->tally, batch->logp[t] - batch->behaviour[t]);
    }
    divergences(pass);
}

static void pair_pass(struct pass *pass, int i)
{
    const struct pair_config *config = &pass->config->pair;
    const struct pair_side chosen = side_of(pass, i), rejected = side_of(pass, i + 1);
    struct pair_value value = {0};
    double per_pair = 0;
    if (chosen.tokens > 0 && rejected.tokens > 0) {
        value = pair_at(config, chosen, rejected);
        per_pair = 2 / pass->totals->sequences;
        pass->tally->policy += per_pair * value.loss;
        count_pair(pass->tally, config->beta * chosen.u, config->beta * rejected.u);
    }
    side_pass(pass, i, per_pair * value.chosen);
    side_pass(pass, i + 1, per_pair * value.rejected);
}

err_t objective_grad(const struct objective *objective, const struct objective_config *config,
                     const struct rl_batch *batch, const struct rl_totals *totals, double *dlogp,
                     struct rl_tally *tally)
{
    TRY(err_wrap(objective_check(config), "%s", objective->name));
    TRY(check_batch(objective, config, batch, totals));
    struct pass pass = {.config = config,
                        .batch = batch,
                        .totals = totals,
                        .base = batch->old ? batch->old : batch->behaviour,
                        .dlogp = dlogp,
                        .tally = tally};
    for (int i = 0; i < batch->sequences; i += objective_pairs(config) ? 2 : 1)
        if (objective_pairs(config))
            pair_pass(&pass, i);
        else
            sequence_pass(&pass, i);
    tally->loss = tally->policy + tally->kl;
    return OK;
}
