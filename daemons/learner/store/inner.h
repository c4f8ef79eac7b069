/* Private to the store's sources: its struct, and the moves of which every call consists.
 * Memory changes at once; the disk changes in store_commit, whole or not at all. A failed commit
 * leaves the store unusable until the next opening. Calls go down this list, none back up: store.c,
 * terms, leases, quarantine, append, versions, rounds, fate, bounds, source, transaction, db.
 *
 *     TRY(store_begin(store, now_ms));
 *     slot_free_again(store, slot);
 *     return store_commit(store);
 *
 * Owner: the storage thread. */
#pragma once
#include "learner/store/db.h"
#include "learner/store/leases.h"
#include "learner/store/lineages.h"
#include "learner/store/rounds.h"
#include "learner/store/slots.h"
#include "learner/store/terms.h"

struct store {
    char *dir;
    uint64_t reserve_bytes; // of store_options
    struct db *db;
    struct schema schema;
    struct store_rules rules;
    uint64_t limit;               // in force: rules.limit, or above it while it eases
    uint64_t behind;              // as in store_counts
    uint64_t spare, spare_before; // as in store_counts: since the last round; up to it
    struct counters counters;
    struct store_unusable unusable;
    struct lineages lineages;
    struct slots slots; // none when it was opened to read
    struct terms terms; // likewise
    int64_t opened_ms;
    uint64_t opened_clock_ms; // the store's clock then
    bool holds;               // the clock stands still
    struct slot **dirty;      // to be written by the next commit
    size_t dirty_n, dirty_capacity;
    bool changed;   // counters too
    uint64_t *last; // (ends) last version of round first_end + i
    size_t ends, ends_capacity;
    uint64_t first_end;
    struct revoked *revoked;
    size_t revoked_n, revoked_capacity;
    enum err_code broken; // ERR_NONE, or why every call is refused
    char *broken_why;
};

/* ---- store.c: the top; its callers are forks and readers (forking.c, recorded.c) */

/* Loads a store that was opened. options NULL: to read. */
err_t store_load(struct store *store, const struct store_options *options);

/* ---- transaction.c */

/* Sets the store's clock. Refused once a write has failed. */
err_t store_begin(struct store *store, int64_t now_ms);
err_t store_commit(struct store *store);

/* Returns e. An error refuses every later call: memory is then ahead of the disk. */
err_t store_break(struct store *store, err_t e);

/* ---- bounds.c */

err_t store_rules_check(const struct store_rules *rules);
struct lag_rules store_lag_rules(const struct store *store);

/* Whether rounds take groups oldest first, each once: what lag rule 2 needs. */
bool store_in_turn(const struct store *store);

/* Live uses, which pacing counts: leased and stored groups, times the rounds that may use each. */
uint64_t store_live(const struct store *store);
bool store_disk_low(const struct store *store, uint64_t *ret_free_bytes);

/* Groups that the run can still use beside the live ones. UINT64_MAX without run.rounds. */
uint64_t store_groups_wanted(const struct store *store);

/* Rounds of the run in all: those of run.rounds or of the data, whichever are fewer. The data's
 * count each group, live or to come, as often as it may be used. */
uint64_t store_run_rounds(const struct store *store);

/* ---- source.c */

/* The row of the data that a slot stands for. */
uint64_t slot_prompt(const struct store *store, uint64_t number);

/* Whether each row was leased in every epoch. Free slots may be leased all the same. */
bool store_source_empty(const struct store *store);

/* Whether a leased slot waits for the version that the round under way will make. */
static inline bool slot_is_ahead(const struct store *store, const struct slot *slot)
{
    return slot->state == SLOT_LEASED && slot->start_round > store->counters.rounds_done;
}

/* ---- leases.c: INVALID unless the name has 1 to 255 bytes */
err_t holder_check(const struct store_holder *holder);

/* ---- fate.c */

/* A group that came leaves. */
void group_left(struct store *store, uint64_t slot, uint32_t attempt, const struct gone *gone);

/* A slot's moves; each marks it for writing and lets go of its holder, which a revoke tells. */
void slot_touch(struct store *store, struct slot *slot);
void slot_free_again(struct store *store, struct slot *slot);
void slot_gone(struct store *store, struct slot *slot, enum reason reason);
void slot_spent(struct store *store, struct slot *slot);  // STORED and used: gone as trained
void slot_failed(struct store *store, struct slot *slot); // free again, or errored after too many
void slot_group_left(struct store *store, const struct slot *slot, enum reason reason); // STORED
void slot_revoke(struct store *store, struct slot *slot, enum revoked_why why);

/* Rule 3, and the invariant of lag.h, which a change of the rules may have broken. */
void store_sweep(struct store *store);
/* Ends the run: revokes leases; used groups leave as trained, all other slots as ended. */
void store_finish(struct store *store);

/* ---- versions.c: of a version made here */
uint64_t version_round(const struct store *store, uint64_t version);
err_t versions_load(struct store *store);
void versions_end(struct store *store, uint64_t round, uint64_t last); // this round is over
err_t read_update(struct store *store, uint64_t version, struct update *ret);

/* ---- recorded.c */

/* Changes the reason for which a group left, in its record and in the counters. */
err_t gone_change(struct store *store, uint64_t slot, uint32_t attempt, enum reason from,
                  enum reason to);
/* Changes the uses of a group that is gone as trained. */
err_t gone_uses(struct store *store, uint64_t slot, uint32_t attempt, uint32_t uses,
                uint64_t trained_in);
