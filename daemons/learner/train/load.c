#include "learner/train/load.h"
#include "base/log.h"
#include "base/mem.h"
#include "learner/settings.h"
#include "learner/train/checkpoint.h"
#include "model/adapter.h"
#include "model/files/fit.h"
#include "model/likelihood.h"
#include "svc/recipe/recipe_lora.h"
#include <string.h>

/* Of an element, at least: weights as rows and panels, masters and two moments, gradients. */
enum { EACH_BYTES = 2 * sizeof(bf16) + 4 * sizeof(float) };

static bool has_critic(const struct recipe *recipe)
{
    return objective_has_critic(objective_row(recipe->learner.objective));
}

size_t load_names(const struct recipe *recipe, const char *names[TRAINEES_MAX])
{
    size_t count = 0;
    names[count++] = TRAINEE_POLICY;
    if (has_critic(recipe))
        names[count++] = TRAINEE_CRITIC;
    return count;
}

char *load_fingerprint(struct trainees *trainees)
{
    const struct trainee *critic = trainees_find(trainees, TRAINEE_CRITIC);
    return settings_fingerprint(trainees_first(trainees)->model, critic ? critic->model : NULL);
}

struct optimizer_config load_optimizer(const struct backend *be,
                                       const struct recipe_optimizer *optimizer)
{
    struct optimizer_config config = settings_optimizer(optimizer);
    if (config.states == STATES_HOST && !be->apart) {
        log_info("optimizer.states=host has no effect",
                 "why=\"the memory of backend '%s' is the host's\"", be->ops->name);
        config.states = STATES_DEVICE;
    }
    return config;
}

/* A checkpoint holds what its recipe trained: an adapter, or all. */
static err_t check_kind(const struct recipe *recipe, const char *checkpoint)
{
    const bool adapter = adapter_is(checkpoint);
    if (adapter == recipe_has_lora(recipe))
        return OK;
    return err_new(
        ERR_PRECONDITION,
        "checkpoint '%s' holds %s, and this recipe trains %s: go on with the section lora "
        "that made it, or choose another --run directory",
        checkpoint, adapter ? "an adapter" : "all weights",
        adapter ? "all weights (lora.r is 0)" : "an adapter");
}

/* ret_masters: the directory of the masters' float32 values; NULL: they are drawn. */
static err_t load_adapter(const struct recipe *recipe, const char *base, const char *checkpoint,
                          struct model *model, const char **ret_masters)
{
    const char *from = recipe->lora.path;
    *ret_masters = checkpoint ? checkpoint : *from ? from : NULL;
    return checkpoint ? adapter_load(model, base, checkpoint)
                      : adapter_begin(model, base, recipe, (uint64_t)recipe->run.seed);
}

/* directory: where the recipe begins, or a checkpoint. A checkpoint's adapter stands beside
 * model.path. */
static err_t load_policy(const struct recipe *recipe, struct backend *be, const char *directory,
                         bool is_checkpoint, struct trainees *trainees)
{
    const struct optimizer_config config = load_optimizer(be, &recipe->learner.optimizer);
    const bool lora = recipe_has_lora(recipe);
    const char *base = is_checkpoint && lora ? recipe->model.path : directory, *masters = directory;
    SCOPED(model) model = NULL;
    if (is_checkpoint)
        TRY(check_kind(recipe, directory));
    TRY(fit_model(be, base, lora ? 2 * sizeof(bf16) : EACH_BYTES,
                  "weights, optimizer and gradients"));
    TRY(model_load(be, base, &model));
    TRY(model_keep_kv(model, (enum kv_format)recipe->model.kv));
    if (lora)
        TRY(err_wrap(load_adapter(recipe, base, is_checkpoint ? directory : NULL, model, &masters),
                     "lora"));
    return trainees_add(trainees, TRAINEE_POLICY, STEAL(model), &config, masters);
}

/* ---- the critic */

/* N(0, 0.02^2) is transformers' for a head that a directory lacks. */
static err_t begin_head(const struct recipe *recipe, struct model *model)
{
    return recipe->learner.critic.head == RECIPE_CRITIC_NORMAL
               ? model_draw_value(model, (uint64_t)recipe->run.seed, 0.02)
               : OK;
}

/* Where the recipe says that a model of its own starts: another directory's tokens must be the
 * policy's. */
static err_t begin_from(const struct recipe *recipe, const struct model *policy, const char **ret)
{
    const char *path = recipe->learner.critic.path;
    *ret = *path ? path : recipe->model.path;
    return *path ? err_wrap(likelihood_comparable(recipe->model.path, path,
                                                  settings_longest(recipe, &policy->config)),
                            "learner.critic.path")
                 : OK;
}

/* A head alone has no directory to come from: its weights are drawn, or in the optimizer's file. */
static err_t make_critic(const struct recipe *recipe, const struct model *policy,
                         const char *checkpoint, struct model **ret, const char **ret_directory)
{
    bool fresh = true;
    const char *directory = checkpoint;
    SCOPED(model) model = NULL;
    if (recipe->learner.critic.model == RECIPE_CRITIC_SHARED) {
        directory = NULL;
        TRY(model_new_value(policy->be, &policy->config, &model));
    } else {
        if (!checkpoint)
            TRY(begin_from(recipe, policy, &directory));
        TRY(model_load_critic(policy->be, directory, &model, &fresh));
    }
    if (!checkpoint && fresh)
        TRY(begin_head(recipe, model));
    *ret = STEAL(model);
    *ret_directory = directory;
    return OK;
}

static err_t load_critic(const struct recipe *recipe, const char *checkpoint,
                         struct trainees *trainees)
{
    const struct optimizer_config config = load_optimizer(
        trainees_first(trainees)->model->be, &recipe->learner.critic.optimizer);
    const char *directory = NULL;
    SCOPED(model) model = NULL;
    TRY(err_wrap(
        make_critic(recipe, trainees_first(trainees)->model, checkpoint, &model, &directory),
        TRAINEE_CRITIC));
    return trainees_add(trainees, TRAINEE_CRITIC, STEAL(model), &config, directory);
}

err_t load_trainees(const struct recipe *recipe, struct backend *be, const char *directory,
                    const struct trainee_digests *recorded, struct trainees *ret)
{
    SCOPED_MEM char *policy =
        recorded ? checkpoint_trainee(directory, recorded, TRAINEE_POLICY) : mem_string(directory);
    SCOPED_MEM char *critic =
        recorded ? checkpoint_trainee(directory, recorded, TRAINEE_CRITIC) : NULL;
    TRY(load_policy(recipe, be, policy, recorded != NULL, ret));
    return has_critic(recipe) ? load_critic(recipe, critic, ret) : OK;
}
