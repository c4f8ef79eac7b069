/* Model shapes that benches share, by name.
 *
 *     struct model_config config;
 *     if (!bench_shape("50M", 2048, &config))
 *         usage(BENCH_SHAPES); */
#pragma once
#include "model/files/config.h"
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define BENCH_SHAPES "sort, tldr, 1M, 10M, 50M, 125M, smollm2, 8B"

/* positions: the longest context. The head is tied, but for sort. */
static inline bool bench_shape(const char *name, int positions, struct model_config *ret)
{
    static const struct {
        const char *name;
        int V, C, F, L, H, K;
    } shapes[] = {
        {"sort", 29, 64, 176, 2, 2, 2},          {"tldr", 2048, 128, 352, 3, 4, 4},
        {"1M", 2048, 128, 352, 4, 4, 4},         {"10M", 4096, 320, 864, 7, 5, 5},
        {"50M", 8192, 640, 1728, 9, 10, 10},     {"125M", 16384, 768, 2048, 16, 12, 12},
        {"smollm2", 49152, 576, 1536, 30, 9, 3}, {"8B", 128256, 4096, 14336, 32, 32, 8},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (!strcmp(name, shapes[i].name)) {
            *ret = config_default(shapes[i].V, shapes[i].C, shapes[i].F, shapes[i].L, shapes[i].H,
                                  shapes[i].K, positions, i > 0);
            return true;
        }
    return false;
}
