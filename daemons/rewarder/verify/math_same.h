/* Whether two answers of mathematics are the same: 1/2 and \frac{2}{4}, x > 3 and (3, \infty).
 *
 *     if (math_same(want, got, 1e-6)) ...
 *
 * Expressions are compared by their values, those with letters at several places that the wanted
 * answer draws; rational ones modulo a prime of 61 bits, too. Lists in round or square brackets
 * keep their order, sets and bare lists do not. Other texts are compared word by word.
 * The same two texts compare the same on every machine. Any thread. */
#pragma once
#include "rewarder/scorer.h"

/* tolerance: how far a decimal may be off a value that is written without a point. */
bool math_same(struct text_slice want, struct text_slice got, double tolerance);
