#include "model/numerics.h"
#include "base/mem.h"
#include <string.h>

static char *id_with_kv(const struct model *model, const char *of_backend)
{
    return mem_printf("%s kv=%s", of_backend, model->kv == KV_BF16 ? "bf16" : "fp32");
}

/* Ids without a token change every softmax. Without any the id is as it always was. */
static char *id_with_model(const struct model *model, const char *of_backend)
{
    SCOPED_MEM char *id = id_with_kv(model, of_backend);
    int vacant = 0;
    for (int i = 0; i < model->vacants; i++)
        vacant += model->vacant[i].count;
    return vacant ? mem_printf("%s vacant=%d", id, vacant) : STEAL(id);
}

char *model_forward_id(const struct model *model)
{
    return id_with_model(model, model->be->forward.id);
}

char *model_arithmetic_id(const struct model *model)
{
    return id_with_kv(model, model->be->forward.id);
}

char *model_training_id(const struct model *model)
{
    const struct digest layout = layout_digest(model->params->layout);
    char text[DIGEST_TEXT];
    SCOPED_MEM char *id = id_with_model(model, model->be->training.id);
    return mem_printf("%s layout=%s", id, digest_text(&layout, text));
}

bool model_same_forward(const struct model *model, const char *id)
{
    if (model->be->forward.repeats == NUMERICS_NONE)
        return false;
    SCOPED_MEM char *unnamed = id_with_kv(model, NUMERICS_OF_UNNAMED);
    SCOPED_MEM char *ours = model_forward_id(model);
    return strcmp(id && *id ? id : unnamed, ours) == 0;
}
