/* The learning rate over a run's updates, also where its end is moved. */
#include "model/optimizer.h"
#include "testing/testing.h"
#include <math.h>

static void schedules_rise_and_fall(void **state)
{
    (void)state;
    struct schedule s = {.lr = 2, .min_lr_ratio = 0.1, .warmup = 10, .course = {.total = 110}};
    assert_true(schedule_find("constant", &s.kind) && !schedule_find("Linear", &s.kind));
    assert_near(schedule_lr(&s, 1), 0.2, 1e-15);
    assert_near(schedule_lr(&s, 10), 2, 1e-15);
    assert_near(schedule_lr(&s, 1000), 2, 1e-15);
    assert_true(schedule_find("linear", &s.kind));
    assert_near(schedule_lr(&s, 5), 1, 1e-15);
    assert_near(schedule_lr(&s, 60), 2 * 0.55, 1e-15);
    assert_near(schedule_lr(&s, 110), 0.2, 1e-15);
    assert_near(schedule_lr(&s, 111), 0.2, 1e-15);
    assert_true(schedule_find("cosine", &s.kind));
    for (int step = 10; step <= 110; step++)
        assert_near(schedule_lr(&s, step), 0.2 + 1.8 * 0.5 * (1 + cos(M_PI * (step - 10) / 100)),
                    1e-15);
    s = (struct schedule){.kind = SCHEDULE_LINEAR, .lr = 1, .course = {.total = 4}};
    assert_near(schedule_lr(&s, 1), 0.75, 1e-15);
    s.course.total = 0;
    assert_near(schedule_lr(&s, 1), 0, 1e-15);
}

/* Bit for bit, however often it is said. */
static void the_same_end_changes_nothing(void **)
{
    for (int kind = SCHEDULE_CONSTANT; kind <= SCHEDULE_COSINE; kind++) {
        const struct schedule plain = {.kind = (enum schedule_kind)kind,
                                       .lr = 3e-4,
                                       .min_lr_ratio = 0.1,
                                       .warmup = 7,
                                       .course = {.total = 96}};
        struct schedule told = plain;
        told.course = (struct course){0};
        for (int64_t step = 1; step <= 100; step++) {
            schedule_end_at(&told, step - 1, 96);
            assert_true(schedule_lr(&told, step) == schedule_lr(&plain, step));
        }
    }
}

/* What one step may change: the fall that is left, at the steepest place of its curve. */
static double steepest(const struct schedule *s, int64_t left)
{
    const double fall = s->kind == SCHEDULE_CONSTANT ? 0 : s->lr * (1 - s->min_lr_ratio),
                 rise = s->warmup ? s->lr / (double)s->warmup : 0;
    return fmax(rise, fall * M_PI / 2 / (double)left) + 1e-15;
}

/* The end moves after `at` steps from 60 to `total`. */
static void move(struct schedule s, int64_t at, int64_t total)
{
    const struct schedule before = s;
    const int64_t left = total - (at > s.warmup ? at : s.warmup);
    schedule_end_at(&s, at, total);
    assert_near(schedule_lr(&s, at), schedule_lr(&before, at), 1e-15);
    for (int64_t step = at; step < total; step++) {
        const double here = schedule_lr(&s, step), next = schedule_lr(&s, step + 1);
        assert_true(fabs(next - here) <= steepest(&s, left > 0 ? left : 1));
        assert_true(step < s.warmup || next <= here);
    }
    if (s.kind != SCHEDULE_CONSTANT && total > s.warmup)
        assert_near(schedule_lr(&s, total), s.lr * s.min_lr_ratio, 1e-15);
    assert_true(schedule_lr(&s, total + 1) == schedule_lr(&s, total) || total <= s.warmup);
}

static void a_moved_end_makes_no_jump(void **)
{
    static const int64_t at[] = {1, 5, 20, 59}, total[] = {6, 21, 60, 61, 300};
    for (int kind = SCHEDULE_CONSTANT; kind <= SCHEDULE_COSINE; kind++)
        for (size_t i = 0; i < 4 * 5 * 2 * 2; i++) {
            const int64_t from = at[i % 4], to = total[i / 4 % 5];
            const struct schedule s = {.kind = (enum schedule_kind)kind,
                                       .lr = 2,
                                       .min_lr_ratio = i / 20 % 2 ? 0.25 : 0,
                                       .warmup = i / 40 ? 10 : 0,
                                       .course = {.total = 60}};
            if (to > from)
                move(s, from, to);
        }
}

/* An end that is corrected round by round, as rows turn out to be of no use, is reached. */
static void an_end_that_comes_nearer_is_reached(void **)
{
    struct schedule s = {.kind = SCHEDULE_LINEAR, .lr = 1, .course = {.total = 100}};
    double last = schedule_lr(&s, 0); // a hundredth a step, almost two at the end
    int64_t total = 100;
    for (int64_t step = 0; step < total; step++) {
        total -= step % 10 == 9;
        schedule_end_at(&s, step, total);
        const double next = schedule_lr(&s, step + 1);
        assert_true(next < last && last - next < 0.02);
        last = next;
    }
    assert_int_equal(total, 91);
    assert_near(last, 0, 1e-15);
}

/* Shorter than the warm-up for a while, and long again before it ended. */
static void an_end_within_the_warm_up_is_no_end_of_the_fall(void **)
{
    struct schedule s = {.kind = SCHEDULE_LINEAR, .lr = 1, .warmup = 10, .course = {.total = 60}};
    const struct schedule plain = s;
    schedule_end_at(&s, 5, 8);
    schedule_end_at(&s, 6, 60);
    for (int64_t step = 6; step <= 60; step++)
        assert_true(schedule_lr(&s, step) == schedule_lr(&plain, step));
}

/* From any step on, the course alone is enough: a restart has no more. */
static void a_course_is_all_that_goes_on(void **)
{
    struct schedule s = {.kind = SCHEDULE_COSINE, .lr = 1, .warmup = 4, .course = {.total = 40}};
    schedule_end_at(&s, 10, 80);
    for (int64_t step = 11; step <= 90; step++) {
        if (step == 30)
            schedule_end_at(&s, 29, 50);
        struct schedule again = {.kind = SCHEDULE_COSINE, .lr = 1, .warmup = 4, .course = s.course};
        schedule_end_at(&again, step - 1, s.course.total);
        assert_true(schedule_lr(&again, step) == schedule_lr(&s, step));
    }
}

TESTS(cmocka_unit_test(schedules_rise_and_fall), cmocka_unit_test(the_same_end_changes_nothing),
      cmocka_unit_test(a_moved_end_makes_no_jump),
      cmocka_unit_test(an_end_that_comes_nearer_is_reached),
      cmocka_unit_test(an_end_within_the_warm_up_is_no_end_of_the_fall),
      cmocka_unit_test(a_course_is_all_that_goes_on))
