/* The methods of LearnerAdmin, each file's as a service of its own; main serves them on the admin
 * port. Loop thread. */
#pragma once
#include "learner/admin/desk.h"
#include "rpc/admin.h"

struct rpc_service tuning_service(struct desk *desk);  // settings and changes
struct rpc_service pausing_service(struct desk *desk); // Pause, Resume
struct rpc_service workers_service(struct desk *desk); // ListWorkers, DrainWorker
/* Checkpoint and what is asked of operations */
struct rpc_service operations_service(struct desk *desk);
struct rpc_service rolling_service(struct desk *desk);  // Rollback
struct rpc_service browsing_service(struct desk *desk); // groups, what made a version

/* admin_options.collect (rpc/admin.h): what the learner's status says beside metrics. */
void overview_collect(struct desk *desk, struct rpc_admin_asking *asking);
