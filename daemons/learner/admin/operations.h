/* Long-running operations: begun by one call, asked for by others, one at a time.
 *
 *     TRY(operations_begin(desk->operations, "checkpoint", request_id, &operation, &repeated));
 *     if (!repeated)
 *         train_post(desk->train, write, job);               -- elsewhere; then, by loop_post:
 *     operations_reply(operation, call);                     -- as it stands
 *     operation_end(operation, &(struct operation_end){.version = 12, ...});
 *
 * This process remembers its last OPERATIONS_KEPT operations. Owner: the loop's thread. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include <stdbool.h>
#include <stdint.h>

enum { OPERATIONS_KEPT = 100 };
struct loop;
struct operation;
struct operations;
struct rpc_call;

struct operations *operations_new(struct loop *loop);

/* Sets `repeated` and gives the earlier one if its request_id (not empty) is this. kind: a literal.
 * PRECONDITION: another is under way; INVALID: the request_id is another kind's. */
err_t operations_begin(struct operations *operations, const char *kind, const char *request_id,
                       struct operation **ret, bool *ret_repeated);
err_t operations_idle(const struct operations *operations); // PRECONDITION: one is under way
void operation_says(struct operation *operation, const char *text); // its step now, for people

/* The end of an operation: failed (taken), or where training stands. Calls that wait for it are
 * answered. */
struct operation_end {
    err_t failed;
    uint32_t lineage;
    uint64_t version, round;
    const char *path; // borrowed; NULL: none
};
void operation_end(struct operation *operation, const struct operation_end *end);

/* Ends the call with the operation as it is. */
void operations_reply(const struct operation *operation, struct rpc_call *call);

/* Its calls are over. */
void operations_free(struct operations *operations);
DEFINE_SCOPED(operations)
