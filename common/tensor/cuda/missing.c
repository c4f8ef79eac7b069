/* Ops that this version lacks, those of training: each is answered by its name. An op that comes
 * takes its row away. */
#include "tensor/cuda/cuda.h"

static err_t missing(const char *op)
{
    return err_new(ERR_UNIMPLEMENTED, "backend 'cuda' has no %s in this version", op);
}

/* OP(op, the types of its parameters after the backend) */
// clang-format off
#define MISSING_OPS(OP) \
    OP(attention_backward, float *, float *, float *, const float *, const float *, const float *, const float *, \
       const float *, const float *, const struct segment *, int, const struct attention_shape *)
// clang-format on

#define ANSWER(op, ...)                                                                            \
    err_t cuda_##op(struct backend *, __VA_ARGS__)                                                 \
    {                                                                                              \
        return missing(#op);                                                                       \
    }
MISSING_OPS(ANSWER)

const char *cuda_missing(void)
{
#define NAME(op, ...) " " #op
    static const char names[] = MISSING_OPS(NAME);
    return names + 1;
}
