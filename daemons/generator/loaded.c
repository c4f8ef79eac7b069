#include "generator/loaded.h"
#include "base/mem.h"
#include "tensor/digest.h"

struct digest loaded_digest(const struct model *model)
{
    enum { PIECE = 1 << 19 };
    const size_t elements = model->params->layout->elements;
    SCOPED_MEM bf16 *piece = mem_array(PIECE, sizeof *piece);
    struct digest sum = {0};
    for (size_t at = 0; at < elements; at += PIECE) {
        const size_t count = elements - at < PIECE ? elements - at : PIECE;
        model_copy(model, at, count, piece);
        sum = weights_digest_add(sum, weights_digest(piece, at, count));
    }
    return sum;
}

void loaded_values(void *model, uint16_t *ret)
{
    const struct model *from = model;
    model_copy(from, 0, from->params->layout->elements, ret);
}
