#include "learner/train/load.h"
#include "base/cgroup.h"
#include "base/log.h"
#include "base/mem.h"
#include "learner/settings.h"
#include "learner/train/checkpoint.h"
#include "model/adapter.h"
#include "model/device_memory.h"
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

static bool is_reward(const struct recipe *recipe)
{
    return objective_is_reward(objective_row(recipe->learner.objective));
}

static const char *first_name(const struct recipe *recipe)
{
    return is_reward(recipe) ? TRAINEE_REWARD : TRAINEE_POLICY;
}

size_t load_names(const struct recipe *recipe, const char *names[TRAINEES_MAX])
{
    size_t count = 0;
    names[count++] = first_name(recipe);
    if (has_critic(recipe))
        names[count++] = TRAINEE_CRITIC;
    if (recipe_reference_moves(recipe))
        names[count++] = TRAINEE_REFERENCE;
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

/* ---- whether a device has room */

/* Settings that take less of it, in the order of the advice. Those before one stay. */
static void take_states(struct recipe *r)
{
    r->learner.optimizer.states = r->learner.critic.optimizer.states = RECIPE_STATES_HOST;
}

static void take_inputs(struct recipe *r)
{
    r->learner.gradient_checkpointing = true;
}

static void take_rows(struct recipe *r)
{
    r->learner.micro_tokens = 1;
}

static const struct {
    const char *words;
    void (*take)(struct recipe *r);
} savings[] = {{"learner.optimizer.states: host", take_states},
               {"with it learner.gradient_checkpointing: true", take_inputs},
               {"with both a lower learner.micro_tokens", take_rows}};

/* The first that suffices. recipe: a copy, whose settings change. */
static void advise(struct recipe recipe, const struct device_shapes *shapes, double available,
                   char *ret, size_t size)
{
    struct device_memory m;
    snprintf(ret, size, "lora.r trains an adapter in less");
    for (size_t i = 0; i < sizeof savings / sizeof *savings; i++) {
        savings[i].take(&recipe);
        device_memory_of_learner(&recipe, shapes, &m);
        if (device_memory_asked(&m) <= available) {
            snprintf(ret, size, "%s needs %.4g", savings[i].words, device_memory_asked(&m) / 1e9);
            return;
        }
    }
}

static bool has_own_critic(const struct recipe *recipe)
{
    return has_critic(recipe) && recipe->learner.critic.model == RECIPE_CRITIC_SEPARATE;
}

static err_t read_shapes(const struct recipe *recipe, const char *base, struct model_config *policy,
                         struct model_config *adapter, struct model_config *critic)
{
    const char *path = recipe->learner.critic.path;
    TRY(config_read(base, policy));
    TRY(adapter_shape(recipe, policy, adapter));
    return config_read_any(has_own_critic(recipe) && *path ? path : base, critic);
}

/* Before a model is read. Its loader says what is wrong with a directory. */
static err_t fits_device(const struct recipe *recipe, struct backend *be, const char *base)
{
    struct model_config policy, adapter, critic;
    struct device_memory m;
    char advice[160];
    size_t available = 0;
    err_t unknown = be->apart ? read_shapes(recipe, base, &policy, &adapter, &critic) : OK;
    if (!be->apart || err_failed(unknown)) {
        err_free(unknown);
        return OK;
    }
    const struct device_shapes shapes = {
        .policy = &policy,
        .adapter = adapter.lora.r ? &adapter : NULL,
        .critic = has_own_critic(recipe) ? &critic : NULL,
        .unit = objective_sequences(objective_row(recipe->learner.objective),
                                    (int)recipe->generator.num_generations)};
    device_memory_of_learner(recipe, &shapes, &m);
    be->ops->capacity(be, &available);
    advise(*recipe, &shapes, (double)available, advice, sizeof advice);
    TRY(device_memory_fits(be, &m, "training", advice));
    return cgroup_fits((uint64_t)m.host, "learner.optimizer.states: host");
}

/* N(0, 0.02^2) is transformers' for a head that a directory lacks. */
static err_t begin_head(const struct recipe *recipe, enum recipe_critic_head head,
                        struct model *model)
{
    return head == RECIPE_CRITIC_NORMAL ? model_draw_value(model, (uint64_t)recipe->run.seed, 0.02)
                                        : OK;
}

/* A reward model's trunk is a policy's, or another reward model's with its head. Beside an adapter
 * a head that the directory lacks stays 0: the adapter has one that trains. */
static err_t load_first(const struct recipe *recipe, struct backend *be, const char *base,
                        struct model **ret, bool *ret_fresh)
{
    bool fresh = false;
    SCOPED(model) model = NULL;
    TRY(is_reward(recipe) ? model_load_critic(be, base, &model, &fresh)
                          : model_load(be, base, &model));
    if (fresh && !recipe_has_lora(recipe))
        TRY(begin_head(recipe, recipe->learner.reward_model.head, model));
    *ret = STEAL(model);
    *ret_fresh = fresh;
    return OK;
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
    TRY(fits_device(recipe, be, base));
    TRY(fit_model(be, base, lora ? 2 * sizeof(bf16) : EACH_BYTES,
                  "weights, optimizer and gradients"));
    bool fresh;
    TRY(load_first(recipe, be, base, &model, &fresh));
    TRY(model_keep_kv(model, (enum kv_format)recipe->model.kv));
    if (lora)
        TRY(err_wrap(load_adapter(recipe, base, is_checkpoint ? directory : NULL, model, &masters),
                     "lora"));
    if (lora && fresh && !masters)
        TRY(begin_head(recipe, recipe->learner.reward_model.head, model->adapter));
    return trainees_add(trainees, first_name(recipe), STEAL(model), &config, masters);
}

/* ---- the critic */

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
        TRY(begin_head(recipe, recipe->learner.critic.head, model));
    *ret = STEAL(model);
    *ret_directory = directory;
    return OK;
}

static err_t load_critic(const struct recipe *recipe, const char *checkpoint,
                         struct trainees *trainees)
{
    const struct optimizer_config config =
        load_optimizer(trainees_first(trainees)->model->be, &recipe->learner.critic.optimizer);
    const char *directory = NULL;
    SCOPED(model) model = NULL;
    TRY(err_wrap(
        make_critic(recipe, trainees_first(trainees)->model, checkpoint, &model, &directory),
        TRAINEE_CRITIC));
    return trainees_add(trainees, TRAINEE_CRITIC, STEAL(model), &config, directory);
}

/* ---- the reference */

/* Where the recipe says that it starts; another directory's tokens must be the policy's. */
static err_t reference_from(const struct recipe *recipe, const struct model *policy,
                            const char **ret)
{
    const char *path = recipe->learner.reference.path;
    *ret = *path ? path : recipe->model.path;
    return *path ? err_wrap(likelihood_comparable(recipe->model.path, path,
                                                  settings_longest(recipe, &policy->config)),
                            "learner.reference.path")
                 : OK;
}

/* One that moves has the policy's shapes. Its moments stay zeros. */
static err_t add_moving(const struct recipe *recipe, const char *directory, struct model *model,
                        struct trainees *trainees)
{
    SCOPED(model) owned = model;
    struct optimizer_config config = load_optimizer(model->be, &recipe->learner.optimizer);
    const struct digest mine = layout_digest(model->params->layout),
                        theirs = layout_digest(trainees_first(trainees)->model->params->layout);
    if (!digest_equal(&mine, &theirs))
        return err_new(ERR_INVALID,
                       "learner.reference.path: '%s' has other shapes than the "
                       "policy, towards which it is to move; allowed: kind: frozen",
                       directory);
    if (model->be->apart)
        config.states = STATES_HOST;
    return trainees_add_follower(trainees, TRAINEE_REFERENCE, STEAL(owned), &config, directory);
}

static err_t load_reference(const struct recipe *recipe, const char *checkpoint,
                            struct trainees *trainees)
{
    const struct model *policy = trainees_first(trainees)->model;
    const char *directory = checkpoint;
    SCOPED(model) model = NULL;
    if (recipe->learner.reference.kind == RECIPE_REFERENCE_NONE)
        return OK;
    if (!checkpoint)
        TRY(reference_from(recipe, policy, &directory));
    const bool moves = recipe_reference_moves(recipe);
    TRY(err_wrap(moves ? model_load(policy->be, directory, &model)
                       : model_load_compact(policy->be, directory, &model),
                 TRAINEE_REFERENCE));
    TRY(model_keep_kv(model, (enum kv_format)recipe->model.kv));
    if (moves)
        return add_moving(recipe, directory, STEAL(model), trainees);
    trainees->frozen = STEAL(model);
    return OK;
}

err_t load_trainees(const struct recipe *recipe, struct backend *be, const char *directory,
                    const struct trainee_digests *recorded, struct trainees *ret)
{
    SCOPED_MEM char *policy = recorded ? checkpoint_trainee(directory, recorded, first_name(recipe))
                                       : mem_string(directory);
    SCOPED_MEM char *critic =
        recorded ? checkpoint_trainee(directory, recorded, TRAINEE_CRITIC) : NULL;
    SCOPED_MEM char *reference = recorded && recipe_reference_moves(recipe)
                                     ? checkpoint_trainee(directory, recorded, TRAINEE_REFERENCE)
                                     : NULL;
    TRY(load_policy(recipe, be, policy, recorded != NULL, ret));
    if (has_critic(recipe))
        TRY(load_critic(recipe, critic, ret));
    return load_reference(recipe, reference, ret);
}
