/* The seconds of an engine's step as a line over its rows, from the steps made lately. On a CPU the
 * rows take most of them, on a GPU the step itself does.
 *
 *     struct step_cost cost = {0};
 *     step_cost_add(&cost, rows, seconds);                        -- after each step
 *     if (step_cost_ratio(&cost, 16, 90) > 1.25) ...              -- 74 rows more cost too much
 *
 * Any thread: nothing is kept elsewhere. */
#pragma once

struct step_cost {
    double n, x, y, xx, xy; // sums over the steps; the older a step, the less it counts
};
void step_cost_add(struct step_cost *cost, double rows, double seconds);

/* How many times as long a step of `to` rows takes as one of `from` rows; both > 0. As many times
 * as there are rows while too little is known. At least 1. */
double step_cost_ratio(const struct step_cost *cost, double from, double to);
