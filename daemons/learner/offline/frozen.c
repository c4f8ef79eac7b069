#include "learner/offline/frozen.h"
#include "base/log.h"
#include "base/mem.h"
#include "model/adapter.h"
#include "model/files/fit.h"
#include <string.h>

struct frozen {
    struct model *model;
    struct likelihood *likelihood;
};

err_t frozen_open(const struct recipe *recipe, struct backend *be, const char *directory,
                  struct frozen **ret)
{
    const int64_t most = recipe->data.max_prompt_tokens + recipe->generator.max_tokens;
    SCOPED_MEM char *under = NULL;
    SCOPED(frozen) frozen = mem_new(sizeof *frozen);
    TRY(adapter_under(directory, &under));
    TRY(likelihood_comparable(recipe->model.path, under, (int)most));
    TRY(fit_model(be, under, sizeof(bf16), "the reference's weights"));
    TRY(adapter_open(be, directory, true, &frozen->model));
    TRY(model_keep_kv(frozen->model, (enum kv_format)recipe->model.kv));
    TRY(likelihood_new(frozen->model, (int)recipe->learner.micro_tokens,
                       config_context(&frozen->model->config, recipe->data.max_prompt_tokens,
                                      recipe->generator.max_tokens),
                       &frozen->likelihood));
    log_info("reference model", "directory=\"%s\"", directory);
    *ret = STEAL(frozen);
    return OK;
}

err_t frozen_logp(void *frozen, const struct sequence *sequence, size_t count,
                  float inverse_temperature, float *ret)
{
    struct likelihood *likelihood = ((struct frozen *)frozen)->likelihood;
    return err_wrap(likelihood_run(likelihood, sequence, count, inverse_temperature, ret),
                    "reference model");
}

err_t frozen_fill(struct frozen *frozen, struct group *group)
{
    SCOPED_MEM struct sequence *sequence = mem_array(group->completions, sizeof *sequence);
    SCOPED_MEM float *logp = mem_array(group_tokens(group), sizeof *logp);
    for (uint32_t i = 0; i < group->completions; i++)
        sequence[i] = (struct sequence){.prompt = group->prompt_token,
                                        .token = group->completion[i].token,
                                        .prompt_tokens = (int)group->prompt_tokens,
                                        .tokens = (int)group->completion[i].tokens,
                                        .context = (int)group->prompt_tokens};
    TRY(frozen_logp(frozen, sequence, group->completions, 1.0f / group->temperature, logp));
    memcpy(group_add(group, COLUMN_REFERENCE_LOGP, 1), logp, group_tokens(group) * sizeof *logp);
    return OK;
}

void frozen_free(struct frozen *frozen)
{
    if (!frozen)
        return;
    likelihood_free(frozen->likelihood);
    model_free(frozen->model);
    mem_free(frozen);
}
