/* Squares of residuals: how far a completion's log-ratio to a base is from what its reward explains
 * of it. Any sampling distribution is valid, as each residual is 0 at the optimum.
 *
 * A unit of one has its advantage as the target. A pair has the difference of rewards for the
 * difference of log-ratios. A group has both less their means over it, which are constants; so the
 * slopes are those of the variance (VarGrad). Where a critic has the value of the prompt, it stands
 * in the place of both means. Weights only mask. */
#include "base/mem.h"
#include "rl/kernels/kernel.h"

struct point {
    struct stretch s;
    double x, target;
};

static double log_ratio(const struct pass *pass, const struct stretch *s)
{
    if (pass->config->residual.base == FROM_REFERENCE)
        return pass_implicit_reward(pass, s);
    return pass_sum(pass, s, pass->batch->at[COLUMN_LOGP], pass->batch->at[COLUMN_BEHAVIOUR_LOGP]);
}

/* Adds factor e^2; returns its slope in x. */
static double square(const struct pass *pass, double share, double x, double target)
{
    const struct residual_config *config = &pass->config->residual;
    const bool of_reward = config->residual == RESIDUAL_REWARD;
    const double e = of_reward ? config->beta * x - target : x - target / config->beta;
    pass->tally->policy += share * config->factor * e * e;
    return share * config->factor * 2 * e * (of_reward ? config->beta : 1);
}

/* Of the unit's sequences that have a token; returns how many. */
static size_t points_of(const struct pass *pass, size_t unit, size_t end, enum column target,
                        struct point *ret)
{
    size_t count = 0;
    for (size_t i = unit; i < end; i++) {
        const struct stretch s = pass_sequence(pass, i);
        if (s.tokens > 0)
            ret[count++] = (struct point){s, log_ratio(pass, &s), pass->batch->at[target][i]};
    }
    return count;
}

void kernel_residual(const struct pass *pass, size_t unit, size_t end)
{
    struct point point;
    for (size_t i = unit; i < end; i++)
        if (points_of(pass, i, i + 1, COLUMN_ADVANTAGE, &point) == 1)
            pass_spread(pass, &point.s,
                        square(pass, 1 / pass->totals->sequences, point.x, point.target));
}

/* A side that is masked whole leaves a pair that teaches nothing, as in kernel_pair.c. */
void kernel_residual_pair(const struct pass *pass, size_t unit, size_t end)
{
    struct point point[2];
    const size_t count = points_of(pass, unit, end, COLUMN_REWARD, point);
    double slope = 0;
    if (count == 2)
        slope = square(pass, 2 / pass->totals->sequences, point[0].x - point[1].x,
                       point[0].target - point[1].target);
    for (size_t i = 0; i < count; i++)
        pass_spread(pass, &point[i].s, i == 0 ? slope : -slope);
}

/* Of the prompt, where it is known: what its targets are beyond. */
static void take_value(const struct pass *pass, struct point *point, size_t count)
{
    for (size_t i = 0; i < count; i++)
        point[i].target -= pass->batch->at[COLUMN_VALUE][point[i].s.begin];
}

static void centre(struct point *point, size_t count)
{
    double x = 0, target = 0;
    for (size_t i = 0; i < count; i++) {
        x += point[i].x;
        target += point[i].target;
    }
    for (size_t i = 0; i < count; i++) {
        point[i].x -= x / (double)count;
        point[i].target -= target / (double)count;
    }
}

void kernel_residual_group(const struct pass *pass, size_t unit, size_t end)
{
    SCOPED_MEM struct point *point = mem_array(end - unit, sizeof *point);
    const size_t count = points_of(pass, unit, end, COLUMN_REWARD, point);
    if (pass->batch->at[COLUMN_VALUE])
        take_value(pass, point, count);
    else
        centre(point, count);
    for (size_t i = 0; i < count; i++)
        pass_spread(pass, &point[i].s,
                    square(pass, 1 / pass->totals->sequences, point[i].x, point[i].target));
}
