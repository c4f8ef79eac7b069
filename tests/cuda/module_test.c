/* The module opens. Its memory is filled, copied and read, by its owner and by other threads. */
#include "base/mem.h"
#include "cuda/module.h"
#include "tensor/buffer.h"
#include <math.h>
#include <pthread.h>
#include <string.h>

enum { BYTES = (5 << 20) + 77 }; // several parts of the ring, and of the reader's memory

static unsigned char pattern(size_t i)
{
    return (unsigned char)(i * 2654435761u >> 13);
}

static unsigned char *patterned(void)
{
    unsigned char *bytes = mem_new(BYTES);
    for (size_t i = 0; i < BYTES; i++)
        bytes[i] = pattern(i);
    return bytes;
}

static void assert_pattern(const unsigned char *bytes, size_t first, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (bytes[i] != pattern(first + i))
            fail_msg("byte %zu is %d, not %d", first + i, bytes[i], pattern(first + i));
}

static void memory_is_zeroed_filled_copied_and_read(void **state)
{
    (void)state;
    SCOPED(backend) be = cuda_module_open();
    SCOPED_MEM unsigned char *bytes = patterned(), *got = mem_new(BYTES);
    SCOPED_VALUE(buffer) a = {0}, b = {0};
    assert_ok(buffer_alloc(be, BYTES, &a));
    assert_ok(buffer_alloc(be, BYTES, &b));
    assert_ok(buffer_get(&a, 0, BYTES, got));
    for (size_t i = 0; i < BYTES; i++)
        assert_int_equal(got[i], 0);
    assert_ok(buffer_put(&a, 3, bytes + 3, BYTES - 3));
    memset(bytes, 0, BYTES); // the memory is the caller's again
    assert_ok(be->ops->copy(be, (char *)b.address + 7, (char *)a.address + 7, BYTES - 8));
    assert_ok(be->ops->zero(be, a.address, BYTES));
    assert_ok(buffer_get(&b, 7, BYTES - 8, got));
    assert_pattern(got, 7, BYTES - 8);
    assert_ok(buffer_get(&b, 0, BYTES, got));
    assert_true(got[6] == 0 && got[BYTES - 1] == 0);
    assert_ok(buffer_get(&a, 0, BYTES, got));
    assert_true(got[3] == 0 && got[BYTES - 1] == 0);
    assert_ok(be->ops->sync(be));
    assert_true(be->ops->capacity(be, NULL) > BYTES);
}

struct reading {
    const struct buffer *from;
    err_t e;
    unsigned char got[BYTES];
};

static void *read_it(void *data)
{
    struct reading *reading = data;
    reading->e = buffer_get(reading->from, 0, BYTES, reading->got);
    return NULL;
}

/* Each sees what was put before, though nobody waited. */
static void any_thread_reads(void **state)
{
    (void)state;
    enum { READERS = 3 };
    cuda_module_seed("1"); // a stream that does not wait for another runs before it
    SCOPED(backend) be = cuda_module_open();
    SCOPED_MEM unsigned char *bytes = patterned();
    SCOPED_VALUE(buffer) a = {0}, other = {0};
    pthread_t thread[READERS];
    struct reading *reading[READERS];
    assert_ok(buffer_alloc(be, BYTES, &a));
    assert_ok(buffer_alloc(be, BYTES, &other));
    assert_ok(buffer_put(&a, 0, bytes, BYTES));
    for (int i = 0; i < READERS; i++) {
        reading[i] = mem_new(sizeof *reading[i]);
        reading[i]->from = &a;
        assert_int_equal(pthread_create(&thread[i], NULL, read_it, reading[i]), 0);
    }
    assert_ok(buffer_put(&other, 0, bytes, BYTES)); // the owner goes on
    for (int i = 0; i < READERS; i++) {
        pthread_join(thread[i], NULL);
        assert_ok(reading[i]->e);
        assert_pattern(reading[i]->got, 0, BYTES);
        mem_free(reading[i]);
    }
}

/* Masks every second token, from `odd` on, by an array that the caller overwrites at once. */
static void mask_half(struct backend *be, float *logits, int V, int odd)
{
    const int count = (V - odd + 1) / 2;
    SCOPED_MEM struct token_range *range = mem_array((size_t)count, sizeof *range);
    for (int i = 0; i < count; i++)
        range[i] = (struct token_range){2 * i + odd, 1};
    assert_ok(be->ops->token_mask(be, logits, range, count, 1, V));
    memset(range, 0, (size_t)count * sizeof *range);
}

static void assert_half(const float *logits, int V, int odd)
{
    for (int v = 0; v < V; v++)
        if ((isinf(logits[v]) != 0) != (v >= odd && (v - odd) % 2 == 0))
            fail_msg("token %d of %d, from %d on: %g", v, V, odd, (double)logits[v]);
}

/* Arrays of the host go round the ring more than once, and one is larger than a part of it. */
static void arrays_of_the_host_are_staged(void **state)
{
    (void)state;
    enum { ROUNDS = 12, SMALL = 2000, LARGE = 132000, BETWEEN = 700000 };
    cuda_module_seed("1");
    SCOPED(backend) be = cuda_module_open();
    SCOPED_VALUE(buffer) all = {0}, large = {0}, other = {0};
    SCOPED_MEM unsigned char *bytes = patterned();
    SCOPED_MEM float *got = mem_array(LARGE, sizeof *got);
    assert_ok(buffer_alloc(be, (size_t)ROUNDS * SMALL * sizeof *got, &all));
    assert_ok(buffer_alloc(be, LARGE * sizeof *got, &large));
    assert_ok(buffer_alloc(be, BETWEEN, &other));
    for (int i = 0; i < ROUNDS; i++) {
        mask_half(be, (float *)all.address + (size_t)i * SMALL, SMALL, i);
        assert_ok(buffer_put(&other, 0, bytes, BETWEEN));
        if (i == ROUNDS / 2)
            mask_half(be, large.address, LARGE, 7);
    }
    assert_ok(buffer_get(&all, 0, all.bytes, got));
    for (int i = 0; i < ROUNDS; i++)
        assert_half(got + (size_t)i * SMALL, SMALL, i);
    assert_ok(buffer_get(&large, 0, large.bytes, got));
    assert_half(got, LARGE, 7);
}

/* The second array of an op makes the ring grow: the first is still where it was. */
static void a_ring_grows_within_an_op(void **state)
{
    (void)state;
    enum { V = 140001 };
    SCOPED(backend) be = cuda_module_open();
    SCOPED_VALUE(buffer) logits = {0};
    SCOPED_MEM float *one = mem_array(V, sizeof *one);
    SCOPED_MEM int32_t *token = mem_array(V - 1, sizeof *token);
    struct token_draw draw = {0};
    for (int v = 0; v < V; v++)
        one[v] = 1;
    for (int v = 0; v < V - 1; v++)
        token[v] = v;
    one[V - 1] = 0.75f; // more than what a penalty leaves of 1
    const struct token_request request = {.greedy = true,
                                          .inverse_temperature = 1,
                                          .repetition_penalty = 2,
                                          .token = token,
                                          .tokens = V - 1};
    assert_ok(buffer_alloc(be, V * sizeof *one, &logits));
    assert_ok(buffer_put(&logits, 0, one, V * sizeof *one));
    assert_ok(be->ops->token_draw(be, logits.address, 1, V, &request, 1, &draw));
    assert_true(draw.finite && draw.token == V - 1);
}

static void too_much_memory_is_told(void **state)
{
    (void)state;
    SCOPED(backend) be = cuda_module_open();
    SCOPED_VALUE(buffer) a = {0};
    assert_err(ERR_EXHAUSTED, "no memory for 1152921504606846976 bytes on device 0",
               buffer_alloc(be, (size_t)1 << 60, &a));
    assert_ok(buffer_alloc(be, BYTES, &a));
}

static void numerics_are_those_of_one_build(void **state)
{
    (void)state;
    SCOPED(backend) be = cuda_module_open();
    assert_int_equal(be->forward.repeats, NUMERICS_INVARIANT);
    assert_non_null(strstr(be->forward.id, "backend=cuda"));
    assert_non_null(strstr(be->forward.id, "arch=sm_90"));
}

TESTS(cmocka_unit_test(memory_is_zeroed_filled_copied_and_read), cmocka_unit_test(any_thread_reads),
      cmocka_unit_test(arrays_of_the_host_are_staged), cmocka_unit_test(a_ring_grows_within_an_op),
      cmocka_unit_test(too_much_memory_is_told), cmocka_unit_test(numerics_are_those_of_one_build))
