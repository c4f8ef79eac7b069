/* Inside rl only: masks of whole completions by their distance from those who drew them. The
 * kinds are in rl/word_table.h; MASK_M2 is of a round (rl/advantages/second_moment.h).
 *
 *     if (!mask_keeps(pass, &s, advantage))      -- the sequence counts as if its weight were 0 */
#pragma once
#include "rl/kernels/kernel.h"

bool mask_keeps(const struct pass *pass, const struct stretch *s, double advantage);
