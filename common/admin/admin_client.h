/* The operator's side of rlhfd.admin.v1: any method of proto/admin.proto by its name, with JSON for
 * messages (admin/pbjson.h).
 *
 *     struct rpc_admin_handlers handlers = {.message = settings, .close = closed};
 *     TRY(rpc_admin_ask(channel, "LearnerAdmin/GetSettings", request, 5000, &handlers, asking, NULL));
 *     -> message({"etag": ..., "settings": [...]}), then close(OK); or close(why) alone
 *
 * Owner: the loop's thread, which also runs the handlers. */
#pragma once
#include "base/json.h"
#include "rpc/client.h"

struct rpc_admin_handlers {
    void (*message)(void *arg, const json_t *message); // one, or for Watch any number
    /* Last and once. why is the callee's; it names the method and the address. */
    void (*close)(void *arg, err_t why);
};

/* deadline_ms: 0: none (Watch). *ret_call: borrowed until close has returned; ret_call may be NULL.
 * INVALID: the request has a field that the method has not; NOT_FOUND: no such method. Then no
 * handler is called. */
err_t rpc_admin_ask(struct rpc_channel *channel, const char *method, const json_t *request,
                    int64_t deadline_ms, const struct rpc_admin_handlers *handlers, void *arg,
                    struct rpc_call **ret_call);
