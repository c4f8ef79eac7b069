#include "learner/store/groups.h"
#include "base/mem.h"
#include "learner/store/keeping.h"

static struct listed listed_of(const struct store *store, const struct slot *slot)
{
    const uint64_t next = store->counters.next_round, rows = store->schema.rows;
    const bool stored = slot->state == SLOT_STORED,
               there = stored || slot->state == SLOT_QUARANTINED;
    const uint64_t round = there ? slot->age : slot->start_round;
    return (struct listed){.id = slot->id,
                           .slot = slot->number,
                           .prompt = slot_prompt(store, slot->number),
                           .epoch = slot->number / rows,
                           .oldest_version = there ? slot->summary.oldest_version : slot->version,
                           .oldest_round = round,
                           .lag = lag_of(next, round),
                           .attempt = slot->attempt,
                           .lineage = slot->lineage,
                           .stored = stored,
                           .quarantined = slot->state == SLOT_QUARANTINED,
                           .why = slot->why ? slot->why : "",
                           .reward = stored ? slot->summary.reward : 0,
                           .tokens = there ? slot->summary.tokens : 0,
                           .completions = there ? slot->summary.completions : 0,
                           .uses = stored ? slot->uses : 0,
                           .generator = slot->generator ? slot->generator : ""};
}

static bool is_listed(const struct slot *slot)
{
    return slot->state == SLOT_LEASED || slot->state == SLOT_STORED ||
           slot->state == SLOT_QUARANTINED;
}

/* Index of the first slot from this number on. */
static size_t from_number(const struct slots *slots, uint64_t number)
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

bool store_list(const struct store *store, uint64_t *at, struct listed *ret)
{
    const struct slots *slots = &store->slots;
    for (size_t i = from_number(slots, *at); i < slots->n; i++) {
        if (!is_listed(slots->at[i]))
            continue;
        *ret = listed_of(store, slots->at[i]);
        *at = ret->slot + 1;
        return true;
    }
    return false;
}

err_t store_listed(const struct store *store, const struct digest *id, struct listed *ret)
{
    const struct slots *slots = &store->slots;
    for (size_t i = 0; i < slots->n; i++)
        if (is_listed(slots->at[i]) && digest_equal(&slots->at[i]->id, id)) {
            *ret = listed_of(store, slots->at[i]);
            return OK;
        }
    char text[DIGEST_TEXT];
    return err_new(ERR_NOT_FOUND, "no group %s is leased, stored or quarantined",
                   digest_text(id, text));
}

static err_t read_stored(struct store *store, uint64_t number, struct bytes *ret,
                         const struct slot **ret_slot)
{
    bool found = false;
    uint8_t key[KEY_GROUP];
    TRY(store_begin(store, 0));
    const struct slot *slot = slots_find(&store->slots, number);
    if (!slot ||
        !(slot->state == SLOT_STORED || slot->state == SLOT_QUARANTINED || slot_is_again(slot)))
        return err_new(ERR_NOT_FOUND, "slot %llu holds no stored group",
                       (unsigned long long)number);
    key_group(slot->state == SLOT_STORED ? slot->age : QUARANTINE_AGE, number, key);
    TRY(db_get(store->db, DB_GROUPS, key, sizeof key, ret, &found));
    if (!found)
        return err_new(ERR_DATA_LOSS, "store '%s': the group of slot %llu is missing", store->dir,
                       (unsigned long long)number);
    *ret_slot = slot;
    return OK;
}

err_t store_group_bytes(struct store *store, uint64_t number, uint64_t *ret)
{
    const struct slot *slot = NULL;
    SCOPED_VALUE(bytes) value = {0};
    TRY(read_stored(store, number, &value, &slot));
    *ret = value.len;
    return OK;
}

err_t store_group(struct store *store, uint64_t number, struct group **ret)
{
    const struct slot *slot = NULL;
    SCOPED_VALUE(bytes) value = {0};
    TRY(read_stored(store, number, &value, &slot));
    return err_wrap(stored_decode(value.data, value.len, &slot->summary.content, ret),
                    "store '%s': slot %llu", store->dir, (unsigned long long)number);
}

static err_t evict(struct store *store, const uint64_t *slots, size_t n,
                   err_t (*note)(void *arg, struct store *store), void *arg, uint64_t *ret)
{
    uint64_t evicted = 0;
    for (size_t i = 0; i < n; i++) {
        struct slot *slot = slots_find(&store->slots, slots[i]);
        if (!slot || slot->state != SLOT_STORED || slot->uses)
            continue; // the round that used it may not have been trained yet
        slot_group_left(store, slot, REASON_OPERATOR);
        slot_free_again(store, slot);
        evicted++;
    }
    if (note)
        TRY(note(arg, store)); // what it commits has all of this in it
    TRY(store_commit(store));
    *ret = evicted;
    return OK;
}

err_t store_evict(struct store *store, const uint64_t *slots, size_t n, int64_t now_ms,
                  err_t (*note)(void *arg, struct store *store), void *arg, uint64_t *ret_evicted)
{
    TRY(store_begin(store, now_ms));
    return store_break(store, evict(store, slots, n, note, arg, ret_evicted));
}
