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
    OP(scatter_add, float *, const float *, const int32_t *, int, int) \
    OP(matmul_dx, float *, const float *, const struct weight *, int, int) \
    OP(matmul_dw, float *, const float *, const float *, int, int, int, const struct row_cuts *) \
    OP(embed_backward, float *, const float *, const int32_t *, int, int) \
    OP(rmsnorm_backward, float *, float *, const float *, const float *, const float *, const bf16 *, int, int) \
    OP(layernorm_backward, float *, float *, const float *, const float *, const float *, const bf16 *, int, int) \
    OP(bias_backward, float *, const float *, int, int) \
    OP(swiglu_backward, float *, float *, const float *, const float *, const float *, size_t) \
    OP(gelu_backward, float *, const float *, const float *, size_t, int) \
    OP(attention_backward, float *, float *, float *, const float *, const float *, const float *, const float *, \
       const float *, const float *, const struct segment *, int, const struct attention_shape *) \
    OP(token_logp_backward, float *, const float *, const int32_t *, float, int, int) \
    OP(square_sum, const float *, size_t, double *) \
    OP(adamw, float *, bf16 *, float *, float *, const float *, size_t, size_t, const struct adamw_step *, \
       uint32_t *, struct adamw_total *)
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
