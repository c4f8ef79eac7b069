#include "rewarder/reference.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "model/likelihood.h"
#include "model/sampler.h"
#include "svc/metrics.h"
#include <stdlib.h>

struct reference {
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

/* What the recipe allows, if the policy can: the generator and the learner bound sequences alike. */
static int longest(const struct recipe *recipe, const struct model_config *config)
{
    int64_t most = recipe->data.max_prompt_tokens + recipe->generator.max_tokens;
    return most < config->max_positions ? (int)most : config->max_positions;
}

static err_t load(const struct recipe *recipe, const char *directory, struct reference *ref)
{
    int64_t most = recipe->data.max_prompt_tokens + recipe->generator.max_tokens;
    TRY(likelihood_comparable(recipe->model.path, directory, (int)most));
    TRY(backend_cpu_new(&(struct cpu_config){.threads = (int)recipe->rewarder.threads}, &ref->be));
    TRY(model_load(ref->be, directory, &ref->model));
    ref->model->kv = (enum kv_format)recipe->model.kv;
    return likelihood_new(ref->model, (int)recipe->learner.micro_tokens,
                          longest(recipe, &ref->model->config), &ref->likelihood);
}

err_t reference_open(const struct recipe *recipe, struct reference **ret)
{
    if (recipe->rewarder.reference == RECIPE_NO_REFERENCE) {
        *ret = NULL;
        return OK;
    }
    metrics_register(rows, sizeof rows / sizeof *rows);
    TRY(recipe_require(recipe, "model.path"));
    const char *directory =
        *recipe->rewarder.reference_path ? recipe->rewarder.reference_path : recipe->model.path;
    SCOPED(reference) ref = mem_new(sizeof *ref);
    TRY(err_wrap(load(recipe, directory, ref), "%s: rewarder.reference", recipe->file));
    log_info("reference model", "directory=\"%s\" parameters=%zu", directory,
             ref->model->params->layout->parameters);
    *ret = STEAL(ref);
    return OK;
}

/* ret (targets of all completions); the caller's. */
static err_t compute(struct reference *ref, const struct group *group, float *ret)
{
    SCOPED_MEM struct sequence *sequence = mem_array(group->completions, sizeof *sequence);
    for (uint32_t i = 0; i < group->completions; i++)
        sequence[i] = (struct sequence){.prompt = group->prompt_token,
                                        .token = group->completion[i].token,
                                        .prompt_tokens = (int)group->prompt_tokens,
                                        .tokens = (int)group->completion[i].tokens,
                                        .context = (int)group->prompt_tokens};
    struct sampling sampling = {.temperature = group->temperature}; // 0: a greedy evaluation
    return likelihood_run(ref->likelihood, sequence, group->completions,
                          sampling_inverse(&sampling), ret);
}

err_t reference_group(struct reference *ref, struct group *group)
{
    uint64_t all = group_tokens(group);
    SCOPED_MEM float *logp = mem_array(all, sizeof *logp);
    double begun = clock_s();
    TRY(err_wrap(compute(ref, group, logp), "reference model"));
    metric_observe(&seconds, clock_s() - begun);
    metric_add(&tokens, (double)all);
    const float *from = logp;
    for (uint32_t i = 0; i < group->completions; i++) {
        struct completion *c = &group->completion[i];
        free(c->reference_logp);
        c->reference_logp = mem_copy(from, c->tokens * sizeof *from);
        from += c->tokens;
    }
    return OK;
}

void reference_free(struct reference *ref)
{
    if (!ref)
        return;
    likelihood_free(ref->likelihood);
    model_free(ref->model);
    backend_free(ref->be);
    mem_free(ref);
}
