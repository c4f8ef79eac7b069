/* GFLOP/s of the matrix products on one thread, beside what this core's fma units could do at most.
 *
 *     build/tests/bench_matmul [threads] */
#include "base/clock.h"
#include "base/mem.h"
#include "tensor/backend.h"
#include <stdio.h>
#include <stdlib.h>

