/* M2PO's mask (Zheng 2025): tokens whose probability has moved far train nothing. So many are
 * masked that the second moment of the others is small. Any thread.
 *
 *     second_moment_mask(0.04, round);            -- fills COLUMN_MASKED
 *
 * x = proximal logp - behaviour logp. Tokens that have a weight are masked in falling order of x^2.
 * Masking ends once the mean of x^2 over the others is at most `most`. Of equal ones the
 * earlier goes first. Tokens that are masked already do not count. */
#pragma once
#include "rl/columns.h"

void second_moment_mask(double most, struct columns *round);
