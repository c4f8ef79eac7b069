#include "generator/loaded.h"
#include "base/log.h"

void loaded_values(void *model, uint16_t *ret)
{
    const struct model *from = model;
    err_t failed = model_copy(from, 0, from->params->layout->elements, ret);
    if (err_failed(failed))
        log_error("the loaded weights cannot be read", "why=\"%s\"", err_message(failed));
    err_free(failed);
}
