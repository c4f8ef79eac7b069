/* Calls of rlhfd.admin.v1 for commands: one after the other, each with a deadline, on a loop of
 * their own.
 *
 *     struct admin_flags flags = {0};
 *     const struct argument_flag rows[] = {ADMIN_FLAGS(flags), ...};
 *     SCOPED(admin) admin = NULL;
 *     SCOPED_JSON json_t *reply = NULL;
 *     TRY(admin_open(&flags, &admin));
 *     TRY(admin_call(admin, "LearnerAdmin/ListWorkers", json_object(), &reply));
 *     if (admin->json) ...
 *
 * Owner: the main thread. */
#pragma once
#include "ctl/words/arguments.h"
#include "ctl/words/context.h"
#include "rpc/client.h"
#include "svc/loop.h"
#include "svc/security.h"

struct admin_flags {
    struct target_flags target;
    const char *output, *timeout;
};
#define ADMIN_FLAGS_COUNT 6
#define ADMIN_FLAGS(flags)                                                                         \
    {"run", "DIR", "directory of the run (its endpoints.json)", .text = &(flags).target.run},      \
        {"address", "HOST:PORT", "the learner's admin address", .text = &(flags).target.address},  \
        {"context", "NAME", "a run that `rlhfctl context add` named",                              \
         .text = &(flags).target.context},                                                         \
        {"tls", "DIR", "keys: DIR, DIR/admin or DIR/viewer (net.tls of the run's recipe)",         \
         .text = &(flags).target.tls},                                                             \
        {"o", "FORMAT", "table, wide or json", .text = &(flags).output},                           \
    {                                                                                              \
        "timeout", "SECONDS", "time limit for each answer of a daemon (10)",                       \
            .text = &(flags).timeout                                                               \
    }

struct admin {
    struct target *target;
    struct loop *loop;
    struct rpc *rpc;
    struct security security;                        // admin_secure
    char *tls_run;                                   // of one's own certificate
    struct rpc_channel *channel[TARGET_DAEMONS_MAX]; // of target->daemon; opened when asked first
    int64_t timeout_ms;
    bool json; // how to print
};

/* The keys by which target is asked. INVALID, NOT_FOUND: there are none, or they are faulty. */
err_t admin_secure(struct admin *admin);
err_t admin_open(const struct admin_flags *flags, struct admin **ret);
void admin_free(struct admin *admin);
DEFINE_SCOPED(admin)

/* Asks the learner; takes request; *ret is the caller's, ret may be NULL. A refusal of the daemon
 * as INVALID comes back as RANGE, so it is not taken for a wrong command line. Its message has the
 * allowed values. UNAVAILABLE, DEADLINE: nobody answers. */
err_t admin_call(struct admin *admin, const char *method, json_t *request, json_t **ret);

/* The same with a daemon of the target; wait_ms is how long it may take on top of the deadline. */
err_t admin_call_daemon(struct admin *admin, size_t daemon, const char *method, json_t *request,
                        int64_t wait_ms, json_t **ret);

/* An error of a call as people read it: without the method's path, INVALID as RANGE. Takes why. */
err_t admin_said(const struct target_daemon *daemon, const char *method, err_t why);
err_t admin_channel(struct admin *admin, size_t daemon, struct rpc_channel **ret);
/* Reads endpoints.json again: new daemons are added at the end, and this one's address may be
 * another now. */
void admin_look_again(struct admin *admin, size_t daemon);
void admin_sleep(struct admin *admin, int64_t ms);

/* The signature of a change: {"request_id": a new one, "author": this user, "reason": reason or
 * ""}. */
json_t *admin_signed(const char *reason);

/* Members of answers. Missing ones are "" and 0. */
const char *answer_text(const json_t *object, const char *key);
double answer_number(const json_t *object, const char *key);
int64_t answer_whole(const json_t *object, const char *key);
bool answer_flag(const json_t *object, const char *key);
