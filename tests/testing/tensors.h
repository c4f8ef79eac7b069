/* Shared by tests of tensor ops: seeded numbers, guarded memory, comparison of bits, every backend
 * there is.
 *
 *     float *x = guarded(N * C * sizeof *x);    -- the byte after it faults; guarded_free_all() frees
 *     guard_before = true;                      -- from here on the byte before it does
 *     fill(x, N * C, 7, 1.0);
 *     for (int i = 0; i < all_backends(); i++) op(backend_at(i), ...); */
#pragma once
#include "base/rng.h"
#include "tensor/buffer.h"
#include "testing/testing.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { GUARDS_MAX = 4096, PAGE = 4096, SLACK_BYTE = 0xa5 };
static struct guard {
    char *start, *slack; // slack: what is left of the pages, before the memory or behind it
    size_t size, slack_bytes;
    char *memory; // as asked for
    size_t bytes;
    struct buffer mirror; // of a backend whose memory the host cannot read
    bool lent;            // to the op under way
} guards[GUARDS_MAX];
static int guard_count;
static bool guard_before;

/* Memory between two unreadable pages, up against the one behind it or the one before. Zeroed. */
static inline void *guarded(size_t bytes)
{
    const size_t inside = (bytes + PAGE - 1) / PAGE * PAGE, size = inside + 2 * PAGE;
    assert_true(guard_count < GUARDS_MAX);
    char *start = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(start != MAP_FAILED);
    assert_int_equal(mprotect(start, PAGE, PROT_NONE), 0);
    assert_int_equal(mprotect(start + size - PAGE, PAGE, PROT_NONE), 0);
    char *first = start + PAGE, *memory = guard_before ? first : first + inside - bytes;
    char *slack = guard_before ? first + bytes : first;
    memset(slack, SLACK_BYTE, inside - bytes);
    guards[guard_count++] = (struct guard){.start = start,
                                           .slack = slack,
                                           .size = size,
                                           .slack_bytes = inside - bytes,
                                           .memory = memory,
                                           .bytes = bytes};
    return memory;
}

/* On the side that does not fault, nothing was written either. */
static inline void guarded_free_all(void)
{
    while (guard_count > 0) {
        struct guard *guard = &guards[--guard_count];
        buffer_done(&guard->mirror);
        for (size_t i = 0; i < guard->slack_bytes; i++)
            assert_int_equal((uint8_t)guard->slack[i], SLACK_BYTE);
        munmap(guard->start, guard->size);
    }
}

/* Where an op finds guarded memory: in place, or, with a backend whose memory the host cannot read,
 * in a buffer with the same contents. run_op() brings back what the op wrote.
 *
 *     run_op(be->ops->add(be, ON(be, y), ON(be, x), N)); */
#define ON(be, p) ((__typeof__(p))mirror_of((be), (p)))
static inline void *mirror_of(struct backend *be, const void *p)
{
    const char *at = p;
    if (!p || !strcmp(be->ops->name, "cpu"))
        return (void *)p;
    for (int i = 0; i < guard_count; i++) {
        struct guard *guard = &guards[i];
        if (at < guard->memory || at > guard->memory + guard->bytes)
            continue;
        if (!guard->mirror.address)
            assert_ok(buffer_alloc(be, guard->bytes, &guard->mirror));
        assert_ok(buffer_put(&guard->mirror, 0, guard->memory, guard->bytes));
        guard->lent = true;
        return (char *)guard->mirror.address + (at - guard->memory);
    }
    fail_msg("memory that is not guarded");
    return NULL;
}
#define run_op(call)                                                                               \
    do {                                                                                           \
        assert_ok(call);                                                                           \
        mirrors_back();                                                                            \
    } while (0)
static inline void mirrors_back(void)
{
    for (int i = 0; i < guard_count; i++)
        if (guards[i].lent) {
            assert_ok(buffer_get(&guards[i].mirror, 0, guards[i].bytes, guards[i].memory));
            guards[i].lent = false;
        }
}

/* Uniform in [-scale, scale), the same for one seed. */
static inline void fill(float *x, size_t count, uint64_t seed, double scale)
{
    const struct rng rng = rng_keyed(seed, RNG_TEST, 0, 0);
    for (size_t i = 0; i < count; i++)
        x[i] = (float)((2 * rng_uniform(&rng, i) - 1) * scale);
}
static inline void fill_bf16(bf16 *x, size_t count, uint64_t seed, double scale)
{
    const struct rng rng = rng_keyed(seed, RNG_TEST, 1, 0);
    for (size_t i = 0; i < count; i++)
        x[i] = bf16_from_float((float)((2 * rng_uniform(&rng, i) - 1) * scale));
}
static inline void fill_tokens(int32_t *x, size_t count, uint64_t seed, int V)
{
    const struct rng rng = rng_keyed(seed, RNG_TEST, 2, 0);
    for (size_t i = 0; i < count; i++)
        x[i] = (int32_t)rng_below(&rng, i, (uint64_t)V);
}

static inline float *floats(size_t count, uint64_t seed, double scale)
{
    float *x = guarded(count * sizeof *x);
    fill(x, count, seed, scale);
    return x;
}
static inline bf16 *bf16s(size_t count, uint64_t seed, double scale)
{
    bf16 *x = guarded(count * sizeof *x);
    fill_bf16(x, count, seed, scale);
    return x;
}
static inline int32_t *tokens(size_t count, uint64_t seed, int V)
{
    int32_t *x = guarded(count * sizeof *x);
    fill_tokens(x, count, seed, V);
    return x;
}

/* W (N,K): row-major where it lies, and packed. */
static inline struct weight *weight_of(struct backend *be, bf16 *rows, int N, int K)
{
    struct weight *weight = NULL;
    const struct weight_form form = {.N = N, .K = K, .rows = rows, .packed = true};
    assert_ok(be->ops->weights_new(be, &form, 1, &weight));
    assert_ok(be->ops->weight_repack(be, weight));
    return weight;
}

/* Packed alone; zeros. */
static inline err_t packed_new(struct backend *be, int N, int K, struct weight **ret)
{
    const struct weight_form form = {.N = N, .K = K, .packed = true};
    return be->ops->weights_new(be, &form, 1, ret);
}

#define assert_same_bits(a, b, bytes, what) same_bits((a), (b), (bytes), (what), __FILE__, __LINE__)
static inline void same_bits(const void *a, const void *b, size_t bytes, const char *what,
                             const char *file, int line)
{
    const uint8_t *p = a, *q = b;
    for (size_t i = 0; i < bytes; i++)
        if (p[i] != q[i]) {
            print_error("%s: byte %zu of %zu differs\n", what, i, bytes);
            _fail(file, line);
        }
}

/* Every instruction set of this machine with 1, 2 and 3 threads; index 0 is the specification:
 * portable, 1 thread. */
static struct backend *backends[10];
static char backend_names[10][32];
static int backend_count;

static inline int all_backends(void)
{
    static const char *const names[] = {"", "portable", "avx2", "avx512"};
    for (int isa = CPU_ISA_PORTABLE; isa <= CPU_ISA_AVX512 && backend_count < 9; isa++)
        for (int threads = 1; threads <= 3; threads++) {
            const struct backend_config config = {.threads = threads, .isa = (enum cpu_isa)isa};
            err_t e = backend_open("cpu", &config, &backends[backend_count]);
            if (err_code(e) == ERR_UNIMPLEMENTED) {
                err_free(e);
                continue;
            }
            assert_ok(e);
            snprintf(backend_names[backend_count++], sizeof backend_names[0], "%s/%d", names[isa],
                     threads);
        }
    return backend_count;
}
/* One more: the memory of which nobody can touch. Its ops take ON() addresses. */
static inline void add_opaque_backend(void)
{
    assert_ok(
        backend_open("opaque", &(struct backend_config){.threads = 2}, &backends[backend_count]));
    snprintf(backend_names[backend_count++], sizeof backend_names[0], "opaque/2");
}
static inline void free_backends(void)
{
    while (backend_count > 0)
        backend_free(backends[--backend_count]);
}
