/* Messages of Weights.Subscribe, as plain structs: subscriptions, manifests of versions, and their
 * values in chunks.
 *
 *     struct manifest manifest = {.lineage = 1, .version = 7, .kind = WEIGHTS_FULL, .digest = d, ...};
 *     SCOPED(rpc_message) message = manifest_message(&manifest);
 *     TRY(weights_decode(message, &event));           -- hostile input: a manifest or a chunk
 *
 * Values are bf16, little-endian, of the flat array that tensor/layout.h describes. Any thread. */
#pragma once
#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rpc_message;

enum {
    /* Elements in a chunk of a FULL (1 MiB). The last chunk has the rest. */
    WEIGHTS_CHUNK = 1 << 19
};
/* FULL has every value, DELTA the changes since the version published before, JUMP those over
 * several versions. SAME has no values: the receiver loaded this version from elsewhere. */
enum weights_kind { WEIGHTS_FULL = 1, WEIGHTS_DELTA = 2, WEIGHTS_JUMP = 3, WEIGHTS_SAME = 4 };

struct manifest {
    uint32_t lineage;
    uint64_t version, round; // updates applied; rounds trained
    enum weights_kind kind;
    uint64_t elements;
    struct digest digest; // weights_digest of all elements
    uint64_t base;        // DELTA, JUMP: the version of this lineage that the changes start from
    uint64_t chunks;      // number of all chunks
    uint64_t first_chunk; // the first chunk that comes; an earlier stream brought those before it
    bool verify;          // the receiver sums up all values once it has applied the changes
};

/* Whether both name the same chunks. */
bool manifest_same(const struct manifest *a, const struct manifest *b);

/* The first message of a stream names the subscriber; later ones have only the version applied. */
struct subscription {
    char *run, *generator; // NULL: not the first
    uint64_t incarnation;
    struct digest layout;
    char *serves; // first message: the address where it passes versions on; NULL: it does not
    char *lost;   // first message: address of the generator that failed to do so; NULL: none did
    bool holds;   // the subscriber has applied the version below
    uint32_t lineage;
    uint64_t version;
    bool has; // the version below lies there complete, applied or not; a delta may start there
    uint32_t has_lineage;
    uint64_t has_version;
    bool has_partial; // the last stream ended within this version, after partial_chunks chunks
    struct manifest partial;
    uint64_t partial_chunks;
    bool has_digest; // the digest of the version it has, or of weights it loaded from elsewhere
    struct digest digest;
};
void subscription_encode(const struct subscription *subscription, struct bytes *ret);

/* INVALID: malformed; names of more than 255 bytes, a first message without generator or layout. */
err_t subscription_decode(const uint8_t *data, size_t len, struct subscription *ret);
void subscription_done(struct subscription *subscription);

struct rpc_message *manifest_message(const struct manifest *manifest);

/* A chunk of a FULL, or of a DELTA or JUMP, that borrows its values or bytes until release(arg). */
struct rpc_message *chunk_message(uint64_t first, const uint16_t *values, size_t count,
                                  void (*release)(void *arg), void *arg);
struct rpc_message *delta_message(uint64_t index, const uint8_t *data, size_t len,
                                  void (*release)(void *arg), void *arg);

/* A manifest or chunk. The values or bytes of a chunk lie in the message, at offset. */
enum weights_event_kind { WEIGHTS_MANIFEST, WEIGHTS_CHUNK_OF_FULL, WEIGHTS_CHUNK_OF_DELTA };
struct weights_event {
    enum weights_event_kind kind;
    struct manifest manifest;
    uint64_t first;       // a chunk's first element, or its index
    size_t offset, count; // offset: bytes into the message; count: elements, or bytes
};

/* INVALID: malformed, an unknown kind, a chunk of half an element. */
err_t weights_decode(struct rpc_message *message, struct weights_event *ret);
