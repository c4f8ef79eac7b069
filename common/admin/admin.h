/* rlhfd.admin.v1.Admin: the operator's service of every daemon.
 *
 *     struct admin_options options = {.daemon = "generator", .run = "sort", .state = state, .drain = drain, .arg = daemon};
 *     struct rpc_admin *admin = rpc_admin_new(&options, held);
 *     struct rpc_service services[] = {rpc_admin_service(admin), rpc_health_service(health), rpc_reflect_service(reflect)};
 *
 * A status carries all metrics. Requests that come while one is made share the next. Too many at
 * once are EXHAUSTED. The operator's side is admin/admin_client.h. Owner: the loop's thread; the
 * object outlives the server. */
#pragma once
#include "rpc/server.h"
#include "svc/held.h"
#include "svc/security.h"

struct loop;
struct rpc_admin;

/* The part of a status beside metrics. */
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
struct rpc_admin_asking; // a status that is being made

struct admin_options {
    struct loop *loop;
    const char *daemon, *run;        // borrowed
    struct security security;        // of the ports, for the status
    const char *(*state)(void *arg); // one word: "SERVING", ...
    void (*drain)(void *arg);        // begins; again is harmless
    /* Optional: rpc_admin_answer is called for it once, now or later on the loop's thread. One is
     * under way at a time. */
    void (*collect)(void *arg, struct rpc_admin_asking *asking);
    void *arg;
};
/* held: what holds the daemon up, in every status; NULL: none. Borrowed until rpc_admin_free. */
struct rpc_admin *rpc_admin_new(const struct admin_options *options, const struct held *held);
struct rpc_service rpc_admin_service(struct rpc_admin *admin);
void rpc_admin_free(struct rpc_admin *admin);

/* Ends asking; details are borrowed during the call. After rpc_admin_free it is harmless. */
void rpc_admin_answer(struct rpc_admin_asking *asking, const struct admin_details *details);
DEFINE_SCOPED(rpc_admin)
