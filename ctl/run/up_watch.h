/* The cause that holds up the run of `rlhfctl up`: from the statuses of its daemons, followed on
 * up's own loop.
 *
 *     TRY(up_watch_new(loop, run, &watch));          -- once endpoints.json names the daemons
 *     up_watch_show(watch, view);                    -- from a timer
 *
 * Owner: the loop's thread. */
#pragma once
#include "ctl/run/view.h"
#include "svc/loop.h"

struct up_watch;
err_t up_watch_new(struct loop *loop, const char *run, struct up_watch **ret);
/* A cause that has lasted; NULL watch: nothing */
void up_watch_show(const struct up_watch *watch, struct view *view);
void up_watch_free(struct up_watch *watch);
