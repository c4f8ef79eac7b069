#include "rl/preference/preference.h"
#include "rl/column_table.h"
#include <math.h>

static err_t check_positive(const char *name, double value)
{
    if (!(value > 0 && isfinite(value)))
        return err_new(ERR_INVALID, "%s is %g; more than 0 is allowed", name, value);
    return OK;
}

static err_t check_factor(const char *name, double value)
{
    if (!(value >= 0 && isfinite(value)))
        return err_new(ERR_INVALID, "%s is %g; 0 or more is allowed", name, value);
    return OK;
}

static err_t check_smoothing(const struct pair_config *pair)
{
    if (!(pair->label_smoothing >= 0 && pair->label_smoothing < 0.5))
        return err_new(ERR_INVALID, "label_smoothing is %g; 0 to less than 0.5 is allowed",
                       pair->label_smoothing);
    if (pair->label_smoothing != 0 && !pair_loss_smooths(pair->loss))
        return err_new(ERR_INVALID, "label_smoothing is %g; the %s loss has none: 0 is allowed",
                       pair->label_smoothing, pair_loss_name(pair->loss));
    return OK;
}

/* Losses that are of u by their own meaning. */
static bool is_of_sums(enum pair_loss loss)
{
    switch (loss) {
    case PAIR_IPO:
    case PAIR_SFT:
    case PAIR_SIGMOID_NORM:
    case PAIR_SPPO:
    case PAIR_AOT:
    case PAIR_AOT_UNPAIRED:
        return true;
    default:
        return false;
    }
}

static err_t check_score(const struct pair_config *pair)
{
    if (is_of_sums(pair->loss) && pair->score != SCORE_SUM)
        return err_new(ERR_INVALID, "the score is %s; the %s loss is of %s alone",
                       score_name(pair->score), pair_loss_name(pair->loss), score_name(SCORE_SUM));
    if (pair->score == SCORE_LENGTH && !(pair->alpha >= 0 && pair->alpha <= 1))
        return err_new(ERR_INVALID, "ld_alpha is %g; 0 to 1 is allowed", pair->alpha);
    if (!isfinite(pair->alpha))
        return err_new(ERR_INVALID, "alpha is %g; a number is allowed", pair->alpha);
    return OK;
}

static err_t check_pair(const struct objective_config *config)
{
    const struct pair_config *pair = &config->pair;
    TRY(check_positive("beta", pair->beta));
    TRY(check_smoothing(pair));
    TRY(check_score(pair));
    if (pair->loss == PAIR_DISCOPOP)
        TRY(check_positive("discopop_tau", pair->discopop_tau));
    TRY(check_factor("penalty", pair->penalty));
    TRY(check_factor("nll", pair->nll));
    TRY(check_factor("optimism", pair->optimism));
    TRY(check_factor("adapt", pair->adapt));
    if (!isfinite(pair->gamma) || !isfinite(pair->length))
        return err_new(ERR_INVALID, "gamma is %g, length is %g; numbers are allowed", pair->gamma,
                       pair->length);
    if (!(pair->drop >= 0 && pair->drop < 1))
        return err_new(ERR_INVALID, "drop is %g; 0 to less than 1 is allowed", pair->drop);
    if (config->ratio != RATIO_TOKEN || config->gate.dual != 0 ||
        config->correction.correction != CORRECTION_NONE)
        return err_new(ERR_INVALID,
                       "a loss on pairs has ratios of tokens alone: no other ratio, no "
                       "dual clip and no correction");
    return OK;
}

static err_t check_label(const struct label_config *label)
{
    TRY(check_positive("beta", label->beta));
    TRY(check_factor("desirable_weight", label->desirable));
    return check_factor("undesirable_weight", label->undesirable);
}

static err_t check_list(const struct list_config *list)
{
    TRY(check_positive("beta", list->beta));
    if (list->loss == LIST_EXO || list->loss == LIST_DPO_RW)
        TRY(check_positive("reward_beta", list->reward_beta));
    if (list->loss == LIST_D2O)
        TRY(check_positive("alpha", list->alpha));
    return check_factor("sft_coef", list->sft);
}

err_t preference_check(const struct objective_config *config)
{
    if (config->pair.loss != PAIR_NONE)
        return check_pair(config);
    if (config->label.loss != LABEL_NONE)
        return check_label(&config->label);
    if (config->list.loss != LIST_NONE)
        return check_list(&config->list);
    if (config->residual.factor != 0)
        return check_positive("beta", config->residual.beta);
    return OK;
}

uint64_t preference_needs(const struct objective_config *config)
{
    const bool mismatched =
        (config->label.loss != LABEL_NONE && config->label.anchor == ANCHOR_MISMATCHED) ||
        (config->pair.loss == PAIR_BCO && config->pair.anchor == ANCHOR_MISMATCHED);
    return (mismatched ? COLUMN_BIT(COLUMN_MISMATCHED_REFERENCE) : 0) |
           (config->pair.loss == PAIR_SOFT ? COLUMN_BIT(COLUMN_REWARD) : 0);
}
