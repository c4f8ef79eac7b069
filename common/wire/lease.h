/* Messages between a generator and the learner's Prompts service, as plain structs and their bytes.
 *
 *     SCOPED_VALUE(lease_request) request = {0};
 *     TRY(lease_request_decode(bytes, len, &request));   -- hostile input: bounded and checked
 *     SCOPED_VALUE(bytes) out = {0};
 *     lease_reply_encode(&reply, &out);
 *
 * Decoded values own what they point to; to encode, they may borrow. Any thread. */
#pragma once
#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"
#include "wire/hello.h"
#include "wire/traceparent.h"
#include <stdbool.h>
#include <stdint.h>

/* Limits of one message. */
enum { LEASE_GRANTS_MAX = 4096, LEASE_IDS_MAX = 1 << 16, LEASE_ROW_MAX_BYTES = 4 << 20 };
/* Of a reply, and of the rows in one: with a row more it still is within its limit. */
enum { LEASE_REPLY_MAX_BYTES = 64 << 20, LEASE_ROWS_BYTES = 32 << 20 };

/* How far a generator is with one lease. */
struct lease_progress {
    struct digest id;
    uint32_t tokens;
};

struct lease_request {
    char *run, *generator; // in the first message of a stream; NULL in the others
    uint64_t incarnation;  // with them: a random number of the process, > 0
    struct hello hello;    // with them
    uint32_t lineage;
    uint64_t version;    // of the weights it holds
    uint32_t want;       // slots it would take now, in all: it replaces what was wanted before
    uint32_t want_ahead; // likewise, for weights that are to come
    /* In the first message: all leases it knows of, until their groups are settled */
    uint32_t progresses;
    struct lease_progress *progress;
    uint32_t returns;
    struct digest *returned; // leases that it gives back
    uint32_t unusables;
    struct digest *unusable; // leases whose row can never be decoded
    char *unusable_why;      // of the last of them, at most NAME_MAX_BYTES long; NULL: not said
    double busy_s,
        idle_s;      // since its process began: decoding, with nothing to decode; finite, >= 0
    uint64_t tokens; // sampled since then
    /* Evaluation: the weights it holds for it, rows it would take now, slots whose row can never be
     * decoded. */
    uint32_t evaluation_lineage;
    uint64_t evaluation_version;
    uint32_t evaluation_want;
    uint32_t evaluation_unusables;
    uint64_t *evaluation_unusable;
    bool held; // decoding stands still, as the learner asked
};
void lease_request_encode(const struct lease_request *request, struct bytes *ret);

/* INVALID: malformed, over a limit, or a name of more than 255 bytes. *ret is overwritten, and
 * untouched on failure. */
err_t lease_request_decode(const uint8_t *data, size_t len, struct lease_request *ret);
void lease_request_done(struct lease_request *request);

/* A slot on loan: the group to be made carries these fields unchanged. */
struct lease_grant {
    struct digest id;
    uint32_t lineage;
    uint64_t slot;
    uint32_t attempt;
    uint64_t prompt;
    uint32_t epoch;
    uint64_t start_round;
    char *row;            // the dataset row as JSON text
    uint32_t deadline_ms; // from its arrival
    bool evaluation;      // a row of the evaluation data: one completion by the weights of version
    uint64_t version;     // of a slot: it is begun with this version or a newer one
    char traceparent[TRACE_PARENT]; // of the learner; "": none (traceparent.h)
};

struct lease_reply {
    uint32_t grants;
    struct lease_grant *grant;
    uint32_t revokes;
    struct digest *revoked; // leases whose work is of no use any more
    bool ended;             // nothing will ever be granted again
    bool draining;          // nothing is granted until the learner is restarted
    bool leave;             // this generator delivers what it has, then ends
    bool hold, go_on;       // decoding stands still from here on, or no longer; neither: as before
    uint64_t term;          // in the first reply: the hello is accepted; else 0
    uint32_t protocol;      // with it: the one that both speak now (hello.h)
};
void lease_reply_encode(const struct lease_reply *reply, struct bytes *ret);

/* INVALID: malformed, over a limit, attempt or deadline 0. *ret is overwritten, and untouched on
 * failure. */
err_t lease_reply_decode(const uint8_t *data, size_t len, struct lease_reply *ret);
void lease_reply_done(struct lease_reply *reply);
