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

void whiten_sequences(const struct columns *round, double *values)
{
    double count = 0, sum = 0, squares = 0;
    for (size_t s = 0; s < round->sequences; s++) {
        const double tokens = (double)columns_tokens(round, s);
        count += tokens;
        sum += tokens * values[s];
    }
    if (count < 2)
        return;
    const double mean = sum / count;
    for (size_t s = 0; s < round->sequences; s++)
        squares += (double)columns_tokens(round, s) * (values[s] - mean) * (values[s] - mean);
    const double scale = 1 / sqrt(squares / (count - 1) + WHITEN_EPSILON);
    for (size_t s = 0; s < round->sequences; s++)
        values[s] = (values[s] - mean) * scale;
}
