/* For every *_isa.c: the lanes, our exp and log, and the kernels' names in this instruction set's
 * build. */
#pragma once
#include "tensor/cpu/exact_math.h"
#include "tensor/cpu/kernels.h"
#include "tensor/cpu/lanes.h"

/* Each with the signature of struct cpu_kernels. */
#define ISA_KERNEL(kernel) __typeof__(*((struct cpu_kernels *)0)->kernel) ISA_NAME(kernel);
CPU_KERNELS(ISA_KERNEL)

/* Rows x[0..count-1] (stride apart, D long) become columns start.. of panels [column/32][D][32]. */
void ISA_NAME(pack_columns)(float *panels, const float *x, size_t stride, int D, int start,
                            int count);
/* The same into B_PANELS_BF16. */
void ISA_NAME(pack_columns_bf16)(bf16 *panels, const float *x, size_t stride, int D, int start,
                                 int count);
