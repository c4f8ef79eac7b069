#include "rl/advantages/advantage.h"
#include "rl/kernels/gate.h"
#include "rl/preference/sigmoid.h"
#include <math.h>
#include <stdbool.h>

static double mean_of(const double *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i];
    return n ? sum / (double)n : 0;
}

/* With Bessel's correction; 0 for fewer than two. */
static double std_of(const double *x, size_t n)
{
    const double mean = mean_of(x, n);
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (x[i] - mean) * (x[i] - mean);
    return n > 1 ? sqrt(sum / (double)(n - 1)) : 0;
}

/* Rounding would leave a mean that differs from equal rewards; so they are seen first. */
static bool all_equal(const double *x, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (x[i] != x[0])
            return false;
    return true;
}

/* ---- one group: completions begin..begin + n - 1 */

struct group_of {
    size_t begin, n;
    const double *reward;
};

static struct group_of group_at(const struct advantage_in *in, size_t g)
{
    return (struct group_of){in->first[g], in->first[g + 1] - in->first[g],
                             in->reward + in->first[g]};
}

/* beta log mean exp(R / beta), around the highest so that nothing overflows. */
static double soft_value(const struct group_of *group, double beta)
{
    double top = -INFINITY, sum = 0;
    for (size_t i = 0; i < group->n; i++)
        top = fmax(top, group->reward[i]);
    for (size_t i = 0; i < group->n; i++)
        sum += exp((group->reward[i] - top) / beta);
    return top + beta * log(sum / (double)group->n);
}

/* Mean of the rewards, each weighed by its tokens, and by the square of its importance weight. */
static double weighed_mean(const struct advantage_in *in, const struct group_of *group,
                           bool squares)
{
    double all = 0, sum = 0;
    for (size_t i = 0; i < group->n; i++) {
        const size_t at = group->begin + i;
        const double w =
            in->tokens[at] * (squares ? exp(2 * log_ratio_clamp(in->log_weight[at])) : 1);
        all += w;
        sum += w * group->reward[i];
    }
    return all > 0 ? sum / all : mean_of(group->reward, group->n);
}

static double baseline_of(const struct objective_config *config, const struct advantage_in *in,
                          const struct group_of *group)
{
    switch (config->advantage) {
    case ADVANTAGE_OPO:
        return weighed_mean(in, group, false);
    case ADVANTAGE_ESS:
        return weighed_mean(in, group, true);
    case ADVANTAGE_GREEDY:
        return group->reward[group->n - 1];
    case ADVANTAGE_SHIFTED:
        return mean_of(group->reward, group->n) + config->advantage_shift;
    case ADVANTAGE_SOFT_VALUE:
        return soft_value(group, config->advantage_beta);
    default:
        return mean_of(group->reward, group->n);
    }
}

static double group_scale(const struct objective_config *config, const struct group_of *group)
{
    const double n = (double)group->n, epsilon = config->advantage_epsilon;
    const double mean = mean_of(group->reward, group->n);
    switch (config->advantage) {
    case ADVANTAGE_LOO:
        return n / (n - 1.0); // R - mean of the others' = n/(n-1) (R - mean)
    case ADVANTAGE_GROUP_Z:
    case ADVANTAGE_PASS_K:
        return 1 / (std_of(group->reward, group->n) + epsilon);
    case ADVANTAGE_MAXRL:
        return mean > 0 ? 1 / (mean + epsilon) : 0;
    default:
        return 1;
    }
}

/* The best alone: how far it is ahead of the second. */
static void best_alone(const struct group_of *group, double scale, double *ret)
{
    size_t best = 0;
    double second = -INFINITY;
    for (size_t i = 1; i < group->n; i++)
        best = group->reward[i] > group->reward[best] ? i : best;
    for (size_t i = 0; i < group->n; i++)
        second = i == best ? second : fmax(second, group->reward[i]);
    for (size_t i = 0; i < group->n; i++)
        ret[i] = i == best ? (group->reward[best] - second) * scale : 0;
}

/* How probably each is better than another one of the group, by the rewards, beyond 1/2. */
static void preferences(const struct group_of *group, double *ret)
{
    for (size_t i = 0; i < group->n; i++) {
        ret[i] = 0;
        for (size_t j = 0; j < group->n; j++)
            ret[i] += j == i
                          ? 0
                          : (sigmoid(group->reward[i] - group->reward[j]) - 0.5) / (group->n - 1.0);
    }
}

static void fill_group(const struct objective_config *config, const struct advantage_in *in,
                       size_t g, double round_scale, double *ret)
{
    const struct group_of group = group_at(in, g);
    const bool nothing = all_equal(group.reward, group.n) && config->advantage != ADVANTAGE_SHIFTED;
    const double baseline = nothing ? 0 : baseline_of(config, in, &group),
                 scale = nothing ? 0 : round_scale * group_scale(config, &group);
    if (config->advantage == ADVANTAGE_PASS_K && !nothing) {
        best_alone(&group, scale, ret + group.begin);
        return;
    }
    if (config->advantage == ADVANTAGE_PREFERENCE && !nothing) {
        preferences(&group, ret + group.begin);
        return;
    }
    for (size_t i = 0; i < group.n; i++)
        ret[group.begin + i] = nothing ? 0 : (group.reward[i] - baseline) * scale;
}

/* ---- the round */

/* Completions of all groups over those of groups whose rewards differ. */
static double share_that_teaches(const struct advantage_in *in)
{
    double all = 0, teach = 0;
    for (size_t g = 0; g < in->groups; g++) {
        const struct group_of group = group_at(in, g);
        all += (double)group.n;
        teach += all_equal(group.reward, group.n) ? 0 : (double)group.n;
    }
    return teach > 0 ? all / teach : 0;
}

static double round_scale(const struct objective_config *config, const struct advantage_in *in,
                          size_t all)
{
    if (config->advantage == ADVANTAGE_BATCH_Z)
        return 1 / (std_of(in->reward, all) + config->advantage_epsilon);
    return config->advantage == ADVANTAGE_GPG ? share_that_teaches(in) : 1;
}

/* Of one scorer, in one group, added to what the others gave. */
static void add_score(const struct objective_config *config, const struct advantage_in *in,
                      const struct group_of *group, size_t k, double *ret)
{
    const double *score = in->score + group->begin * in->scorers + k;
    double sum = 0, squares = 0;
    bool differ = false;
    for (size_t i = 0; i < group->n; i++) {
        sum += score[i * in->scorers];
        differ = differ || score[i * in->scorers] != score[0];
    }
    if (!differ)
        return;
    const double mean = sum / (double)group->n;
    for (size_t i = 0; i < group->n; i++)
        squares += (score[i * in->scorers] - mean) * (score[i * in->scorers] - mean);
    const double scale =
        in->score_weight[k] / (sqrt(squares / ((double)group->n - 1)) + config->advantage_epsilon);
    for (size_t i = 0; i < group->n; i++)
        ret[group->begin + i] += (score[i * in->scorers] - mean) * scale;
}

static void fill_multi(const struct objective_config *config, const struct advantage_in *in,
                       size_t all, double *ret)
{
    for (size_t i = 0; i < all; i++)
        ret[i] = 0;
    for (size_t g = 0; g < in->groups; g++) {
        const struct group_of group = group_at(in, g);
        for (size_t k = 0; k < in->scorers; k++)
            add_score(config, in, &group, k, ret);
    }
    const double mean = mean_of(ret, all),
                 scale = 1 / (std_of(ret, all) + config->advantage_epsilon);
    const bool nothing = all_equal(ret, all);
    for (size_t i = 0; i < all; i++)
        ret[i] = nothing ? 0 : (ret[i] - mean) * scale;
}

void advantage_compute(const struct objective_config *config, const struct advantage_in *in,
                       double *ret)
{
    const size_t all = in->groups ? in->first[in->groups] : 0;
    if (config->advantage == ADVANTAGE_MULTI) {
        fill_multi(config, in, all, ret);
        return;
    }
    if (config->advantage <= ADVANTAGE_TO_GO) {
        for (size_t i = 0; i < all; i++)
            ret[i] = config->advantage == ADVANTAGE_ONE   ? 1
                     : config->advantage == ADVANTAGE_EMA ? in->reward[i] - in->baseline
                                                          : in->reward[i];
        return;
    }
    const double scale = round_scale(config, in, all);
    for (size_t g = 0; g < in->groups; g++)
        fill_group(config, in, g, scale, ret);
}
