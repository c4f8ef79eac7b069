/* Ops that no other file defines yet: each is answered by its name. A file that defines cuda_NAME
 * takes the place of the one here, which is weak; its line may go then. */
#include "tensor/cuda/cuda.h"
#include <stdio.h>

static err_t missing(const char *op)
{
    return err_new(ERR_UNIMPLEMENTED, "backend 'cuda' has no %s in this version", op);
}

/* OP(op, the types of its parameters after the backend) */
// clang-format off
#define OPS_THAT_MAY_MISS(OP) \
    OP(gather, float *, const float *, const int32_t *, int, int) \
    OP(scatter_add, float *, const float *, const int32_t *, int, int) \
    \
    OP(weights_new, const struct weight_form *, int, struct weight **) \
    OP(weight_put, struct weight *, const bf16 *, int, int) \
    OP(weight_repack, struct weight *) \
    OP(weight_get, const struct weight *, size_t, size_t, bf16 *) \
    \
    OP(matmul, float *, const float *, const struct weight *, int, int) \
    OP(matmuls, const struct product *, int, const float *, int) \
    OP(matmul_dx, float *, const float *, const struct weight *, int, int) \
    OP(matmul_dw, float *, const float *, const float *, int, int, int) \
    \
    OP(embed, float *, const struct weight *, const int32_t *, int) \
    OP(embed_backward, float *, const float *, const int32_t *, int, int) \
    OP(rmsnorm, float *, float *, const float *, const bf16 *, float, int, int) \
    OP(rmsnorm_backward, float *, float *, const float *, const float *, const float *, const bf16 *, int, int) \
    OP(layernorm, float *, float *, const float *, const bf16 *, float, int, int) \
    OP(layernorm_backward, float *, float *, const float *, const float *, const float *, const bf16 *, int, int) \
    OP(bias, float *, const bf16 *, int, int) \
    OP(bias_backward, float *, const float *, int, int) \
    OP(rope, float *, const int32_t *, const float *, const float *, int, int, int, int, int) \
    OP(swiglu, float *, const float *, const float *, size_t) \
    OP(swiglu_backward, float *, float *, const float *, const float *, const float *, size_t) \
    OP(gelu, float *, const float *, size_t, int) \
    OP(gelu_backward, float *, const float *, const float *, size_t, int) \
    \
    OP(attention, float *, float *, const float *, const float *, const float *, const struct segment *, int, \
       const struct attention_shape *, int) \
    OP(attention_backward, float *, float *, float *, const float *, const float *, const float *, const float *, \
       const float *, const float *, const struct segment *, int, const struct attention_shape *) \
    OP(kv_new, int, const struct attention_shape *, enum kv_format, int, struct kv_pages **) \
    OP(kv_copy, struct kv_pages *, int32_t, int32_t) \
    \
    OP(add, float *, const float *, size_t) \
    OP(scale, float *, float, size_t) \
    OP(round_bf16, float *, size_t) \
    \
    OP(token_logp, float *, float *, const float *, const int32_t *, float, int, int) \
    OP(token_logp_backward, float *, const float *, const int32_t *, float, int, int) \
    OP(token_mask, float *, const struct token_range *, int, int, int) \
    OP(token_draw, const float *, int, int, const struct token_request *, int, struct token_draw *) \
    \
    OP(digest, const bf16 *, size_t, size_t, struct digest *) \
    OP(square_sum, const float *, size_t, double *) \
    OP(adamw, float *, bf16 *, float *, float *, const float *, size_t, size_t, const struct adamw_step *, \
       struct adamw_changes *)
// clang-format on

#define ANSWER(op, ...)                                                                            \
    static err_t missing_##op(struct backend *, __VA_ARGS__)                                       \
    {                                                                                              \
        return missing(#op);                                                                       \
    }                                                                                              \
    err_t cuda_##op(struct backend *, __VA_ARGS__) __attribute__((weak, alias("missing_" #op)));
OPS_THAT_MAY_MISS(ANSWER)

/* Nothing was made that could be freed. */
__attribute__((weak)) void cuda_weight_free(struct backend *, struct weight *)
{
}
__attribute__((weak)) void cuda_kv_free(struct backend *, struct kv_pages *)
{
}

static char missing_names[1024];

static const struct backend_ops *table;

static void name_missing(void)
{
    size_t used = 0;
#define NAME(op, ...)                                                                              \
    if (table->op == missing_##op)                                                                 \
        used += (size_t)snprintf(missing_names + used, sizeof missing_names - used, "%s%s",        \
                                 used ? " " : "", #op);
    OPS_THAT_MAY_MISS(NAME)
}

const char *cuda_missing(const struct backend_ops *ops)
{
    table = ops;
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, name_missing);
    return missing_names;
}
