#include "weights/codec/scrub.h"
#include "base/mem.h"
#include "tensor/digest.h"

enum { SLICE = 1 << 19 }; // elements: about a millisecond

struct scrub {
    struct loop_timer *timer;
    size_t elements, at; // summed up: those before at
    const uint16_t *values;
    struct digest sum;
    void (*done)(void *arg, const struct digest *sum);
    void *arg;
};

static void on_slice(void *arg)
{
    struct scrub *scrub = arg;
    const size_t left = scrub->elements - scrub->at, count = left < SLICE ? left : SLICE;
    const struct digest part = weights_digest(scrub->values + scrub->at, scrub->at, count);
    scrub->sum = weights_digest_add(scrub->sum, part);
    scrub->at += count;
    if (scrub->at < scrub->elements)
        return;
    scrub_stop(scrub);
    scrub->done(scrub->arg, &scrub->sum);
}

struct scrub *scrub_new(struct loop *loop, size_t elements,
                        void (*done)(void *arg, const struct digest *sum), void *arg)
{
    struct scrub *scrub = mem_new(sizeof *scrub);
    scrub->timer = loop_timer_new(loop, on_slice, scrub);
    scrub->elements = elements;
    scrub->done = done;
    scrub->arg = arg;
    return scrub;
}

void scrub_start(struct scrub *scrub, const uint16_t *values)
{
    if (loop_timer_running(scrub->timer))
        return;
    scrub->values = values;
    scrub->at = 0;
    scrub->sum = (struct digest){0};
    loop_timer_start(scrub->timer, 0, 1);
}

static void follow(void *arg, size_t first, const uint32_t *offset, const uint16_t *now,
                   size_t count)
{
    struct scrub *scrub = arg;
    for (size_t i = 0; i < count; i++) {
        const size_t at = first + (offset ? offset[i] : i);
        if (at < scrub->at)
            scrub->sum = weights_digest_change(scrub->sum, at, scrub->values[at], now[i]);
    }
}

void scrub_follow(struct scrub *scrub, const struct staging *staging)
{
    if (loop_timer_running(scrub->timer))
        staging_each(staging, follow, scrub);
}

void scrub_stop(struct scrub *scrub)
{
    loop_timer_stop(scrub->timer);
}

void scrub_free(struct scrub *scrub)
{
    if (!scrub)
        return;
    loop_timer_free(scrub->timer);
    mem_free(scrub);
}
