/* RUN/updates.jsonl: the digest of each version that an offline run has made, a line each.
 *
 *     TRY(ledger_open("run/updates.jsonl", &ledger));
 *     TRY(ledger_note(ledger, 7, round, &digests));       -- new: appended; made before: compared
 *
 * A run that goes on from a checkpoint trains the rounds after it again, and must reach the same
 * weights. Lines are in the order of versions, from 1 on. Owner: one thread. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include "learner/store/rounds.h"

struct ledger;

/* A torn last line is dropped. DATA_LOSS: a line is none, or they are out of order. */
err_t ledger_open(const char *path, struct ledger **ret);
uint64_t ledger_versions(const struct ledger *ledger); // made so far

/* version: at most one more than ledger_versions. DATA_LOSS: it was made before, with other
 * weights. */
err_t ledger_note(struct ledger *ledger, uint64_t version, uint64_t round,
                  const struct trainee_digests *digests);

/* All lines are on disk afterwards. */
err_t ledger_sync(struct ledger *ledger);
void ledger_free(struct ledger *ledger);
DEFINE_SCOPED(ledger)
