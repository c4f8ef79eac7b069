/* Going back to the end of a round: what came after is cut off, and a new lineage begins. */
#include "base/mem.h"
#include "learner/store/history.h"
#include "learner/store/inner.h"
#include <string.h>

/* The slots whose groups are in rounds that are cut off, ascending. */
struct cut {
    uint64_t *slot;
    size_t count;
};

static void cut_done(struct cut *cut)
{
    free(cut->slot);
}

static int ascending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Groups of these rounds leave as lineage; those of a voided one have left already. */
static err_t cut_rounds(struct store *store, uint64_t from, struct cut *ret)
{
    for (uint64_t number = from; number < store->counters.next_round; number++) {
        SCOPED(round) round = NULL;
        TRY(store_round(store, number, &round));
        ret->slot = mem_grow(ret->slot, ret->count + round->groups, sizeof *ret->slot);
        for (size_t i = 0; i < round->groups; i++) {
            const struct round_group *group = &round->group[i];
            ret->slot[ret->count++] = group->slot;
            TRY(gone_change(store, group->slot, group->attempt, REASON_TRAINED, REASON_LINEAGE));
        }
    }
    if (ret->count)
        qsort(ret->slot, ret->count, sizeof *ret->slot, ascending);
    return OK;
}

/* Slots in memory again as they must be for the table: by number, those that are not gone. */
struct rebuilt {
    struct slots slots;
    struct slot **freed; // to be written
    size_t count;
};

static void restore(struct rebuilt *rebuilt, struct slot *slot)
{
    slot->state = SLOT_FREE;
    slot->reason = (enum reason)0;
    slot_done(slot);
    rebuilt->freed = mem_grow(rebuilt->freed, rebuilt->count + 1, sizeof(struct slot *));
    rebuilt->freed[rebuilt->count++] = slots_add(&rebuilt->slots, slot);
}

static err_t rebuild(struct store *store, const struct cut *cut, struct rebuilt *ret)
{
    SCOPED(db_cursor) cursor = NULL;
    db_seek(store->db, DB_SLOTS, "", 0, &cursor);
    uint64_t number = 0;
    for (struct db_row row; db_next(cursor, &row); number++) {
        struct slot *there = slots_find(&store->slots, number);
        if (there) {
            slots_add(&ret->slots, there);
            continue;
        }
        SCOPED_VALUE(slot) slot = {0};
        TRY(slot_decode(number, row.value, row.value_len, &slot));
        slot.id = group_id(store->schema.run, slot.lineage, number, slot.attempt);
        if (slot.reason == REASON_ENDED ||
            (cut->count && bsearch(&number, cut->slot, cut->count, sizeof number, ascending)))
            restore(ret, &slot);
    }
    TRY(db_cursor_error(cursor));
    if (number != store->counters.next_slot)
        return err_new(ERR_DATA_LOSS, "slot %llu is missing", (unsigned long long)number);
    return OK;
}

static err_t restore_slots(struct store *store, const struct cut *cut)
{
    struct rebuilt rebuilt = {0};
    err_t failed = rebuild(store, cut, &rebuilt);
    slots_done(&store->slots); // an error breaks the store
    store->slots = rebuilt.slots;
    for (size_t i = 0; i < rebuilt.count; i++)
        slot_touch(store, rebuilt.freed[i]);
    free(rebuilt.freed);
    return failed;
}

/* Live ones: a lease's holder may go on with weights that are cut off, so all are revoked. */
static void cut_live(struct store *store, uint64_t round, uint64_t version)
{
    for (size_t i = 0; i < store->slots.n; i++) {
        struct slot *slot = store->slots.at[i];
        if (slot->state == SLOT_LEASED) {
            slot_revoke(store, slot, REVOKED_LINEAGE);
        } else if (slot->state == SLOT_STORED &&
                   (slot->summary.newest_version > version || slot->age > round)) {
            slot_group_left(store, slot, REASON_LINEAGE);
            slot_free_again(store, slot);
        }
    }
}

static void put_fork(struct store *store, const struct fork *fork)
{
    uint8_t key[KEY_ROUND];
    SCOPED_VALUE(bytes) value = {0};
    key_round('f', fork->lineage, 0, key);
    fork_encode(fork, &value);
    db_put(store->db, DB_ROUNDS, key, sizeof key, value.data, value.len);
    struct lineages *lineages = &store->lineages;
    lineages->at = mem_grow(lineages->at, lineages->count + 1, sizeof *lineages->at);
    lineages->at[lineages->count++] = *fork;
    lineages->current = fork->lineage;
}

/* Checkpoints of what is cut off do not count; group bytes are kept from the older of the two that do. */
static void set_counters(struct counters *counters, const struct fork *fork)
{
    counters->lineage = fork->lineage;
    counters->next_round = counters->rounds_done = fork->round;
    counters->next_version = counters->last_version = fork->version;
    for (int i = 0; i < 2; i++)
        if (counters->checkpoint_round[i] > fork->round) {
            counters->checkpoint_round[i] = fork->round;
            counters->checkpoint_version[i] = fork->version;
        }
}

static err_t fork_at(struct store *store, const struct fork *fork,
                     err_t (*note)(void *arg, struct store *store), void *arg)
{
    SCOPED_VALUE(cut) cut = {0};
    TRY(cut_rounds(store, fork->round, &cut));
    TRY(restore_slots(store, &cut));
    cut_live(store, fork->round, fork->version);
    put_fork(store, fork);
    set_counters(&store->counters, fork);
    TRY(versions_load(store));
    store_sweep(store);
    store->changed = true;
    if (note)
        TRY(note(arg, store)); // what it commits has all of this in it
    return store_commit(store);
}

err_t store_fork(struct store *store, uint64_t rounds, int64_t now_ms)
{
    return store_fork_noted(store, rounds, now_ms, NULL, NULL);
}

err_t store_fork_noted(struct store *store, uint64_t rounds, int64_t now_ms,
                       err_t (*note)(void *arg, struct store *store), void *arg)
{
    TRY(store_begin(store, now_ms));
    struct fork fork = {.lineage = lineages_next(&store->lineages), .round = rounds};
    fork.parent =
        rounds ? lineages_of_round(&store->lineages, rounds - 1) : store->lineages.at[0].lineage;
    err_t failed = store_version_after(store, rounds, &fork.version);
    if (err_failed(failed)) {
        err_free(failed);
        return err_new(ERR_PRECONDITION, "%llu rounds cannot be kept: %llu have ended",
                       (unsigned long long)rounds, (unsigned long long)store->counters.rounds_done);
    }
    return store_break(store, fork_at(store, &fork, note, arg));
}
