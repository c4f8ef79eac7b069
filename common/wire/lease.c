#include "wire/lease.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "prompts.pb-c.h"
#include "wire/rollout.h"
#include "wire/unpack.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef Rlhfd__V1__LeaseRequest PbRequest;
typedef Rlhfd__V1__LeaseReply PbReply;
typedef Rlhfd__V1__Progress PbProgress;
typedef Rlhfd__V1__Grant PbGrant;

/* Bytes for a full message of either kind; fields for LEASE_IDS_MAX ids of each list with their
 * parts. */
static const struct wire_bounds REQUEST_BOUNDS = {8 << 20,
                                                  32 + 6 * LEASE_IDS_MAX + 3 * HELLO_SETTINGS_MAX};
static const struct wire_bounds REPLY_BOUNDS = {LEASE_REPLY_MAX_BYTES,
                                                32 + 14 * LEASE_GRANTS_MAX + LEASE_IDS_MAX};

static ProtobufCBinaryData view_digest(const struct digest *digest)
{
    return (ProtobufCBinaryData){sizeof digest->byte, (uint8_t *)digest->byte};
}

static ProtobufCBinaryData *view_digests(const struct digest *digests, size_t count)
{
    ProtobufCBinaryData *view = mem_array(count, sizeof *view);
    for (size_t i = 0; i < count; i++)
        view[i] = view_digest(&digests[i]);
    return view;
}

/* The ids of a list; *ret is the caller's, also on failure. */
static err_t take_digests(const ProtobufCBinaryData *list, size_t count, const char *name,
                          struct digest **ret, uint32_t *ret_count)
{
    if (count > LEASE_IDS_MAX)
        return err_new(ERR_INVALID, "%zu ids in %s; at most %d are allowed", count, name,
                       LEASE_IDS_MAX);
    *ret = mem_array(count, sizeof **ret);
    *ret_count = (uint32_t)count;
    for (size_t i = 0; i < count; i++)
        TRY(err_wrap(wire_digest(&list[i], "id", &(*ret)[i]), "%s[%zu]", name, i));
    return OK;
}

/* ---- requests */

void lease_request_encode(const struct lease_request *request, struct bytes *ret)
{
    SCOPED_MEM PbProgress *progress = mem_array(request->progresses, sizeof *progress);
    SCOPED_MEM PbProgress **progress_of = mem_array(request->progresses, sizeof *progress_of);
    SCOPED_MEM ProtobufCBinaryData *returned = view_digests(request->returned, request->returns);
    SCOPED_MEM ProtobufCBinaryData *unusable = view_digests(request->unusable, request->unusables);
    SCOPED_MEM void *rows = NULL;
    PbRequest pb;
    Rlhfd__V1__Hello hello;
    rlhfd__v1__lease_request__init(&pb);
    if (request->hello.protocol) {
        hello_to_pb(&request->hello, &hello, &rows);
        pb.hello = &hello;
    }
    pb.run = request->run ? request->run : pb.run;
    pb.generator = request->generator ? request->generator : pb.generator;
    pb.incarnation = request->incarnation;
    pb.lineage = request->lineage;
    pb.version = request->version;
    pb.want = request->want;
    pb.want_ahead = request->want_ahead;
    pb.n_progress = request->progresses;
    pb.progress = progress_of;
    for (uint32_t i = 0; i < request->progresses; i++) {
        rlhfd__v1__progress__init(&progress[i]);
        progress[i].id = view_digest(&request->progress[i].id);
        progress[i].tokens = request->progress[i].tokens;
        progress_of[i] = &progress[i];
    }
    pb.n_give_back = request->returns;
    pb.give_back = returned;
    pb.n_unusable = request->unusables;
    pb.unusable = unusable;
    pb.unusable_why = request->unusable_why ? request->unusable_why : pb.unusable_why;
    pb.busy_s = request->busy_s;
    pb.idle_s = request->idle_s;
    pb.tokens = request->tokens;
    pb.evaluation_lineage = request->evaluation_lineage;
    pb.evaluation_version = request->evaluation_version;
    pb.evaluation_want = request->evaluation_want;
    pb.n_evaluation_unusable = request->evaluation_unusables;
    pb.evaluation_unusable = request->evaluation_unusable;
    pb.held = request->held;
    wire_pack(&pb.base, ret);
}

static err_t take_name(const char *text, const char *name, char **ret)
{
    if (strlen(text) > NAME_MAX_BYTES)
        return err_new(ERR_INVALID, "%s has %zu bytes; at most %d are allowed", name, strlen(text),
                       NAME_MAX_BYTES);
    *ret = text[0] ? mem_string(text) : NULL;
    return OK;
}

static err_t take_evaluation(const PbRequest *pb, struct lease_request *ret)
{
    if (pb->n_evaluation_unusable > LEASE_IDS_MAX)
        return err_new(ERR_INVALID, "%zu in evaluation_unusable; at most %d are allowed",
                       pb->n_evaluation_unusable, LEASE_IDS_MAX);
    ret->evaluation_lineage = pb->evaluation_lineage;
    ret->evaluation_version = pb->evaluation_version;
    ret->evaluation_want = pb->evaluation_want;
    ret->evaluation_unusables = (uint32_t)pb->n_evaluation_unusable;
    ret->evaluation_unusable = mem_array(pb->n_evaluation_unusable, sizeof(uint64_t));
    if (pb->n_evaluation_unusable)
        memcpy(ret->evaluation_unusable, pb->evaluation_unusable,
               pb->n_evaluation_unusable * sizeof(uint64_t));
    return OK;
}

static err_t take_request(const PbRequest *pb, struct lease_request *ret)
{
    TRY(take_name(pb->run, "run", &ret->run));
    TRY(take_name(pb->generator, "generator", &ret->generator));
    ret->incarnation = pb->incarnation;
    if (pb->hello)
        TRY(hello_from_pb(pb->hello, &ret->hello));
    ret->lineage = pb->lineage;
    ret->version = pb->version;
    ret->want = pb->want;
    ret->want_ahead = pb->want_ahead;
    if (pb->n_progress > LEASE_IDS_MAX)
        return err_new(ERR_INVALID, "%zu in progress; at most %d are allowed", pb->n_progress,
                       LEASE_IDS_MAX);
    ret->progresses = (uint32_t)pb->n_progress;
    ret->progress = mem_array(pb->n_progress, sizeof *ret->progress);
    for (size_t i = 0; i < pb->n_progress; i++) {
        TRY(err_wrap(wire_digest(&pb->progress[i]->id, "id", &ret->progress[i].id), "progress[%zu]",
                     i));
        ret->progress[i].tokens = pb->progress[i]->tokens;
    }
    if (!isfinite(pb->busy_s) || !isfinite(pb->idle_s) || pb->busy_s < 0 || pb->idle_s < 0)
        return err_new(ERR_INVALID, "busy_s %g, idle_s %g: finite seconds are needed", pb->busy_s,
                       pb->idle_s);
    ret->busy_s = pb->busy_s;
    ret->idle_s = pb->idle_s;
    ret->tokens = pb->tokens;
    ret->held = pb->held;
    TRY(take_evaluation(pb, ret));
    TRY(take_name(pb->unusable_why, "unusable_why", &ret->unusable_why));
    TRY(take_digests(pb->unusable, pb->n_unusable, "unusable", &ret->unusable, &ret->unusables));
    return take_digests(pb->give_back, pb->n_give_back, "give_back", &ret->returned, &ret->returns);
}

err_t lease_request_decode(const uint8_t *data, size_t len, struct lease_request *ret)
{
    SCOPED_PB ProtobufCMessage *pb = NULL;
    TRY(wire_unpack(&rlhfd__v1__lease_request__descriptor, data, len, &REQUEST_BOUNDS, &pb));
    SCOPED_VALUE(lease_request) request = {0};
    TRY(err_wrap(take_request((PbRequest *)pb, &request), "lease request"));
    *ret = request;
    request = (struct lease_request){0};
    return OK;
}

void lease_request_done(struct lease_request *request)
{
    free(request->run);
    free(request->generator);
    free(request->progress);
    free(request->returned);
    free(request->unusable);
    free(request->evaluation_unusable);
    free(request->unusable_why);
    hello_done(&request->hello);
    *request = (struct lease_request){0};
}

/* ---- replies */

void lease_reply_encode(const struct lease_reply *reply, struct bytes *ret)
{
    SCOPED_MEM PbGrant *grant = mem_array(reply->grants, sizeof *grant);
    SCOPED_MEM PbGrant **grant_of = mem_array(reply->grants, sizeof *grant_of);
    SCOPED_MEM ProtobufCBinaryData *revoked = view_digests(reply->revoked, reply->revokes);
    PbReply pb;
    rlhfd__v1__lease_reply__init(&pb);
    pb.n_grants = reply->grants;
    pb.grants = grant_of;
    for (uint32_t i = 0; i < reply->grants; i++) {
        const struct lease_grant *from = &reply->grant[i];
        PbGrant *to = &grant[i];
        rlhfd__v1__grant__init(to);
        to->id = view_digest(&from->id);
        to->lineage = from->lineage;
        to->slot = from->slot;
        to->attempt = from->attempt;
        to->prompt = from->prompt;
        to->epoch = from->epoch;
        to->start_round = from->start_round;
        to->row = (ProtobufCBinaryData){strlen(from->row), (uint8_t *)from->row};
        to->deadline_ms = from->deadline_ms;
        to->evaluation = from->evaluation;
        to->version = from->version;
        if (*from->traceparent)
            to->traceparent = (char *)from->traceparent;
        grant_of[i] = to;
    }
    pb.n_revoked = reply->revokes;
    pb.revoked = revoked;
    pb.ended = reply->ended;
    pb.draining = reply->draining;
    pb.leave = reply->leave;
    pb.hold = reply->hold;
    pb.go_on = reply->go_on;
    pb.term = reply->term;
    pb.protocol = reply->protocol;
    wire_pack(&pb.base, ret);
}

static err_t take_grant(const PbGrant *pb, struct lease_grant *ret)
{
    TRY(wire_digest(&pb->id, "id", &ret->id));
    if (pb->attempt == 0 || pb->deadline_ms == 0)
        return err_new(ERR_INVALID, "attempt is %u, deadline_ms %u; both are > 0", pb->attempt,
                       pb->deadline_ms);
    if (pb->row.len > LEASE_ROW_MAX_BYTES || !wire_text_ok(pb->row.data, pb->row.len))
        return err_new(ERR_INVALID,
                       "row of %zu bytes: UTF-8 without a NUL, at most %d bytes are "
                       "allowed",
                       pb->row.len, LEASE_ROW_MAX_BYTES);
    ret->lineage = pb->lineage;
    trace_take(pb->traceparent, &ret->id, ret->traceparent);
    ret->slot = pb->slot;
    ret->attempt = pb->attempt;
    ret->prompt = pb->prompt;
    ret->epoch = pb->epoch;
    ret->start_round = pb->start_round;
    ret->deadline_ms = pb->deadline_ms;
    ret->evaluation = pb->evaluation;
    ret->version = pb->version;
    ret->row = mem_new(pb->row.len + 1);
    if (pb->row.len)
        memcpy(ret->row, pb->row.data, pb->row.len);
    return OK;
}

static err_t take_reply(const PbReply *pb, struct lease_reply *ret)
{
    if (pb->n_grants > LEASE_GRANTS_MAX)
        return err_new(ERR_INVALID, "%zu grants; at most %d are allowed", pb->n_grants,
                       LEASE_GRANTS_MAX);
    ret->grants = (uint32_t)pb->n_grants;
    ret->grant = mem_array(pb->n_grants, sizeof *ret->grant);
    for (size_t i = 0; i < pb->n_grants; i++)
        TRY(err_wrap(take_grant(pb->grants[i], &ret->grant[i]), "grants[%zu]", i));
    ret->ended = pb->ended;
    ret->draining = pb->draining;
    ret->leave = pb->leave;
    ret->hold = pb->hold;
    ret->go_on = pb->go_on;
    ret->term = pb->term;
    ret->protocol = pb->protocol;
    return take_digests(pb->revoked, pb->n_revoked, "revoked", &ret->revoked, &ret->revokes);
}

err_t lease_reply_decode(const uint8_t *data, size_t len, struct lease_reply *ret)
{
    SCOPED_PB ProtobufCMessage *pb = NULL;
    TRY(wire_unpack(&rlhfd__v1__lease_reply__descriptor, data, len, &REPLY_BOUNDS, &pb));
    SCOPED_VALUE(lease_reply) reply = {0};
    TRY(err_wrap(take_reply((PbReply *)pb, &reply), "lease reply"));
    *ret = reply;
    reply = (struct lease_reply){0};
    return OK;
}

void lease_reply_done(struct lease_reply *reply)
{
    for (uint32_t i = 0; reply->grant && i < reply->grants; i++)
        free(reply->grant[i].row);
    free(reply->grant);
    free(reply->revoked);
    *reply = (struct lease_reply){0};
}
