/* Going back to the end of a round: what came after is cut off, and a new lineage begins. */
#include "base/mem.h"
#include "learner/store/history.h"
#include "learner/store/inner.h"
#include <string.h>

/* The slots whose groups are in rounds that are cut off, ascending. */
struct cut {
    struct cut_group {
        uint64_t slot, age, kept_in; // kept_in: the last round that stays and used it
        uint32_t attempt, kept;      // kept: uses by rounds that stay
    } * group;
    size_t count;
};

static void cut_done(struct cut *cut)
{
    free(cut->group);
}

static int ascending(const void *a, const void *b)
{
    const struct cut_group *x = a, *y = b;
    if (x->slot != y->slot)
        return x->slot < y->slot ? -1 : 1;
    return (x->kept > y->kept) - (x->kept < y->kept);
}

static struct cut_group *find_cut(const struct cut *cut, uint64_t slot)
{
    size_t low = 0, high = cut->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (cut->group[middle].slot < slot)
            low = middle + 1;
        else
            high = middle;
    }
    return low < cut->count && cut->group[low].slot == slot ? &cut->group[low] : NULL;
}

/* Sorted, each slot once: with its first use that is cut off. */
static void cut_sort(struct cut *cut)
{
    size_t kept = 0;
    if (cut->count)
        qsort(cut->group, cut->count, sizeof *cut->group, ascending);
    for (size_t i = 0; i < cut->count; i++)
        if (!kept || cut->group[kept - 1].slot != cut->group[i].slot)
            cut->group[kept++] = cut->group[i];
    cut->count = kept;
}

/* Which round that stays used a group last: looked for where any was of an age to be used. */
static err_t find_kept(struct store *store, uint64_t from, struct cut *cut)
{
    uint64_t oldest = from;
    for (size_t i = 0; i < cut->count; i++)
        if (cut->group[i].kept && cut->group[i].age < oldest)
            oldest = cut->group[i].age;
    for (uint64_t number = oldest; number < from; number++) {
        SCOPED(round) round = NULL;
        TRY(store_round(store, number, &round));
        for (size_t i = 0; i < round->groups; i++) {
            struct cut_group *group = find_cut(cut, round->group[i].slot);
            if (group)
                group->kept_in = number;
        }
    }
    return OK;
}

static err_t cut_group(struct store *store, const struct cut_group *group)
{
    struct slot *slot = slots_find(&store->slots, group->slot);
    if (slot && slot->state == SLOT_STORED) { // it has uses left: these are given back
        slot->uses = group->kept;             // counted and written with the rebuilt table
        slot->trained_in = group->kept_in;
        return OK;
    }
    if (group->kept)
        return gone_uses(store, group->slot, group->attempt, group->kept, group->kept_in);
    return gone_change(store, group->slot, group->attempt, REASON_TRAINED, REASON_LINEAGE);
}

/* Groups of these rounds leave as lineage unless a round that stays used them too; those of a
 * voided one have left already. */
static err_t cut_rounds(struct store *store, uint64_t from, struct cut *ret)
{
    for (uint64_t number = from; number < store->counters.next_round; number++) {
        SCOPED(round) round = NULL;
        TRY(store_round(store, number, &round));
        ret->group = mem_grow(ret->group, ret->count + round->groups, sizeof *ret->group);
        for (size_t i = 0; i < round->groups; i++) {
            const struct round_group *group = &round->group[i];
            ret->group[ret->count++] =
                (struct cut_group){group->slot, group->age, 0, group->attempt, group->use - 1};
        }
    }
    cut_sort(ret);
    TRY(find_kept(store, from, ret));
    for (size_t i = 0; i < ret->count; i++)
        TRY(cut_group(store, &ret->group[i]));
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
        const struct cut_group *group = find_cut(cut, number);
        if (slot.reason == REASON_ENDED || (group && !group->kept))
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
    for (size_t i = 0; i < cut->count; i++) {
        struct slot *slot = slots_find(&store->slots, cut->group[i].slot);
        if (slot && slot->state == SLOT_STORED)
            slot_touch(store, slot);
    }
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

/* Checkpoints of what is cut off do not count; group bytes are kept from the older of the two that
 * do. */
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

static err_t begin_fork(struct store *store, uint64_t rounds, uint32_t seen, struct fork *ret)
{
    const uint32_t next = lineages_next(&store->lineages);
    *ret = (struct fork){.lineage = next > seen ? next : seen + 1, .round = rounds};
    ret->parent =
        rounds ? lineages_of_round(&store->lineages, rounds - 1) : store->lineages.at[0].lineage;
    err_t failed = store_version_after(store, rounds, &ret->version);
    if (!err_failed(failed))
        return OK;
    err_free(failed);
    return err_new(ERR_PRECONDITION, "%llu rounds cannot be kept: %llu have ended",
                   (unsigned long long)rounds, (unsigned long long)store->counters.rounds_done);
}

err_t store_fork(struct store *store, uint64_t rounds, int64_t now_ms)
{
    return store_fork_noted(store, rounds, now_ms, NULL, NULL);
}

err_t store_fork_above(struct store *store, uint64_t rounds, uint32_t seen, int64_t now_ms)
{
    struct fork fork;
    TRY(store_begin(store, now_ms));
    TRY(begin_fork(store, rounds, seen, &fork));
    return store_break(store, fork_at(store, &fork, NULL, NULL));
}

err_t store_fork_noted(struct store *store, uint64_t rounds, int64_t now_ms,
                       err_t (*note)(void *arg, struct store *store), void *arg)
{
    struct fork fork;
    TRY(store_begin(store, now_ms));
    TRY(begin_fork(store, rounds, 0, &fork));
    return store_break(store, fork_at(store, &fork, note, arg));
}
