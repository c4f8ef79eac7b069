/* The store's history and ways back in it: reading beside the learner, the round of a version,
 * forks, and rounds that cannot be trained.
 *
 *     SCOPED(store) store = NULL;
 *     TRY(store_read("run/store", &store));             -- read-only: a learner may have it open
 *     TRY(store_maker(store, 128, &round));             -- version 128 was made by this round
 *     TRY(store_trace(store, slot, attempt, &trace));   -- what is known of one of its groups
 *
 * A fork goes back to the end of a round. Later rounds are cut off, their slots are free again, and
 * a new lineage begins. Their records stay, under the old lineage. A round that was recorded but
 * cannot be trained is voided: it keeps its number, makes no version, and its groups leave as
 * errored. Owner: the storage thread; errors of writes as in store.h. */
#pragma once
#include "learner/store/rounds.h"

/* For the calls here and in rounds.h that read. NOT_FOUND: no store in dir; PRECONDITION,
 * DATA_LOSS: as store_open. */
err_t store_read(const char *dir, struct store **ret);
/* The same for a store that is refused as STORE_BEHIND (intact.h): reads its rest. */
err_t store_read_rest(const char *dir, struct store **ret);
err_t store_verify(struct store *store);          // reads all of it. DATA_LOSS: some is damaged
const char *store_run(const struct store *store); // its id; borrowed

/* The round that made a version. NOT_FOUND: version 0, or never made here. */
err_t store_maker(struct store *store, uint64_t version, uint64_t *ret_round);

/* The version that the first `rounds` rounds ended with. NOT_FOUND: they have not ended. */
err_t store_version_after(struct store *store, uint64_t rounds, uint64_t *ret);

struct trace {
    enum reason reason;
    double reward; // mean of the completions'
    uint64_t prompt, epoch, tokens, oldest_version, newest_version;
    uint32_t completions;
    char *generator; // the generator's name; "": not known
};
void trace_done(struct trace *trace);

/* A group that left, or was trained and may be again. NOT_FOUND: neither. */
err_t store_trace(struct store *store, uint64_t slot, uint32_t attempt, struct trace *ret);

/* The newest version of a lineage that is in this history too: up to it, (lineage, version) names
 * the same weights here. NOT_FOUND: a lineage of another store. */
err_t store_valid_up_to(const struct store *store, uint32_t lineage, uint64_t *ret_version);

/* Where the present lineage begins: after its parent's first `rounds` rounds, the last of which
 * made `version`. A store's first lineage is its own parent. */
struct branch {
    uint32_t lineage, parent;
    uint64_t rounds, version;
};
struct branch store_branch(const struct store *store);

/* Goes back to the end of the first `rounds` rounds. Rounds after them are cut off. Their groups
 * leave as lineage, unless an earlier round used them. The slots are free for another attempt, as
 * are those that left as ended. Leases are revoked; stored groups with tokens of versions that are
 * cut off leave as lineage. The caller sets checkpoints of the cut-off rounds aside. PRECONDITION:
 * the rounds have not ended. */
err_t store_fork(struct store *store, uint64_t rounds, int64_t now_ms);

/* The same; the new lineage's number is above all that others may have seen. */
err_t store_fork_above(struct store *store, uint64_t rounds, uint32_t seen, int64_t now_ms);

/* The same as store_fork; the writes of `note` become durable with it. If note fails, so does the
 * store. */
err_t store_fork_noted(struct store *store, uint64_t rounds, int64_t now_ms,
                       err_t (*note)(void *arg, struct store *store), void *arg);

/* --- rounds that are begun and do not end --- */

enum { VOID_FAILURES = 3, VOID_STARTS = 20 };
struct round_tries {
    uint32_t starts,
        failures;  // of this round, the one that begins now included; failures that were noted
    bool hopeless; // VOID_FAILURES failures, or so many starts that none can have got through
};

/* Counts a start of a recorded round that is trained again after a restart. The count is durable
 * before the round runs, so that a start which ends the process counts, too. The first start, by
 * the process that recorded the round, is counted by the record. */
err_t store_round_begin(struct store *store, uint64_t round, struct round_tries *ret);

/* Counts a failure of the round's numbers, not of the machine. why: one line. *ret: failures so
 * far. */
err_t store_round_failed(struct store *store, uint64_t round, const char *why, uint32_t *ret);

/* Gives the round up. Versions recorded of it are taken back: none was published, as publishing
 * waits for the round's end. PRECONDITION: it has ended, or is not the last recorded. */
err_t store_void_round(struct store *store, uint64_t round);

/* Whether it was voided; *ret_why (may be NULL) is the caller's, the failure noted last. */
err_t store_round_voided(struct store *store, uint64_t round, bool *ret, char **ret_why);
