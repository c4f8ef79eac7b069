#include "base/mem.h"
#include "sim/simulated.h"
#include <math.h>

/* Nodes are numbered so that a parent comes before its children: 0 is the learner, generator i is
 * node i + 1. */
static int parent_of(enum plan_way way, int node, int fanout)
{
    return way == PLAN_STAR ? 0 : way == PLAN_RING ? node - 1 : (node - 1) / fanout;
}

double simulate_spread(enum plan_way way, int n, int fanout, double bytes, double slice,
                       double bytes_per_s, double latency_s, double *arrival)
{
    const int slices = (int)ceil(bytes / slice);
    const double one = bytes / slices / bytes_per_s;
    /* has[node * slices + i]: when slice i is there; card[node]: when its card is free */
    double *has = mem_array((size_t)(n + 1) * (size_t)slices, sizeof *has);
    double *card = mem_array((size_t)n + 1, sizeof *card), last = 0;
    for (int first = 1;
         first <= n;) { // the children of one parent take its card in turn, a slice each
        const int parent = parent_of(way, first, fanout);
        int end = first;
        while (end <= n && parent_of(way, end, fanout) == parent)
            end++;
        const double *from = has + (size_t)parent * (size_t)slices;
        const double whole = from[slices - 1];
        for (int i = 0; i < slices; i++)
            for (int child = first; child < end; child++) {
                const double ready = way == PLAN_RING ? from[i] : whole;
                card[parent] = fmax(card[parent], ready) + one;
                has[(size_t)child * (size_t)slices + (size_t)i] = card[parent] + latency_s;
            }
        first = end;
    }
    for (int g = 0; g < n; g++) {
        arrival[g] = has[(size_t)(g + 1) * (size_t)slices + (size_t)slices - 1];
        last = fmax(last, arrival[g]);
    }
    mem_free(has);
    mem_free(card);
    return last;
}
