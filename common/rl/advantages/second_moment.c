#include "rl/advantages/second_moment.h"
#include "base/mem.h"
#include <stdlib.h>

struct distance {
    double square;
    size_t token;
};

static int furthest_first(const void *a, const void *b)
{
    const struct distance *x = a, *y = b;
    if (x->square != y->square)
        return x->square > y->square ? -1 : 1;
    return x->token < y->token ? -1 : x->token > y->token;
}

/* Those that count, in their order; returns how many. */
static size_t distances(const struct columns *round, struct distance *ret)
{
    const double *proximal = round->at[COLUMN_PROXIMAL_LOGP],
                 *behaviour = round->at[COLUMN_BEHAVIOUR_LOGP], *masked = round->at[COLUMN_MASKED];
    size_t count = 0;
    for (size_t t = 0; t < round->first[round->sequences]; t++) {
        const double x = proximal[t] - behaviour[t];
        if (columns_weight(round, t) != 0 && masked[t] == 0)
            ret[count++] = (struct distance){x * x, t};
    }
    return count;
}

void second_moment_mask(double most, struct columns *round)
{
    double *masked = columns_add(round, COLUMN_MASKED), sum = 0;
    SCOPED_MEM struct distance *at = mem_array(round->first[round->sequences], sizeof *at);
    const size_t count = distances(round, at);
    qsort(at, count, sizeof *at, furthest_first);
    for (size_t i = count; i-- > 0;) { // from the nearest on: the largest set whose mean is small
        sum += at[i].square;
        if (sum > most * (double)(count - i)) {
            for (size_t far = 0; far <= i; far++)
                masked[at[far].token] = 1;
            return;
        }
    }
}
