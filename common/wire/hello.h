/* A worker's account of itself, in the first message of its stream to the learner: its protocol,
 * and all settings that decide samples and scores.
 *
 *     SCOPED_VALUE(hello) ours = {0};
 *     hello_put(&ours, "generator.temperature", "1.0");
 *     TRY(hello_check(&ours, &theirs, "generator 'g'"));    -- PRECONDITION: "... generator.temperature is 0.5 there, 1.0 here"
 *
 * Owner: one thread at a time. */
#pragma once
#include "base/bytes.h"
#include "base/err.h"
#include "base/scoped.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The version of the wire: it rises with each change of proto/ after which older bytes would be
 * read as something else. A learner takes workers from HELLO_PROTOCOL_OLDEST on, and answers each
 * in its own number: so the learner is upgraded first, and workers one by one. */
enum {
    HELLO_PROTOCOL = 4,
    HELLO_PROTOCOL_OLDEST = 3,
    HELLO_SETTINGS_MAX = 128,
    HELLO_MAX_BYTES = 1 << 20
};

struct hello_setting {
    char *key, *value;
};
struct hello {
    uint32_t protocol; // 0: there is no hello
    uint32_t settings;
    struct hello_setting *setting; // (settings), owned
    /* The forward id of its numerics (model/numerics.h), owned. NULL: it computes no
     * log-probabilities. */
    char *forward;
    /* Of the learner's own, owned: how a worker's forward must begin (words, whole); NULL: any. */
    char *same_forward;
    const char
        *unasked;      // of the learner's own: a setting that it does not compare; literal, or NULL
    char *build;       // version of the sender's program, owned; NULL: not told. Never compared
    bool scores_again; // of a rewarder: it takes groups to score once more (wire/waiting.h)
};
void hello_put(void *hello, const char *key, const char *value); // also sets the protocol
void hello_done(struct hello *hello);

/* A worker's look at the learner's answer. PRECONDITION: the number is not ours; the error has
 * both. */
err_t hello_same_protocol(uint32_t theirs, const char *who);

/* The learner's look at a hello. PRECONDITION: a protocol that ours does not take, a setting that
 * differs, with its key and both values, or, with same_forward, another forward; `who` begins the
 * message. */
err_t hello_check(const struct hello *ours, const struct hello *theirs, const char *who);

/* Replay.Append's first message, which is of the type of groups. Decoding: NOT_FOUND: it is a
 * group; INVALID: malformed. */
void hello_encode(const struct hello *hello, struct bytes *ret);
err_t hello_decode(const uint8_t *data, size_t len, struct hello *ret);

/* The answer to it, which is of the type of dispositions; it tells the protocol that both speak
 * now: the worker's. */
void welcome_encode(uint32_t protocol, struct bytes *ret);
/* false: it is none. ret_knows_waiting: the learner reads wire/waiting.h. */
bool welcome_decode(const uint8_t *data, size_t len, uint32_t *ret_protocol,
                    bool *ret_knows_waiting);

/* Inside wire: to and from the generated message. The pb borrows from hello and *rows, which is
 * freed by the caller. */
struct Rlhfd__V1__Hello;
void hello_to_pb(const struct hello *hello, struct Rlhfd__V1__Hello *pb, void **rows);
err_t hello_from_pb(const struct Rlhfd__V1__Hello *pb, struct hello *ret);
