/* The check of changes of a weight, which every backend makes before it takes them.
 *
 *     TRY(weight_changes_check(N, K, first, index, count, room)); */
#pragma once
#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

/* W is (N,K). RANGE: first + index[i] is not in it; EXHAUSTED: count is more than room. */
err_t weight_changes_check(int N, int K, size_t first, const uint32_t *index, size_t count,
                           size_t room);
