#include "rl/advantages/advantage.h"
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

static double group_scale(enum advantage advantage, const double *reward, size_t n, double epsilon)
{
    if (advantage == ADVANTAGE_LOO)
        return (double)n / ((double)n - 1.0); // R - mean of the others' = n/(n-1) (R - mean)
    return advantage == ADVANTAGE_GROUP_Z ? 1 / (std_of(reward, n) + epsilon) : 1;
}

void advantage_compute(enum advantage advantage, const struct advantage_in *in, double epsilon,
                       double *ret)
{
    const size_t all = in->groups ? in->first[in->groups] : 0;
    double batch_scale = 1;
    if (advantage == ADVANTAGE_BATCH_Z)
        batch_scale = 1 / (std_of(in->reward, all) + epsilon);
    for (size_t i = 0; advantage <= ADVANTAGE_RAW && i < all; i++)
        ret[i] = advantage == ADVANTAGE_ONE ? 1 : in->reward[i];
    for (size_t g = 0; advantage > ADVANTAGE_RAW && g < in->groups; g++) {
        const double *reward = in->reward + in->first[g];
        const size_t n = in->first[g + 1] - in->first[g];
        const bool nothing = all_equal(reward, n);
        const double mean = mean_of(reward, n);
        const double scale = nothing ? 0 : batch_scale * group_scale(advantage, reward, n, epsilon);
        for (size_t i = 0; i < n; i++)
            ret[in->first[g] + i] = nothing ? 0 : (reward[i] - mean) * scale;
    }
}
