#include "rl/tally.h"
#include <math.h>
#include <stdbool.h>
#include <stddef.h>

#define SHARE(part, whole) ((whole) > 0 ? (part) / (whole) : NAN)

struct rl_figures rl_tally_figures(const struct rl_tally *t)
{
#define FIGURE_VALUE(name, over, of, what) .name = (of),
    return (struct rl_figures){{{RL_FIGURES(FIGURE_VALUE)}}};
#undef FIGURE_VALUE
}

void rl_figures_add(struct rl_figures *into, const struct rl_figures *update)
{
    for (size_t i = 0; i < RL_FIGURES_COUNT; i++)
        into->at[i] += update->at[i];
}

void rl_figures_average(struct rl_figures *figures, double updates)
{
    enum { MEAN = true, SUM = false };
#define FIGURE_MEAN(name, over, of, what) over,
    static const bool means[] = {RL_FIGURES(FIGURE_MEAN)};
#undef FIGURE_MEAN
    for (size_t i = 0; i < RL_FIGURES_COUNT; i++)
        figures->at[i] /= means[i] ? updates : 1;
}

const char *rl_figure_name(enum rl_figure figure)
{
#define FIGURE_NAME(name, ...) #name,
    static const char *const names[] = {RL_FIGURES(FIGURE_NAME)};
#undef FIGURE_NAME
    return names[figure];
}
