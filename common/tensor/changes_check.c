#include "tensor/changes_check.h"

err_t weight_changes_check(int N, int K, size_t first, const uint32_t *index, size_t count,
                           size_t room)
{
    const size_t elements = (size_t)N * (size_t)K;
    if (count > room)
        return err_new(ERR_EXHAUSTED, "%zu changes of weights: there is room for %zu", count, room);
    if (first > elements)
        return err_new(ERR_RANGE, "changes of a weight of %d x %d from element %zu on", N, K,
                       first);
    for (size_t i = 0; i < count; i++)
        if (index[i] >= elements - first)
            return err_new(ERR_RANGE, "a change of element %zu of a weight of %d x %d",
                           first + index[i], N, K);
    return OK;
}
