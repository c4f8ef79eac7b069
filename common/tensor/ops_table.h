/* The names of all ops, in the order of struct backend_ops, which has their signatures and contracts.
 * A backend declares and lists its functions by it:
 *
 *     #define DECLARE(op) __typeof__(*((struct backend_ops *)0)->op) cpu_##op;
 *     BACKEND_OPS(DECLARE)
 *     #define ROW(op) .op = cpu_##op,
 *     static const struct backend_ops cpu_ops = {.name = "cpu", BACKEND_OPS(ROW)}; */
#pragma once
#include "tensor/backend.h"

// clang-format off
#define BACKEND_OPS(OP) \
    OP(memory_new) OP(memory_free) OP(put) OP(get) OP(copy) OP(zero) OP(capacity) \
    OP(host_new) OP(host_free) OP(page_in) OP(page_wait) OP(page_out) \
    OP(gather) OP(scatter_add) \
    OP(weights_new) OP(weight_put) OP(weight_repack) OP(weight_get) OP(weight_free) \
    OP(changes_new) OP(changes_add) OP(changes_apply) OP(changes_free) \
    OP(changes_list) OP(weight_change) \
    OP(matmul) OP(matmuls) OP(matmul_dx) OP(matmul_dw) \
    OP(embed) OP(embed_backward) OP(rmsnorm) OP(rmsnorm_backward) \
    OP(layernorm) OP(layernorm_backward) OP(bias) OP(bias_backward) OP(rope) \
    OP(swiglu) OP(swiglu_backward) OP(gelu) OP(gelu_backward) \
    OP(attention) OP(attention_backward) \
    OP(kv_new) OP(kv_copy) OP(kv_free) OP(add) OP(scale) OP(round_bf16) \
    OP(token_logp) OP(token_logp_backward) OP(row_terms) OP(row_terms_backward) \
    OP(token_mask) OP(token_draw) \
    OP(digest) OP(square_sum) OP(adamw) OP(step_begin) OP(step_end) OP(sync) OP(free)
// clang-format on

#define BACKEND_OP_COUNT(op) +1
_Static_assert(sizeof(struct backend_ops) == sizeof(void *) * (1 BACKEND_OPS(BACKEND_OP_COUNT)),
               "the table has every op once");

/* Those of them that a forward does not need. */
// clang-format off
#define BACKEND_TRAINING_OPS(OP) \
    OP(scatter_add) OP(matmul_dx) OP(matmul_dw) OP(embed_backward) OP(rmsnorm_backward) \
    OP(layernorm_backward) OP(bias_backward) OP(swiglu_backward) OP(gelu_backward) \
    OP(attention_backward) OP(token_logp_backward) OP(square_sum) OP(adamw)
// clang-format on
