#include "rl/pairs.h"

bool rl_pair_of(const double *reward, size_t completions, double margin, bool ties_first,
                struct rl_pair *ret)
{
    struct rl_pair pair = {0, 0};
    if (completions < 2)
        return false;
    for (size_t i = 1; i < completions; i++) {
        if (reward[i] > reward[pair.chosen])
            pair.chosen = i;
        if (reward[i] < reward[pair.rejected])
            pair.rejected = i;
    }
    const bool differ = reward[pair.chosen] - reward[pair.rejected] > margin;
    if (!differ && !ties_first)
        return false;
    *ret = differ ? pair : (struct rl_pair){0, completions - 1};
    return true;
}
