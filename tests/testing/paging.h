/* The same walks over states in both places, on any backend: each element of the runs comes once,
 * and what an op leaves there is kept.
 *
 *     paging_check(be, 20000);    -- 20000 elements in runs with gaps */
#pragma once
#include "base/mem.h"
#include "model/states.h"
#include "testing/testing.h"

struct paging_walk {
    struct backend *be;
    const struct buffer *step; // added to each array, at its element
    size_t next, pieces, longest;
    bool decayed;
};

/* Arrays change in different ways, so that none can be taken for another. */
static inline err_t paging_step(void *arg, const struct states_run *piece, float *const at[STATES])
{
    struct paging_walk *walk = arg;
    const size_t count = piece->end - piece->begin;
    const float *step = (const float *)walk->step->address + piece->begin;
    assert_true(piece->begin >= walk->next && piece->begin % 32 == 0 && count > 0);
    walk->next = piece->end;
    walk->pieces++;
    walk->longest = count > walk->longest ? count : walk->longest;
    walk->decayed = piece->decays;
    for (int i = 0; i < STATES; i++) {
        TRY(walk->be->ops->scale(walk->be, at[i], 1.0f + 0.25f * (float)i, count));
        TRY(walk->be->ops->add(walk->be, at[i], step, count));
    }
    return OK;
}

static inline float *paging_read(const struct states *states, int array, size_t elements)
{
    float *ret = mem_array(elements, sizeof *ret);
    assert_ok(buffer_get(&states->array[array], 0, elements * sizeof *ret, ret));
    return ret;
}

static inline void paging_check(struct backend *be, size_t elements)
{
    enum { WALKS = 3 };
    const struct states_run run[] = {
        {0, 96, true}, {96, elements / 64 * 32, false}, {elements / 64 * 32 + 320, elements, true}};
    SCOPED_MEM float *start = mem_array(elements, sizeof *start);
    SCOPED_VALUE(states) device = {0}, host = {0};
    struct states *const states[] = {&device, &host};
    SCOPED_VALUE(buffer) step = {0};
    struct paging_walk walk[2];
    for (size_t i = 0; i < elements; i++)
        start[i] = (float)(i % 1009) / 64;
    assert_ok(buffer_alloc(be, elements * sizeof *start, &step));
    assert_ok(buffer_put(&step, 0, start, elements * sizeof *start));
    for (int place = 0; place < 2; place++) {
        assert_ok(states_new(be, elements, (enum states_place)place, states[place]));
        for (int i = 0; i < STATES; i++)
            assert_ok(buffer_put(&states[place]->array[i], 0, start, elements * sizeof *start));
        for (int i = 0; i < WALKS; i++) {
            walk[place] = (struct paging_walk){.be = be, .step = &step};
            assert_ok(states_walk(states[place], run, 3, paging_step, &walk[place]));
            assert_true(walk[place].next == elements && walk[place].decayed);
        }
        assert_ok(states_settle(states[place]));
    }
    assert_int_equal(walk[STATES_DEVICE].pieces, 3);
    assert_true(walk[STATES_HOST].pieces >= 8 && walk[STATES_HOST].longest < elements / 4);
    for (int i = 0; i < STATES; i++) {
        SCOPED_MEM float *a = paging_read(&device, i, elements);
        SCOPED_MEM float *b = paging_read(&host, i, elements);
        assert_memory_equal(a, b, elements * sizeof *a);
        assert_true(a[0] == 0 && a[1] > start[1]);       // 0 was added to 0; others have moved
        assert_true(a[run[1].end] == start[run[1].end]); // of no run
    }
}
