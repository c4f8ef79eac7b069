/* RetryGroups: quarantined groups are scored once more. */
#include "admin.pb-c.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "learner/admin/services.h"
#include "learner/replay/filter.h"
#include "learner/steer/live.h"
#include "learner/store/quarantine.h"
#include "svc/security.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct retrying {
    struct desk_visit *visit;
    const struct live_request *asked;
    uint64_t *slot;
    size_t count;
    struct live_result noted;
};

/* In the write that takes them out. */
static err_t note(void *arg, struct store *store)
{
    struct retrying *r = arg;
    char count[32];
    snprintf(count, sizeof count, "%zu", r->count);
    struct change_value values[] = {{(char *)"filter", (char *)"", (char *)r->asked->at[0].value},
                                    {(char *)"groups", (char *)"", count}};
    return live_note(r->visit->desk->live, store, r->asked, values, 2, &r->noted);
}

static void match(struct retrying *r, const struct store *store, const struct filter *filter)
{
    struct listed listed;
    for (uint64_t at = 0; filter_next(filter, store, &at, &listed);)
        if (listed.quarantined) {
            r->slot = mem_grow(r->slot, r->count + 1, sizeof *r->slot);
            r->slot[r->count++] = listed.slot;
        }
}

/* A repeated request is answered with how many it took then. */
static err_t retry(struct retrying *r, struct store *store, const struct filter *filter,
                   Rlhfd__Admin__V1__RetryGroupsReply *ret)
{
    bool repeated;
    struct store_retried retried = {0};
    TRY(live_repeated(r->visit->desk->live, r->asked, &repeated, &r->noted));
    if (repeated) {
        SCOPED_VALUE(change_page) page = {0};
        TRY(store_changes(store, r->noted.change - 1, false, 1, &page));
        const struct change *found = page.count ? &page.at[0] : NULL;
        ret->groups = found && found->values == 2 ? strtoull(found->value[1].after, NULL, 10) : 0;
        return OK;
    }
    match(r, store, filter);
    ret->groups = r->count;
    if (r->asked->validate_only || !r->count)
        return OK;
    TRY(store_retry(store, r->slot, r->count, clock_ms(), note, r, &retried));
    ret->again = retried.again;
    ret->anew = retried.anew;
    return OK;
}

static err_t answer(struct desk_visit *visit, struct store *store)
{
    const Rlhfd__Admin__V1__RetryGroupsRequest *request = (const void *)visit->request;
    Rlhfd__Admin__V1__RetryGroupsReply reply = RLHFD__ADMIN__V1__RETRY_GROUPS_REPLY__INIT;
    SCOPED_MEM struct filter *filter = mem_new(sizeof *filter);
    TRY(desk_filter(request->filter, filter));
    if (!filter->terms)
        return desk_invalid("filter", "at least one term; state=quarantined for all");
    struct live_assignment what = {"filter", request->filter};
    struct live_request asked = {.at = &what,
                                 .count = 1,
                                 .kind = "retry",
                                 .author = desk_author(visit, request->author),
                                 .reason = request->reason,
                                 .request_id = request->request_id,
                                 .validate_only = request->validate_only};
    struct retrying retrying = {.visit = visit, .asked = &asked};
    err_t failed = retry(&retrying, store, filter, &reply);
    mem_free(retrying.slot);
    TRY(failed);
    reply.change = retrying.noted.change;
    return desk_reply(visit, &reply.base);
}

static void retry_groups(struct rpc_call *call, struct rpc_message *message,
                         const struct ProtobufCMessage *pb, void *user)
{
    desk_ask(user, call, message, pb, answer);
}

struct rpc_service retrying_service(struct desk *desk)
{
    static const struct rpc_method methods[] = {
        {"/rlhfd.admin.v1.LearnerAdmin/RetryGroups",
         &rlhfd__admin__v1__retry_groups_request__descriptor,
         &rlhfd__admin__v1__retry_groups_reply__descriptor,
         RPC_UNARY,
         CALLER_ADMIN,
         {.message = retry_groups},
         0},
        {0},
    };
    return (struct rpc_service){methods, desk};
}
