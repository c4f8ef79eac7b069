/* Numbers of a bench's command line. */
#pragma once
#include <stdlib.h>

static inline int bench_number(int argc, char **argv, int i, int otherwise)
{
    return i < argc ? (int)strtol(argv[i], NULL, 10) : otherwise;
}
