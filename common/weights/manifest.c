#include "weights/manifest.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "rpc/message.h"
#include "weights.pb-c.h"
#include "wire/rollout.h"
#include "wire/unpack.h"
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "chunks are little-endian");

enum {
    SUBSCRIPTION_MAX_BYTES = 2048,
    MANIFEST_MAX_BYTES = 512,
    FIELDS_MAX = 32,
    CHUNK_FIELD = 2,   // WeightsMessage.chunk
    VALUES_FIELD = 15, // Chunk.values
};

/* ---- subscriptions */

void subscription_encode(const struct subscription *subscription, struct bytes *ret)
{
    Rlhfd__V1__SubscribeRequest pb;
    rlhfd__v1__subscribe_request__init(&pb);
    if (subscription->run) {
        pb.run = subscription->run;
        pb.generator = subscription->generator;
        pb.incarnation = subscription->incarnation;
        pb.layout = (ProtobufCBinaryData){sizeof subscription->layout.byte,
                                          (uint8_t *)subscription->layout.byte};
    }
    pb.holds = subscription->holds;
    pb.lineage = subscription->lineage;
    pb.version = subscription->version;
    wire_pack(&pb.base, ret);
}

static err_t take_names(const Rlhfd__V1__SubscribeRequest *pb, struct subscription *ret)
{
    if (!pb->run[0])
        return OK;
    if (!pb->generator[0])
        return err_new(ERR_INVALID, "generator is empty");
    if (strlen(pb->run) > NAME_MAX_BYTES || strlen(pb->generator) > NAME_MAX_BYTES)
        return err_new(ERR_INVALID,
                       "run and generator have %zu and %zu bytes; at most %d are allowed",
                       strlen(pb->run), strlen(pb->generator), NAME_MAX_BYTES);
    TRY(wire_digest(&pb->layout, "layout", &ret->layout));
    ret->run = mem_string(pb->run);
    ret->generator = mem_string(pb->generator);
    ret->incarnation = pb->incarnation;
    return OK;
}

err_t subscription_decode(const uint8_t *data, size_t len, struct subscription *ret)
{
    SCOPED_PB ProtobufCMessage *base = NULL;
    const struct wire_bounds bounds = {SUBSCRIPTION_MAX_BYTES, FIELDS_MAX};
    TRY(wire_unpack(&rlhfd__v1__subscribe_request__descriptor, data, len, &bounds, &base));
    const Rlhfd__V1__SubscribeRequest *pb = (const void *)base;
    struct subscription subscription = {
        .holds = pb->holds, .lineage = pb->lineage, .version = pb->version};
    TRY(err_wrap(take_names(pb, &subscription), "subscription"));
    *ret = subscription;
    return OK;
}

void subscription_done(struct subscription *subscription)
{
    free(subscription->run);
    free(subscription->generator);
    *subscription = (struct subscription){0};
}

/* ---- versions */

struct rpc_message *manifest_message(const struct manifest *manifest)
{
    Rlhfd__V1__Manifest pb;
    Rlhfd__V1__WeightsMessage outer;
    rlhfd__v1__manifest__init(&pb);
    rlhfd__v1__weights_message__init(&outer);
    pb.lineage = manifest->lineage;
    pb.version = manifest->version;
    pb.round = manifest->round;
    pb.kind = (Rlhfd__V1__Kind)manifest->kind;
    pb.elements = manifest->elements;
    pb.digest =
        (ProtobufCBinaryData){sizeof manifest->digest.byte, (uint8_t *)manifest->digest.byte};
    outer.manifest = &pb;
    return rpc_message_pack(&outer.base);
}

struct rpc_message *chunk_message(uint64_t first, const uint16_t *values, size_t count,
                                  void (*release)(void *arg), void *arg)
{
    Rlhfd__V1__Chunk pb;
    rlhfd__v1__chunk__init(&pb);
    pb.first = first;
    return rpc_message_pack_with_bytes(&pb.base, CHUNK_FIELD, VALUES_FIELD, values,
                                       count * sizeof *values, release, arg);
}

static err_t decode_manifest(struct rpc_message *message, struct manifest *ret)
{
    SCOPED_PB ProtobufCMessage *base = NULL;
    const struct wire_bounds bounds = {MANIFEST_MAX_BYTES, FIELDS_MAX};
    TRY(wire_unpack(&rlhfd__v1__weights_message__descriptor, rpc_message_data(message),
                    rpc_message_len(message), &bounds, &base));
    const Rlhfd__V1__Manifest *pb =
        ((const Rlhfd__V1__WeightsMessage *)(const void *)base)->manifest;
    if (!pb)
        return err_new(ERR_INVALID, "neither a manifest nor a chunk");
    if (pb->kind != RLHFD__V1__KIND__KIND_FULL)
        return err_new(ERR_INVALID, "manifest: kind is %d; 1 (full) is allowed", (int)pb->kind);
    struct manifest manifest = {.lineage = pb->lineage,
                                .version = pb->version,
                                .round = pb->round,
                                .kind = WEIGHTS_FULL,
                                .elements = pb->elements};
    TRY(err_wrap(wire_digest(&pb->digest, "digest", &manifest.digest), "manifest"));
    *ret = manifest;
    return OK;
}

err_t weights_decode(struct rpc_message *message, struct weights_event *ret)
{
    SCOPED_PB ProtobufCMessage *base = NULL;
    struct weights_event event = {.is_chunk = true};
    size_t bytes = 0;
    err_t e = rpc_message_split(message, CHUNK_FIELD, VALUES_FIELD, &rlhfd__v1__chunk__descriptor,
                                &base, &event.offset, &bytes);
    if (err_code(e) == ERR_NOT_FOUND) {
        err_free(e);
        event.is_chunk = false;
        TRY(decode_manifest(message, &event.manifest));
        *ret = event;
        return OK;
    }
    TRY(err_wrap(e, "chunk"));
    if (bytes % sizeof(uint16_t) != 0)
        return err_new(ERR_INVALID, "chunk of %zu bytes: half an element", bytes);
    event.first = ((const Rlhfd__V1__Chunk *)(const void *)base)->first;
    event.count = bytes / sizeof(uint16_t);
    *ret = event;
    return OK;
}
