#include "rl/policy_check.h"
#include <math.h>

static err_t check_range(const char *name, double value, double min, double max)
{
    if (!(value >= min && value <= max))
        return err_new(ERR_INVALID, "%s is %g; %g to %g is allowed", name, value, min, max);
    return OK;
}

#define LEAST 1e-6 // of what must be above 0

/* A correction weighs a token once; rho_bar is the limit of that weight too. */
static err_t check_gae(const struct objective_config *config)
{
    const struct gae_config *gae = &config->gae;
    TRY(check_range("gamma", gae->gamma, 0, 1));
    TRY(check_range("lambda", gae->lambda, 0, 1));
    TRY(check_range("lambda_alpha", gae->lambda_alpha, 0, INFINITY));
    TRY(check_range("macro", gae->macro, 0, 1e6));
    TRY(check_range("c_bar", gae->c_bar, LEAST, INFINITY));
    TRY(check_range("rho_bar", gae->rho_bar, LEAST, INFINITY));
    if (config->correction.correction != CORRECTION_TIS_TOKEN ||
        config->correction.high != gae->rho_bar)
        return err_new(ERR_INVALID, "advantages by gae go with the correction tis_token up to "
                                    "rho_bar alone: a token is weighed once");
    if (config->ratio != RATIO_TOKEN)
        return err_new(ERR_INVALID,
                       "advantages by gae are of tokens: a ratio of tokens is allowed");
    TRY(check_range("value coef", config->value.coef, 0, INFINITY));
    return check_range("value clip", config->value.clip, 0, INFINITY);
}

static err_t check_advantage(const struct objective *objective,
                             const struct objective_config *config)
{
    const bool gae = config->advantage == ADVANTAGE_GAE;
    if (gae != objective_has_critic(&objective->row))
        return err_new(ERR_INVALID,
                       "advantage is %s; an objective with a critic has gae, and no other has",
                       advantage_name(config->advantage));
    return gae ? check_gae(config) : OK;
}

/* ---- gates */

static err_t check_weights(const struct gate_config *gate)
{
    switch (gate->gate) {
    case GATE_CAP:
        return check_range("cap", gate->cap, LEAST, INFINITY);
    case GATE_TAPER:
        TRY(check_range("positive", gate->positive, 0, INFINITY));
        [[fallthrough]];
    case GATE_BAND:
        TRY(check_range("low", gate->low, 0, INFINITY));
        return check_range("high", gate->high, gate->low, INFINITY);
    case GATE_BELL:
        TRY(check_range("k_pos", gate->k.pos, 0, 100));
        TRY(check_range("k_neg", gate->k.neg, 0, 100));
        TRY(check_range("lambda_pos", gate->lambda.pos, 0, 100));
        return check_range("lambda_neg", gate->lambda.neg, 0, 100);
    case GATE_KL_CAP:
        return check_range("kl_max", gate->kl_max, LEAST, INFINITY);
    default:
        return OK;
    }
}

static err_t check_limits(const struct gate_config *gate)
{
    if (gate->gate == GATE_CLIP) {
        TRY(check_range("epsilon_low", gate->epsilon_low, 0, 1));
        TRY(check_range("epsilon_high", gate->epsilon_high, 0, INFINITY));
        if (gate->dual != 0)
            TRY(check_range("dual", gate->dual, 1, INFINITY));
    }
    if (gate->gate == GATE_GEO_CLIP) {
        TRY(check_range("epsilon_low", gate->epsilon_low, 0, INFINITY));
        TRY(check_range("epsilon_high", gate->epsilon_high, 0, INFINITY));
    }
    if (gate->gate == GATE_SOFT) {
        TRY(check_range("temperature_pos", gate->temperature.pos, LEAST, 1e6));
        TRY(check_range("temperature_neg", gate->temperature.neg, LEAST, 1e6));
    }
    return gate->gate == GATE_TV ? check_range("delta", gate->delta, 0, 1) : OK;
}

/* Gates of tokens alone, and one of whole completions. */
static err_t check_unit(const struct objective_config *config)
{
    const enum gate gate = config->gate.gate;
    const bool tokens = gate == GATE_SOFT || gate == GATE_TV || gate == GATE_PROBABILITY;
    if (tokens && config->ratio != RATIO_TOKEN)
        return err_new(ERR_INVALID, "ratio is %s; the gate %s is of tokens: token is allowed",
                       ratio_name(config->ratio), gate_name(gate));
    if (config->advantage == ADVANTAGE_TO_GO && objective_has_ratio(config) &&
        config->ratio != RATIO_TOKEN)
        return err_new(ERR_INVALID, "ratio is %s; the advantage %s is of tokens: token is allowed",
                       ratio_name(config->ratio), advantage_name(config->advantage));
    if (gate == GATE_GEO_CLIP && config->ratio != RATIO_GEOMETRIC)
        return err_new(ERR_INVALID,
                       "ratio is %s; the gate %s is of whole completions: geometric is allowed",
                       ratio_name(config->ratio), gate_name(gate));
    return OK;
}

/* ---- the rest */

/* A ratio to behaviour corrects by itself. */
static err_t check_correction(const struct objective_config *config)
{
    const struct correction_config *correction = &config->correction;
    if (correction->correction == CORRECTION_NONE)
        return OK;
    if (config->gate.base == BASE_BEHAVIOUR && objective_has_ratio(config))
        return err_new(ERR_INVALID,
                       "correction is %s; a ratio to behaviour corrects by itself: "
                       "none is allowed",
                       correction_name(correction->correction));
    TRY(check_range("correction low", correction->low, 0, INFINITY));
    return check_range("correction high", correction->high, correction->low, INFINITY);
}

static err_t check_mask(const struct mask_config *mask)
{
    if (mask->mask == MASK_NONE)
        return OK;
    TRY(check_range("mask low", mask->low, 0, INFINITY));
    return check_range("mask high", mask->high, mask->low, INFINITY);
}

static err_t check_terms(const struct objective_config *config)
{
    TRY(check_range("kl_coef", config->kl_coef, 0, KL_COEF_MAX));
    TRY(check_range("behaviour_coef", config->behaviour_coef, 0, KL_COEF_MAX));
    TRY(check_range("nll coef", config->nll.coef, 0, KL_COEF_MAX));
    if (config->nll.coef > 0 && config->nll.reduce == REDUCE_GROUP_LENGTH)
        return err_new(ERR_INVALID, "nll reduce is %s; it has no groups: any other is allowed",
                       reduce_name(config->nll.reduce));
    return OK;
}

err_t policy_check(const struct objective *objective, const struct objective_config *config)
{
    TRY(check_advantage(objective, config));
    TRY(check_range("advantage_epsilon", config->advantage_epsilon, 0, 1));
    if (config->advantage == ADVANTAGE_SOFT_VALUE)
        TRY(check_range("advantage_beta", config->advantage_beta, LEAST, INFINITY));
    TRY(check_terms(config));
    TRY(check_limits(&config->gate));
    TRY(check_weights(&config->gate));
    TRY(check_unit(config));
    TRY(check_correction(config));
    if (config->step.rule != STEP_FULL)
        TRY(check_range("step base", config->step.base, LEAST, 1));
    if (config->select.kind == SELECT_POWER)
        TRY(check_range("select power", config->select.power, 0, 100));
    TRY(check_mask(&config->mask));
    if (config->reduce == REDUCE_CONST_NORM)
        TRY(check_range("reduce_length", config->reduce_length, 1, 1e9));
    return OK;
}
