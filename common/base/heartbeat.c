#include "base/heartbeat.h"
#include "base/clock.h"
#include <stdatomic.h>
#include <stddef.h>

#define RESTS INT64_MAX

static struct slot {
    _Atomic(const char *) name; // NULL: free
    _Atomic int64_t step_ms;    // RESTS: it waits for others
} slots[HEARTBEATS_MAX] = {[0 ... HEARTBEATS_MAX - 1] = {.step_ms = RESTS}};
static _Thread_local struct slot *own;

void heartbeat_begin(const char *name)
{
    for (size_t i = 0; i < HEARTBEATS_MAX && !own; i++) {
        const char *none = NULL; // a free slot rests
        if (atomic_compare_exchange_strong(&slots[i].name, &none, name))
            own = &slots[i];
    }
    heartbeat_step();
}

void heartbeat_step(void)
{
    if (own)
        atomic_store_explicit(&own->step_ms, clock_ms(), memory_order_relaxed);
}

void heartbeat_rest(void)
{
    if (own)
        atomic_store_explicit(&own->step_ms, RESTS, memory_order_relaxed);
}

void heartbeat_end(void)
{
    if (!own)
        return;
    heartbeat_rest();
    atomic_store(&own->name, NULL);
    own = NULL;
}

bool heartbeat_late(int64_t bound_ms, struct heartbeat *ret)
{
    const int64_t now_ms = clock_ms();
    bool late = false;
    for (size_t i = 0; i < HEARTBEATS_MAX; i++) {
        const int64_t step_ms = atomic_load(&slots[i].step_ms);
        const char *name = atomic_load(&slots[i].name);
        if (!name || step_ms == RESTS || now_ms - step_ms <= bound_ms ||
            (late && now_ms - step_ms <= ret->silent_ms))
            continue;
        *ret = (struct heartbeat){name, now_ms - step_ms};
        late = true;
    }
    return late;
}
