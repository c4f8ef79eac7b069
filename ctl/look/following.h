/* The WatchStatus streams of all daemons of a run, and the reason when one goes away. A stream that
 * ends is opened again; a daemon of an older build is asked by GetStatus instead.
 *
 *     static void heard(void *arg, size_t daemon, const json_t *status, const char *why) { -- status, or why there is none -- }
 *     struct follow *follow = follow_new(admin, 1000, heard, arg);
 *     TRY(loop_run(admin->loop));
 *
 * Owner: the loop's thread. */
#pragma once
#include "ctl/steer/admin_call.h"

struct follow;
typedef void (*follow_heard)(void *arg, size_t daemon, const json_t *status, const char *why);
struct follow *follow_new(struct admin *admin, int interval_ms, follow_heard heard, void *arg);
void follow_free(struct follow *follow); // before the admin
DEFINE_SCOPED(follow)
