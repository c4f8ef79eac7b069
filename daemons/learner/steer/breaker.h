/* Stops a run whose slots all come to nothing: rows that no prompt can be made of, groups that
 * nobody can score or train. After learner.unusable_slots such slots in a row generation is paused,
 * durably; an operator resumes it, and the count begins anew.
 *
 *     struct breaker *breaker = breaker_new(&options);
 *     breaker_start(breaker);                                            -- before leasing_service: it looks first
 *     breaker_told(breaker, REASON_FILTERED, "generator-1", why);        -- as peers say it
 *
 * Owner: the storage thread. */
#pragma once
#include "base/mixture.h"
#include "learner/replay/storage.h"
#include "learner/steer/live.h"

#define BREAKER_KIND "breaker" // of the change that pauses

struct breaker;
struct breaker_options {
    struct storage *storage;
    struct live *live;
    const struct mixture *data; // names the row
};
struct breaker *breaker_new(const struct breaker_options *options);
void breaker_start(struct breaker *breaker);

/* The reason that goes with the next slots that leave so. Texts are copied; NULL breaker:
 * nothing. */
void breaker_told(struct breaker *breaker, enum reason reason, const char *who, const char *why);
/* Of ingest_options. */
void breaker_rejected(void *breaker, enum reason reason, const char *who, const char *why);

/* "the last: slot 63 (train.jsonl:13), filtered by generator-1: ..." */
struct hold breaker_sample(const struct breaker *breaker, const struct store_unusable *last);

/* PRECONDITION: the run has ended without a round, and why. */
err_t breaker_none(const struct breaker *breaker, const struct store *store);
void breaker_free(struct breaker *breaker); // after the storage thread's last job
DEFINE_SCOPED(breaker)
