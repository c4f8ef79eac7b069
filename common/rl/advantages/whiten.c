#include "rl/advantages/whiten.h"
#include <math.h>

void whiten(const struct columns *round, double *values, bool shift_mean)
{
    const size_t tokens = round->first[round->sequences];
    double count = 0, sum = 0, squares = 0;
    for (size_t t = 0; t < tokens; t++)
        if (columns_weight(round, t) != 0) {
            count++;
            sum += values[t];
        }
    if (count < 2)
        return;
    const double mean = sum / count;
    for (size_t t = 0; t < tokens; t++)
        if (columns_weight(round, t) != 0)
            squares += (values[t] - mean) * (values[t] - mean);
    const double scale = 1 / sqrt(squares / (count - 1) + WHITEN_EPSILON);
    for (size_t t = 0; t < tokens; t++)
        if (columns_weight(round, t) != 0)
            values[t] = (values[t] - mean) * scale + (shift_mean ? 0 : mean);
}
