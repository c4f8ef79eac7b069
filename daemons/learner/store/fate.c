/* Moves of slots: freed, failed, revoked, gone; and the sweep that keeps the bound on
 * lag. */
#include "base/mem.h"
#include "learner/store/keeping.h"
#include <string.h>

void slot_touch(struct store *store, struct slot *slot)
{
    store->changed = true;
    if (slot->dirty)
        return;
    slot->dirty = true;
    if (store->dirty_n == store->dirty_capacity) {
        store->dirty_capacity = store->dirty_capacity ? 2 * store->dirty_capacity : 256;
        store->dirty = mem_grow(store->dirty, store->dirty_capacity, sizeof(struct slot *));
    }
    store->dirty[store->dirty_n++] = slot;
}

void group_left(struct store *store, uint64_t slot, uint32_t attempt, const struct gone *gone)
{
    uint8_t key[KEY_GONE];
    SCOPED_VALUE(bytes) value = {0};
    key_gone(slot, attempt, key);
    gone_encode(gone, &value);
    db_put(store->db, DB_GONE, key, sizeof key, value.data, value.len);
    store->counters.gone[gone->reason]++;
    store->changed = true;
}

void slot_forget_kept(struct store *store, const struct slot *slot)
{
    uint8_t from[KEY_GROUP], below[KEY_GROUP];
    if (slot->state != SLOT_QUARANTINED && !slot_is_again(slot))
        return;
    key_group(QUARANTINE_AGE, slot->number, from);
    key_group(QUARANTINE_AGE, slot->number + 1, below);
    db_delete_range(store->db, DB_GROUPS, from, below, sizeof from);
}

static void move(struct store *store, struct slot *slot, enum slot_state state)
{
    slot_forget_kept(store, slot);
    slots_move(&store->slots, slot, state, 0);
    slot_done(slot); // no holder any more
    slot_touch(store, slot);
}

void slot_free_again(struct store *store, struct slot *slot)
{
    move(store, slot, SLOT_FREE);
}

static void count_unusable(struct store *store, const struct slot *slot, enum reason reason)
{
    store->unusable =
        (struct store_unusable){store->unusable.slots + 1, slot->number,
                                slot_prompt(store, slot->number), reason, store->unusable.filtered};
}

void slot_gone(struct store *store, struct slot *slot, enum reason reason)
{
    slot->reason = reason;
    if (reason == REASON_FILTERED || reason == REASON_ERRORED)
        count_unusable(store, slot, reason);
    move(store, slot, SLOT_GONE);
}

void slot_filtered(struct store *store, struct slot *slot)
{
    slot->reason = REASON_FILTERED;
    store->unusable.filtered++;
    move(store, slot, SLOT_GONE);
}

void slot_quarantine(struct store *store, struct slot *slot, uint64_t age, const char *generator,
                     const char *why)
{
    slot->answered = OUTCOME_REJECTED;
    const struct gone gone = {.answered = slot->answered,
                              .reason = REASON_QUARANTINED,
                              .round = store->counters.next_round,
                              .age = age,
                              .summary = slot->summary,
                              .generator = (char *)generator};
    group_left(store, slot->number, slot->attempt, &gone);
    count_unusable(store, slot, REASON_QUARANTINED);
    slots_move(&store->slots, slot, SLOT_QUARANTINED, age);
    slot_done(slot);
    slot->term = 0;
    slot->generator = *generator ? mem_string(generator) : NULL;
    slot->why = mem_printf("%.*s", WHY_MAX, why);
    slot_touch(store, slot);
}

struct store_unusable store_unusable(const struct store *store)
{
    return store->unusable;
}

void store_unusable_forget(struct store *store)
{
    store->unusable = (struct store_unusable){0};
}

void slot_failed(struct store *store, struct slot *slot)
{
    slot->failures++;
    if (store->rules.max_failures && slot->failures >= store->rules.max_failures)
        slot_gone(store, slot, REASON_ERRORED);
    else
        slot_free_again(store, slot);
}

void slot_group_left(struct store *store, const struct slot *slot, enum reason reason)
{
    struct gone gone = {.answered = slot->answered,
                        .reason = reason,
                        .round = store->counters.next_round,
                        .age = slot->age,
                        .summary = slot->summary,
                        .uses = slot->uses,
                        .generator = slot->generator};
    if (reason == REASON_TRAINED)
        gone.round = slot->trained_in;
    group_left(store, slot->number, slot->attempt, &gone);
}

void slot_spent(struct store *store, struct slot *slot)
{
    slot_group_left(store, slot, REASON_TRAINED);
    slot_gone(store, slot, REASON_TRAINED);
}

static void tell(struct store *store, struct slot *slot, enum revoked_why why)
{
    if (store->revoked_n == store->revoked_capacity) {
        store->revoked_capacity = store->revoked_capacity ? 2 * store->revoked_capacity : 64;
        store->revoked = mem_grow(store->revoked, store->revoked_capacity, sizeof *store->revoked);
    }
    store->revoked[store->revoked_n++] =
        (struct revoked){STEAL(slot->generator), slot->term, slot->id, why};
    if (why == REVOKED_EXPIRED)
        store->counters.expired++;
    else
        store->counters.revoked++;
}

void slot_revoke(struct store *store, struct slot *slot, enum revoked_why why)
{
    tell(store, slot, why);
    if (why == REVOKED_EXPIRED)
        slot_failed(store, slot);
    else if (why == REVOKED_ENDED)
        slot_gone(store, slot, REASON_ENDED);
    else
        slot_free_again(store, slot);
}

static bool is_live(const struct slot *slot)
{
    return slot->state == SLOT_LEASED || slot->state == SLOT_STORED;
}

static uint64_t age_of(const struct slot *slot)
{
    return slot->state == SLOT_LEASED ? slot->start_round : slot->age;
}

/* Too old for any round, or one too many of its age. */
static void shed(struct store *store, struct slot *slot)
{
    if (slot->state == SLOT_LEASED) {
        slot_revoke(store, slot, REVOKED_STALE);
    } else if (slot->uses) {
        slot_spent(store, slot);
    } else {
        slot_group_left(store, slot, REASON_STALE);
        slot_free_again(store, slot);
    }
}

/* The youngest live slot of this age or older, by age, then number: which of them has to leave must
 * not depend on how long its group takes. */
static struct slot *youngest(struct store *store, uint64_t age)
{
    struct slot *found = NULL;
    for (size_t i = 0; i < store->slots.n; i++) {
        struct slot *slot = store->slots.at[i];
        if (is_live(slot) && age_of(slot) <= age && (!found || age_of(slot) >= age_of(found)))
            found = slot;
    }
    return found;
}

/* The least that all live groups can keep, from the rules' limit to what they ease it to. It only
 * falls: leases are granted and rounds formed within it. */
static void ease(struct store *store)
{
    uint64_t age, excess;
    struct lag_rules rules = {store->rules.eta, store->rules.limit, store->rules.groups};
    while (rules.limit < store->rules.ease &&
           lag_excess(&rules, store->counters.next_round, store->slots.age, store->slots.ages, &age,
                      &excess))
        rules.limit++;
    store->limit = rules.limit;
}

void store_sweep(struct store *store)
{
    ease(store);
    struct lag_rules rules = store_lag_rules(store);
    struct slots *slots = &store->slots;
    uint64_t next = store->counters.next_round, age, excess;
    if (slots->ages && lag_of(next, slots->age[0].round) > rules.limit)
        for (size_t i = 0; i < slots->n; i++)
            if (is_live(slots->at[i]) && lag_of(next, age_of(slots->at[i])) > rules.limit)
                shed(store, slots->at[i]);
    for (size_t i = 0; slots->used && i < slots->n; i++) // max_uses was lowered
        if (slots->at[i]->state == SLOT_STORED && slots->at[i]->uses >= store->rules.max_uses)
            slot_spent(store, slots->at[i]);
    while (store_in_turn(store) && lag_excess(&rules, next, slots->age, slots->ages, &age, &excess))
        for (; excess; excess--)
            shed(store, youngest(store, age));
}

void store_finish(struct store *store)
{
    for (size_t i = 0; i < store->slots.n; i++) {
        struct slot *slot = store->slots.at[i];
        if (slot->state == SLOT_LEASED) {
            slot_revoke(store, slot, REVOKED_ENDED);
        } else if (slot->state == SLOT_STORED && slot->uses) {
            slot_spent(store, slot);
        } else if (slot->state != SLOT_GONE && slot->state != SLOT_QUARANTINED) {
            if (slot->state == SLOT_STORED)
                slot_group_left(store, slot, REASON_ENDED);
            slot_gone(store, slot, REASON_ENDED);
        }
    }
}
