#include "learner/store/store.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "learner/store/inner.h"
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

enum { LIMIT_MAX = 65535, PRIORITY_EXPONENT_MAX = 10 };
static const uint64_t GROUPS_MAX = 1 << 20, ROUNDS_MAX = (uint64_t)1 << 40;

const char *reason_name(enum reason reason)
{
    static const char *const names[REASONS] = {"none",     "trained",  "stale",   "superseded",
                                               "evicted",  "filtered", "errored", "lineage",
                                               "operator", "ended"};
    return (unsigned)reason < REASONS ? names[reason] : "?";
}

err_t store_rules_check(const struct store_rules *rules)
{
    if (rules->eta > rules->limit || rules->limit > LIMIT_MAX || rules->ease > LIMIT_MAX)
        return err_new(ERR_INVALID,
                       "lag: max %llu, hard_max %llu: allowed is max <= hard_max <= %d",
                       (unsigned long long)rules->eta, (unsigned long long)rules->limit, LIMIT_MAX);
    if (!rules->groups || rules->groups > GROUPS_MAX)
        return err_new(ERR_INVALID, "groups per round is %llu: allowed is 1 to %llu",
                       (unsigned long long)rules->groups, (unsigned long long)GROUPS_MAX);
    if (rules->max_groups < (rules->eta + 1) * rules->groups)
        return err_new(ERR_INVALID,
                       "replay: max_groups is %llu: (lag.max + 1) * groups = %llu are needed",
                       (unsigned long long)rules->max_groups,
                       (unsigned long long)((rules->eta + 1) * rules->groups));
    if (rules->rounds > ROUNDS_MAX)
        return err_new(ERR_INVALID, "rounds is %llu: allowed is at most %llu",
                       (unsigned long long)rules->rounds, (unsigned long long)ROUNDS_MAX);
    if (rules->policy > REPLAY_PRIORITY || !rules->max_uses || rules->max_uses > rules->eta + 1)
        return err_new(
            ERR_INVALID,
            "replay: max_uses is %u: allowed is 1 to lag.max + 1 = %llu, as a round uses "
            "a group once",
            rules->max_uses, (unsigned long long)rules->eta + 1);
    if (!(rules->priority_exponent >= 0 && rules->priority_exponent <= PRIORITY_EXPONENT_MAX))
        return err_new(ERR_INVALID, "replay: priority_exponent is %g: allowed is 0 to %d",
                       rules->priority_exponent, PRIORITY_EXPONENT_MAX);
    if (!rules->lease_ms)
        return err_new(ERR_INVALID, "a lease of 0 ms: it must last");
    return OK;
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

struct lag_rules store_lag_rules(const struct store *store)
{
    return (struct lag_rules){store->rules.eta, store->limit, store->rules.groups};
}

bool store_in_turn(const struct store *store)
{
    return store->rules.policy == REPLAY_FIFO && store->rules.max_uses == 1;
}

uint64_t store_live(const struct store *store)
{
    const struct slots *slots = &store->slots;
    return (slots->leased + slots->stored) * store->rules.max_uses - slots->used;
}

bool store_disk_low(const struct store *store, uint64_t *ret_free_bytes)
{
    struct statvfs disk;
    *ret_free_bytes = 0;
    if (statvfs(store->dir, &disk) == 0)
        *ret_free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
    return *ret_free_bytes < store->reserve_bytes ||
           *ret_free_bytes - store->reserve_bytes < store->rules.min_free_bytes;
}

uint64_t store_groups_wanted(const struct store *store)
{
    if (!store->rules.rounds)
        return UINT64_MAX;
    const struct store_rules *rules = &store->rules;
    uint64_t next = store->counters.next_round, live = store_live(store),
             groups = store->slots.leased + store->slots.stored;
    if (next >= rules->rounds)
        return 0;
    uint64_t can = (rules->rounds - next) * rules->groups, // uses
        wanted = can > live ? (can - live + rules->max_uses - 1) / rules->max_uses : 0;
    uint64_t missing = rules->groups > groups ? rules->groups - groups : 0; // one round: all differ
    return wanted > missing ? wanted : missing;
}

bool store_source_empty(const struct store *store)
{
    uint64_t epoch = store->counters.next_slot / store->schema.rows;
    return (store->rules.epochs && epoch >= store->rules.epochs) || epoch > UINT32_MAX;
}

bool store_ended(const struct store *store)
{
    const struct slots *slots = &store->slots;
    return (store->rules.rounds && store->counters.next_round >= store->rules.rounds) ||
           (store_source_empty(store) && !slots->free && !slots->leased && !slots->stored);
}

bool store_generates(const struct store *store)
{
    const struct slots *slots = &store->slots;
    bool more = slots->free || !store_source_empty(store);
    return slots->leased || (more && store_groups_wanted(store));
}

struct store_unusable store_unusable(const struct store *store)
{
    return store->unusable;
}

void store_unusable_forget(struct store *store)
{
    store->unusable = (struct store_unusable){0};
}

/* --- what a call begins and ends with --- */

err_t store_begin(struct store *store, int64_t now_ms)
{
    if (store->broken != ERR_NONE)
        return err_new(store->broken, "%s: open the store again", store->broken_why);
    if (now_ms > store->opened_ms && store->holds) { // it will go on from here
        store->opened_ms = now_ms;
        store->opened_clock_ms = store->counters.clock_ms;
    } else if (now_ms > store->opened_ms) {
        uint64_t clock = store->opened_clock_ms + (uint64_t)(now_ms - store->opened_ms);
        if (clock > store->counters.clock_ms)
            store->counters.clock_ms = clock;
    }
    return OK;
}

err_t store_break(struct store *store, err_t e)
{
    if (err_failed(e) && store->broken == ERR_NONE) {
        store->broken = err_code(e);
        store->broken_why = mem_string(err_message(e));
    }
    return e;
}

void store_fail(struct store *store, err_t why)
{
    (void)store_break(store, why);
}

static void put_slot(struct store *store, struct slot *slot)
{
    uint8_t key[KEY_SLOT];
    SCOPED_VALUE(bytes) value = {0};
    key_slot(slot->number, key);
    slot_encode(slot, &value);
    db_put(store->db, DB_SLOTS, key, sizeof key, value.data, value.len);
    slot->dirty = false;
}

err_t store_commit(struct store *store)
{
    if (!store->changed)
        return OK;
    for (size_t i = 0; i < store->dirty_n; i++)
        put_slot(store, store->dirty[i]);
    store->dirty_n = 0;
    store->changed = false;
    store->counters.low_slot = slots_low(&store->slots, store->counters.next_slot);
    SCOPED_VALUE(bytes) value = {0};
    counters_encode(&store->counters, &value);
    db_put(store->db, DB_META, KEY_COUNTERS, strlen(KEY_COUNTERS), value.data, value.len);
    slots_sweep(&store->slots);
    return store_break(store, db_commit(store->db));
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

err_t store_set_rules(struct store *store, const struct store_rules *rules, int64_t now_ms)
{
    TRY(store_rules_check(rules));
    TRY(store_begin(store, now_ms));
    store->rules = *rules;
    store_sweep(store);
    return store_commit(store);
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
    DIR *files = opendir(dir);
    struct stat file;
    for (struct dirent *entry; files && (entry = readdir(files));)
        if (fstatat(dirfd(files), entry->d_name, &file, 0) == 0 && S_ISREG(file.st_mode))
            bytes += (uint64_t)file.st_blocks * 512;
    if (files)
        closedir(files);
    return bytes;
}

void store_counts(const struct store *store, struct store_counts *ret)
{
    const struct counters *counters = &store->counters;
    *ret = (struct store_counts){
        .leased = store->slots.leased,
        .stored = store->slots.stored,
        .free = store->slots.free,
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
