#include "learner/admin/desk.h"
#include "admin/face.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "learner/replay/filter.h"
#include "learner/replay/storage.h"
#include "learner/store/changes.h"
#include "svc/loop.h"
#include <string.h>

enum { VISITS_MAX = 64 };

struct desk_kept {
    struct desk_kept *next;
    void *memory;
};

/* ---- loop thread */

static void visit_over(void *arg)
{
    struct desk_visit *visit = arg;
    visit->desk->visits--;
    mem_free(visit->extra);
    rpc_message_free(visit->message);
    rpc_call_unref(visit->call);
    mem_free(visit);
}

static err_t run_visit(void *arg, struct store *store);

void desk_ask_with(struct desk *desk, struct rpc_call *call, struct rpc_message *message,
                   const ProtobufCMessage *pb,
                   err_t (*fn)(struct desk_visit *visit, struct store *store), void *extra)
{
    if (desk->visits >= VISITS_MAX) {
        mem_free(extra);
        rpc_call_finish(call,
                        err_new(ERR_EXHAUSTED, "%d requests are under way: try again", VISITS_MAX));
        return;
    }
    desk->visits++;
    struct desk_visit *visit = mem_new(sizeof *visit);
    *visit = (struct desk_visit){.desk = desk,
                                 .call = rpc_call_ref(call),
                                 .extra = extra,
                                 .fn = fn,
                                 .message = rpc_message_ref(message),
                                 .type = pb->descriptor};
    storage_post(desk->storage, run_visit, visit);
}

void desk_ask(struct desk *desk, struct rpc_call *call, struct rpc_message *message,
              const ProtobufCMessage *pb,
              err_t (*fn)(struct desk_visit *visit, struct store *store))
{
    desk_ask_with(desk, call, message, pb, fn, NULL);
}

/* ---- storage thread */

static void free_kept(struct desk_visit *visit)
{
    for (struct desk_kept *kept = visit->kept, *next; kept; kept = next) {
        next = kept->next;
        mem_free(kept->memory);
        mem_free(kept);
    }
    visit->kept = NULL;
}

/* The store's own trouble is final for it and shows at its next use; here the client alone is
 * told. */
static err_t run_visit(void *arg, struct store *store)
{
    struct desk_visit *visit = arg;
    ProtobufCMessage *request = NULL;
    err_t failed = rpc_message_unpack(visit->message, visit->type, &request);
    if (!err_failed(failed)) {
        visit->request = request;
        failed = visit->fn(visit, store);
        protobuf_c_message_free_unpacked(request, NULL);
    }
    free_kept(visit);
    if (err_failed(failed))
        rpc_call_finish(visit->call, failed);
    loop_post(visit->desk->loop, visit_over, visit);
    return OK;
}

err_t desk_reply(struct desk_visit *visit, const ProtobufCMessage *reply)
{
    const size_t len = protobuf_c_message_get_packed_size(reply);
    if (len > ADMIN_REPLY_MAX_BYTES)
        return err_new(ERR_EXHAUSTED, "the answer has %zu bytes; at most %d are sent: ask for less",
                       len, ADMIN_REPLY_MAX_BYTES);
    rpc_call_reply(visit->call, reply);
    return OK;
}

void *desk_keep(struct desk_visit *visit, void *memory)
{
    struct desk_kept *kept = mem_new(sizeof *kept);
    *kept = (struct desk_kept){visit->kept, memory};
    visit->kept = kept;
    return memory;
}

void *desk_new(struct desk_visit *visit, size_t size)
{
    return desk_keep(visit, mem_new(size));
}

char *desk_text(struct desk_visit *visit, const char *text)
{
    return desk_keep(visit, mem_string(text ? text : ""));
}

char *desk_author(struct desk_visit *visit, const char *given)
{
    enum { GIVEN_MAX = 40 };
    const struct identity *who = rpc_call_identity(visit->call);
    if (!who)
        return desk_text(visit, given);
    const char *role = identity_role_name(who->role);
    size_t len = strnlen(given, GIVEN_MAX);
    while (len && (given[len] & 0xc0) == 0x80) // inside a character of UTF-8
        len--;
    return desk_keep(visit, *given ? mem_printf("%s/%s (%.*s)", role, who->name, (int)len, given)
                                   : mem_printf("%s/%s", role, who->name));
}

void desk_push(struct desk_visit *visit, void ***at, size_t *count, void *element)
{
    bool is_full = (*count & (*count - 1)) == 0; // 0 and powers of two
    if (is_full) {
        void **more = desk_new(visit, 2 * (*count ? *count : 1) * sizeof *more);
        if (*count)
            memcpy(more, *at, *count * sizeof *more);
        *at = more;
    }
    (*at)[(*count)++] = element;
}

err_t desk_invalid(const char *field, const char *allowed)
{
    return err_reason(
        err_field(err_new(ERR_INVALID, "%s: allowed: %s", field, allowed), field, allowed),
        "VALUE_NOT_ALLOWED");
}

err_t desk_page_size(uint32_t given, size_t otherwise, size_t *ret)
{
    SCOPED_MEM char *allowed = mem_printf("0 to %d; 0: %zu", CHANGE_PAGE_MAX, otherwise);
    if (given > CHANGE_PAGE_MAX)
        return desk_invalid("page_size", allowed);
    *ret = given ? given : otherwise;
    return OK;
}

err_t desk_filter(const char *text, struct filter *ret)
{
    return err_reason(err_field(filter_parse(text, ret), "filter",
                                "terms such as state=stored lag>=2 reward<0.5"),
                      "VALUE_NOT_ALLOWED");
}
