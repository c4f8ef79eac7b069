/* The CPU's ops as one table, and the way in: which instruction set, what numerics. */
#include "tensor/cpu/open.h"
#include "base/cpus.h"
#include "base/mem.h"
#include "tensor/cpu/cpu.h"
#include <stdlib.h>
#include <string.h>

#define CPU_ROW(op) .op = cpu_##op,
static const struct backend_ops cpu_ops = {.name = "cpu", BACKEND_OPS(CPU_ROW)};

/* The machine's instruction sets; and the state of its arithmetic, which the exactness rests on. */
#if defined(HAVE_X86_ISA)
static bool machine_has(enum cpu_isa isa)
{
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                      __builtin_cpu_supports("bmi2");
    if (isa == CPU_ISA_AVX2)
        return avx2;
    return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}
static bool rounding_is_standard(void)
{
    return (__builtin_ia32_stmxcsr() & 0xffc0) ==
           0x1f80; // nearest, nothing flushed to zero, no traps
}
static const struct cpu_kernels *const kernels_of[] = {
    [CPU_ISA_PORTABLE] = &cpu_kernels_portable,
    [CPU_ISA_AVX2] = &cpu_kernels_avx2,
    [CPU_ISA_AVX512] = &cpu_kernels_avx512,
};
#else
static bool machine_has(enum cpu_isa isa)
{
    (void)isa;
    return false;
}
static bool rounding_is_standard(void)
{
    return true;
}
static const struct cpu_kernels *const kernels_of[] = {
    [CPU_ISA_PORTABLE] = &cpu_kernels_portable,
    [CPU_ISA_AVX2] = NULL,
    [CPU_ISA_AVX512] = NULL,
};
#endif

static const char *const isa_names[] = {
    [CPU_ISA_PORTABLE] = "portable", [CPU_ISA_AVX2] = "avx2", [CPU_ISA_AVX512] = "avx512"};

/* BEST becomes what RLHFD_ISA says, else the best there is. */
static err_t choose_isa(enum cpu_isa asked, enum cpu_isa *ret)
{
    const char *text = getenv("RLHFD_ISA");
    if (asked == CPU_ISA_BEST && text && *text) {
        for (int isa = CPU_ISA_PORTABLE; isa <= CPU_ISA_AVX512; isa++)
            if (!strcmp(text, isa_names[isa]))
                asked = (enum cpu_isa)isa;
        if (asked == CPU_ISA_BEST)
            return err_new(ERR_INVALID, "RLHFD_ISA='%s': portable, avx2 or avx512", text);
    }
    if (asked == CPU_ISA_BEST)
        asked = machine_has(CPU_ISA_AVX512) ? CPU_ISA_AVX512
                : machine_has(CPU_ISA_AVX2) ? CPU_ISA_AVX2
                                            : CPU_ISA_PORTABLE;
    if (asked != CPU_ISA_PORTABLE && !machine_has(asked))
        return err_new(ERR_UNIMPLEMENTED, "this machine has no %s", isa_names[asked]);
    *ret = asked;
    return OK;
}

/* Raise the revision with every change of an op's order of operations: recorded rounds are not
 * trained again across it. Threads and instruction set change no bit. */
#define KERNEL_REVISION "2"
static const struct numerics numerics = {NUMERICS_EXACT, "backend=cpu kernels=" KERNEL_REVISION};

err_t cpu_open(const struct backend_config *config, struct backend **ret)
{
    enum { MAX_THREADS = 1024 };
    enum cpu_isa isa = config->isa;
    cpu_set_t cpus;
    if (config->threads < 1 || config->threads > MAX_THREADS)
        return err_new(ERR_INVALID, "threads=%d: 1..%d", config->threads, MAX_THREADS);
    TRY(err_wrap(cpus_usable(config->cpus ? config->cpus : "", &cpus), "cpus"));
    TRY(choose_isa(config->isa, &isa));
    if (!rounding_is_standard())
        return err_new(ERR_PRECONDITION,
                       "the thread's floating-point mode was changed: results would not be exact");
    struct cpu *cpu = mem_new(sizeof *cpu);
    cpu->base.ops = &cpu_ops;
    cpu->base.forward = cpu->base.training = numerics;
    cpu->kernels = kernels_of[isa];
    cpu->pool = pool_new(config->threads, CPU_COUNT(&cpus) ? &cpus : NULL);
    cpu->scratch = mem_array((size_t)config->threads, sizeof *cpu->scratch);
    cpu_reserve(cpu, GEMM_SCRATCH);
    *ret = &cpu->base;
    return OK;
}
