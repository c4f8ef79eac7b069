/* Confidence intervals by the bootstrap (Efron 1979) over clusters: what belongs to one prompt is
 * drawn together, with replacement, as often as there are prompts. The interval is that of the
 * percentiles 2.5 and 97.5.
 *
 *     struct bootstrap bootstrap = {.clusters = prompts, .draws = 1000, .seed = 1};
 *     bootstrap_run(&bootstrap, figures, arg, count, estimate);
 *     estimate[0].value, estimate[0].low, estimate[0].high
 *
 * A draw is a function of seed and its number alone. Any thread; pure. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct bootstrap {
    size_t clusters, draws; // draws 0: no intervals
    uint64_t seed;
};

/* low and high NaN: there is no interval. */
struct estimate {
    double value, low, high;
};

/* Figures of weighted clusters: cluster c stands there weight[c] times. */
typedef void bootstrap_figures(void *arg, const double *weight, double *ret);

/* ret: (count). The value is that of weights 1. Draws whose figure is not finite do not count in
 * its interval. */
void bootstrap_run(const struct bootstrap *bootstrap, bootstrap_figures *figures, void *arg,
                   size_t count, struct estimate *ret);

/* weight: (clusters) of draw number `draw`. */
void bootstrap_draw(const struct bootstrap *bootstrap, size_t draw, double *weight);

/* The interval of (count) draws, which are sorted here; those that are not finite do not count. */
struct estimate estimate_of(double value, double *drawn, size_t count);
