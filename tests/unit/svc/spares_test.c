/* Memory that goes round between threads: an array that comes back is taken again by what it
 * holds. Nothing is lost or freed twice, whoever comes last. */
#include "base/mem.h"
#include "svc/spares.h"
#include "testing/testing.h"
#include <pthread.h>

static void what_is_back_is_taken_by_its_number(void **)
{
    void *memory = NULL;
    struct spares *spares = spares_new();
    struct spare *spare[4];
    void *block[4];
    for (uint64_t i = 0; i < 4; i++)
        spare[i] = spares_lend(spares, block[i] = mem_new(64), i + 1);
    assert_false(spares_take(spares, 2, &memory));
    spares_back(spare[0]);
    spares_back(spare[3]);
    assert_false(spares_take(spares, 2, &memory)); // 1 goes, 4 stays
    spares_back(spare[1]);
    assert_true(spares_take(spares, 2, &memory));
    assert_ptr_equal(memory, block[1]);
    mem_free(memory);
    assert_false(spares_take(spares, 2, &memory));
    assert_true(spares_take(spares, 4, &memory));
    assert_ptr_equal(memory, block[3]);
    mem_free(memory);
    spares_close(spares);
    spares_back(spare[2]); // after the owner
    spares_close(spares_new());
    spares_close(NULL);
}

enum { TIMES = 2000 };

static void *give_back(void *arg)
{
    struct spare **spare = arg;
    for (int i = 0; i < TIMES; i++)
        spares_back(spare[i]);
    return NULL;
}

/* Under tsan and asan this shows what it is for. */
static void threads_give_back_while_the_owner_takes(void **)
{
    static struct spare *spare[2][TIMES];
    struct spares *spares = spares_new();
    pthread_t thread[2];
    for (uint64_t i = 0; i < 2 * TIMES; i++)
        spare[i % 2][i / 2] = spares_lend(spares, mem_new(16), i + 1);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, give_back, spare[i]), 0);
    for (uint64_t i = 0; i < TIMES; i++) {
        void *memory = NULL;
        if (spares_take(spares, i, &memory))
            mem_free(memory);
    }
    spares_close(spares);
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
}

TESTS(cmocka_unit_test(what_is_back_is_taken_by_its_number),
      cmocka_unit_test(threads_give_back_while_the_owner_takes))
