/* The log of rounds: groups in the order in which they were trained, and the versions made of them.
 *
 *     struct round_plan plan = {.updates = 1, .seed = 7, .settings = text, .fingerprint = text};
 *     SCOPED(round) round = NULL;
 *     TRY(store_form_round(store, clock_ms(), &plan, &idle, &round));        -- NULL: idle says why
 *     TRY(store_round_groups(store, round, &groups));                        -- train them
 *     struct trainee_digests digests = trainees_policy(&weights);
 *     TRY(store_update_done(store, round->first_version + 1, &digests, true)); -- durable: publish
 *
 * After a restart from a checkpoint that covers the rounds before c, recorded rounds from c on are
 * trained again: by store_round, store_round_groups and store_update_done. The last then compares
 * digests instead of writing them.
 *
 * Versions: v updates make version v; round r makes those after first_version, as many as updates.
 * Lag counts the round of a version so: r + 1 for the last version of round r, r for the others, 0
 * for version 0. Owner: the storage thread; errors of writes as in store.h. */
#pragma once
#include "learner/store/store.h"

/* Recorded as given; texts of at most 1 MiB. */
struct round_plan {
    uint32_t updates;        // optimizer steps this round will make; > 0
    uint64_t seed;           // of the minibatch permutation
    const char *settings;    // the settings' values, as text
    const char *fingerprint; // of the numerics
};

struct round_group {
    struct digest id, content; // content: of the group's stored bytes
    uint64_t slot, age;        // age: round of its oldest version; its lag is round - age
    uint32_t attempt, use;     // use: the how manieth of this group, from 1
};

struct round {
    uint32_t lineage, updates;
    uint64_t round, first_version, seed;
    uint64_t limit; // on lag, in force when it was recorded
    enum replay_policy policy;
    uint32_t max_uses;
    char *settings, *fingerprint;
    size_t groups;             // fewer than the rules' only in the last round of a finite run
    struct round_group *group; // oldest first, then by slot
    /* Values that belong to the round's completions, all of them one after another in the groups'
     * order. */
    struct column_list columns;
    /* Rounds of the run in all, as far as was known when it was recorded (store_run_rounds). 0: not
     * recorded. */
    uint64_t run_rounds;
};
void round_free(struct round *round);
DEFINE_SCOPED(round)

enum idle {
    IDLE_NONE,
    IDLE_NO_GROUPS, // generation or rewarding is behind
    IDLE_STRAGGLER, // a leased group would become too old: it is waited for
    IDLE_ENDED,     // no round will ever be formed again; all other groups have left as `ended`
    IDLE_PAUSED     // by an operator: the caller's, not the store's
};
const char *idle_name(enum idle idle); // "none", "no groups", "straggler", "ended", "paused"

/* Records the next round if rules 2 and 3 (lag.h) allow one. On return the record is
 * durable. *ret is NULL when idle. */
err_t store_form_round(struct store *store, int64_t now_ms, const struct round_plan *plan,
                       enum idle *ret_idle, struct round **ret);

/* A recorded round. NOT_FOUND: not recorded. */
err_t store_round(struct store *store, uint64_t number, struct round **ret);

/* Its groups in order, round->groups of them, each checked against its digest. They are kept back
 * to the checkpoint before the newest. NOT_FOUND: no longer kept; DATA_LOSS: damaged. */
err_t store_round_groups(struct store *store, const struct round *round, struct group ***ret);
void round_groups_free(struct group **groups, size_t count);

/* The digests of all that a version is made of: one of each trainee, in a fixed order. The first is
 * the one that is published. */
enum { TRAINEES_MAX = 8, TRAINEE_NAME_MAX = 16 };
struct trainee_digest {
    char name[TRAINEE_NAME_MAX]; // not empty, no other's, a terminator
    struct digest weights;
};
struct trainee_digests {
    uint32_t count; // > 0
    struct trainee_digest at[TRAINEES_MAX];
};
struct trainee_digests trainees_policy(const struct digest *weights); // "policy" alone

/* Version `version` exists, with these digests; ends_round: it is its round's last, which may come
 * early. New versions are made durable; for one that is recorded the digests are compared.
 * DATA_LOSS: they differ, this replay did not reach the recorded state. PRECONDITION: not the next
 * version, or of no recorded round. INVALID: no list as above. */
err_t store_update_done(struct store *store, uint64_t version,
                        const struct trainee_digests *trainees, bool ends_round);

/* NOT_FOUND: a version never made here (version 0 included). */
err_t store_digests_of(struct store *store, uint64_t version, struct trainee_digests *ret);

/* The round of a version, as lag counts it. NOT_FOUND: never made here. */
err_t store_round_of(const struct store *store, uint64_t version, uint64_t *ret);

uint64_t store_next_round(const struct store *store);   // the first not recorded
uint64_t store_rounds_done(const struct store *store);  // the first not completely trained
uint64_t store_last_version(const struct store *store); // the newest made
uint32_t store_lineage(const struct store *store);      // of what is made now: history.h

/* A verified checkpoint covers the rounds before `round` (weights of `version`). Group bytes that
 * neither it nor the checkpoint before it could need are dropped. Repeating or going back is
 * harmless. */
err_t store_checkpointed(struct store *store, uint64_t round, uint64_t version);

/* The newest checkpoint noted so; 0, 0 before the first. */
void store_checkpoint(const struct store *store, uint64_t *ret_round, uint64_t *ret_version);
