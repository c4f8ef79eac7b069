#include "learner/store/quarantine.h"
#include "learner/store/keeping.h"

/* Whether the group could be of use with the lease's age, as a lease of today would be. */
static bool may_be_scored_again(const struct store *store, const struct slot *slot)
{
    uint64_t newest = 0;
    return !store_ended(store) && store_groups_wanted(store) &&
           lineages_limit(&store->lineages, slot->lineage, store->counters.last_version, &newest) &&
           slot->summary.newest_version <= newest &&
           lag_of(store->counters.next_round, slot->start_round) <= store_lag_rules(store).limit &&
           store_has_place(store, slot->start_round);
}

/* The group has not left after all. */
static void take_back(struct store *store, const struct slot *slot)
{
    uint8_t from[KEY_GONE], below[KEY_GONE];
    key_gone(slot->number, slot->attempt, from);
    key_gone(slot->number, slot->attempt + 1, below);
    db_delete_range(store->db, DB_GONE, from, below, sizeof from);
    store->counters.gone[REASON_QUARANTINED]--;
}

static void lease_again(struct store *store, struct slot *slot)
{
    take_back(store, slot);
    slots_move(&store->slots, slot, SLOT_LEASED, slot->start_round);
    slot->answered = (enum outcome)0;
    slot->term = 0;
    slot->deadline_ms = store->counters.clock_ms + store->rules.lease_ms;
    free(STEAL(slot->why));
    slot_touch(store, slot);
}

static err_t retry(struct store *store, const uint64_t *slots, size_t n,
                   err_t (*note)(void *arg, struct store *store), void *arg,
                   struct store_retried *ret)
{
    struct store_retried retried = {0};
    for (size_t i = 0; i < n; i++) {
        struct slot *slot = slots_find(&store->slots, slots[i]);
        if (!slot || slot->state != SLOT_QUARANTINED)
            continue;
        const bool again = slot->generator && may_be_scored_again(store, slot);
        if (again)
            lease_again(store, slot);
        else
            slot_free_again(store, slot);
        retried.again += again;
        retried.anew += !again;
    }
    store_unusable_forget(store);
    if (note)
        TRY(note(arg, store)); // and commits all of this
    TRY(store_commit(store));
    *ret = retried;
    return OK;
}

err_t store_retry(struct store *store, const uint64_t *slots, size_t n, int64_t now_ms,
                  err_t (*note)(void *arg, struct store *store), void *arg,
                  struct store_retried *ret)
{
    TRY(store_begin(store, now_ms));
    return store_break(store, retry(store, slots, n, note, arg, ret));
}

bool store_again(const struct store *store, uint64_t *at, uint64_t *ret_slot, struct digest *ret_id)
{
    for (size_t i = 0; store->slots.leased && i < store->slots.n; i++) {
        const struct slot *slot = store->slots.at[i];
        if (slot->number < *at || !slot_is_again(slot))
            continue;
        *ret_slot = slot->number;
        *ret_id = slot->id;
        *at = slot->number + 1;
        return true;
    }
    return false;
}
