/* A backward op against central differences of its definition, computed in double: L = sum of
 * weights * output. Differences are good to 1e-9 or so; what is left is the op's own float32.
 *
 *     struct problem p = {.loss = rmsnorm_loss};
 *     const int at = put(&p, x, N * C);            -- an input of the op
 *     put_weight(&p, dy, N * C);
 *     compare(&p, at, dx, N * C, 2e-6); */
#pragma once
#include "testing/tensors.h"

enum { MAX = 4096 };

/* A forward in double: the inputs' values one after another, the loss out. */
struct problem {
    int count;  // of all inputs' values
    int option; // of the op: a window, or whether by tanh
    double x[MAX];
    double weight[MAX]; // of the outputs
    double (*loss)(const struct problem *);
};

static inline double slope_of(struct problem *p, int i)
{
    const double h = 1e-5, at = p->x[i];
    p->x[i] = at + h;
    const double up = p->loss(p);
    p->x[i] = at - h;
    const double down = p->loss(p);
    p->x[i] = at;
    return (up - down) / (2 * h);
}

/* Values of an op's float arrays as one input of the problem. */
static inline int put(struct problem *p, const float *x, int count)
{
    const int at = p->count;
    assert_true(at + count <= MAX);
    for (int i = 0; i < count; i++)
        p->x[at + i] = x[i];
    p->count += count;
    return at;
}
static inline void put_weight(struct problem *p, const float *x, int count)
{
    for (int i = 0; i < count; i++)
        p->weight[i] = x[i];
}
static inline void compare(struct problem *p, int at, const float *gradient, int count,
                           double limit)
{
    for (int i = 0; i < count; i++)
        assert_near(gradient[i], slope_of(p, at + i), limit);
}
