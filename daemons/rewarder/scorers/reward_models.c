#include "rewarder/scorers/reward_models.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "model/adapter.h"
#include "model/backend_recipe.h"
#include "model/device_memory.h"
#include "model/files/fit.h"
#include "model/likelihood.h"
#include "svc/metrics.h"
#include "svc/svc.h"
#include <stdlib.h>
#include <string.h>

struct reward_model {
    struct reward_model *next;
    char *directory; // its real name
    struct model *model;
    struct scores *scores;
};

struct reward_models {
    void **place; // where the stages find it
    size_t users, count;
    const struct recipe *recipe;
    struct backend *be;
    struct reward_model *first, **end;
};

static struct metric loaded = METRIC_GAUGE("rlhfd_reward_models", "reward models in memory");
static struct metric tokens =
    METRIC_COUNTER("rlhfd_reward_model_tokens_total",
                   "tokens of prompts and completions that reward models have scored");
static struct metric seconds =
    METRIC_HISTOGRAM("rlhfd_reward_model_seconds", "forwards of one reward model over one group",
                     0.001, 0.01, 0.1, 1, 10, 100);
static struct metric *const rows[] = {&loaded, &tokens, &seconds};

static void reward_model_free(struct reward_model *model)
{
    if (!model)
        return;
    scores_free(model->scores);
    model_free(model->model);
    mem_free(model->directory);
    mem_free(model);
}
DEFINE_SCOPED(reward_model)

err_t reward_models_join(const struct stage_context *context, struct reward_models **ret)
{
    struct reward_models *models = *context->shared;
    if (!models) {
        struct backend *be = NULL;
        struct backend_config config = backend_of_rewarder(context->recipe);
        config.told = svc_told_backend;
        metrics_register(rows, sizeof rows / sizeof *rows);
        TRY(err_wrap(backend_open(NULL, &config, &be), "rewarder.backend"));
        models = mem_new(sizeof *models);
        models->recipe = context->recipe;
        models->be = be;
        models->end = &models->first;
        *(models->place = context->shared) = models;
    }
    models->users++;
    *ret = models;
    return OK;
}

/* Beside those that are there: a process that outgrows its limit is killed without a word. */
static err_t check_memory(const struct reward_models *models, const char *directory)
{
    uint64_t bytes = 0;
    struct model_config config;
    struct device_memory memory;
    TRY(config_read_any(directory, &config));
    device_memory_of_scores(models->recipe, &config, &memory);
    TRY(device_memory_fits(models->be, &memory, "a reward model", NULL));
    for (const struct reward_model *at = models->first; at; at = at->next)
        bytes += model_bytes(at->model);
    return fit_model_beside(models->be, directory, sizeof(bf16), bytes,
                            "the weights of reward models");
}

static err_t load(const struct reward_models *models, struct reward_model *rm)
{
    const struct recipe *recipe = models->recipe;
    const int64_t most = recipe->data.max_prompt_tokens + recipe->generator.max_tokens;
    SCOPED_MEM char *under = NULL; // an adapter's base, or itself
    TRY(adapter_under(rm->directory, &under));
    TRY(likelihood_comparable(recipe->model.path, under, (int)most));
    TRY(check_memory(models, under));
    TRY(adapter_open_reward(models->be, rm->directory, &rm->model));
    return scores_new_micro(rm->model, SCORES_GROUP_TOKENS,
                            config_context(&rm->model->config, recipe->data.max_prompt_tokens,
                                           recipe->generator.max_tokens),
                            &rm->scores);
}

/* Links resolved, so that two names of one directory are one model. */
static char *real_name(const char *directory)
{
    char *real = realpath(directory, NULL);
    return real ? real : mem_string(directory); // loading it says why
}

err_t reward_models_get(struct reward_models *models, const char *directory,
                        struct reward_model **ret)
{
    SCOPED_MEM char *real = real_name(directory);
    for (struct reward_model *at = models->first; at; at = at->next)
        if (strcmp(at->directory, real) == 0) {
            *ret = at;
            return OK;
        }
    SCOPED(reward_model) rm = mem_new(sizeof *rm);
    rm->directory = STEAL(real);
    TRY(load(models, rm));
    log_info("reward model", "directory=\"%s\" parameters=%zu", rm->directory,
             rm->model->params->layout->parameters);
    *ret = *models->end = rm;
    models->end = &STEAL(rm)->next;
    metric_set(&loaded, (double)++models->count);
    return OK;
}

size_t reward_models_count(const struct reward_models *models)
{
    return models->count;
}

err_t reward_model_scores(struct reward_model *model, const struct sequence *sequence, size_t count,
                          const struct scores_watch *watch, float *ret)
{
    const double begun_s = clock_s();
    double all = 0;
    TRY(scores_run_all(model->scores, sequence, count, watch, ret));
    for (size_t i = 0; i < count; i++)
        all += (double)sequence[i].prompt_tokens + sequence[i].tokens;
    metric_observe(&seconds, clock_s() - begun_s);
    metric_add(&tokens, all);
    return OK;
}

void reward_models_leave(struct reward_models *models)
{
    if (!models || --models->users)
        return;
    *models->place = NULL;
    while (models->first) {
        struct reward_model *next = models->first->next;
        reward_model_free(models->first);
        models->first = next;
    }
    backend_free(models->be);
    mem_free(models);
}
