/* Versions: which round made them, their digests, and what checkpoints let us forget. */
#include "base/mem.h"
#include "learner/store/inner.h"
#include <string.h>

/* How many rounds back a version's round is known; it is more than any lag limit. */
enum { ENDS_KEPT = 1 << 17 };

static void add_end(struct store *store, uint64_t last)
{
    if (store->ends == store->ends_capacity) {
        store->ends_capacity = store->ends_capacity ? 2 * store->ends_capacity : 256;
        store->last = mem_grow(store->last, store->ends_capacity, sizeof *store->last);
    }
    store->last[store->ends++] = last;
}

/* Reads the ends of rounds [from, below), which one lineage recorded. */
static err_t load_ends(struct store *store, uint32_t lineage, uint64_t from, uint64_t below)
{
    uint8_t key[KEY_ROUND];
    key_round('d', lineage, from, key);
    SCOPED(db_cursor) cursor = NULL;
    db_seek(store->db, DB_ROUNDS, key, sizeof key, &cursor);
    struct db_row row;
    for (uint64_t round = from; round < below; round++) {
        uint64_t last;
        key_round('d', lineage, round, key);
        if (!db_next(cursor, &row) || row.key_len != sizeof key ||
            memcmp(row.key, key, sizeof key)) {
            TRY(db_cursor_error(cursor));
            return err_new(ERR_DATA_LOSS, "the end of round %llu is missing",
                           (unsigned long long)round);
        }
        TRY(last_decode(row.value, row.value_len, &last));
        add_end(store, last);
    }
    return OK;
}

err_t versions_load(struct store *store)
{
    uint64_t done = store->counters.rounds_done;
    store->ends = 0;
    store->first_end = done > ENDS_KEPT ? done - ENDS_KEPT : 0;
    for (uint64_t from = store->first_end, below; from < done; from = below) {
        uint32_t lineage = lineages_of_round(&store->lineages, from);
        for (below = from + 1;
             below < done && lineages_of_round(&store->lineages, below) == lineage; below++)
            ;
        TRY(load_ends(store, lineage, from, below));
    }
    return OK;
}

/* One more than the newest round that had ended when this version was made. Versions older than the
 * table count as of its first round: too old for any limit. */
uint64_t version_round(const struct store *store, uint64_t version)
{
    size_t low = 0, high = store->ends;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (store->last[middle] <= version)
            low = middle + 1;
        else
            high = middle;
    }
    return store->first_end + low;
}

err_t store_round_of(const struct store *store, uint64_t version, uint64_t *ret)
{
    if (version > store->counters.last_version)
        return err_new(ERR_NOT_FOUND, "version %llu was never made here: the newest is %llu",
                       (unsigned long long)version,
                       (unsigned long long)store->counters.last_version);
    *ret = version_round(store, version);
    return OK;
}

err_t read_update(struct store *store, uint64_t version, struct update *ret)
{
    bool found = false;
    uint8_t key[KEY_ROUND];
    SCOPED_VALUE(bytes) value = {0};
    key_round('u', lineages_of_version(&store->lineages, version), version, key);
    TRY(db_get(store->db, DB_ROUNDS, key, sizeof key, &value, &found));
    if (!found)
        return err_new(ERR_NOT_FOUND, "version %llu was never made here",
                       (unsigned long long)version);
    return err_wrap(update_decode(value.data, value.len, ret), "store '%s': version %llu",
                    store->dir, (unsigned long long)version);
}

err_t store_digests_of(struct store *store, uint64_t version, struct trainee_digests *ret)
{
    struct update update;
    TRY(store_begin(store, 0));
    TRY(read_update(store, version, &update));
    *ret = update.trainees;
    return OK;
}

static err_t trainees_check(const struct trainee_digests *trainees)
{
    if (!trainees->count || trainees->count > TRAINEES_MAX)
        return err_new(ERR_INVALID, "%u trainees: allowed is 1 to %d", trainees->count,
                       TRAINEES_MAX);
    for (uint32_t i = 0; i < trainees->count; i++) {
        const char *name = trainees->at[i].name;
        bool good = *name && memchr(name, 0, TRAINEE_NAME_MAX);
        for (uint32_t j = 0; good && j < i; j++)
            good = strcmp(name, trainees->at[j].name) != 0;
        if (!good)
            return err_new(ERR_INVALID, "trainee %u: a name of its own of 1 to %d bytes is needed",
                           i, TRAINEE_NAME_MAX - 1);
    }
    return OK;
}

/* The replay's trainees are the recorded ones, with the same weights. */
static err_t compare_trainees(uint64_t version, const struct update *recorded,
                              const struct trainee_digests *found)
{
    char now[DIGEST_TEXT], then[DIGEST_TEXT];
    const struct trainee_digests *wanted = &recorded->trainees;
    bool same = found->count == wanted->count;
    for (uint32_t i = 0; same && i < found->count; i++)
        same = strcmp(found->at[i].name, wanted->at[i].name) == 0;
    if (!same)
        return err_new(ERR_DATA_LOSS,
                       "the replay of round %llu has other trainees at version %llu: %u, the first "
                       "is '%s'; recorded are %u, the first is '%s'",
                       (unsigned long long)recorded->round, (unsigned long long)version,
                       found->count, found->at[0].name, wanted->count, wanted->at[0].name);
    for (uint32_t i = 0; i < found->count; i++)
        if (!digest_equal(&found->at[i].weights, &wanted->at[i].weights))
            return err_new(ERR_DATA_LOSS,
                           "the replay of round %llu came to other weights of version %llu: the "
                           "digest of '%s' is %s, recorded is %s",
                           (unsigned long long)recorded->round, (unsigned long long)version,
                           found->at[i].name, digest_text(&found->at[i].weights, now),
                           digest_text(&wanted->at[i].weights, then));
    return OK;
}

/* A replay has come to a version that is recorded: it must be the same. */
static err_t compare(struct store *store, uint64_t version, const struct trainee_digests *trainees,
                     bool ends_round)
{
    struct update update;
    TRY(read_update(store, version, &update));
    TRY(compare_trainees(version, &update, trainees));
    if (update.ends_round != ends_round)
        return err_new(ERR_DATA_LOSS, "the replay of round %llu %s at version %llu",
                       (unsigned long long)update.round, ends_round ? "ended early" : "did not end",
                       (unsigned long long)version);
    return OK;
}

void versions_end(struct store *store, uint64_t round, uint64_t last)
{
    uint8_t key[KEY_ROUND];
    SCOPED_VALUE(bytes) value = {0};
    key_round('d', store->counters.lineage, round, key);
    last_encode(last, &value);
    db_put(store->db, DB_ROUNDS, key, sizeof key, value.data, value.len);
    add_end(store, last);
    store->counters.rounds_done++;
}

static void put_update(struct store *store, uint64_t version, const struct update *update)
{
    uint32_t lineage = store->counters.lineage;
    uint8_t key[KEY_ROUND];
    SCOPED_VALUE(bytes) value = {0};
    key_round('u', lineage, version, key);
    update_encode(update, &value);
    db_put(store->db, DB_ROUNDS, key, sizeof key, value.data, value.len);
    if (update->ends_round)
        versions_end(store, update->round, version);
}

err_t store_update_done(struct store *store, uint64_t version,
                        const struct trainee_digests *trainees, bool ends_round)
{
    struct counters *counters = &store->counters;
    TRY(trainees_check(trainees));
    TRY(store_begin(store, 0));
    if (version && version <= counters->last_version)
        return compare(store, version, trainees, ends_round);
    if (version != counters->last_version + 1 || counters->rounds_done == counters->next_round)
        return err_new(ERR_PRECONDITION, "version %llu cannot follow version %llu: %s",
                       (unsigned long long)version, (unsigned long long)counters->last_version,
                       version == counters->last_version + 1 ? "no round is recorded for it"
                                                             : "it is not the next");
    SCOPED(round) round = NULL;
    TRY(store_round(store, counters->rounds_done, &round));
    bool last = version == round->first_version + round->updates;
    if (last != ends_round && (last || round->round + 1 != counters->next_round))
        return err_new(ERR_PRECONDITION,
                       "version %llu %s round %llu, which was recorded with %u updates",
                       (unsigned long long)version, last ? "must end" : "cannot end",
                       (unsigned long long)round->round, round->updates);
    if (ends_round && round->round + 1 == counters->next_round)
        counters->next_version = version;
    counters->last_version = version;
    put_update(store, version, &(struct update){round->round, *trainees, ends_round});
    store->changed = true;
    return store_commit(store);
}

uint64_t store_next_round(const struct store *store)
{
    return store->counters.next_round;
}

uint64_t store_rounds_done(const struct store *store)
{
    return store->counters.rounds_done;
}

uint64_t store_last_version(const struct store *store)
{
    return store->counters.last_version;
}

uint32_t store_lineage(const struct store *store)
{
    return store->counters.lineage;
}

/* --- checkpoints --- */

/* The oldest age of a group that is live or in a round not covered by the checkpoint before the
 * newest. */
static err_t oldest_needed(struct store *store, uint64_t *ret)
{
    const struct counters *counters = &store->counters;
    uint64_t oldest = store->slots.ages ? store->slots.age[0].round : counters->next_round;
    for (uint64_t number = counters->checkpoint_round[1]; number < counters->next_round; number++) {
        SCOPED(round) round = NULL;
        TRY(store_round(store, number, &round));
        if (round->group[0].age < oldest)
            oldest = round->group[0].age;
    }
    *ret = oldest;
    return OK;
}

static err_t check_covered(const struct store *store, uint64_t round, uint64_t version)
{
    uint64_t first = store->first_end, done = store->counters.rounds_done;
    bool known = round && round <= done && round > first;
    if (round > done || (!round && version) || (known && store->last[round - 1 - first] != version))
        return err_new(
            ERR_PRECONDITION,
            "no checkpoint can cover %llu rounds with version %llu: %llu rounds are done",
            (unsigned long long)round, (unsigned long long)version, (unsigned long long)done);
    return OK;
}

err_t store_checkpointed(struct store *store, uint64_t round, uint64_t version)
{
    struct counters *counters = &store->counters;
    TRY(store_begin(store, 0));
    TRY(check_covered(store, round, version));
    if (round <= counters->checkpoint_round[0])
        return OK;
    counters->checkpoint_round[1] = counters->checkpoint_round[0];
    counters->checkpoint_version[1] = counters->checkpoint_version[0];
    counters->checkpoint_round[0] = round;
    counters->checkpoint_version[0] = version;
    store->changed = true;
    uint64_t oldest = 0;
    TRY(store_break(store, oldest_needed(store, &oldest)));
    uint8_t from[KEY_GROUP], below[KEY_GROUP];
    key_group(counters->floor, 0,
              from); // what is below is dropped: ranges that overlap slow every read
    key_group(oldest, 0, below);
    if (oldest <= counters->floor)
        return store_commit(store);
    counters->floor = oldest;
    db_delete_range(store->db, DB_GROUPS, from, below, sizeof from);
    TRY(store_commit(store));
    err_free(db_drop_files(store->db, DB_GROUPS, from, below, sizeof from)); // else compaction does
    return OK;
}

void store_checkpoint(const struct store *store, uint64_t *ret_round, uint64_t *ret_version)
{
    *ret_round = store->counters.checkpoint_round[0];
    *ret_version = store->counters.checkpoint_version[0];
}
