/* The table of this instruction set's kernels. */
#include "tensor/cpu/isa.h"

#define ISA_TEXT_(isa) #isa
#define ISA_TEXT(isa)  ISA_TEXT_(isa)
#define KERNEL(name)   .name = ISA_NAME(name)

const struct cpu_kernels ISA_NAME(cpu_kernels) = {
    .name = ISA_TEXT(ISA),
    KERNEL(gemm),
    KERNEL(pack_weight),
    KERNEL(attention),
    KERNEL(attention_backward),
    KERNEL(embed),
    KERNEL(embed_backward),
    KERNEL(rmsnorm),
    KERNEL(rmsnorm_dx),
    KERNEL(rmsnorm_dweight),
    KERNEL(bias),
    KERNEL(bias_backward),
    KERNEL(rope),
    KERNEL(swiglu),
    KERNEL(swiglu_backward),
    KERNEL(add),
    KERNEL(token_logp),
    KERNEL(token_logp_backward),
    KERNEL(softmax),
    KERNEL(square_sum),
    KERNEL(adamw),
};
