#include "rl/running.h"
#include <math.h>
#include <string.h>

static const char *const names[] = {
#define RUNNING_NAME(name, help) #name,
    RUNNING_VALUES(RUNNING_NAME)
#undef RUNNING_NAME
};

const char *running_name(enum running_value value)
{
    return names[value];
}

bool running_find(const char *name, enum running_value *ret)
{
    for (size_t i = 0; i < RUNNING_COUNT; i++)
        if (strcmp(names[i], name) == 0) {
            *ret = (enum running_value)i;
            return true;
        }
    return false;
}

double running_or(const struct running *running, enum running_value value, double otherwise)
{
    return running && running->set[value] ? running->at[value] : otherwise;
}

void running_set(struct running *running, enum running_value value, double to)
{
    if (!running || !isfinite(to))
        return;
    running->set[value] = true;
    running->at[value] = to;
}

void running_average(struct running *running, enum running_value value, double decay, double next)
{
    const double was = running_or(running, value, NAN);
    running_set(running, value, isnan(was) ? next : decay * was + (1 - decay) * next);
}

void running_rewards(struct running *running, const double *reward, size_t count)
{
    double sum = 0, square = 0;
    if (!running || !count)
        return;
    for (size_t i = 0; i < count; i++)
        sum += reward[i];
    const double n = (double)count, mean = sum / n;
    for (size_t i = 0; i < count; i++)
        square += (reward[i] - mean) * (reward[i] - mean);
    const double had = running_or(running, RUNNING_rewards, 0),
                 old = running_or(running, RUNNING_reward_mean, 0), all = had + n, far = mean - old;
    if (!isfinite(square) || !isfinite(far * far * had * n))
        return;
    running_set(running, RUNNING_rewards, all);
    running_set(running, RUNNING_reward_mean, old + far * n / all);
    running_set(running, RUNNING_reward_square,
                running_or(running, RUNNING_reward_square, 0) + square + far * far * had * n / all);
}

double running_reward_std(const struct running *running)
{
    const double rewards = running_or(running, RUNNING_rewards, 0);
    return rewards < 2 ? 0 : sqrt(running_or(running, RUNNING_reward_square, 0) / (rewards - 1));
}
