/* lag.max: auto at work. Rounds go to the controller (lag_control.h). Its moves become live changes
 * of lag.auto_at, listed and recorded with the rounds as an operator's are.
 *
 *     struct steering *steering = steering_new(live, storage);
 *     steering_see(steering, storage, &seen);       -- after each new round, before the next is asked for
 *
 * The limit outlives a restart, as all live settings do. The controller's memory does not: it
 * begins anew, with rounds that it does not look at. Rounds trained again after a restart are no
 * news to it, as they have the limits of their records. Owner: the storage thread; steering_see:
 * the compute thread. */
#pragma once
#include "learner/replay/storage.h"
#include "learner/steer/lag_control.h"
#include "learner/steer/live.h"

struct steering;
struct steering *steering_new(struct live *live, struct storage *storage);

/* NULL steering: nothing. */
void steering_see(struct steering *steering, struct storage *storage, const struct lag_seen *seen);

/* The controller's options in the recipe. */
struct lag_control_config steering_config(const struct recipe *recipe);
void steering_free(struct steering *steering); // after the storage thread's last job
DEFINE_SCOPED(steering)
