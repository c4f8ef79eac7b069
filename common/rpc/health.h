/* grpc.health.v1.Health: Check and Watch.
 *
 *     struct rpc_health *health = rpc_health_new();
 *     rpc_health_set(health, "", true);                        -- the whole server; then services by name
 *     struct rpc_service services[] = {..., rpc_health_service(health)};
 *
 * A service never set is unknown: Check answers NOT_FOUND, Watch SERVICE_UNKNOWN. Owner: the loop's
 * thread; it outlives the server. */
#pragma once
#include "rpc/server.h"

struct rpc_health;
struct rpc_health *rpc_health_new(void);
/* Watchers are told of changes */
void rpc_health_set(struct rpc_health *health, const char *service, bool serving);
struct rpc_service rpc_health_service(struct rpc_health *health);
void rpc_health_free(struct rpc_health *health);
DEFINE_SCOPED(rpc_health)
