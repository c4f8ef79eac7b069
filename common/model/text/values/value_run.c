#include "model/text/values/value_run.h"

err_t run_work(struct run *r, size_t bytes)
{
    const uint64_t cost = 1 + bytes / 16;
    if (cost > r->steps)
        return err_new(ERR_RANGE, "the template takes more steps than are allowed");
    r->steps -= cost;
    return run_room(r, 0);
}

err_t run_room(struct run *r, size_t size)
{
    if (room_has(&r->room, size))
        return OK;
    return err_new(ERR_RANGE, "the template takes more than %d MiB of memory", RUN_MEMORY >> 20);
}

err_t run_enter(struct run *r)
{
    if (r->depth >= RUN_DEPTH)
        return err_new(ERR_RANGE, "calls, statements and values are more than %d deep", RUN_DEPTH);
    r->depth++;
    return run_work(r, 0);
}
