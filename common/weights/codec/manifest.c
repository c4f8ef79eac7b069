#include "weights/codec/manifest.h"
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
    CHUNK_FIELD = 2, // WeightsMessage.chunk
    DELTA_FIELD = 3, // WeightsMessage.delta
    LAST_FIELD = 15, // Chunk.values, DeltaChunk.data
};

/* ---- manifests */

bool manifest_same(const struct manifest *a, const struct manifest *b)
{
    return a->lineage == b->lineage && a->version == b->version && a->kind == b->kind &&
           a->base == b->base && a->elements == b->elements && a->chunks == b->chunks &&
           digest_equal(&a->digest, &b->digest);
}

/* pb borrows the digest. */
static void pack_manifest(const struct manifest *manifest, Rlhfd__V1__Manifest *pb)
{
    rlhfd__v1__manifest__init(pb);
    pb->lineage = manifest->lineage;
    pb->version = manifest->version;
    pb->round = manifest->round;
    pb->kind = (Rlhfd__V1__Kind)manifest->kind;
    pb->elements = manifest->elements;
    pb->digest =
        (ProtobufCBinaryData){sizeof manifest->digest.byte, (uint8_t *)manifest->digest.byte};
    pb->base_version = manifest->base;
    pb->chunks = manifest->chunks;
    pb->first_chunk = manifest->first_chunk;
    pb->verify = manifest->verify;
}

static err_t unpack_manifest(const Rlhfd__V1__Manifest *pb, struct manifest *ret)
{
    if (pb->kind < RLHFD__V1__KIND__KIND_FULL || pb->kind > RLHFD__V1__KIND__KIND_SAME)
        return err_new(ERR_INVALID,
                       "kind is %d; 1 (full), 2 (delta), 3 (jump) and 4 (same) are allowed",
                       (int)pb->kind);
    struct manifest manifest = {.lineage = pb->lineage,
                                .version = pb->version,
                                .round = pb->round,
                                .kind = (enum weights_kind)pb->kind,
                                .elements = pb->elements,
                                .base = pb->base_version,
                                .chunks = pb->chunks,
                                .first_chunk = pb->first_chunk,
                                .verify = pb->verify};
    TRY(wire_digest(&pb->digest, "digest", &manifest.digest));
    *ret = manifest;
    return OK;
}

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
        pb.serves = subscription->serves ? subscription->serves : pb.serves;
        pb.lost = subscription->lost ? subscription->lost : pb.lost;
    }
    pb.holds = subscription->holds;
    pb.lineage = subscription->lineage;
    pb.version = subscription->version;
    pb.has = subscription->has;
    pb.has_lineage = subscription->has_lineage;
    pb.has_version = subscription->has_version;
    if (subscription->has_digest)
        pb.digest = (ProtobufCBinaryData){sizeof subscription->digest.byte,
                                          (uint8_t *)subscription->digest.byte};
    Rlhfd__V1__Manifest partial;
    if (subscription->has_partial) {
        pack_manifest(&subscription->partial, &partial);
        pb.partial = &partial;
        pb.partial_chunks = subscription->partial_chunks;
    }
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
    if (strlen(pb->serves) > NAME_MAX_BYTES || strlen(pb->lost) > NAME_MAX_BYTES)
        return err_new(ERR_INVALID, "addresses of %zu and %zu bytes; at most %d are allowed",
                       strlen(pb->serves), strlen(pb->lost), NAME_MAX_BYTES);
    TRY(wire_digest(&pb->layout, "layout", &ret->layout));
    ret->serves = *pb->serves ? mem_string(pb->serves) : NULL;
    ret->lost = *pb->lost ? mem_string(pb->lost) : NULL;
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
    struct subscription subscription = {.holds = pb->holds,
                                        .lineage = pb->lineage,
                                        .version = pb->version,
                                        .has = pb->has,
                                        .has_lineage = pb->has_lineage,
                                        .has_version = pb->has_version,
                                        .has_partial = pb->partial != NULL,
                                        .partial_chunks = pb->partial_chunks,
                                        .has_digest = pb->digest.len > 0};
    if (pb->digest.len)
        TRY(err_wrap(wire_digest(&pb->digest, "digest", &subscription.digest), "subscription"));
    if (pb->partial)
        TRY(err_wrap(unpack_manifest(pb->partial, &subscription.partial), "subscription: partial"));
    TRY(err_wrap(take_names(pb, &subscription), "subscription"));
    *ret = subscription;
    return OK;
}

void subscription_done(struct subscription *subscription)
{
    free(subscription->run);
    free(subscription->generator);
    free(subscription->serves);
    free(subscription->lost);
    *subscription = (struct subscription){0};
}

/* ---- versions */

struct rpc_message *manifest_message(const struct manifest *manifest)
{
    Rlhfd__V1__Manifest pb;
    Rlhfd__V1__WeightsMessage outer;
    rlhfd__v1__weights_message__init(&outer);
    pack_manifest(manifest, &pb);
    outer.manifest = &pb;
    return rpc_message_pack(&outer.base);
}

struct rpc_message *chunk_message(uint64_t first, const uint16_t *values, size_t count,
                                  void (*release)(void *arg), void *arg)
{
    Rlhfd__V1__Chunk pb;
    rlhfd__v1__chunk__init(&pb);
    pb.first = first;
    return rpc_message_pack_with_bytes(&pb.base, CHUNK_FIELD, LAST_FIELD, values,
                                       count * sizeof *values, release, arg);
}

struct rpc_message *delta_message(uint64_t index, const uint8_t *data, size_t len,
                                  void (*release)(void *arg), void *arg)
{
    Rlhfd__V1__DeltaChunk pb;
    rlhfd__v1__delta_chunk__init(&pb);
    pb.index = index;
    return rpc_message_pack_with_bytes(&pb.base, DELTA_FIELD, LAST_FIELD, data, len, release, arg);
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
    return err_wrap(unpack_manifest(pb, ret), "manifest");
}

/* NOT_FOUND: it is no chunk of a FULL. */
static err_t decode_chunk(const struct rpc_message *message, struct weights_event *ret)
{
    SCOPED_PB ProtobufCMessage *base = NULL;
    size_t bytes = 0;
    TRY(rpc_message_split(message, CHUNK_FIELD, LAST_FIELD, &rlhfd__v1__chunk__descriptor, &base,
                          &ret->offset, &bytes));
    if (bytes % sizeof(uint16_t) != 0)
        return err_new(ERR_INVALID, "%zu bytes: half an element", bytes);
    ret->kind = WEIGHTS_CHUNK_OF_FULL;
    ret->first = ((const Rlhfd__V1__Chunk *)(const void *)base)->first;
    ret->count = bytes / sizeof(uint16_t);
    return OK;
}

/* NOT_FOUND: it is no chunk of a DELTA or JUMP. */
static err_t decode_delta(const struct rpc_message *message, struct weights_event *ret)
{
    SCOPED_PB ProtobufCMessage *base = NULL;
    TRY(rpc_message_split(message, DELTA_FIELD, LAST_FIELD, &rlhfd__v1__delta_chunk__descriptor,
                          &base, &ret->offset, &ret->count));
    ret->kind = WEIGHTS_CHUNK_OF_DELTA;
    ret->first = ((const Rlhfd__V1__DeltaChunk *)(const void *)base)->index;
    return OK;
}

err_t weights_decode(struct rpc_message *message, struct weights_event *ret)
{
    err_t (*const chunks[])(const struct rpc_message *, struct weights_event *) = {decode_chunk,
                                                                                   decode_delta};
    struct weights_event event = {.kind = WEIGHTS_MANIFEST};
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
        err_t e = chunks[i](message, &event);
        if (err_code(e) != ERR_NOT_FOUND) {
            TRY(err_wrap(e, "chunk"));
            *ret = event;
            return OK;
        }
        err_free(e);
    }
    TRY(decode_manifest(message, &event.manifest));
    *ret = event;
    return OK;
}
