/* The value of an expression at a place, where a seed draws the values of its letters.
 *
 *     const struct math_place place = {.seed = 7, .sign = 1};
 *     struct math_value a = math_value(tree, tree->root, &place);
 *     if (math_values_same(&a, &b, 1e-6)) ...
 *
 * Any thread. */
#pragma once
#include "rewarder/verify/math_tree.h"
#include <complex.h>

struct math_place {
    uint64_t seed;
    int sign; // of "plus or minus": 1 or -1
};

struct math_value {
    bool known; // false: it has none here, as 1/0 and lists have
    double complex number;
    bool exact; // a rational number, which residue tells modulo MATH_PRIME
    uint64_t residue;
    bool decimal; // written with a point somewhere
    bool varies;  // with letters
    int infinite; // 1, -1, or 0
};

struct math_value math_value(const struct math_tree *tree, uint16_t node,
                             const struct math_place *place);

/* Rational numbers are the same exactly, others within rounding. A decimal may be off a value that
 * is written without a point: by tolerance, and by this part of values below 1. */
bool math_values_same(const struct math_value *a, const struct math_value *b, double tolerance);
