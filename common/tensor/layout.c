#include "tensor/layout.h"
#include "base/bytes.h"
#include "base/mem.h"
#include <stdlib.h>
#include <string.h>

struct layout *layout_new(void)
{
    return mem_new(sizeof(struct layout));
}

int layout_add(struct layout *layout, const char *name, int rows, int cols)
{
    size_t count = (size_t)rows * (cols ? (size_t)cols : 1);
    layout->tensor = mem_grow(layout->tensor, (size_t)layout->count + 1, sizeof *layout->tensor);
    layout->tensor[layout->count] = (struct layout_tensor){.name = mem_string(name),
                                                           .rows = rows,
                                                           .cols = cols,
                                                           .offset = layout->elements,
                                                           .count = count};
    layout->elements += (count + LAYOUT_ALIGN - 1) / LAYOUT_ALIGN * LAYOUT_ALIGN;
    layout->parameters += count;
    return layout->count++;
}

const struct layout_tensor *layout_find(const struct layout *layout, const char *name)
{
    for (int i = 0; i < layout->count; i++)
        if (strcmp(layout->tensor[i].name, name) == 0)
            return &layout->tensor[i];
    return NULL;
}

struct digest layout_digest(const struct layout *layout)
{
    SCOPED_VALUE(bytes) text = {0};
    bytes_text(&text, "layout 1\n");
    for (int i = 0; i < layout->count; i++) {
        const struct layout_tensor *tensor = &layout->tensor[i];
        bytes_printf(&text, "%s %d %d\n", tensor->name, tensor->rows, tensor->cols);
    }
    return hash128(text.data, text.len, 0);
}

void layout_free(struct layout *layout)
{
    if (!layout)
        return;
    for (int i = 0; i < layout->count; i++)
        free(layout->tensor[i].name);
    free(layout->tensor);
    free(layout);
}
