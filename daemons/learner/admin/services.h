/* The methods of LearnerAdmin, each file's as a service of its own. To add one: a line here and in
 * services.c.
 *
 *     face.admin_service_count = learner_services(&desk, face.admin_services);
 *
 * Owner: the loop's thread. */
#pragma once
#include "admin/admin.h"
#include "admin/face.h"
#include "learner/admin/desk.h"

/* Fills in all of them, for the admin port. Returns how many. */
size_t learner_services(struct desk *desk, struct rpc_service ret[FACE_SERVICES_MAX]);

struct rpc_service tuning_service(struct desk *desk);     // settings and changes
struct rpc_service pausing_service(struct desk *desk);    // Pause, Resume
struct rpc_service workers_service(struct desk *desk);    // ListWorkers, DrainWorker
struct rpc_service copying_service(struct desk *desk);    // Backup
struct rpc_service operations_service(struct desk *desk); // Checkpoint; operations by name
struct rpc_service rolling_service(struct desk *desk);    // Rollback
struct rpc_service browsing_service(struct desk *desk);   // groups, and how a version was made
struct rpc_service retrying_service(struct desk *desk);   // RetryGroups

/* admin_options.collect (admin/admin.h): the learner's status beside metrics. */
void overview_collect(struct desk *desk, struct rpc_admin_asking *asking);
