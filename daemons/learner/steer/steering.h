/* lag.max: auto at work: rounds go to the controller (lag_control.h), its moves become live changes
 * of lag.auto_at, listed and recorded with the rounds as an operator's are.
 *
 *     struct steering *steering = steering_new(live, storage);
 *     steering_see(steering, storage, &drawn, &report);       -- after each new round, before the next is asked for
 *
 * Where the limit stands outlives a restart, as all live settings do; what the controller had seen
 * does not: it begins anew, with rounds that it does not look at. Rounds trained again after a
 * restart are no news to it: they have the limits they were recorded with. Owner: the storage
 * thread, but steering_see: the compute thread; NULL: nothing. */
#pragma once
#include "learner/replay/storage.h"
#include "learner/round/draw.h"
#include "learner/round/report.h"
#include "learner/steer/lag_control.h"
#include "learner/steer/live.h"

struct steering;
struct steering *steering_new(struct live *live, struct storage *storage);
void steering_see(struct steering *steering, struct storage *storage, const struct drawn *drawn,
                  const struct round_report *report);

/* What the recipe says of the controller. */
struct lag_control_config steering_config(const struct recipe *recipe);
void steering_free(struct steering *steering); // after the storage thread's last job
DEFINE_SCOPED(steering)
