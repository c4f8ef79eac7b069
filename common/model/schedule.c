#include "model/optimizer.h"
#include <string.h>

bool schedule_find(const char *name, enum schedule_kind *ret)
{
    static const char *const names[] = {"constant", "linear", "cosine"};
    for (int i = 0; i < 3; i++)
        if (strcmp(names[i], name) == 0) {
            *ret = (enum schedule_kind)i;
            return true;
        }
    return false;
}

/* cos(pi p), p in [0, 1], as sin(pi (1/2 - p)) by its Taylor series to x^23 (error < 1e-16): libm's
 * last bit depends on the machine, and a replayed update must not. */
static double cos_pi(double p)
{
    const double x = 3.14159265358979323846 * (0.5 - p), square = x * x;
    double sum = 0;
    for (int k = 23; k >= 3; k -= 2)
        sum = (sum + 1) * -square / ((k - 1) * k);
    return x * (sum + 1);
}

/* The share of the fall that is over after `step` steps. */
static double done_after(const struct schedule *s, int64_t step)
{
    const struct course *course = &s->course;
    const int64_t begin = course->from > s->warmup ? course->from : s->warmup,
                  span = course->total - begin;
    if (step < begin)
        return course->done;
    const double part = span > 0 ? (double)(step - begin) / (double)span : 1,
                 done = course->done + (1 - course->done) * part;
    return done < 1 ? done : 1;
}

void schedule_end_at(struct schedule *s, int64_t step, int64_t total)
{
    struct course *course = &s->course;
    if (course->total == total)
        return;
    if (course->total)
        *course = (struct course){.from = step, .done = done_after(s, step)};
    course->total = total;
}

double schedule_lr(const struct schedule *s, int64_t step)
{
    if (step < s->warmup)
        return s->lr * (double)step / (double)s->warmup;
    if (s->kind == SCHEDULE_CONSTANT)
        return s->lr;
    const double done = done_after(s, step);
    const double left = s->kind == SCHEDULE_LINEAR ? 1 - done : 0.5 * (1 + cos_pi(done));
    return s->lr * (s->min_lr_ratio + (1 - s->min_lr_ratio) * left);
}
