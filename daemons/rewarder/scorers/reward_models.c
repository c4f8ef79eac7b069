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

/* Weights that one or more reward models compute with. Between two calls it has no adapter. */
struct reward_base {
    struct reward_base *next;
    char *directory; // its real name
    struct model *model;
    bool fresh; // the directory has no value's head: adapters bring theirs
};

struct reward_model {
    struct reward_model *next;
    char *directory; // its real name
    struct reward_base *base;
    struct model *adapter; // NULL: none
    int pad;
    struct scores *scores;
};

struct reward_models {
    void **place; // where the stages find it
    size_t users, count;
    const struct recipe *recipe;
    struct backend *be;
    struct reward_base *bases;
    struct reward_model *first, **end;
};

static struct metric loaded = METRIC_GAUGE("rlhfd_reward_models", "reward models in memory");
static struct metric bytes =
    METRIC_GAUGE("rlhfd_reward_model_bytes", "of their weights; a base counts once");
static struct metric tokens =
    METRIC_COUNTER("rlhfd_reward_model_tokens_total",
                   "tokens of prompts and completions that reward models have scored");
static struct metric seconds =
    METRIC_HISTOGRAM("rlhfd_reward_model_seconds", "forwards of one reward model over one group",
                     0.001, 0.01, 0.1, 1, 10, 100);
static struct metric *const rows[] = {&loaded, &bytes, &tokens, &seconds};

static void reward_model_free(struct reward_model *model)
{
    if (!model)
        return;
    scores_free(model->scores);
    model_free(model->adapter);
    mem_free(model->directory);
    mem_free(model);
}
DEFINE_SCOPED(reward_model)

static void reward_base_free(struct reward_base *base)
{
    if (!base)
        return;
    model_free(base->model);
    mem_free(base->directory);
    mem_free(base);
}
DEFINE_SCOPED(reward_base)

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

/* ---- bases */

static uint64_t held(const struct reward_models *models)
{
    uint64_t sum = 0;
    for (const struct reward_base *at = models->bases; at; at = at->next)
        sum += model_bytes(at->model);
    for (const struct reward_model *at = models->first; at; at = at->next)
        sum += at->adapter ? model_bytes(at->adapter) : 0;
    return sum;
}

/* Beside those that are there: a process that outgrows its limit is killed without a word. */
static err_t check_memory(const struct reward_models *models, const char *directory)
{
    struct model_config config;
    struct device_memory memory;
    TRY(config_read_any(directory, &config));
    device_memory_of_scores(models->recipe, &config, &memory);
    TRY(device_memory_fits(models->be, &memory, "a reward model", NULL));
    return fit_model_beside(models->be, directory, sizeof(bf16), held(models),
                            "the weights of reward models");
}

/* Links resolved, so that two names of one directory are one model. */
static char *real_name(const char *directory)
{
    char *real = realpath(directory, NULL);
    return real ? real : mem_string(directory); // loading it says why
}

/* adapted: for an adapter, so the head may be missing. */
static err_t load_base(const struct reward_models *models, bool adapted, struct reward_base *base)
{
    const struct recipe *recipe = models->recipe;
    const int64_t most = recipe->data.max_prompt_tokens + recipe->generator.max_tokens;
    TRY(likelihood_comparable(recipe->model.path, base->directory, (int)most));
    TRY(check_memory(models, base->directory));
    return adapted ? model_load_valued(models->be, base->directory, &base->model, &base->fresh)
                   : model_load_reward(models->be, base->directory, &base->model);
}

static err_t get_base(struct reward_models *models, const char *directory, bool adapted,
                      struct reward_base **ret)
{
    SCOPED_MEM char *real = real_name(directory);
    SCOPED(reward_base) base = mem_new(sizeof *base);
    for (struct reward_base *at = models->bases; at; at = at->next)
        if (strcmp(at->directory, real) == 0 && (adapted || !at->fresh)) {
            *ret = at;
            return OK;
        }
    base->directory = STEAL(real);
    TRY(load_base(models, adapted, base));
    base->next = models->bases;
    *ret = models->bases = STEAL(base);
    return OK;
}

/* ---- models */

/* The base computes as this model until rest(). */
static void wear(struct reward_model *rm)
{
    rm->base->model->config.pad = rm->pad;
    adapter_swap(rm->base->model, rm->adapter);
}

static void rest(struct reward_model *rm)
{
    adapter_swap(rm->base->model, NULL);
}

static err_t load_adapter(struct reward_model *rm, const char *base)
{
    struct model_config config = rm->base->model->config;
    TRY(adapter_load(rm->base->model, base, rm->directory));
    rm->adapter = adapter_swap(rm->base->model, NULL);
    TRY(adapter_reward_pad(rm->directory, &config));
    rm->pad = config.pad;
    return OK;
}

static err_t load(struct reward_models *models, struct reward_model *rm)
{
    const struct recipe *recipe = models->recipe;
    const bool adapted = adapter_is(rm->directory);
    SCOPED_MEM char *under = NULL;
    TRY(adapter_under(rm->directory, &under));
    TRY(get_base(models, under, adapted, &rm->base));
    rm->pad = rm->base->model->config.pad;
    if (adapted)
        TRY(load_adapter(rm, under));
    wear(rm);
    err_t failed =
        scores_new_micro(rm->base->model, SCORES_GROUP_TOKENS,
                         config_context(&rm->base->model->config, recipe->data.max_prompt_tokens,
                                        recipe->generator.max_tokens),
                         &rm->scores);
    rest(rm);
    return failed;
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
    log_info("reward model", "directory=\"%s\" base=\"%s\" parameters=%zu", rm->directory,
             rm->base->directory, rm->base->model->params->layout->parameters);
    *ret = *models->end = rm;
    models->end = &STEAL(rm)->next;
    metric_set(&loaded, (double)++models->count);
    metric_set(&bytes, (double)held(models));
    return OK;
}

err_t reward_model_scores(struct reward_model *model, const struct sequence *sequence, size_t count,
                          const struct scores_watch *watch, float *ret)
{
    const double begun_s = clock_s();
    double all = 0;
    wear(model);
    err_t failed = scores_run_all(model->scores, sequence, count, watch, ret);
    rest(model);
    if (err_failed(failed))
        return failed;
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
    while (models->bases) {
        struct reward_base *next = models->bases->next;
        reward_base_free(models->bases);
        models->bases = next;
    }
    backend_free(models->be);
    mem_free(models);
}
