/* Model shapes that benches share, by name, and random weights.
 *
 *     struct model_config config;
 *     if (!bench_shape("50M", 2048, &config))
 *         usage(BENCH_SHAPES); */
#pragma once
#include "base/mem.h"
#include "model/files/config.h"
#include "tensor/layout.h"
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define BENCH_SHAPES "sort, tldr, 1M, 10M, 50M, 125M, smollm2, 8B, 8B/4, heads"

/* positions: the longest context. The head is tied, but for sort. 8B/4: a quarter
 * of its widths and heads. heads: little but attention, by one kv head of 8B's. */
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
        {"8B/4", 32064, 1024, 3584, 32, 8, 2},   {"heads", 256, 512, 64, 1, 4, 1},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (!strcmp(name, shapes[i].name)) {
            *ret = config_default(shapes[i].V, shapes[i].C, shapes[i].F, shapes[i].L, shapes[i].H,
                                  shapes[i].K, positions, i > 0);
            return true;
        }
    return false;
}

/* Random weights, norms about 1; the caller frees them. */
static inline bf16 *bench_weights(const struct layout *layout)
{
    bf16 *flat = mem_array(layout->elements, sizeof *flat);
    uint64_t state = 1;
    for (int t = 0; t < layout->count; t++) {
        const struct layout_tensor *tensor = &layout->tensor[t];
        const float scale = tensor->cols ? 0.02f : 0, base = tensor->cols ? 0 : 1;
        for (size_t i = 0; i < tensor->count; i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            const float uniform = (float)(int32_t)(state >> 32) * 0x1p-31f;
            flat[tensor->offset + i] = bf16_from_float(base + scale * uniform);
        }
    }
    return flat;
}

/* Weights of a layer's products. */
static inline double bench_layer_weights(const struct model_config *c)
{
    return (double)c->C * c->D * (2.0 * c->H + 2.0 * c->K) + 3.0 * c->C * c->F;
}
