#include "learner/fence.h"
#include "base/mem.h"
#include <string.h>

enum { NAMES_MAX = 4096 };

struct seen {
    char *generator;
    uint64_t incarnation;
};

struct fence {
    struct seen seen[NAMES_MAX]; // heard of last first
    size_t count;
};

struct fence *fence_new(void)
{
    return mem_new(sizeof(struct fence));
}

static size_t find(const struct fence *fence, const char *generator)
{
    size_t i = 0;
    while (i < fence->count && strcmp(fence->seen[i].generator, generator) != 0)
        i++;
    return i;
}

bool fence_admit(struct fence *fence, const char *generator, uint64_t incarnation,
                 uint64_t *ret_newest)
{
    size_t at = find(fence, generator);
    struct seen seen = {.incarnation = incarnation};
    if (at < fence->count) {
        seen.generator = fence->seen[at].generator;
        if (fence->seen[at].incarnation > incarnation) {
            *ret_newest = fence->seen[at].incarnation;
            return false;
        }
    } else {
        seen.generator = mem_string(generator);
        if (fence->count < NAMES_MAX)
            fence->count++;
        else
            mem_free(fence->seen[--at].generator);
    }
    memmove(&fence->seen[1], &fence->seen[0], at * sizeof seen);
    fence->seen[0] = seen;
    return true;
}

void fence_free(struct fence *fence)
{
    if (!fence)
        return;
    for (size_t i = 0; i < fence->count; i++)
        mem_free(fence->seen[i].generator);
    mem_free(fence);
}
