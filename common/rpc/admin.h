/* rlhfd.admin.v1.Admin: what every daemon answers an operator.
 *
 *     struct admin_options options = {.daemon = "generator", .run = "sort", .state = state, .drain = drain, .arg = daemon};
 *     struct rpc_admin *admin = rpc_admin_new(&options);
 *     struct rpc_service services[] = {rpc_admin_service(admin), rpc_health_service(health), rpc_reflect_service(reflect)};
 *
 * Status carries all metrics. Owner: the loop's thread; it outlives the server. */
#pragma once
#include "rpc/server.h"

struct loop;
struct rpc_admin;

/* What a status says beside metrics. */
struct admin_text {
    const char *name, *value;
};
struct admin_lag {
    uint64_t lag, trained, stored, leased; // as in admin.proto
};
struct admin_details {
    struct admin_text *text; // (texts)
    struct admin_lag *lag;   // (lags)
    size_t texts, lags;
};
struct rpc_admin_asking; // a status that is asked for

struct admin_options {
    struct loop *loop;               // for WatchStatus
    const char *daemon, *run;        // borrowed
    const char *(*state)(void *arg); // one word: "SERVING", ...
    void (*drain)(void *arg);        // begins; again is harmless
    /* Optional: rpc_admin_answer is called for it once, now or later on the loop's thread. */
    void (*collect)(void *arg, struct rpc_admin_asking *asking);
    void *arg;
};
struct rpc_admin *rpc_admin_new(const struct admin_options *options);
struct rpc_service rpc_admin_service(struct rpc_admin *admin);
void rpc_admin_free(struct rpc_admin *admin);

/* Ends asking; details are borrowed during the call. After rpc_admin_free it is harmless. */
void rpc_admin_answer(struct rpc_admin_asking *asking, const struct admin_details *details);
DEFINE_SCOPED(rpc_admin)

/* The client's side, for rlhfctl: asks a daemon's status, or to drain; done is called once on the loop's thread. Numbers and
 * texts are borrowed; why is the callee's. */
struct admin_status {
    const char *daemon, *run, *state;
    size_t count;
    const char *const *name;
    const double *value;
};
struct rpc_channel;
void rpc_admin_get_status(struct rpc_channel *channel, int64_t deadline_ms,
                          void (*done)(void *arg, const struct admin_status *status, err_t why),
                          void *arg);
