/* Figures as JSON: one object, whose names are those of the tables. */
#include "ctl/reward/eval/eval_output.h"
#include <math.h>

json_t *json_finite(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *json_estimate(const struct estimate *e)
{
    return json_pack("{s:o, s:o, s:o}", "value", json_finite(e->value), "low", json_finite(e->low),
                     "high", json_finite(e->high));
}

static void put_all(json_t *to, const struct named_figure *named, const void *of)
{
    for (; named->name; named++)
        json_object_set_new(to, named->name, json_estimate(named_estimate(named, of)));
}

static json_t *calibration_json(const struct calibration *c)
{
    json_t *bins = json_array();
    for (int b = 0; b < CALIBRATION_BINS; b++)
        json_array_append_new(bins, json_pack("{s:f, s:f, s:o, s:o}", "from",
                                              b / (double)CALIBRATION_BINS, "pairs", c->weight[b],
                                              "told", json_finite(c->chance[b]), "true",
                                              json_finite(c->outcome[b])));
    return json_pack("{s:o, s:o}", "ece", json_finite(c->ece), "bins", bins);
}

static json_t *pairs_json(const struct eval_data *data, const struct pair_figures *p)
{
    if (!p->pairs)
        return json_null();
    json_t *groups = json_array(),
           *all = json_pack("{s:I, s:I, s:I, s:o, s:o, s:o, s:o}", "pairs", (json_int_t)p->pairs,
                            "ties", (json_int_t)p->ties, "split", (json_int_t)p->split, "margin",
                            json_finite(p->margin), "scale", json_finite(p->scale),
                            "scaled_log_loss", json_finite(p->scaled_log_loss), "calibration",
                            calibration_json(&p->calibration));
    put_all(all, pair_names, p);
    for (size_t g = 0; g < p->groups; g++)
        json_array_append_new(groups, json_pack("{s:s, s:I, s:o}", "group", data->groups.at[g],
                                                "pairs", (json_int_t)p->group_pairs[g], "accuracy",
                                                json_estimate(&p->group[g])));
    json_object_set_new(all, "groups", groups);
    return all;
}

static json_t *answers_json(const struct answer_figures *a)
{
    if (!a->answers)
        return json_null();
    json_t *all = json_pack("{s:I, s:I, s:b}", "answers", (json_int_t)a->answers, "prompts",
                            (json_int_t)a->prompts, "labels", (int)a->labels);
    put_all(all, answer_names, a);
    return all;
}

static json_t *drift_json(const struct drift *d)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:I}", "a", json_finite(d->a), "b",
                     json_finite(d->b), "r2", json_finite(d->r2), "peak_kl",
                     json_finite(d->peak_kl), "peak", json_finite(d->peak), "points",
                     (json_int_t)d->points);
}

static json_t *best_json(const struct best_figures *b)
{
    if (!b->most)
        return json_null();
    json_t *curve = json_array();
    for (size_t k = 0; k < b->most; k++)
        json_array_append_new(
            curve, json_pack("{s:I, s:f, s:o, s:o, s:o, s:o, s:o}", "k", (json_int_t)k + 1, "kl",
                             best_of_kl(k + 1), "score", json_finite(b->score[k]), "gold",
                             json_estimate(&b->gold[k]), "pessimistic",
                             json_estimate(&b->pessimistic[k]), "oracle",
                             json_estimate(&b->oracle[k]), "regret", json_estimate(&b->regret[k])));
    return json_pack("{s:I, s:I, s:o, s:o, s:o, s:o}", "prompts", (json_int_t)b->prompts, "best_k",
                     (json_int_t)b->best, "share", json_estimate(&b->share), "loss",
                     json_estimate(&b->loss), "curve", curve, "fit", drift_json(&b->drift));
}

static json_t *league_json(const struct eval_data *data, const struct eval_figures *f)
{
    const struct league *l = &f->league;
    if (!l->models)
        return json_null();
    json_t *models = json_array(),
           *all = json_pack("{s:I, s:o, s:o, s:o, s:o}", "battles", (json_int_t)f->battles,
                            "separated_people", json_finite(l->separated_people), "separated_score",
                            json_finite(l->separated_score), "agreement", json_finite(l->agreement),
                            "brier", json_finite(l->brier));
    put_all(all, league_names, l);
    for (size_t m = 0; m < l->models; m++)
        json_array_append_new(models, json_pack("{s:s, s:o, s:o}", "model", data->models.at[m],
                                                "people", json_estimate(&l->people[m]), "score",
                                                json_estimate(&l->score[m])));
    json_object_set_new(all, "models", models);
    return all;
}

static json_t *groups_json(const struct eval_data *data, const struct eval_figures *f)
{
    json_t *groups = json_array();
    for (size_t g = 0; g < f->groups; g++)
        json_array_append_new(groups, json_pack("{s:s, s:o, s:o}", "group", data->groups.at[g],
                                                "answers", answers_json(&f->group[g].answers),
                                                "best_of", best_json(&f->group[g].best)));
    return groups;
}

json_t *eval_json(const struct eval_data *data, const struct eval_figures *f)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "lines",
                     (json_int_t)data->lines, "prompts", (json_int_t)data->prompts, "unscored",
                     (json_int_t)data->unscored, "without_gold", (json_int_t)data->without_gold,
                     "pairs", pairs_json(data, &f->pairs), "answers", answers_json(&f->answers),
                     "best_of", best_json(&f->best), "groups", groups_json(data, f), "models",
                     league_json(data, f));
}

/* ---- the curve */

static json_t *point_json(const struct curve_point *p)
{
    return json_pack("{s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b}", "point",
                     p->name, "lines", (json_int_t)p->lines, "unscored", (json_int_t)p->unscored,
                     "kl", json_estimate(&p->kl), "score", json_estimate(&p->score), "gold",
                     json_estimate(&p->gold), "score_gain", json_estimate(&p->score_gain),
                     "gold_gain", json_estimate(&p->gold_gain), "win_base",
                     json_estimate(&p->win_base), "win_own", json_estimate(&p->win_own), "tokens",
                     json_estimate(&p->tokens), "over", (int)p->over);
}

json_t *curve_json(const struct curve *curve)
{
    json_t *points = json_array(), *fit = drift_json(&curve->drift);
    for (size_t p = 0; p < curve->points; p++)
        json_array_append_new(points, point_json(&curve->point[p]));
    json_object_set_new(fit, "law",
                        json_string(curve->law == DRIFT_RL ? "d (a - b log d)" : "d (a - b d)"));
    return json_pack("{s:s, s:s, s:I, s:o, s:o}", "base", curve->point[curve->base].name, "best",
                     curve->point[curve->best].name, "prompts", (json_int_t)curve->prompts,
                     "points", points, "fit", fit);
}
