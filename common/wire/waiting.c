#include "wire/waiting.h"
#include "base/mem.h"
#include "rollout.pb-c.h"
#include "wire/unpack.h"
#include <stdio.h>

enum { WAITING_MAX_BYTES = 2048, FIELDS_MAX = 8, AROUND_MAX = 64 };

void waiting_encode(const char *held, struct bytes *ret)
{
    char text[WAITING_TEXT];
    snprintf(text, sizeof text, "%s", held);
    SCOPED_MEM char *whole = wire_text_cut(text); // empty where it was cut in a character
    Rlhfd__V1__Group pb;
    Rlhfd__V1__Waiting inner;
    rlhfd__v1__group__init(&pb);
    rlhfd__v1__waiting__init(&inner);
    inner.why = *held && !*whole ? (char *)"a stage does not answer" : whole;
    pb.waiting = &inner;
    wire_pack(&pb.base, ret);
}

bool waiting_decode(const uint8_t *data, size_t len, char ret_held[WAITING_TEXT])
{
    SCOPED_PB ProtobufCMessage *base = NULL;
    const struct wire_bounds bounds = {WAITING_MAX_BYTES, FIELDS_MAX};
    if (len > WAITING_MAX_BYTES)
        return false;
    err_t e = wire_unpack(&rlhfd__v1__group__descriptor, data, len, &bounds, &base);
    const Rlhfd__V1__Group *pb = (const void *)base;
    const bool is = !err_failed(e) && pb->waiting && !pb->id.len;
    err_free(e);
    if (is)
        snprintf(ret_held, WAITING_TEXT, "%s", pb->waiting->why);
    return is;
}

void again_encode(const struct group *group, struct bytes *ret)
{
    SCOPED_VALUE(bytes) bytes = {0};
    struct group sent = *group;
    sent.columns = (struct column_list){0}; // borrows the values
    for (uint32_t i = 0; i < group->columns.count; i++) {
        const struct column_row *row = column_row(group->columns.at[i].id);
        if (!row || row->origin <= ORIGIN_GENERATOR)
            *column_list_place(&sent.columns, group->columns.at[i].id) = group->columns.at[i];
    }
    sent.failure = NULL;
    sent.unscored = false;
    group_encode(&sent, &bytes);
    mem_free(sent.columns.at);
    Rlhfd__V1__Disposition pb;
    rlhfd__v1__disposition__init(&pb);
    pb.again = (ProtobufCBinaryData){bytes.len, bytes.data};
    wire_pack(&pb.base, ret);
}

err_t again_decode(const uint8_t *data, size_t len, struct group **ret)
{
    SCOPED_PB ProtobufCMessage *base = NULL;
    struct group_limits limits = GROUP_LIMITS;
    const struct wire_bounds bounds = {GROUP_MAX_BYTES + AROUND_MAX, FIELDS_MAX};
    limits.last = ORIGIN_GENERATOR;
    TRY(wire_unpack(&rlhfd__v1__disposition__descriptor, data, len, &bounds, &base));
    const Rlhfd__V1__Disposition *pb = (const void *)base;
    if (!pb->again.len)
        return err_new(ERR_NOT_FOUND, "no group to score");
    return err_wrap(group_decode(pb->again.data, pb->again.len, &limits, ret), "again");
}
