#include "weights/codec/touched.h"
#include "base/mem.h"
#include <string.h>

enum { WORD = 32 };

static size_t words_of(const struct layout *layout)
{
    return (layout->elements + WORD - 1) / WORD;
}

struct touched *touched_new(const struct layout *layout, bool marks)
{
    struct touched *touched = mem_new(sizeof *touched);
    touched->layout = layout;
    touched->marks = marks;
    touched->tensor = mem_array((size_t)layout->count + 1, sizeof *touched->tensor);
    return touched;
}

static void mark(void *arg, size_t first, const uint32_t *offset, const uint16_t *now, size_t count)
{
    uint32_t *word = arg;
    (void)now;
    for (size_t i = 0; i < count; i++) {
        const size_t at = first + (offset ? offset[i] : i);
        word[at / WORD] |= (uint32_t)1 << at % WORD;
    }
}

void touched_follow(struct touched *touched, const struct staging *staging)
{
    if (!touched->marks || touched->all)
        return;
    if (!touched->mark)
        touched->mark = mem_array(words_of(touched->layout), sizeof *touched->mark);
    staging_each(staging, mark, touched->mark);
}

void touched_all(struct touched *touched)
{
    touched->all = true;
    for (int t = 0; t < touched->layout->count; t++)
        touched->tensor[t] = true;
}

void touched_clear(struct touched *touched)
{
    touched->all = false;
    memset(touched->tensor, 0, (size_t)touched->layout->count * sizeof *touched->tensor);
    if (touched->mark)
        memset(touched->mark, 0, words_of(touched->layout) * sizeof *touched->mark);
}

void touched_free(struct touched *touched)
{
    if (!touched)
        return;
    mem_free(touched->tensor);
    mem_free(touched->mark);
    mem_free(touched);
}
