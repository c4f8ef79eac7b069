#include "learner/store/slots.h"
#include "base/mem.h"
#include <assert.h>
#include <string.h>

void slots_done(struct slots *slots)
{
    for (size_t i = 0; i < slots->n; i++) {
        slot_done(slots->at[i]);
        free(slots->at[i]);
    }
    free(slots->at);
    free(slots->age);
    *slots = (struct slots){0};
}

/* The first index whose number is not lower. */
static size_t lower_bound(const struct slots *slots, uint64_t number)
{
    size_t low = 0, high = slots->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slots->at[middle]->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct slot *slots_find(const struct slots *slots, uint64_t number)
{
    size_t i = lower_bound(slots, number);
    return i < slots->n && slots->at[i]->number == number ? slots->at[i] : NULL;
}

/* The bucket of an age, made if need be. */
static struct lag_age *bucket(struct slots *slots, uint64_t age)
{
    size_t i = slots->ages;
    while (i && slots->age[i - 1].round >= age)
        i--;
    if (i < slots->ages && slots->age[i].round == age)
        return &slots->age[i];
    if (slots->ages == slots->age_capacity) {
        slots->age_capacity = slots->age_capacity ? 2 * slots->age_capacity : 16;
        slots->age = mem_grow(slots->age, slots->age_capacity, sizeof *slots->age);
    }
    memmove(&slots->age[i + 1], &slots->age[i], (slots->ages - i) * sizeof *slots->age);
    slots->ages++;
    slots->age[i] = (struct lag_age){.round = age};
    return &slots->age[i];
}

/* Adds +1 or -1 where a slot of this state and age is counted. */
static void count(struct slots *slots, const struct slot *slot, enum slot_state state, uint64_t age,
                  uint64_t one)
{
    if (state == SLOT_GONE)
        slots->gone += one;
    if (state == SLOT_QUARANTINED)
        slots->quarantined += one;
    if (state == SLOT_STORED)
        slots->used += one * slot->uses;
    if (state == SLOT_FREE) {
        slots->free += one;
        if (slot->number < slots->free_low)
            slots->free_low = slot->number;
    }
    if (state != SLOT_LEASED && state != SLOT_STORED)
        return;
    struct lag_age *ages = bucket(slots, age);
    *(state == SLOT_LEASED ? &slots->leased : &slots->stored) += one;
    *(state == SLOT_LEASED ? &ages->leased : &ages->stored) += one;
    if (!ages->leased && !ages->stored) {
        size_t i = (size_t)(ages - slots->age);
        memmove(ages, ages + 1, (--slots->ages - i) * sizeof *ages);
    }
}

static uint64_t age_of(const struct slot *slot)
{
    return slot->state == SLOT_LEASED ? slot->start_round : slot->age;
}

struct slot *slots_add(struct slots *slots, struct slot *from)
{
    assert(!slots->n || slots->at[slots->n - 1]->number < from->number);
    if (slots->n == slots->capacity) {
        slots->capacity = slots->capacity ? 2 * slots->capacity : 256;
        slots->at = mem_grow(slots->at, slots->capacity, sizeof(struct slot *));
    }
    struct slot *slot = mem_copy(from, sizeof *from);
    from->generator = from->why = NULL;
    slots->at[slots->n++] = slot;
    count(slots, slot, slot->state, age_of(slot), 1);
    return slot;
}

void slots_move(struct slots *slots, struct slot *slot, enum slot_state state, uint64_t age)
{
    count(slots, slot, slot->state, age_of(slot), -(uint64_t)1);
    slot->state = state;
    if (state == SLOT_LEASED)
        slot->start_round = age;
    if (state == SLOT_STORED || state == SLOT_QUARANTINED)
        slot->age = age;
    count(slots, slot, state, age, 1);
}

void slots_use(struct slots *slots, struct slot *slot, uint64_t round)
{
    slot->uses++;
    slot->trained_in = round;
    slots->used++;
}

void slots_sweep(struct slots *slots)
{
    size_t kept = 0;
    if (!slots->gone)
        return;
    for (size_t i = 0; i < slots->n; i++) {
        if (slots->at[i]->state != SLOT_GONE) {
            slots->at[kept++] = slots->at[i];
            continue;
        }
        slot_done(slots->at[i]);
        free(slots->at[i]);
    }
    slots->n = kept;
    slots->gone = 0;
}

uint64_t slots_low(const struct slots *slots, uint64_t next)
{
    for (size_t i = 0; i < slots->n; i++)
        if (slots->at[i]->state != SLOT_GONE)
            return slots->at[i]->number;
    return next;
}

struct slot *slots_lowest_free(struct slots *slots)
{
    if (!slots->free)
        return NULL;
    for (size_t i = lower_bound(slots, slots->free_low); i < slots->n; i++)
        if (slots->at[i]->state == SLOT_FREE) {
            slots->free_low = slots->at[i]->number;
            return slots->at[i];
        }
    return NULL;
}
