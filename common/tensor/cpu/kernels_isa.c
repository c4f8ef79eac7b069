/* The table of this instruction set's kernels. */
#include "tensor/cpu/isa.h"

#define ISA_TEXT_(isa)   #isa
#define ISA_TEXT(isa)    ISA_TEXT_(isa)
#define KERNEL_ROW(name) .name = ISA_NAME(name),

const struct cpu_kernels ISA_NAME(cpu_kernels) = {.name = ISA_TEXT(ISA), CPU_KERNELS(KERNEL_ROW)};
