/* The records of the store and their bytes. Every value begins with a magic byte and a version
 * byte; keys are big-endian, so they sort as numbers do. The version is written as STORE_FORMAT and
 * read from STORE_FORMAT_OLDEST on; fields that an older one lacks are filled in. The schema's
 * version is the store's, and is raised when the store is opened for writing. The other records get
 * the new version when they change.
 *
 *     family  key                              value
 *     meta    "schema"                         M: what names the run
 *     meta    "counters"                       C: all counters
 *             't', place                       N: who has a generator's name (terms.h)
 *     slots   slot                             S: struct slot
 *     groups  age, slot                        G: the group's bytes, as group_encode makes them
 *             QUARANTINE_AGE, slot             likewise, of a quarantined one or one scored again
 *     gone    slot, attempt                    X: struct gone
 *     rounds  'r', lineage, round              R: struct round
 *             'u', lineage, version            U: struct update
 *             'd', lineage, round              D: the round's last version
 *             't', lineage, round              T: struct tries; absent: begun once at most, by its recorder
 *             'f', lineage, 0                  F: struct fork; absent for the first lineage
 *
 * Decoding is bounded and checked; DATA_LOSS says which record is damaged. Any thread. */
#pragma once
#include "base/bytes.h"
#include "learner/store/codec.h"
#include "learner/store/rounds.h"
#include "learner/store/store.h"

struct schema {
    char *run;
    struct digest data;
    uint64_t rows, seed;
    bool shuffle;
    uint8_t format; // as read; written as STORE_FORMAT
};
enum { STORE_FORMAT_OLDEST = 3, STORE_FORMAT = 5 };

struct counters {
    uint64_t clock_ms; // how long the store has been open, in all: what deadlines are in
    uint64_t next_slot, low_slot /* all below are gone */, next_round;
    uint64_t next_version; // the first version of the next round to be recorded is one more
    uint64_t rounds_done, last_version;
    uint64_t checkpoint_round[2], checkpoint_version[2]; // the newest, the one before
    uint64_t granted, given_back, expired, revoked;
    uint64_t gone[REASONS], outcomes[OUTCOME_REJECTED + 1];
    uint32_t lineage;
    uint64_t floor; // bytes of groups of a lower age are dropped
};

enum slot_state { SLOT_FREE = 1, SLOT_LEASED, SLOT_STORED, SLOT_GONE, SLOT_QUARANTINED };

/* The part of a group that stays when its bytes are dropped. */
struct summary {
    struct digest content;
    double reward; // mean of the completions'
    uint64_t tokens, oldest_version, newest_version;
    uint32_t completions;
    double spread; // mean |reward - mean reward|; below 0: not known, made before it was recorded
};

struct slot {
    uint64_t number;
    enum slot_state state;
    enum reason reason;    // GONE: why
    enum outcome answered; // to this attempt's group; 0: none came
    uint32_t attempt, failures;
    uint32_t lineage;              // in which this attempt was leased
    uint64_t start_round, version; // of the holder at the lease, or those it was leased ahead for
    uint64_t deadline_ms;          // LEASED: on the store's clock
    uint64_t term;   // LEASED: the holder's (terms.h); 0: a rewarder has its group (quarantine.h)
    char *generator; // LEASED: the holder; who made a group that is there; else NULL
    uint64_t age;    // STORED, QUARANTINED: round of the oldest version
    uint64_t trained_in;    // uses > 0: the last round that used it
    uint32_t uses;          // rounds that have used this attempt's group
    struct summary summary; // STORED, QUARANTINED
    char *why;              // QUARANTINED: the reason; else NULL
    struct digest id;       // not recorded: follows from the rest
    bool dirty;             // not recorded: changed since the last commit
};

struct gone {
    enum outcome answered; // as in slot
    enum reason reason;
    uint64_t round; // TRAINED: the last that used it; else the next round when it left
    uint64_t age;
    uint32_t uses; // rounds that used it
    struct summary summary;
    char *generator; // its maker; borrowed to encode, owned when decoded, never NULL then
};

/* Of a round that did not end when it was begun. */
struct tries {
    uint32_t starts, failures; // begun again after a restart; ended with an error of its own
    bool voided;               // given up: it made no version and its groups left as errored
    char *why;                 // the last failure; as in gone
};

/* Where a lineage begins: its parent's rounds below `round`, the last of which made `version`. */
struct fork {
    uint32_t lineage, parent;
    uint64_t round, version;
};

struct update {
    uint64_t round;
    struct trainee_digests trainees;
    bool ends_round;
};
