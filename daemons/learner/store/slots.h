/* The slots that are not gone, in memory: by number, with the counts that the lag rules read.
 * Rebuilt when the store opens.
 *
 *     struct slot *slot = slots_add(&slots, number);        -- free, attempt 0
 *     slots_move(&slots, slot, SLOT_LEASED, start_round);   -- the counts follow
 *     struct slot *found = slots_find(&slots, number);      -- NULL: gone, or never leased
 *
 * A slot moved to SLOT_GONE stays findable until slots_sweep, and counts no more. Owner: the
 * storage thread. */
#pragma once
#include "learner/store/lag.h"
#include "learner/store/record.h"

struct slots {
    struct slot **at; // by ascending number
    size_t n, capacity;
    struct lag_age *age; // of leased and stored ones, ascending; none with both counts 0
    size_t ages, age_capacity;
    uint64_t leased, stored, free, quarantined;
    uint64_t used;     // of stored ones: the sum of their uses
    uint64_t gone;     // among `at` until slots_sweep
    uint64_t free_low; // no lower number is free
};

void slots_done(struct slots *slots);
struct slot *slots_find(const struct slots *slots, uint64_t number);

/* Takes the contents of *slot; numbers ascend from call to call. */
struct slot *slots_add(struct slots *slots, struct slot *slot);

/* Changes state and, for LEASED (its start_round) and STORED (its age), the bucket that counts it:
 * set those fields with slots_move only. A QUARANTINED one has an age, and no bucket. */
void slots_move(struct slots *slots, struct slot *slot, enum slot_state state, uint64_t age);

/* Counts a use of a stored slot's group by this round. */
void slots_use(struct slots *slots, struct slot *slot, uint64_t round);

/* Forgets the gone ones. */
void slots_sweep(struct slots *slots);

/* The lowest number that is not gone; next if there is none. */
uint64_t slots_low(const struct slots *slots, uint64_t next);
struct slot *slots_lowest_free(struct slots *slots); // NULL: none
