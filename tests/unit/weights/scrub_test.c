/* Values that are summed up while they change. */
#include "base/mem.h"
#include "tensor/digest.h"
#include "testing/testing.h"
#include "weights/codec/delta.h"
#include "weights/codec/scrub.h"

enum { ELEMENTS = 3 << 19 };

struct bench {
    struct loop *loop;
    struct layout *layout;
    struct scrub *scrub;
    struct loop_timer *timer;
    uint16_t *values;
    int applied, done;
    struct digest sum;
};

static void on_done(void *arg, const struct digest *sum)
{
    struct bench *bench = arg;
    bench->sum = *sum;
    bench->done++;
    loop_stop(bench->loop);
}

/* Changes values everywhere, those summed up already and those not yet. */
static void on_timer(void *arg)
{
    struct bench *bench = arg;
    if (bench->done)
        return;
    SCOPED_MEM uint16_t *now = mem_copy(bench->values, ELEMENTS * sizeof *now);
    for (size_t i = 0; i < ELEMENTS; i += i % 3 ? 1001 : 40)
        now[i] = (uint16_t)(now[i] + 3 + bench->applied);
    SCOPED(delta) delta = delta_encode(bench->layout, bench->values, now);
    SCOPED(staging) staging = staging_new(bench->layout);
    for (size_t i = 0; i < delta->chunks; i++)
        assert_ok(staging_add(staging, bench->values, delta->chunk[i].data, delta->chunk[i].len));
    scrub_follow(bench->scrub, staging);
    staging_apply(staging, bench->values, NULL);
    bench->applied++;
}

/* How often values changed before the sum was complete. */
static int sum_up(struct bench *bench)
{
    bench->applied = bench->done = 0;
    scrub_start(bench->scrub, bench->values);
    loop_timer_start(bench->timer, 0, 1);
    assert_ok(loop_run(bench->loop));
    loop_timer_stop(bench->timer);
    assert_int_equal(bench->done, 1);
    return bench->applied;
}

static void changes_on_the_way_count(void **state)
{
    (void)state;
    struct bench bench = {.layout = layout_new(), .values = mem_array(ELEMENTS, sizeof(uint16_t))};
    layout_add(bench.layout, "t", ELEMENTS, 0);
    assert_ok(loop_new(&bench.loop));
    bench.scrub = scrub_new(bench.loop, ELEMENTS, on_done, &bench);
    bench.timer = loop_timer_new(bench.loop, on_timer, &bench);
    for (int i = 0; i < 3; i++) {
        const int applied = sum_up(&bench);
        assert_true(applied >= 1); // three slices, a change after each
        const struct digest want = weights_digest(bench.values, 0, ELEMENTS);
        assert_true(digest_equal(&bench.sum, &want));
    }
    scrub_start(bench.scrub, bench.values); // stopped: is never done
    scrub_stop(bench.scrub);
    scrub_free(bench.scrub);
    loop_timer_free(bench.timer);
    loop_free(bench.loop);
    layout_free(bench.layout);
    mem_free(bench.values);
}

TESTS(cmocka_unit_test(changes_on_the_way_count))
