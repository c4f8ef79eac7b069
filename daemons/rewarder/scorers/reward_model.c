/* Reward models: transformers' ForSequenceClassification of one label, over prompt and completion
 * together; one of them, or several as an ensemble. A model reads tokens, so its tokenizer must be
 * the policy's. */
#include "base/clock.h"
#include "base/heartbeat.h"
#include "base/mem.h"
#include "rewarder/scorer.h"
#include "rewarder/scorers/ensemble.h"
#include "rewarder/scorers/reward_models.h"
#include "svc/cell.h"
#include "svc/metrics.h"
#include "svc/recipe/recipe_lists.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_MOST = 64 }; // characters

struct reward_model_keys {
    const char *path;
    struct recipe_texts paths, means, stds;
    enum ensemble aggregate;
    double coef;
};
static const struct recipe_option keys[] = {
    STAGE_KEY(struct reward_model_keys, path, path, "",
              "absolute name of a Hugging Face directory of ForSequenceClassification with one "
              "label, or of a PEFT adapter of one; its tokenizer is model.path's"),
    STAGE_KEY(struct reward_model_keys, texts, paths, "[]",
              "several such directories instead: an ensemble, whose models are loaded once each",
              .min = 1, .max = 4096),
    STAGE_KEY(struct reward_model_keys, choice, aggregate, "mean",
              "of an ensemble: mean of the scores; min; lower_bound: mean - coef * standard "
              "deviation; uwo: mean - coef * variance",
              .words = ENSEMBLE_WORDS),
    STAGE_KEY(struct reward_model_keys, number, coef, "1",
              "of lower_bound and uwo: how much the models' disagreement costs", .max = 1e6),
    STAGE_KEY(struct reward_model_keys, texts, means, "[]",
              "of an ensemble: each model's mean score over some texts, which is subtracted first",
              .min = 1, .max = NUMBER_MOST),
    STAGE_KEY(struct reward_model_keys, texts, stds, "[]",
              "of an ensemble: each model's standard deviation there, which is divided by then",
              .min = 1, .max = NUMBER_MOST),
};

/* One model of an ensemble, or the only one. */
struct member {
    struct reward_model *model;
    double mean, std;
};

struct ensemble_stage {
    const struct reward_model_keys *keys;
    struct reward_models *models;
    size_t members;
    struct member member[RECIPE_TEXTS];
};

static struct metric disagreement = METRIC_HISTOGRAM(
    "rlhfd_reward_ensemble_std", "standard deviation among an ensemble's scores of one completion",
    0.01, 0.1, 0.3, 1, 3, 10);
static struct metric *const rows[] = {&disagreement};

static void ensemble_stage_free(struct ensemble_stage *stage)
{
    if (!stage)
        return;
    reward_models_leave(stage->models);
    mem_free(stage);
}
DEFINE_SCOPED(ensemble_stage)

/* ---- keys */

static err_t check_count(const struct reward_model_keys *k, const struct recipe_texts *list,
                         const char *key)
{
    if (list->count && list->count != k->paths.count)
        return err_new(ERR_INVALID, "%s: has %zu numbers; paths has %zu models", key, list->count,
                       k->paths.count);
    return OK;
}

static err_t check_keys(const struct reward_model_keys *k)
{
    if (!*k->path == !k->paths.count)
        return err_new(ERR_INVALID, "needs path or paths, one of them");
    if (*k->path && k->aggregate != ENSEMBLE_MEAN)
        return err_new(ERR_INVALID, "aggregate: is of an ensemble; path names one model");
    TRY(check_count(k, &k->means, "means"));
    return check_count(k, &k->stds, "stds");
}

/* Number i of a list; absent: what it is without. */
static err_t read_number(const struct recipe_texts *list, const char *key, size_t i, double absent,
                         double *ret)
{
    char *end;
    if (!list->count) {
        *ret = absent;
        return OK;
    }
    const double number = strtod(list->at[i], &end);
    if (end == list->at[i] || *end || !isfinite(number) || fabs(number) > 1e6)
        return err_new(ERR_INVALID, "%s[%zu]: '%s' is no number from -1e6 to 1e6", key, i,
                       list->at[i]);
    *ret = number;
    return OK;
}

static err_t open_member(struct ensemble_stage *stage, const char *directory, struct member *ret)
{
    const struct reward_model_keys *k = stage->keys;
    const size_t i = stage->members;
    TRY(read_number(&k->means, "means", i, 0, &ret->mean));
    TRY(read_number(&k->stds, "stds", i, 1, &ret->std));
    if (!(ret->std >= 1e-6))
        return err_new(ERR_INVALID, "stds[%zu]: is %g; 1e-6 or more is allowed", i, ret->std);
    SCOPED_MEM char *key = *k->path ? mem_string("path") : mem_printf("paths[%zu]", i);
    if (*directory != '/')
        return err_new(ERR_INVALID, "%s: '%s' is not absolute", key, directory);
    TRY(err_wrap(reward_models_get(stage->models, directory, &ret->model), "%s", key));
    for (size_t k = 0; k < i; k++)
        if (stage->member[k].model == ret->model)
            return err_new(ERR_INVALID, "%s: '%s' is the model of paths[%zu]", key, directory, k);
    stage->members++;
    return OK;
}

static err_t ensemble_open(const struct stage_context *context, void **ret_state)
{
    const struct reward_model_keys *k = context->keys;
    SCOPED(ensemble_stage) stage = mem_new(sizeof *stage);
    stage->keys = k;
    TRY(check_keys(k));
    TRY(recipe_require(context->recipe, "model.path"));
    TRY(reward_models_join(context, &stage->models));
    if (*k->path)
        TRY(open_member(stage, k->path, &stage->member[0]));
    for (size_t i = 0; i < k->paths.count; i++)
        TRY(open_member(stage, k->paths.at[i], &stage->member[i]));
    if (stage->members > 1)
        metrics_register(rows, sizeof rows / sizeof *rows);
    *ret_state = STEAL(stage);
    return OK;
}

/* ---- a group */

static err_t look(void *context, size_t done)
{
    const struct stage_call *call = context;
    heartbeat_step(); // of a device's backend no op is one
    if (call->stop && cell_get(call->stop) != 0)
        return err_new(ERR_DEADLINE, "stopped before completion %zu", done);
    if (call->deadline_s > 0 && clock_s() > call->deadline_s)
        return err_new(ERR_DEADLINE, "late before completion %zu", done);
    return OK;
}

/* INVALID: of a completion the text alone is there, as in a file of samples without their ids. */
static err_t read_sequences(const struct group *group, struct sequence *ret)
{
    for (uint32_t i = 0; i < group->completions; i++) {
        const struct completion *c = &group->completion[i];
        if (c->tokens && !c->token)
            return err_new(ERR_INVALID, "completion %u: its %u tokens are not there", i, c->tokens);
        ret[i] = (struct sequence){.prompt = group->prompt_token,
                                   .prompt_tokens = (int)group->prompt_tokens,
                                   .token = c->token,
                                   .tokens = (int)c->tokens};
    }
    return OK;
}

/* Of completion i; score (members, completions). */
static double join(const struct ensemble_stage *stage, const float *score, uint32_t i,
                   uint32_t completions, double *ret_std)
{
    double each[RECIPE_TEXTS];
    for (size_t m = 0; m < stage->members; m++)
        each[m] =
            ((double)score[m * completions + i] - stage->member[m].mean) / stage->member[m].std;
    return ensemble_score(stage->keys->aggregate, stage->keys->coef, each, stage->members, ret_std);
}

/* The scorer's columns. */
static void add_scores(const struct ensemble_stage *stage, const float *score, struct group *to)
{
    double *joint = group_add(to, COLUMN_SCORES, 1), unused;
    double *spread = stage->members > 1 ? group_add(to, COLUMN_ENSEMBLE_STD, 1) : NULL;
    for (uint32_t i = 0; i < to->completions; i++) {
        joint[i] = join(stage, score, i, to->completions, spread ? &spread[i] : &unused);
        if (spread)
            metric_observe(&disagreement, spread[i]);
    }
}

static err_t score_group(struct ensemble_stage *stage, struct stage_call *call)
{
    const struct group *group = call->group;
    const uint32_t n = group->completions;
    const struct scores_watch watch = {look, call};
    SCOPED_MEM struct sequence *sequence = mem_array(n, sizeof *sequence);
    SCOPED_MEM float *score = mem_array(stage->members * n, sizeof *score);
    TRY(read_sequences(group, sequence));
    for (size_t m = 0; m < stage->members; m++) {
        err_t failed =
            reward_model_scores(stage->member[m].model, sequence, n, &watch, score + m * n);
        if (err_failed(failed))
            return stage->members > 1 ? err_wrap(failed, "paths[%zu]", m) : failed;
    }
    add_scores(stage, score, call->added);
    return OK;
}

static void ensemble_start(void *state, struct stage_call *call)
{
    call->done(call, score_group(state, call));
}

static void ensemble_close(void *state)
{
    ensemble_stage_free(state);
}

const struct stage_class scorer_reward_model = {
    .name = "reward_model",
    .help = "The number of a model of one label for prompt and completion, read at the last token "
            "that is not its pad token; of several models their joint number.",
    .under = "rewarder.scorers",
    STAGE_KEYS(struct reward_model_keys, keys),
    .thread = STAGE_TOGETHER,
    .forwards = true,
    .fills = STAGE_SCORES,
    .deadline_ms = 600000,
    .open = ensemble_open,
    .start = ensemble_start,
    .close = ensemble_close,
};
