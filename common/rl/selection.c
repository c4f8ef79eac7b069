#include "rl/selection.h"
#include <math.h>

#define BEST_WEIGHT  0.4 // PF-PPO's max_random
#define OTHER_WEIGHT 0.1

struct ends {
    size_t best, worst;
};

static struct ends ends_of(const double *reward, size_t n)
{
    struct ends ends = {0, 0};
    for (size_t i = 1; i < n; i++) {
        ends.best = reward[i] > reward[ends.best] ? i : ends.best;
        ends.worst = reward[i] < reward[ends.worst] ? i : ends.worst;
    }
    return ends;
}

static double weight_of(const struct selection_config *config, const double *reward,
                        struct ends ends, size_t i)
{
    if (config->kind == SELECT_MAX_MIN)
        return i == ends.best || i == ends.worst;
    if (config->kind == SELECT_MAX_RANDOM)
        return i == ends.best ? BEST_WEIGHT : OTHER_WEIGHT;
    return pow(fabs(reward[i]), config->power);
}

/* The index that the share `at`, of all weights, falls on; the last one with a weight at the
 * end. */
static size_t index_at(const struct selection_config *config, const double *reward,
                       struct ends ends, size_t n, double at)
{
    size_t last = 0;
    for (size_t i = 0; i < n; i++) {
        const double weight = weight_of(config, reward, ends, i);
        last = weight > 0 ? i : last;
        if (weight > 0 && at < weight)
            return i;
        at -= weight;
    }
    return last;
}

/* As many as there are; each alike where no weight is above 0. */
static size_t draw(const struct selection_config *config, const double *reward, size_t n,
                   const struct rng *rng, size_t *ret)
{
    const struct ends ends = ends_of(reward, n);
    double all = 0;
    for (size_t i = 0; i < n; i++)
        all += weight_of(config, reward, ends, i);
    for (size_t i = 0; i < n; i++)
        ret[i] = all > 0 && isfinite(all)
                     ? index_at(config, reward, ends, n, all * rng_uniform(rng, i))
                     : (size_t)rng_below(rng, i, n);
    return n;
}

size_t selection_of(const struct selection_config *config, const double *reward, size_t completions,
                    const struct rng *rng, size_t *ret)
{
    const struct ends ends = ends_of(reward, completions);
    size_t count = 0;
    switch (config->kind) {
    case SELECT_ALL:
    case SELECT_THRESHOLD:
        for (size_t i = 0; i < completions; i++)
            if (config->kind == SELECT_ALL || reward[i] > config->above)
                ret[count++] = i;
        return count;
    case SELECT_BEST:
        ret[0] = ends.best;
        return completions > 0;
    case SELECT_EXTREMES:
        if (completions == 0 || reward[ends.best] == reward[ends.worst])
            return 0;
        ret[0] = ends.best;
        ret[1] = ends.worst;
        return 2;
    default:
        return draw(config, reward, completions, rng, ret);
    }
}
