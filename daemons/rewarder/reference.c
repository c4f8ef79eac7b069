#include "rewarder/reference.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "model/backend_recipe.h"
#include "model/engine/sampling.h"
#include "model/files/fit.h"
#include "model/likelihood.h"
#include "model/numerics.h"
#include "rl/pairs.h"
#include "svc/metrics.h"
#include "svc/svc.h"
#include <string.h>

struct reference {
    const struct recipe *recipe;
    struct backend *be;
    struct model *model;
    struct likelihood *likelihood;
};

static struct metric tokens =
    METRIC_COUNTER("rlhfd_reference_tokens_total", "completion tokens seen by the reference model");
static struct metric seconds =
    METRIC_HISTOGRAM("rlhfd_reference_seconds", "forward of the reference model over one group",
                     0.001, 0.01, 0.1, 1, 10);
static struct metric *const rows[] = {&tokens, &seconds};

static err_t load(const struct recipe *recipe, const char *directory, struct reference *ref)
{
    int64_t most = recipe->data.max_prompt_tokens + recipe->generator.max_tokens;
    TRY(likelihood_comparable(recipe->model.path, directory, (int)most));
    struct backend_config backend = backend_of_rewarder(recipe);
    backend.told = svc_told_backend;
    TRY(err_wrap(backend_open(NULL, &backend, &ref->be), "rewarder.backend"));
    TRY(fit_model(ref->be, directory, sizeof(bf16), "the reference's weights"));
    TRY(model_load_compact(ref->be, directory, &ref->model));
    TRY(model_keep_kv(ref->model, (enum kv_format)recipe->model.kv));
    return likelihood_new(ref->model, (int)recipe->learner.micro_tokens,
                          config_context(&ref->model->config, recipe->data.max_prompt_tokens,
                                         recipe->generator.max_tokens),
                          &ref->likelihood);
}

static void reference_free(struct reference *ref)
{
    if (!ref)
        return;
    likelihood_free(ref->likelihood);
    model_free(ref->model);
    backend_free(ref->be);
    mem_free(ref);
}
DEFINE_SCOPED(reference)

static err_t open_reference(const struct stage_context *context, void **ret_state)
{
    const struct recipe *recipe = context->recipe;
    metrics_register(rows, sizeof rows / sizeof *rows);
    TRY(recipe_require(recipe, "model.path"));
    const char *directory =
        *recipe->rewarder.reference_path ? recipe->rewarder.reference_path : recipe->model.path;
    SCOPED(reference) ref = mem_new(sizeof *ref);
    ref->recipe = recipe;
    TRY(load(recipe, directory, ref));
    log_info("reference model", "directory=\"%s\" parameters=%zu", directory,
             ref->model->params->layout->parameters);
    *ret_state = STEAL(ref);
    return OK;
}

/* The completions that are wanted, in ascending order; returns how many. Of training pairs only the
 * two: which they are follows from the rewards, here as in the learner. */
static uint32_t wanted(const struct reference *ref, const struct group *group, uint32_t *ret)
{
    const struct recipe_dpo *dpo = &ref->recipe->learner.dpo;
    uint32_t count = 0;
    if (group->evaluation || !recipe_refers_to_pairs(ref->recipe)) {
        for (uint32_t i = 0; i < group->completions; i++)
            ret[count++] = i;
        return count;
    }
    SCOPED_MEM double *reward = mem_array(group->completions, sizeof *reward);
    struct rl_pair pair;
    for (uint32_t i = 0; i < group->completions; i++)
        reward[i] = group_value(group, COLUMN_REWARD, i);
    if (!rl_pair_of(reward, group->completions, dpo->margin, dpo->ties == RECIPE_TIES_FIRST, &pair))
        return 0;
    ret[count++] = (uint32_t)(pair.chosen < pair.rejected ? pair.chosen : pair.rejected);
    ret[count++] = (uint32_t)(pair.chosen < pair.rejected ? pair.rejected : pair.chosen);
    return count;
}

/* ret: targets of the wanted completions. */
static err_t compute(struct reference *ref, const struct group *group, const uint32_t *want,
                     uint32_t count, float *ret)
{
    SCOPED_MEM struct sequence *sequence = mem_array(count, sizeof *sequence);
    for (uint32_t i = 0; i < count; i++)
        sequence[i] = (struct sequence){.prompt = group->prompt_token,
                                        .token = group->completion[want[i]].token,
                                        .prompt_tokens = (int)group->prompt_tokens,
                                        .tokens = (int)group->completion[want[i]].tokens,
                                        .context = (int)group->prompt_tokens};
    struct sampling sampling = {.temperature = group->temperature}; // 0: a greedy evaluation
    return likelihood_run(ref->likelihood, sequence, count, sampling_inverse(&sampling), ret);
}

static err_t refer(struct reference *ref, struct stage_call *call)
{
    const struct group *group = call->group;
    SCOPED_MEM uint32_t *want = mem_array(group->completions, sizeof *want);
    SCOPED_MEM float *logp = mem_array(group_tokens(group), sizeof *logp);
    uint32_t count = wanted(ref, group, want);
    double begun = clock_s();
    if (count)
        TRY(err_wrap(compute(ref, group, want, count, logp), "reference model"));
    metric_observe(&seconds, clock_s() - begun);
    size_t computed = 0;
    for (uint32_t i = 0; i < count; i++)
        computed += group->completion[want[i]].tokens;
    if (count)
        memcpy(group_add_some(call->added, COLUMN_REFERENCE_LOGP, want, count), logp,
               computed * sizeof *logp);
    metric_add(&tokens, (double)computed);
    return OK;
}

static void start(void *state, struct stage_call *call)
{
    call->done(call, refer(state, call));
}

static void close_reference(void *state)
{
    reference_free(state);
}

/* Which pair is trained follows from the rewards. */
static uint64_t needs(const struct recipe *recipe)
{
    return recipe_refers_to_pairs(recipe) ? COLUMN_BIT(COLUMN_REWARD) : 0;
}

static char *forward_id(const void *state)
{
    const struct reference *ref = state;
    return model_forward_id(ref->model);
}

const struct stage_class reference_frozen = {
    .name = "frozen",
    .help = "Log-probabilities of the tokens under a model that does not move: "
            "`rewarder.reference_path`, or `model.path`.",
    .under = "rewarder.reference",
    .thread = STAGE_ALONE,
    .fills = COLUMN_BIT(COLUMN_REFERENCE_LOGP),
    .needs = needs,
    .deadline_ms = 600000,
    .open = open_reference,
    .start = start,
    .close = close_reference,
    .forward_id = forward_id,
};
