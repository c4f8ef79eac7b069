/* The end of a group, terminal and recorded. Sent back the way that the group came, from the
 * learner's disk through the rewarder to the generator.
 *
 *     disposition_encode(&(struct disposition){group->id, OUTCOME_STORED, NULL}, &out);
 *     TRY(disposition_decode(data, len, &disposition));
 *
 * Any thread. */
#pragma once
#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"

enum { REASON_MAX_BYTES = 1000 }; // of a disposition's reason

enum outcome {
    OUTCOME_STORED = 1,
    OUTCOME_DUPLICATE,
    OUTCOME_SUPERSEDED,
    OUTCOME_STALE,
    OUTCOME_REJECTED
};

/* "stored", ...; "?" for a number that is none of them. */
const char *outcome_name(enum outcome outcome);

struct disposition {
    struct digest id;
    enum outcome outcome;
    char *reason; // for people; NULL: none
};

/* Cuts a long reason. */
void disposition_encode(const struct disposition *disposition, struct bytes *ret);

/* Cuts a long reason. INVALID: malformed. ret->reason is the caller's: disposition_done. */
err_t disposition_decode(const uint8_t *data, size_t len, struct disposition *ret);
void disposition_done(struct disposition *disposition);
