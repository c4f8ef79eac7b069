#include "learner/store/store.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "learner/store/inner.h"
#include <string.h>
#include <sys/stat.h>

const char *reason_name(enum reason reason)
{
    static const char *const names[REASONS] = {"none",     "trained",  "stale",      "superseded",
                                               "evicted",  "filtered", "errored",    "lineage",
                                               "operator", "ended",    "quarantined"};
    return (unsigned)reason < REASONS ? names[reason] : "?";
}

static err_t options_check(const struct store_options *options)
{
    size_t len = strlen(options->run);
    if (!len || len > NAME_MAX_BYTES)
        return err_new(ERR_INVALID, "run id of %zu bytes: allowed is 1 to %d", len, NAME_MAX_BYTES);
    if (!options->rows || options->rows > (uint64_t)1 << 48)
        return err_new(ERR_INVALID, "%llu rows of data: allowed is 1 to 2^48",
                       (unsigned long long)options->rows);
    return OK;
}

/* --- opening --- */

static err_t compare(const struct schema *schema, const struct store_options *options)
{
    if (strcmp(schema->run, options->run))
        return err_new(ERR_PRECONDITION,
                       "it belongs to run '%s', not '%s': give this run another directory",
                       schema->run, options->run);
    if (!digest_equal(&schema->data, &options->data) || schema->rows != options->rows)
        return err_new(ERR_PRECONDITION,
                       "it was made with other training data (%llu rows, now %llu): restore the "
                       "data, or begin another run",
                       (unsigned long long)schema->rows, (unsigned long long)options->rows);
    if (schema->seed != options->seed || schema->shuffle != options->shuffle)
        return err_new(ERR_PRECONDITION,
                       "it was made with seed %llu and shuffle %s: restore them, or begin another "
                       "run",
                       (unsigned long long)schema->seed, schema->shuffle ? "on" : "off");
    return OK;
}

static void put_schema(struct store *store)
{
    SCOPED_VALUE(bytes) value = {0};
    schema_encode(&store->schema, &value);
    db_put(store->db, DB_META, KEY_SCHEMA, strlen(KEY_SCHEMA), value.data, value.len);
    store->changed = true;
}

static void create(struct store *store, const struct store_options *options)
{
    store->schema =
        (struct schema){mem_string(options->run), options->data, options->rows, options->seed,
                        options->shuffle,         STORE_FORMAT};
    store->counters.lineage = options->lineage ? options->lineage : 1;
    put_schema(store);
}

/* The other records are of this format from their next change on; what is old is read as it is. */
static void upgrade(struct store *store)
{
    log_info("store upgraded in place", "directory=%s format=%d was=%d", store->dir, STORE_FORMAT,
             store->schema.format);
    store->schema.format = STORE_FORMAT;
    put_schema(store);
}

/* The slots that are not gone; below the cursor there are none. */
static err_t load_slots(struct store *store)
{
    uint8_t key[KEY_SLOT];
    uint64_t expected = store->counters.low_slot;
    key_slot(expected, key);
    SCOPED(db_cursor) cursor = NULL;
    db_seek(store->db, DB_SLOTS, key, sizeof key, &cursor);
    for (struct db_row row; db_next(cursor, &row); expected++) {
        SCOPED_VALUE(slot) slot = {0};
        if (row.key_len != KEY_SLOT || be64_load(row.key) != expected)
            break;
        TRY(slot_decode(expected, row.value, row.value_len, &slot));
        slot.id = group_id(store->schema.run, slot.lineage, expected, slot.attempt);
        if (slot.state != SLOT_GONE)
            slots_add(&store->slots, &slot);
    }
    TRY(db_cursor_error(cursor));
    if (expected != store->counters.next_slot)
        return err_new(ERR_DATA_LOSS, "slot %llu is missing", (unsigned long long)expected);
    return OK;
}

static err_t load_meta(struct store *store, const struct store_options *options, bool *ret_found)
{
    SCOPED_VALUE(bytes) value = {0};
    TRY(db_get(store->db, DB_META, KEY_SCHEMA, strlen(KEY_SCHEMA), &value, ret_found));
    if (!*ret_found)
        return OK;
    TRY(schema_decode(value.data, value.len, &store->schema));
    if (options)
        TRY(compare(&store->schema, options));
    bytes_clear(&value);
    bool found;
    TRY(db_get(store->db, DB_META, KEY_COUNTERS, strlen(KEY_COUNTERS), &value, &found));
    if (!found)
        return err_new(ERR_DATA_LOSS, "its counters are missing");
    return counters_decode(value.data, value.len, &store->counters);
}

static err_t load_all(struct store *store, const struct store_options *options)
{
    bool found = false;
    TRY(load_meta(store, options, &found));
    if (!found && !options)
        return err_new(ERR_NOT_FOUND, "it was never completely made");
    if (!found)
        create(store, options);
    else if (options && store->schema.format < STORE_FORMAT)
        upgrade(store);
    TRY(lineages_load(store->db, store->counters.lineage, &store->lineages));
    if (options) {
        TRY(load_slots(store));
        TRY(terms_load(store->db, &store->terms));
    }
    return versions_load(store);
}

err_t store_load(struct store *store, const struct store_options *options)
{
    return err_wrap(load_all(store, options), "store '%s'", store->dir);
}

err_t store_open(const char *dir, const struct store_options *options,
                 const struct store_rules *rules, int64_t now_ms, struct store **ret)
{
    TRY(options_check(options));
    TRY(store_rules_check(rules));
    SCOPED(store) store = mem_new(sizeof *store);
    store->dir = mem_string(dir);
    store->rules = *rules;
    store->reserve_bytes = options->reserve_bytes;
    store->spare = store->spare_before = UINT64_MAX;
    TRY(options->rest ? db_open_rest(dir, false, &store->db) : db_open(dir, false, &store->db));
    TRY(store_load(store, options));
    store->opened_ms = now_ms;
    store->opened_clock_ms = store->counters.clock_ms;
    store_sweep(store);
    TRY(store_commit(store));
    *ret = STEAL(store);
    return OK;
}

void store_free(struct store *store)
{
    if (!store)
        return;
    db_free(store->db);
    schema_done(&store->schema);
    slots_done(&store->slots);
    terms_done(&store->terms);
    lineages_done(&store->lineages);
    revoked_free(store->revoked, store->revoked_n);
    free(store->dirty);
    free(store->last);
    free(store->broken_why);
    free(store->dir);
    free(store);
}

err_t store_copy(struct store *store, const char *dir)
{
    TRY(store_begin(store, 0));
    return db_copy(store->db, dir);
}

/* --- numbers --- */

static uint64_t directory_bytes(const char *dir)
{
    uint64_t bytes = 0;
    SCOPED_VALUE(file_names) names = {0};
    err_free(file_names(dir, &names)); // for people who look: nothing follows from it
    for (size_t i = 0; i < names.count; i++) {
        struct stat file;
        SCOPED_MEM char *path = file_join(dir, names.at[i]);
        if (lstat(path, &file) == 0 && S_ISREG(file.st_mode))
            bytes += (uint64_t)file.st_blocks * 512;
    }
    return bytes;
}

void store_counts(const struct store *store, struct store_counts *ret)
{
    const struct counters *counters = &store->counters;
    *ret = (struct store_counts){
        .leased = store->slots.leased,
        .stored = store->slots.stored,
        .free = store->slots.free,
        .quarantined = store->slots.quarantined,
        .live = store_live(store),
        .next_slot = counters->next_slot,
        .next_round = counters->next_round,
        .granted = counters->granted,
        .given_back = counters->given_back,
        .expired = counters->expired,
        .revoked = counters->revoked,
        .limit = store->limit,
        .behind = store->behind,
        .spare = store->spare_before,
        .disk_used_bytes = directory_bytes(store->dir),
        .disk_needed_bytes = store->reserve_bytes + store->rules.min_free_bytes,
    };
    memcpy(ret->gone, counters->gone, sizeof ret->gone);
    memcpy(ret->outcomes, counters->outcomes, sizeof ret->outcomes);
    ret->disk_low = store_disk_low(store, &ret->disk_free_bytes);
}
