/* The records of the store and their bytes. Every value begins with a magic byte and a version
 * byte; keys are big-endian, so they sort as numbers do.
 *
 *     family  key                              value
 *     meta    "schema"                         M: what names the run
 *     meta    "counters"                       C: all counters
 *     slots   slot                             S: struct slot
 *     groups  age, slot                        G: the group's bytes, as group_encode makes them
 *     gone    slot, attempt                    X: struct gone
 *     rounds  'r', lineage, round              R: struct round
 *             'u', lineage, version            U: struct update
 *             'd', lineage, round              D: the round's last version
 *
 * Decoding is bounded and checked; DATA_LOSS says which record is damaged. Any thread. */
#pragma once
#include "base/bytes.h"
#include "learner/store/rounds.h"
#include "learner/store/store.h"

struct schema {
    char *run;
    struct digest data;
    uint64_t rows, seed;
    bool shuffle;
};

struct counters {
    uint64_t clock_ms; // how long the store has been open, in all: what deadlines are in
    uint64_t next_slot, low_slot /* all below are gone */, next_round;
    uint64_t next_version; // the first version of the next round to be recorded is one more
    uint64_t rounds_done, last_version;
    uint64_t checkpoint_round[2], checkpoint_version[2]; // the newest, the one before
    uint64_t granted, given_back, expired, revoked;
    uint64_t gone[REASONS], outcomes[OUTCOME_REJECTED + 1];
    uint32_t lineage;
};

enum slot_state { SLOT_FREE = 1, SLOT_LEASED, SLOT_STORED, SLOT_GONE };

/* What stays of a group when its bytes are dropped. */
struct summary {
    struct digest content;
    double reward; // mean of the completions'
    uint64_t tokens, oldest_version, newest_version;
    uint32_t completions;
};

struct slot {
    uint64_t number;
    enum slot_state state;
    enum reason reason;    // GONE: why
    enum outcome answered; // to this attempt's group; 0: none came
    uint32_t attempt, failures;
    uint64_t start_round, version; // of the holder at the lease
    uint64_t deadline_ms;          // LEASED: on the store's clock
    uint64_t incarnation;
    char *generator;        // LEASED: the holder; else NULL
    uint64_t age;           // STORED: round of the oldest version
    struct summary summary; // STORED
    struct digest id;       // not recorded: follows from the rest
    bool dirty;             // not recorded: changed since the last commit
};

struct gone {
    enum outcome answered; // as in slot
    enum reason reason;
    uint64_t round; // TRAINED: in which; else the next round when it left
    uint64_t age;
    struct summary summary;
};

struct update {
    uint64_t round;
    struct digest weights;
    bool ends_round;
};

enum {
    KEY_SLOT = 8,
    KEY_GONE = 12,
    KEY_GROUP = 16,
    KEY_ROUND = 13,
    ROUND_TEXT_MAX = 1 << 20,
    ROUND_GROUPS_MAX = 1 << 20
};
#define KEY_SCHEMA   "schema"
#define KEY_COUNTERS "counters"
void key_slot(uint64_t slot, uint8_t ret[KEY_SLOT]);
void key_gone(uint64_t slot, uint32_t attempt, uint8_t ret[KEY_GONE]);
void key_group(uint64_t age, uint64_t slot, uint8_t ret[KEY_GROUP]);
void key_round(char kind, uint32_t lineage, uint64_t number, uint8_t ret[KEY_ROUND]);

void schema_encode(const struct schema *schema, struct bytes *ret);
void counters_encode(const struct counters *counters, struct bytes *ret);
void slot_encode(const struct slot *slot, struct bytes *ret);
void gone_encode(const struct gone *gone, struct bytes *ret);
void round_encode(const struct round *round, struct bytes *ret);
void update_encode(const struct update *update, struct bytes *ret);
void last_encode(uint64_t last_version, struct bytes *ret);
void stored_encode(const struct group *group, struct bytes *ret);

/* PRECONDITION: a schema this build does not know. */
err_t schema_decode(const uint8_t *data, size_t len, struct schema *ret);
err_t counters_decode(const uint8_t *data, size_t len, struct counters *ret);
err_t slot_decode(uint64_t number, const uint8_t *data, size_t len, struct slot *ret);
err_t gone_decode(const uint8_t *data, size_t len, struct gone *ret);
err_t round_decode(const uint8_t *data, size_t len, struct round **ret);
err_t update_decode(const uint8_t *data, size_t len, struct update *ret);
err_t last_decode(const uint8_t *data, size_t len, uint64_t *ret);
err_t stored_decode(const uint8_t *data, size_t len, const struct digest *content,
                    struct group **ret);

/* Of the bytes that stored_encode makes, without their header. */
struct digest stored_digest(const struct bytes *stored);

void schema_done(struct schema *schema);
void slot_done(struct slot *slot); // frees the generator's name
