/* Running values (rl/running_table.h): of the whole run, moved once an update or once a round, in
 * record order. One owner.
 *
 *     struct running running = {0};                              -- none is set
 *     running_average(&running, RUNNING_gap, 0.9, mean_gap);     -- the first one sets it
 *     const double gap = running_or(&running, RUNNING_gap, 0);
 *
 * Whoever trains nothing keeps none: every call takes a NULL running, which is never set. */
#pragma once
#include "rl/running_table.h"
#include <stdbool.h>

struct running {
    bool set[RUNNING_COUNT];
    double at[RUNNING_COUNT];
};

const char *running_name(enum running_value value);
bool running_find(const char *name, enum running_value *ret);

/* The value, or `otherwise` before it is set. */
double running_or(const struct running *running, enum running_value value, double otherwise);

/* Values that are not finite change nothing, here and below. */
void running_set(struct running *running, enum running_value value, double to);

/* decay * what it was + (1 - decay) * next; `next` itself where it was not set. */
void running_average(struct running *running, enum running_value value, double decay, double next);

/* Adds `count` rewards to count, mean and squares (Chan 1979): the result does not depend on how
 * far the mean is from 0. */
void running_rewards(struct running *running, const double *reward, size_t count);

/* With Bessel's correction; 0 before there are two. */
double running_reward_std(const struct running *running);
