/* ListGroups, GetGroup, EvictGroups, ExplainVersion: what lies in the store, and taking some of it
 * out. */
#include "admin.pb-c.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "learner/admin/inspect.h"
#include "learner/admin/services.h"
#include "learner/job/explain.h"
#include "learner/replay/filter.h"
#include "learner/steer/live.h"
#include "svc/security.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- pages: a token is the filter's hash and the slot to go on at */

enum { TOKEN_HASH = 16 };

static void write_token(const char *filter, uint64_t slot, char ret[64])
{
    char text[DIGEST_TEXT];
    struct digest digest = hash128(filter, strlen(filter), 0);
    snprintf(ret, 64, "%.*s-%" PRIu64, TOKEN_HASH, digest_text(&digest, text), slot);
}

static err_t read_token(const char *token, const char *filter, uint64_t *ret)
{
    char same[64];
    const char *digits = strlen(token) > TOKEN_HASH + 1 ? token + TOKEN_HASH + 1 : "";
    uint64_t slot = strtoull(digits, NULL, 10);
    write_token(filter, slot, same);
    if (*token && strcmp(token, same) != 0)
        return desk_invalid("page_token", "empty, or next_page_token of the same filter");
    *ret = *token ? slot : 0;
    return OK;
}

/* ---- ListGroups */

static err_t add_summary(struct desk_visit *visit, struct store *store, const struct listed *listed,
                         Rlhfd__Admin__V1__ListGroupsReply *reply)
{
    uint64_t bytes = 0;
    if (listed->stored || listed->quarantined)
        TRY(store_group_bytes(store, listed->slot, &bytes));
    struct listed *kept = desk_keep(visit, mem_copy(listed, sizeof *listed));
    Rlhfd__Admin__V1__GroupSummary *summary = desk_new(visit, sizeof *summary);
    inspect_summary(kept, bytes, summary);
    desk_push(visit, (void ***)&reply->groups, &reply->n_groups, summary);
    return OK;
}

static err_t answer_list(struct desk_visit *visit, struct store *store)
{
    const Rlhfd__Admin__V1__ListGroupsRequest *request = (const void *)visit->request;
    Rlhfd__Admin__V1__ListGroupsReply reply = RLHFD__ADMIN__V1__LIST_GROUPS_REPLY__INIT;
    SCOPED_MEM struct filter *filter = mem_new(sizeof *filter);
    struct listed listed;
    uint64_t at = 0;
    char token[64];
    size_t most;
    TRY(desk_filter(request->filter, filter));
    TRY(desk_page_size(request->page_size, 100, &most));
    TRY(read_token(request->page_token, request->filter, &at));
    while (filter_next(filter, store, &at, &listed)) {
        if (reply.n_groups == most) { // there is one more
            write_token(request->filter, listed.slot, token);
            reply.next_page_token = token;
            break;
        }
        TRY(add_summary(visit, store, &listed, &reply));
    }
    return desk_reply(visit, &reply.base);
}

/* ---- GetGroup */

static err_t reply_leased(struct desk_visit *visit, const struct listed *listed)
{
    Rlhfd__Admin__V1__GroupDetail detail = RLHFD__ADMIN__V1__GROUP_DETAIL__INIT;
    Rlhfd__Admin__V1__GroupSummary summary;
    inspect_summary(listed, 0, &summary);
    detail.summary = &summary;
    return desk_reply(visit, &detail.base);
}

static err_t answer_group(struct desk_visit *visit, struct store *store)
{
    const Rlhfd__Admin__V1__GetGroupRequest *request = (const void *)visit->request;
    struct digest id;
    struct listed listed;
    uint64_t bytes = 0;
    SCOPED(group) group = NULL;
    if (request->id.len != sizeof id.byte)
        return desk_invalid("id", "16 bytes, as ListGroups gives them");
    memcpy(id.byte, request->id.data, sizeof id.byte);
    TRY(err_reason(err_field(store_listed(store, &id, &listed), "id",
                             "of a group that is leased, stored or quarantined: ListGroups"),
                   "UNKNOWN_GROUP"));
    if (!listed.stored && !listed.quarantined)
        return reply_leased(visit, &listed);
    TRY(store_group_bytes(store, listed.slot, &bytes));
    TRY(store_group(store, listed.slot, &group));
    if (!inspect_group(visit->desk->inspect, visit->call, &listed, bytes, group))
        return err_new(ERR_EXHAUSTED, "many groups are being read: try again");
    (void)STEAL(group);
    return OK;
}

/* ---- EvictGroups */

struct eviction {
    struct desk_visit *visit;
    const struct live_request *asked;
    uint64_t *slot;
    size_t count;
    struct live_result noted;
};

/* In the write that takes them out. */
static err_t note_eviction(void *arg, struct store *store)
{
    struct eviction *e = arg;
    char count[32];
    snprintf(count, sizeof count, "%zu", e->count);
    struct change_value values[] = {{(char *)"filter", (char *)"", (char *)e->asked->at[0].value},
                                    {(char *)"groups", (char *)"", count}};
    return live_note(e->visit->desk->live, store, e->asked, values, 2, &e->noted);
}

static void match_stored(struct eviction *e, const struct store *store, const struct filter *filter)
{
    struct listed listed;
    for (uint64_t at = 0; filter_next(filter, store, &at, &listed);)
        if (listed.stored && !listed.uses) {
            e->slot = mem_grow(e->slot, e->count + 1, sizeof *e->slot);
            e->slot[e->count++] = listed.slot;
        }
}

/* How many it was, from the list of changes. */
static err_t read_eviction(struct store *store, uint64_t change, uint64_t *ret)
{
    SCOPED_VALUE(change_page) page = {0};
    TRY(store_changes(store, change - 1, false, 1, &page));
    const struct change *found = page.count ? &page.at[0] : NULL;
    *ret = found && found->values == 2 ? strtoull(found->value[1].after, NULL, 10) : 0;
    return OK;
}

static err_t evict(struct eviction *e, struct store *store, const struct filter *filter,
                   uint64_t *ret)
{
    bool repeated;
    TRY(live_repeated(e->visit->desk->live, e->asked, &repeated, &e->noted));
    if (repeated)
        return read_eviction(store, e->noted.change, ret);
    match_stored(e, store, filter);
    *ret = e->count;
    if (e->asked->validate_only || !e->count)
        return OK;
    return store_evict(store, e->slot, e->count, clock_ms(), note_eviction, e, ret);
}

static err_t answer_evict(struct desk_visit *visit, struct store *store)
{
    const Rlhfd__Admin__V1__EvictGroupsRequest *request = (const void *)visit->request;
    Rlhfd__Admin__V1__EvictGroupsReply reply = RLHFD__ADMIN__V1__EVICT_GROUPS_REPLY__INIT;
    SCOPED_MEM struct filter *filter = mem_new(sizeof *filter);
    TRY(desk_filter(request->filter, filter));
    if (!filter->terms)
        return desk_invalid("filter", "at least one term; state=stored for all");
    struct live_assignment what = {"filter", request->filter};
    struct live_request asked = {.at = &what,
                                 .count = 1,
                                 .kind = "evict",
                                 .author = desk_author(visit, request->author),
                                 .reason = request->reason,
                                 .request_id = request->request_id,
                                 .validate_only = request->validate_only};
    struct eviction eviction = {.visit = visit, .asked = &asked};
    err_t failed = evict(&eviction, store, filter, &reply.groups);
    mem_free(eviction.slot);
    TRY(failed);
    reply.change = eviction.noted.change;
    return desk_reply(visit, &reply.base);
}

/* ---- ExplainVersion */

static err_t answer_explain(struct desk_visit *visit, struct store *store)
{
    const Rlhfd__Admin__V1__ExplainVersionRequest *request = (const void *)visit->request;
    Rlhfd__Admin__V1__Explanation reply = RLHFD__ADMIN__V1__EXPLANATION__INIT;
    SCOPED_JSON json_t *explained = NULL;
    SCOPED_VALUE(bytes) text = {0};
    TRY(err_reason(
        err_field(explain_version(visit->desk->recipe, store, request->version, &explained),
                  "version", "1 to the newest made, of this lineage's history"),
        "UNKNOWN_VERSION"));
    explain_text(explained, &text);
    bytes_u8(&text, 0);
    reply.text = (char *)text.data;
    reply.json = desk_keep(visit, json_dumps(explained, JSON_INDENT(1) | JSON_PRESERVE_ORDER));
    return desk_reply(visit, &reply.base);
}

/* ---- loop thread */

static void list_groups(struct rpc_call *call, struct rpc_message *message,
                        const struct ProtobufCMessage *pb, void *user)
{
    desk_ask(user, call, message, pb, answer_list);
}

static void get_group(struct rpc_call *call, struct rpc_message *message,
                      const struct ProtobufCMessage *pb, void *user)
{
    desk_ask(user, call, message, pb, answer_group);
}

static void evict_groups(struct rpc_call *call, struct rpc_message *message,
                         const struct ProtobufCMessage *pb, void *user)
{
    desk_ask(user, call, message, pb, answer_evict);
}

static void explain_version_(struct rpc_call *call, struct rpc_message *message,
                             const struct ProtobufCMessage *pb, void *user)
{
    desk_ask(user, call, message, pb, answer_explain);
}

struct rpc_service browsing_service(struct desk *desk)
{
    static const struct rpc_method methods[] = {
        {"/rlhfd.admin.v1.LearnerAdmin/ListGroups",
         &rlhfd__admin__v1__list_groups_request__descriptor,
         &rlhfd__admin__v1__list_groups_reply__descriptor,
         RPC_UNARY,
         CALLER_READS,
         {.message = list_groups},
         0},
        {"/rlhfd.admin.v1.LearnerAdmin/GetGroup",
         &rlhfd__admin__v1__get_group_request__descriptor,
         &rlhfd__admin__v1__group_detail__descriptor,
         RPC_UNARY,
         CALLER_READS,
         {.message = get_group},
         0},
        {"/rlhfd.admin.v1.LearnerAdmin/EvictGroups",
         &rlhfd__admin__v1__evict_groups_request__descriptor,
         &rlhfd__admin__v1__evict_groups_reply__descriptor,
         RPC_UNARY,
         CALLER_ADMIN,
         {.message = evict_groups},
         0},
        {"/rlhfd.admin.v1.LearnerAdmin/ExplainVersion",
         &rlhfd__admin__v1__explain_version_request__descriptor,
         &rlhfd__admin__v1__explanation__descriptor,
         RPC_UNARY,
         CALLER_READS,
         {.message = explain_version_},
         0},
        {0},
    };
    return (struct rpc_service){methods, desk};
}
