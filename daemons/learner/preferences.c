#include "learner/preferences.h"
#include "svc/recipe/recipe_place.h"

static void take(double written, double *ret)
{
    if (written != RECIPE_NUMBER_DEFAULT)
        *ret = written;
}

/* A key that is of one kind of score. */
static err_t take_of(const struct recipe *recipe, const char *key, double written, enum score score,
                     struct pair_config *ret)
{
    if (written == RECIPE_NUMBER_DEFAULT)
        return OK;
    if (ret->score != score)
        return recipe_wrong(recipe, key, "%g goes with pairs whose score is %s; here it is %s",
                            written, score_name(score), score_name(ret->score));
    ret->alpha = written;
    return OK;
}

static err_t set_score(const struct recipe *recipe, struct pair_config *ret)
{
    const struct recipe_dpo *dpo = &recipe->learner.dpo;
    enum score score;
    if (score_find(dpo->f_divergence_type, &score)) {
        if (ret->score > SCORE_ALPHA_DIVERGENCE)
            return recipe_wrong(recipe, "learner.dpo.f_divergence_type",
                                "'%s' goes with pairs whose score is a divergence's; here it is %s",
                                dpo->f_divergence_type, score_name(ret->score));
        ret->score = score;
    }
    if (dpo->ld_alpha != RECIPE_NUMBER_DEFAULT && ret->score == SCORE_SUM)
        ret->score = SCORE_LENGTH;
    TRY(take_of(recipe, "learner.dpo.ld_alpha", dpo->ld_alpha, SCORE_LENGTH, ret));
    TRY(take_of(recipe, "learner.dpo.alpha", dpo->alpha, SCORE_ALPHA, ret));
    return take_of(recipe, "learner.dpo.f_alpha_divergence_coef", dpo->f_alpha_divergence_coef,
                   SCORE_ALPHA_DIVERGENCE, ret);
}

static err_t set_pairs(const struct recipe *recipe, struct pair_config *ret)
{
    const struct recipe_dpo *dpo = &recipe->learner.dpo;
    pair_loss_find(dpo->loss_type, &ret->loss);
    anchor_find(dpo->anchor, &ret->anchor);
    take(dpo->beta, &ret->beta);
    if (!pair_loss_smooths(ret->loss))
        ret->label_smoothing = 0;
    take(dpo->label_smoothing, &ret->label_smoothing);
    take(dpo->simpo_gamma, &ret->gamma);
    take(dpo->length_alpha, &ret->length);
    take(dpo->dpop_lambda, &ret->penalty);
    take(dpo->discopop_tau, &ret->discopop_tau);
    take(dpo->rpo_alpha, &ret->nll);
    take(dpo->xpo_alpha, &ret->optimism);
    take(dpo->beta_adapt, &ret->adapt);
    take(dpo->beta_drop, &ret->drop);
    return set_score(recipe, ret);
}

static void set_labels(const struct recipe_kto *kto, struct label_config *ret)
{
    anchor_find(kto->anchor, &ret->anchor);
    label_rule_find(kto->rule, &ret->rule);
    take(kto->beta, &ret->beta);
    take(kto->desirable_weight, &ret->desirable);
    take(kto->undesirable_weight, &ret->undesirable);
    ret->threshold = kto->threshold;
}

static void set_lists(const struct recipe_listwise *listwise, struct list_config *ret)
{
    take(listwise->beta, &ret->beta);
    take(listwise->reward_beta, &ret->reward_beta);
    take(listwise->sft_coef, &ret->sft);
    take(listwise->alpha, &ret->alpha);
}

err_t preferences_set(const struct recipe *recipe, struct objective_config *ret)
{
    if (ret->pair.loss != PAIR_NONE)
        TRY(set_pairs(recipe, &ret->pair));
    if (ret->label.loss != LABEL_NONE)
        set_labels(&recipe->learner.kto, &ret->label);
    if (ret->list.loss != LIST_NONE)
        set_lists(&recipe->learner.listwise, &ret->list);
    if (ret->residual.factor > 0)
        take(recipe->learner.residual.beta, &ret->residual.beta);
    return OK;
}
