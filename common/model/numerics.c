#include "model/numerics.h"
#include "base/mem.h"
#include <string.h>

static char *id_with_kv(const struct model *model, const char *of_backend)
{
    return mem_printf("%s kv=%s", of_backend, model->kv == KV_BF16 ? "bf16" : "fp32");
}

/* Only a backend that rounds has two forms of the head's products. */
static char *id_with_head(const struct model *model, const char *of_backend)
{
    SCOPED_MEM char *id = id_with_kv(model, of_backend);
    if (!model->be->rounds)
        return STEAL(id);
    return mem_printf("%s head=%s", id, model->be->round_head ? "bf16" : "float32");
}

/* Ids without a token change every softmax. Without any the id is as it always was. */
static char *id_with_model(const struct model *model, const char *of_backend)
{
    SCOPED_MEM char *id = id_with_head(model, of_backend);
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
    return id_with_head(model, model->be->forward.id);
}

/* The adapter that moves, and the weights that it moves beside. */
static char *id_with_adapter(const struct model *model, const char *whole)
{
    const struct digest layout = layout_digest(model->adapter->params->layout);
    char text[DIGEST_TEXT], base[DIGEST_TEXT];
    return mem_printf("%s adapter=%s scale=%.9g base=%s", whole, digest_text(&layout, text),
                      (double)lora_scale(&model->adapter->config.lora),
                      digest_text(&model->adapter->base->weights, base));
}

char *model_training_id(const struct model *model)
{
    const struct digest layout = layout_digest(model->params->layout);
    char text[DIGEST_TEXT];
    SCOPED_MEM char *id = id_with_model(model, model->be->training.id);
    SCOPED_MEM char *whole = mem_printf("%s layout=%s", id, digest_text(&layout, text));
    return model->adapter ? id_with_adapter(model, whole) : STEAL(whole);
}

bool model_same_forward(const struct model *model, const char *id)
{
    if (model->be->forward.repeats == NUMERICS_NONE)
        return false;
    SCOPED_MEM char *unnamed = id_with_kv(model, NUMERICS_OF_UNNAMED);
    SCOPED_MEM char *ours = model_forward_id(model);
    return strcmp(id && *id ? id : unnamed, ours) == 0;
}

void model_adapter_identity(const struct model *model,
                            void (*fn)(void *arg, const char *key, const char *value), void *arg)
{
    char digest[DIGEST_TEXT];
    if (!model->adapter)
        return;
    SCOPED_MEM char *scale = mem_printf("%.9g", (double)lora_scale(&model->adapter->config.lora));
    fn(arg, "lora.scale", scale);
    fn(arg, "model.weights", digest_text(&model->adapter->base->weights, digest));
}
