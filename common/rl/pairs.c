#include "rl/pairs.h"
#include <stdbool.h>

/* The best and the worst of sequences begin..end-1; the first of equal ones. */
static struct rl_pair extremes(const double *reward, int begin, int end)
{
    struct rl_pair ret = {begin, begin};
    for (int i = begin + 1; i < end; i++) {
        if (reward[i] > reward[ret.chosen])
            ret.chosen = i;
        if (reward[i] < reward[ret.rejected])
            ret.rejected = i;
    }
    return ret;
}

size_t rl_pairs_pick(const struct advantage_in *in, double margin, bool ties_first,
                     struct rl_pair *ret)
{
    size_t count = 0;
    for (int g = 0; g < in->groups; g++) {
        const int begin = in->first[g], end = in->first[g + 1];
        if (end - begin < 2)
            continue;
        const struct rl_pair pair = extremes(in->reward, begin, end);
        if (in->reward[pair.chosen] - in->reward[pair.rejected] > margin)
            ret[count++] = pair;
        else if (ties_first)
            ret[count++] = (struct rl_pair){begin, end - 1};
    }
    return count;
}
