#include "ctl/reward/eval/bootstrap.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/scoped.h"
#include "ctl/reward/eval/statistics.h"
#include <math.h>
#include <string.h>

void bootstrap_draw(const struct bootstrap *b, size_t draw, double *weight)
{
    const struct rng rng = rng_keyed(b->seed, RNG_BOOTSTRAP, draw, b->clusters);
    memset(weight, 0, b->clusters * sizeof *weight);
    for (size_t i = 0; i < b->clusters; i++)
        weight[rng_below(&rng, i, b->clusters)]++;
}

struct estimate estimate_of(double value, double *drawn, size_t count)
{
    size_t kept = 0;
    struct estimate ret = {value, NAN, NAN};
    for (size_t i = 0; i < count; i++)
        if (isfinite(drawn[i]))
            drawn[kept++] = drawn[i];
    if (kept < 2)
        return ret;
    numbers_sort(drawn, kept);
    ret.low = quantile_sorted(drawn, kept, 0.025);
    ret.high = quantile_sorted(drawn, kept, 0.975);
    return ret;
}

void bootstrap_run(const struct bootstrap *b, bootstrap_figures *figures, void *arg, size_t count,
                   struct estimate *ret)
{
    SCOPED_MEM double *weight = mem_array(b->clusters, sizeof *weight);
    SCOPED_MEM double *value = mem_array(count, sizeof *value);
    SCOPED_MEM double *one = mem_array(count, sizeof *one);
    SCOPED_MEM double *drawn = mem_array(count * b->draws, sizeof *drawn); // a row a figure
    for (size_t c = 0; c < b->clusters; c++)
        weight[c] = 1;
    figures(arg, weight, value);
    for (size_t d = 0; d < b->draws; d++) {
        bootstrap_draw(b, d, weight);
        figures(arg, weight, one);
        for (size_t f = 0; f < count; f++)
            drawn[f * b->draws + d] = one[f];
    }
    for (size_t f = 0; f < count; f++)
        ret[f] = estimate_of(value[f], drawn + f * b->draws, b->draws);
}
