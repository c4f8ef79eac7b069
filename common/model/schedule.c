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

double schedule_lr(const struct schedule *s, int64_t step)
{
    if (step < s->warmup)
        return s->lr * (double)step / (double)s->warmup;
    if (s->kind == SCHEDULE_CONSTANT)
        return s->lr;
    const int64_t span = s->total - s->warmup;
    double done = span > 0 ? (double)(step - s->warmup) / (double)span : 1;
    done = done < 1 ? done : 1;
    const double left = s->kind == SCHEDULE_LINEAR ? 1 - done : 0.5 * (1 + cos_pi(done));
    return s->lr * (s->min_lr_ratio + (1 - s->min_lr_ratio) * left);
}
