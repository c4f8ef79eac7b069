/* One tensor out of those of several models: pure arithmetic on float32, sums in double, models in
 * the order in which they were given.
 *
 *     const struct merge_rule rule = {.method = MERGE_TIES, .lambda = 1, .normalize = true};
 *     combine(&rule, base, part, count, rows, cols, merged);
 *
 * linear: sum w x, by normalize over sum w (Wortsman 2022; of reward models WARM, Ramé 2024).
 * task_arithmetic: base + lambda sum w (x - base) (Ilharco 2022).
 * ties: the `density` largest values of each task vector x - base are kept. The sign of sum w d is
 * elected. The values of that sign are averaged by their weights (Yadav 2023).
 * Task vectors are float32 differences. Of equal sizes the first values are kept.
 *
 * Any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum merge_method { MERGE_LINEAR, MERGE_TASK_ARITHMETIC, MERGE_TIES };
struct merge_rule {
    enum merge_method method;
    double lambda;  // of task vectors
    bool normalize; // over the sum of the weights that count
};

/* A model's tensor, and what became of it. The last three are added to. */
struct merge_part {
    const float *value; // (rows, cols)
    const bool *has;    // (rows) which rows it has, linear alone; NULL: all
    double weight, density;
    double moved;          // sum of squares of x - base; linear: of x - merged
    size_t kept, outvoted; // ties: values kept, and those of them whose sign lost
};

/* base: NULL where the method is linear. A row that no part has is zeros. */
void combine(const struct merge_rule *rule, const float *base, struct merge_part *part, int count,
             size_t rows, size_t cols, float *ret);
