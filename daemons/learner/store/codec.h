/* Keys of the store's records and their bytes: record.h says what they hold.
 *
 *     uint8_t key[KEY_SLOT];
 *     key_slot(7, key);
 *     slot_encode(&slot, &value);                          -- appends
 *     TRY(slot_decode(7, value.data, value.len, &slot));   -- DATA_LOSS: damaged
 *
 * A decoded value owns the memory behind its pointers: X_done frees it. Any thread. */
#pragma once
#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"
#include <stdint.h>

struct counters;
struct fork;
struct gone;
struct group;
struct round;
struct schema;
struct slot;
struct tries;
struct update;

enum {
    KEY_SLOT = 8,
    KEY_GONE = 12,
    KEY_GROUP = 16,
    KEY_ROUND = 13,
    STORED_HEADER = 2,
    ROUND_TEXT_MAX = 1 << 20,
    ROUND_GROUPS_MAX = 1 << 20,
    ROUND_COMPLETIONS_MAX = 1 << 30,
    WHY_MAX = 1000
};
/* An age that no group has: what lies there is not dropped with the ages of rounds. */
#define QUARANTINE_AGE UINT64_MAX

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
void tries_encode(const struct tries *tries, struct bytes *ret);
void fork_encode(const struct fork *fork, struct bytes *ret);
void stored_header(struct bytes *ret); // of a stored group; group_encode's bytes follow

/* PRECONDITION: a schema this build does not know. */
err_t schema_decode(const uint8_t *data, size_t len, struct schema *ret);
err_t counters_decode(const uint8_t *data, size_t len, struct counters *ret);
err_t slot_decode(uint64_t number, const uint8_t *data, size_t len, struct slot *ret);
err_t gone_decode(const uint8_t *data, size_t len, struct gone *ret);
err_t round_decode(const uint8_t *data, size_t len, struct round **ret);
err_t update_decode(const uint8_t *data, size_t len, struct update *ret);
err_t last_decode(const uint8_t *data, size_t len, uint64_t *ret);
err_t tries_decode(const uint8_t *data, size_t len, struct tries *ret);
err_t fork_decode(uint32_t lineage, const uint8_t *data, size_t len, struct fork *ret);
err_t stored_decode(const uint8_t *data, size_t len, const struct digest *content,
                    struct group **ret);

void schema_done(struct schema *schema);
void slot_done(struct slot *slot); // frees its texts
void gone_done(struct gone *gone); // of a decoded one
void tries_done(struct tries *tries);
