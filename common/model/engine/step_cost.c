#include "model/engine/step_cost.h"

/* FADE: a step counts half after some 70 more. STEPS: fewer than that say too little. */
static const double FADE = 0.99, STEPS = 8;

void step_cost_add(struct step_cost *cost, double rows, double seconds)
{
    *cost = (struct step_cost){.n = cost->n * FADE + 1,
                               .x = cost->x * FADE + rows,
                               .y = cost->y * FADE + seconds,
                               .xx = cost->xx * FADE + rows * rows,
                               .xy = cost->xy * FADE + rows * seconds};
}

/* The least-squares line. Steps of one size tell nothing of another; a line that would take less
 * than no time for no rows is that of the rows alone. */
double step_cost_ratio(const struct step_cost *cost, double from, double to)
{
    const double spread = cost->n * cost->xx - cost->x * cost->x;
    if (to <= from)
        return 1;
    if (cost->n < STEPS || spread <= 1e-6 * cost->n * cost->xx)
        return to / from;
    const double row_s = (cost->n * cost->xy - cost->x * cost->y) / spread;
    const double step_s = (cost->y - row_s * cost->x) / cost->n;
    if (row_s <= 0)
        return 1;
    return step_s > 0 ? (step_s + row_s * to) / (step_s + row_s * from) : to / from;
}
