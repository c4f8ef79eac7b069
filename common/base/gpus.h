/* Lists of GPUs, as recipes write them: "0,1".
 *
 *     TRY(gpus_nth("0,1", 2, &device));    -- 0: the third process takes turns with the first
 *
 * Any thread: pure. */
#pragma once
#include "base/err.h"
#include <stdint.h>

enum { GPUS_MAX = 64, GPU_MAX = 1023 };

/* The device of process n, from 0 on. INVALID: not numbers between commas. */
err_t gpus_nth(const char *list, int64_t n, int *ret);
