#include "learner/store/audit.h"
#include "base/mem.h"
#include "learner/store/db.h"
#include "learner/store/record.h"
#include <stdarg.h>
#include <string.h>

struct trained {
    uint64_t slot, round;
    uint32_t attempt;
};

struct walk {
    struct db *db;
    FILE *out;
    struct audit *audit;
    struct counters counters;
    struct trained *trained; // by rounds; sorted by slot after
    size_t n, capacity, next, matched;
};

__attribute__((format(printf, 2, 3))) static void broken(struct walk *walk, const char *format, ...)
{
    walk->audit->errors++;
    if (!walk->out)
        return;
    va_list args;
    va_start(args, format);
    fputs("error=\"", walk->out);
    vfprintf(walk->out, format, args);
    fputs("\"\n", walk->out);
    va_end(args);
}

/* A damaged record is a finding, not the end of the walk. */
static bool readable(struct walk *walk, err_t e, const char *what, uint64_t number)
{
    if (!err_failed(e))
        return true;
    broken(walk, "%s %llu: %s", what, (unsigned long long)number, err_message(e));
    err_free(e);
    return false;
}

static void check_stored(struct walk *walk, const struct slot *slot, const struct round_group *of)
{
    bool found = false;
    uint8_t key[KEY_GROUP];
    SCOPED_VALUE(bytes) value = {0};
    SCOPED(group) group = NULL;
    uint64_t number = of ? of->slot : slot->number;
    const struct digest *content = of ? &of->content : &slot->summary.content;
    key_group(of ? of->age : slot->age, number, key);
    if (!readable(walk, db_get(walk->db, DB_GROUPS, key, sizeof key, &value, &found), "slot",
                  number))
        return;
    if (!found)
        broken(walk, "slot %llu: its group's bytes are missing", (unsigned long long)number);
    else
        readable(walk, stored_decode(value.data, value.len, content, &group), "slot", number);
}

static void check_slot(struct walk *walk, const struct slot *slot)
{
    struct audit *audit = walk->audit;
    uint64_t number = slot->number;
    switch (slot->state) {
    case SLOT_FREE:
        audit->free++;
        break;
    case SLOT_LEASED:
        audit->leased++;
        break;
    case SLOT_STORED:
        audit->stored++;
        check_stored(walk, slot, NULL);
        break;
    case SLOT_GONE:
        audit->gone++;
        audit->fate[slot->reason]++;
        break;
    }
    if (slot->state != SLOT_GONE && number < walk->counters.low_slot)
        broken(walk, "slot %llu is below the cursor but not gone", (unsigned long long)number);
    if (slot->state == SLOT_STORED && slot->age < slot->start_round)
        broken(walk, "slot %llu holds a group older than its lease", (unsigned long long)number);
}

static err_t walk_slots(struct walk *walk)
{
    SCOPED(db_cursor) cursor = NULL;
    db_seek(walk->db, DB_SLOTS, "", 0, &cursor);
    uint64_t expected = 0;
    for (struct db_row row; db_next(cursor, &row); expected++) {
        SCOPED_VALUE(slot) slot = {0};
        uint64_t number = row.key_len == KEY_SLOT ? be64_load(row.key) : UINT64_MAX;
        if (number != expected) {
            broken(walk, "slot %llu is missing", (unsigned long long)expected);
            expected = number;
        }
        if (readable(walk, slot_decode(number, row.value, row.value_len, &slot), "slot", number))
            check_slot(walk, &slot);
    }
    TRY(db_cursor_error(cursor));
    walk->audit->slots = expected;
    if (expected != walk->counters.next_slot)
        broken(walk, "%llu slots, the counter says %llu", (unsigned long long)expected,
               (unsigned long long)walk->counters.next_slot);
    return OK;
}

static void check_round(struct walk *walk, const struct round *round)
{
    struct audit *audit = walk->audit;
    bool kept = round->round >= walk->counters.checkpoint_round[1];
    for (size_t i = 0; i < round->groups; i++) {
        const struct round_group *group = &round->group[i];
        uint64_t lag = group->age < round->round ? round->round - group->age : 0;
        audit->lag[lag < AUDIT_LAGS ? lag : AUDIT_LAGS - 1]++;
        audit->lag_max = lag > audit->lag_max ? lag : audit->lag_max;
        if (lag > round->limit || group->age > round->round)
            broken(walk, "round %llu trained slot %llu of age %llu, the limit was %llu",
                   (unsigned long long)round->round, (unsigned long long)group->slot,
                   (unsigned long long)group->age, (unsigned long long)round->limit);
        if (kept)
            check_stored(walk, NULL, group);
        if (walk->n == walk->capacity) {
            walk->capacity = walk->capacity ? 2 * walk->capacity : 4096;
            walk->trained = mem_grow(walk->trained, walk->capacity, sizeof *walk->trained);
        }
        walk->trained[walk->n++] = (struct trained){group->slot, round->round, group->attempt};
    }
}

/* A kind of record in the rounds family, whose numbers must be first, first + 1, ... */
static err_t walk_rounds(struct walk *walk)
{
    struct audit *audit = walk->audit;
    uint8_t key[KEY_ROUND];
    uint32_t lineage = walk->counters.lineage;
    uint64_t version = 0;
    key_round('r', lineage, 0, key);
    SCOPED(db_cursor) cursor = NULL;
    db_seek(walk->db, DB_ROUNDS, key, sizeof key, &cursor);
    struct db_row row;
    for (; db_next(cursor, &row) && row.key[0] == 'r'; audit->rounds++) {
        SCOPED(round) round = NULL;
        key_round('r', lineage, audit->rounds, key);
        if (row.key_len != sizeof key || memcmp(row.key, key, sizeof key))
            broken(walk, "round %llu is missing", (unsigned long long)audit->rounds);
        if (!readable(walk, round_decode(row.value, row.value_len, &round), "round", audit->rounds))
            continue;
        if (round->first_version < version)
            broken(walk, "round %llu begins at version %llu, before round %llu",
                   (unsigned long long)round->round, (unsigned long long)round->first_version,
                   (unsigned long long)round->round - 1);
        version = round->first_version;
        check_round(walk, round);
    }
    TRY(db_cursor_error(cursor));
    audit->trained = walk->n;
    if (audit->rounds != walk->counters.next_round)
        broken(walk, "%llu rounds, the counter says %llu", (unsigned long long)audit->rounds,
               (unsigned long long)walk->counters.next_round);
    return OK;
}

static err_t walk_updates(struct walk *walk)
{
    struct audit *audit = walk->audit;
    uint8_t key[KEY_ROUND];
    key_round('u', walk->counters.lineage, 0, key);
    SCOPED(db_cursor) cursor = NULL;
    db_seek(walk->db, DB_ROUNDS, key, sizeof key, &cursor);
    for (struct db_row row; db_next(cursor, &row) && row.key[0] == 'u'; audit->versions++) {
        struct update update;
        key_round('u', walk->counters.lineage, audit->versions + 1, key);
        if (row.key_len != sizeof key || memcmp(row.key, key, sizeof key))
            broken(walk, "version %llu is missing", (unsigned long long)audit->versions + 1);
        if (!readable(walk, update_decode(row.value, row.value_len, &update), "version",
                      audit->versions + 1))
            continue;
        if (update.round != audit->rounds_done)
            broken(walk, "version %llu is of round %llu, not %llu",
                   (unsigned long long)audit->versions + 1, (unsigned long long)update.round,
                   (unsigned long long)audit->rounds_done);
        audit->rounds_done += update.ends_round;
    }
    TRY(db_cursor_error(cursor));
    if (audit->rounds_done != walk->counters.rounds_done ||
        audit->versions != walk->counters.last_version)
        broken(walk, "%llu versions of %llu rounds, the counters say %llu of %llu",
               (unsigned long long)audit->versions, (unsigned long long)audit->rounds_done,
               (unsigned long long)walk->counters.last_version,
               (unsigned long long)walk->counters.rounds_done);
    return OK;
}

static int by_slot(const void *a, const void *b)
{
    const struct trained *x = a, *y = b;
    if (x->slot != y->slot)
        return x->slot < y->slot ? -1 : 1;
    return (x->round > y->round) - (x->round < y->round);
}

/* The groups that left, against those that the rounds name: both ascend by slot. */
static void check_gone(struct walk *walk, uint64_t slot, uint32_t attempt, const struct gone *gone)
{
    walk->audit->groups[gone->reason]++;
    if (gone->reason != REASON_TRAINED)
        return;
    while (walk->next < walk->n && walk->trained[walk->next].slot < slot)
        walk->next++;
    const struct trained *named = walk->next < walk->n ? &walk->trained[walk->next] : NULL;
    if (named && named->slot == slot && named->attempt == attempt && named->round == gone->round &&
        gone->answered == OUTCOME_STORED)
        walk->matched++;
    else
        broken(walk,
               "slot %llu attempt %u is gone as trained in round %llu, which does not name it",
               (unsigned long long)slot, attempt, (unsigned long long)gone->round);
}

static err_t walk_gone(struct walk *walk)
{
    if (walk->n)
        qsort(walk->trained, walk->n, sizeof *walk->trained, by_slot);
    for (size_t i = 1; i < walk->n; i++)
        if (walk->trained[i].slot == walk->trained[i - 1].slot)
            broken(walk, "slot %llu was trained in rounds %llu and %llu",
                   (unsigned long long)walk->trained[i].slot,
                   (unsigned long long)walk->trained[i - 1].round,
                   (unsigned long long)walk->trained[i].round);
    SCOPED(db_cursor) cursor = NULL;
    db_seek(walk->db, DB_GONE, "", 0, &cursor);
    for (struct db_row row; db_next(cursor, &row);) {
        struct gone gone;
        struct reader key = {row.key, row.key_len};
        uint64_t slot = 0;
        uint32_t attempt = 0;
        if (!read_be64(&key, &slot) || !read_be32(&key, &attempt) || key.left)
            broken(walk, "a gone record with a key of %zu bytes", row.key_len);
        if (readable(walk, gone_decode(row.value, row.value_len, &gone), "gone slot", slot))
            check_gone(walk, slot, attempt, &gone);
    }
    TRY(db_cursor_error(cursor));
    if (walk->matched != walk->n)
        broken(walk, "%zu of %zu trained groups are gone as trained", walk->matched, walk->n);
    return OK;
}

static void check_counts(struct walk *walk)
{
    struct audit *audit = walk->audit;
    for (int i = REASON_TRAINED; i < REASONS; i++)
        if (audit->groups[i] != walk->counters.gone[i])
            broken(walk, "%llu groups left as %s, the counter says %llu",
                   (unsigned long long)audit->groups[i], reason_name((enum reason)i),
                   (unsigned long long)walk->counters.gone[i]);
    if (audit->fate[REASON_TRAINED] != audit->trained)
        broken(walk, "%llu slots are gone as trained, the rounds name %llu",
               (unsigned long long)audit->fate[REASON_TRAINED], (unsigned long long)audit->trained);
}

static void print(FILE *out, const struct audit *audit)
{
    fprintf(out, "slots=%llu free=%llu leased=%llu stored=%llu gone=%llu\n",
            (unsigned long long)audit->slots, (unsigned long long)audit->free,
            (unsigned long long)audit->leased, (unsigned long long)audit->stored,
            (unsigned long long)audit->gone);
    for (int i = REASON_TRAINED; i < REASONS; i++)
        if (audit->fate[i] || audit->groups[i])
            fprintf(out, "reason=%s slots=%llu groups=%llu\n", reason_name((enum reason)i),
                    (unsigned long long)audit->fate[i], (unsigned long long)audit->groups[i]);
    for (int i = 0; i < AUDIT_LAGS; i++)
        if (audit->lag[i])
            fprintf(out, "lag=%s%d groups=%llu\n", i == AUDIT_LAGS - 1 ? ">=" : "", i,
                    (unsigned long long)audit->lag[i]);
    fprintf(out,
            "rounds=%llu rounds_done=%llu versions=%llu trained=%llu lag_max=%llu errors=%llu\n",
            (unsigned long long)audit->rounds, (unsigned long long)audit->rounds_done,
            (unsigned long long)audit->versions, (unsigned long long)audit->trained,
            (unsigned long long)audit->lag_max, (unsigned long long)audit->errors);
}

static err_t walk_all(struct walk *walk)
{
    bool found;
    SCOPED_VALUE(bytes) value = {0};
    SCOPED_VALUE(schema) schema = {0};
    TRY(db_get(walk->db, DB_META, KEY_SCHEMA, strlen(KEY_SCHEMA), &value, &found));
    if (!found)
        return err_new(ERR_NOT_FOUND, "it was never made");
    TRY(schema_decode(value.data, value.len, &schema));
    bytes_clear(&value);
    TRY(db_get(walk->db, DB_META, KEY_COUNTERS, strlen(KEY_COUNTERS), &value, &found));
    if (!found)
        return err_new(ERR_DATA_LOSS, "its counters are missing");
    TRY(counters_decode(value.data, value.len, &walk->counters));
    TRY(walk_slots(walk));
    TRY(walk_rounds(walk));
    TRY(walk_updates(walk));
    TRY(walk_gone(walk));
    check_counts(walk);
    return OK;
}

err_t store_audit(const char *dir, FILE *out, struct audit *ret)
{
    SCOPED(db) db = NULL;
    struct audit audit = {0};
    TRY(db_open(dir, true, &db));
    struct walk walk = {.db = db, .out = out, .audit = &audit};
    err_t e = walk_all(&walk);
    free(walk.trained);
    TRY(err_wrap(e, "store '%s'", dir));
    if (out)
        print(out, &audit);
    *ret = audit;
    return OK;
}
