#include "svc/spares.h"
#include "base/mem.h"
#include <pthread.h>

struct spare {
    struct spare *next;
    struct spares *home;
    void *memory;
    uint64_t holds;
};

struct spares {
    pthread_mutex_t mutex;
    struct spare *back;
    int out; // blocks that are lent
    bool closed;
};

struct spares *spares_new(void)
{
    struct spares *spares = mem_new(sizeof *spares);
    pthread_mutex_init(&spares->mutex, NULL);
    return spares;
}

struct spare *spares_lend(struct spares *spares, void *memory, uint64_t holds)
{
    const struct spare spare = {.home = spares, .memory = memory, .holds = holds};
    pthread_mutex_lock(&spares->mutex);
    spares->out++;
    pthread_mutex_unlock(&spares->mutex);
    return mem_copy(&spare, sizeof spare);
}

static void spare_free(struct spare *spare)
{
    mem_free(spare->memory);
    mem_free(spare);
}

/* Of the owner and of the last block, whoever comes later. */
static void spares_free(struct spares *spares)
{
    while (spares->back) {
        struct spare *spare = spares->back;
        spares->back = spare->next;
        spare_free(spare);
    }
    pthread_mutex_destroy(&spares->mutex);
    mem_free(spares);
}

void spares_back(void *arg)
{
    struct spare *spare = arg;
    struct spares *spares = spare->home;
    pthread_mutex_lock(&spares->mutex);
    spare->next = spares->back;
    spares->back = spare;
    const bool last = --spares->out == 0 && spares->closed;
    pthread_mutex_unlock(&spares->mutex);
    if (last)
        spares_free(spares);
}

bool spares_take(struct spares *spares, uint64_t holds, void **ret)
{
    bool found = false;
    pthread_mutex_lock(&spares->mutex);
    for (struct spare **at = &spares->back; *at;) {
        struct spare *spare = *at;
        if (spare->holds > holds) {
            at = &spare->next;
            continue;
        }
        *at = spare->next;
        if (spare->holds == holds && !found) {
            *ret = spare->memory;
            spare->memory = NULL;
            found = true;
        }
        spare_free(spare);
    }
    pthread_mutex_unlock(&spares->mutex);
    return found;
}

void spares_close(struct spares *spares)
{
    if (!spares)
        return;
    pthread_mutex_lock(&spares->mutex);
    spares->closed = true;
    const bool last = !spares->out;
    pthread_mutex_unlock(&spares->mutex);
    if (last)
        spares_free(spares);
}
