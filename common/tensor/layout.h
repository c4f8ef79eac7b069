/* The place of each named tensor in one flat array. Weights, gradients, optimizer state and weight
 * updates share the layout.
 *
 *     SCOPED(layout) layout = layout_new();
 *     int at = layout_add(layout, "model.norm.weight", C, 0);      -- a vector of C
 *     const struct layout_tensor *t = layout_find(layout, "model.norm.weight");
 *     float *norm = flat + t->offset;
 *
 * Tensors lie in the order they were added, row-major, each beginning at a multiple of LAYOUT_ALIGN
 * elements; the gaps hold zeros. Any thread once built. */
#pragma once
#include "base/hash.h"
#include "base/scoped.h"
#include <stddef.h>

enum { LAYOUT_ALIGN = 32 };

struct layout_tensor {
    char *name;
    int rows, cols; // cols 0: a vector of rows elements
    size_t offset;  // its first element in the flat array
    size_t count;   // elements: rows * max(cols, 1)
};

struct layout {
    int count;
    struct layout_tensor *tensor;
    size_t elements;   // length of the flat array, gaps included
    size_t parameters; // elements without the gaps
};

struct layout *layout_new(void);
int layout_add(struct layout *layout, const char *name, int rows, int cols); // its index
/* NULL: the layout has no tensor of this name. */
const struct layout_tensor *layout_find(const struct layout *layout, const char *name);

/* Names, shapes and order: equal digests mean that flat arrays can be exchanged. */
struct digest layout_digest(const struct layout *layout);
void layout_free(struct layout *layout);
DEFINE_SCOPED(layout)
