/* The module opens. Its memory is filled, copied and read, by its owner and by other threads. */
#include "base/mem.h"
#include "cuda/module.h"
#include "tensor/buffer.h"
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
    memset(bytes, 0, BYTES); // it is the caller's again
    assert_ok(be->ops->copy(be, (char *)b.address + 7, (char *)a.address + 7, BYTES - 8));
    assert_ok(be->ops->zero(be, a.address, BYTES));
    assert_ok(buffer_get(&b, 7, BYTES - 8, got));
    assert_pattern(got, 7, BYTES - 8);
    assert_ok(buffer_get(&b, 0, BYTES, got));
    assert_true(got[6] == 0 && got[BYTES - 1] == 0);
    assert_ok(buffer_get(&a, 0, BYTES, got));
    assert_true(got[3] == 0 && got[BYTES - 1] == 0);
    assert_ok(be->ops->sync(be));
    assert_true(be->ops->capacity(be) > BYTES);
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

static void too_much_memory_is_told(void **state)
{
    (void)state;
    SCOPED(backend) be = cuda_module_open();
    SCOPED_VALUE(buffer) a = {0};
    assert_err(ERR_EXHAUSTED, "no memory for 1152921504606846976 bytes on device 0",
               buffer_alloc(be, (size_t)1 << 60, &a));
    assert_ok(buffer_alloc(be, BYTES, &a));
}

static void what_is_missing_is_told_by_name(void **state)
{
    (void)state;
    SCOPED(backend) be = cuda_module_open();
    assert_err(ERR_UNIMPLEMENTED, "backend 'cuda' has no matmul_dw in this version",
               be->ops->matmul_dw(be, NULL, NULL, NULL, 1, 1, 1));
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
      cmocka_unit_test(too_much_memory_is_told), cmocka_unit_test(what_is_missing_is_told_by_name),
      cmocka_unit_test(numerics_are_those_of_one_build))
