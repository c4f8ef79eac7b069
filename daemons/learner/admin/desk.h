/* The desk serves the methods of rlhfd.admin.v1.LearnerAdmin. Each request goes to the storage
 * thread, and the reply comes back. Methods find the learner's parts in the desk.
 *
 *     static err_t answer(struct desk_visit *visit, struct store *store)         -- storage thread
 *     {
 *         const Rlhfd__Admin__V1__PauseRequest *request = (const void *)visit->request;
 *         TRY(live_pause(visit->desk->live, store, ...));                        -- the call ends with this error
 *         return desk_reply(visit, &reply.base);
 *     }
 *     static void pause_(call, message, pb, user) { desk_ask(user, call, message, answer); }
 *
 * To add methods: a file here that exports a struct rpc_service, a line in services.h and in
 * services.c. Owner: the loop's thread, except where it says otherwise. */
#pragma once
#include "base/err.h"
#include "rpc/server.h"
#include <protobuf-c/protobuf-c.h>

struct ingest;
struct inspect;
struct leasing;
struct live;
struct loop;
struct operations;
struct storage;
struct store;
struct train;

/* All borrowed; set by main before the server listens. */
struct desk {
    struct loop *loop;
    const struct recipe *recipe; // as given
    struct storage *storage;
    struct live *live;       // storage thread
    struct leasing *leasing; // storage thread
    struct ingest *ingest;
    struct train *train;
    struct inspect *inspect;
    const char *directory; // of the run
    struct operations *operations;
    int visits; // under way
};

/* One unary call. Memory of desk_keep, desk_new and desk_text is freed with it. Storage thread. */
struct desk_visit {
    struct desk *desk;
    struct rpc_call *call;
    const ProtobufCMessage *request;
    void *extra;            // of desk_ask_with; NULL
    struct desk_kept *kept; // private, as are the fields below
    err_t (*fn)(struct desk_visit *visit, struct store *store);
    struct rpc_message *message;
    const ProtobufCMessageDescriptor *type;
};

/* Runs fn on the storage thread with the request, which has pb's type. The call ends with fn's
 * error, or by desk_reply. Too many at once are EXHAUSTED. */
void desk_ask(struct desk *desk, struct rpc_call *call, struct rpc_message *message,
              const ProtobufCMessage *pb,
              err_t (*fn)(struct desk_visit *visit, struct store *store));

/* The same with `extra`, made by the loop's thread: the visit owns it and frees it by free(). */
void desk_ask_with(struct desk *desk, struct rpc_call *call, struct rpc_message *message,
                   const ProtobufCMessage *pb,
                   err_t (*fn)(struct desk_visit *visit, struct store *store), void *extra);
/* EXHAUSTED: the answer is longer than rlhfctl takes. */
err_t desk_reply(struct desk_visit *visit, const ProtobufCMessage *reply);

void *desk_keep(struct desk_visit *visit, void *memory); // takes it; returns it
void *desk_new(struct desk_visit *visit, size_t size);   // zeroed
char *desk_text(struct desk_visit *visit, const char *text);

/* The author of a change as changes keep it: by its certificate, then the name that the request
 * gives: "admin/anna (root)". In plaintext the given name alone. */
char *desk_author(struct desk_visit *visit, const char *given);

/* A repeated field being built: grows *at, an array of pointers owned by the visit, by one
 * element. */
void desk_push(struct desk_visit *visit, void ***at, size_t *count, void *element);

/* INVALID with its details: a field of the request and the values allowed there. */
err_t desk_invalid(const char *field, const char *allowed);

/* The filter of groups in a request. INVALID with its details. */
struct filter;
err_t desk_filter(const char *text, struct filter *ret);

/* 0: otherwise. INVALID: over CHANGE_PAGE_MAX. */
err_t desk_page_size(uint32_t given, size_t otherwise, size_t *ret);
