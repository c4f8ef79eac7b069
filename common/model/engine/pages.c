#include "model/engine/pages.h"
#include "base/mem.h"
#include <assert.h>
#include <stddef.h>

struct pages {
    int count, free;
    int32_t *stack;    // (count) the free ones; what was used last is used first: it is in a cache
    uint32_t *holders; // (count)
};

struct pages *pages_new(int count)
{
    struct pages *pages = mem_new(sizeof *pages);
    pages->count = pages->free = count;
    pages->stack = mem_array((size_t)count, sizeof *pages->stack);
    pages->holders = mem_array((size_t)count, sizeof *pages->holders);
    for (int i = 0; i < count; i++)
        pages->stack[i] = count - 1 - i;
    return pages;
}

int pages_free_count(const struct pages *pages)
{
    return pages->free;
}

int32_t pages_take(struct pages *pages)
{
    if (!pages->free)
        return -1;
    const int32_t page = pages->stack[--pages->free];
    pages->holders[page] = 1;
    return page;
}

void pages_hold(struct pages *pages, int32_t page)
{
    assert(pages->holders[page]);
    pages->holders[page]++;
}

void pages_drop(struct pages *pages, int32_t page)
{
    assert(pages->holders[page]);
    if (!--pages->holders[page])
        pages->stack[pages->free++] = page;
}

uint32_t pages_holders(const struct pages *pages, int32_t page)
{
    return pages->holders[page];
}

void pages_free(struct pages *pages)
{
    if (!pages)
        return;
    mem_free(pages->stack);
    mem_free(pages->holders);
    mem_free(pages);
}
