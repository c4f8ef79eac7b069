/* A reward model: transformers' ForSequenceClassification of one label, over prompt and completion
 * together. The model reads tokens, so its tokenizer must be the policy's. */
#include "base/mem.h"
#include "model/backend_recipe.h"
#include "model/files/fit.h"
#include "model/likelihood.h"
#include "model/scores.h"
#include "rewarder/scorer.h"
#include "svc/cell.h"
#include "svc/svc.h"
#include <string.h>

struct reward_model_keys {
    const char *path;
};
static const struct recipe_option keys[] = {
    STAGE_KEY(struct reward_model_keys, path, path, "",
              "absolute name of a Hugging Face directory of ForSequenceClassification with one "
              "label; its tokenizer is model.path's",
              .required = true),
};

struct reward_model {
    struct backend *be;
    struct model *model;
    struct scores *scores;
    int32_t *token; // (longest)
    int longest;
};

static void reward_model_free(struct reward_model *rm)
{
    if (!rm)
        return;
    scores_free(rm->scores);
    model_free(rm->model);
    backend_free(rm->be);
    mem_free(rm->token);
    mem_free(rm);
}
DEFINE_SCOPED(reward_model)

static err_t load(const struct recipe *recipe, const char *directory, struct reward_model *rm)
{
    const int64_t most = recipe->data.max_prompt_tokens + recipe->generator.max_tokens;
    struct backend_config config = backend_of_rewarder(recipe);
    config.told = svc_told_backend;
    TRY(likelihood_comparable(recipe->model.path, directory, (int)most));
    TRY(err_wrap(backend_open(NULL, &config, &rm->be), "rewarder.backend"));
    TRY(fit_model(rm->be, directory, sizeof(bf16), "a reward model's weights"));
    TRY(model_load_reward(rm->be, directory, &rm->model));
    rm->longest = config_context(&rm->model->config, recipe->data.max_prompt_tokens,
                                 recipe->generator.max_tokens);
    rm->token = mem_array((size_t)rm->longest, sizeof *rm->token);
    return scores_new(rm->model, rm->longest, &rm->scores);
}

static err_t reward_model_open(const struct stage_context *context, void **ret_state)
{
    const struct reward_model_keys *given = context->keys;
    SCOPED(reward_model) rm = mem_new(sizeof *rm);
    if (*given->path != '/')
        return err_new(ERR_INVALID, "path: '%s' is not absolute", given->path);
    TRY(recipe_require(context->recipe, "model.path"));
    TRY(err_wrap(load(context->recipe, given->path, rm), "path"));
    *ret_state = STEAL(rm);
    return OK;
}

static err_t score_one(struct reward_model *rm, const struct group *group, uint32_t i, double *ret)
{
    const struct completion *c = &group->completion[i];
    const size_t prompt = group->prompt_tokens, all = prompt + c->tokens;
    float score;
    if (all > (size_t)rm->longest)
        return err_new(ERR_RANGE, "%zu tokens with its prompt; at most %d fit", all, rm->longest);
    memcpy(rm->token, group->prompt_token, prompt * sizeof *rm->token);
    memcpy(rm->token + prompt, c->token, (size_t)c->tokens * sizeof *rm->token);
    TRY(scores_run(rm->scores, rm->token, (int)all, &score));
    *ret = (double)score;
    return OK;
}

static void reward_model_start(void *state, struct stage_call *call)
{
    double *to = group_add(call->added, COLUMN_SCORES, 1);
    err_t failed = OK;
    for (uint32_t i = 0; i < call->group->completions && !err_failed(failed); i++)
        if (call->stop && cell_get(call->stop) != 0)
            failed = err_new(ERR_DEADLINE, "stopped before completion %u", i);
        else
            failed = err_wrap(score_one(state, call->group, i, &to[i]), "completion %u", i);
    call->done(call, failed);
}

static void reward_model_close(void *state)
{
    reward_model_free(state);
}

const struct stage_class scorer_reward_model = {
    .name = "reward_model",
    .help = "The number of a model of one label for prompt and completion, read at the last token "
            "that is not its pad token.",
    .under = "rewarder.scorers",
    STAGE_KEYS(struct reward_model_keys, keys),
    .thread = STAGE_ALONE,
    .fills = STAGE_SCORES,
    .deadline_ms = 600000,
    .open = reward_model_open,
    .start = reward_model_start,
    .close = reward_model_close,
};
