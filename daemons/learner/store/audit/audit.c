#include "learner/store/audit/audit.h"
#include "base/mem.h"
#include "learner/store/audit/auditing.h"
#include <string.h>

static void keep(struct walk *walk, const struct slot *slot)
{
    walk->kept = mem_grow(walk->kept, walk->kept_n + 1, sizeof *walk->kept);
    walk->kept[walk->kept_n++] = (struct used){.slot = slot->number,
                                               .attempt = slot->attempt,
                                               .uses = slot->uses,
                                               .last = slot->trained_in};
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
        if (!slot->term)
            audit_stored(walk, slot, NULL);
        break;
    case SLOT_QUARANTINED:
        audit->quarantined++;
        audit_stored(walk, slot, NULL);
        break;
    case SLOT_STORED:
        audit->stored++;
        audit_stored(walk, slot, NULL);
        if (slot->uses)
            keep(walk, slot);
        break;
    case SLOT_GONE:
        audit->gone++;
        audit->fate[slot->reason]++;
        break;
    }
    if (slot->state != SLOT_GONE && number < walk->counters.low_slot)
        audit_broken(walk, "slot %llu is below the cursor but not gone",
                     (unsigned long long)number);
    if (!lineages_find(&walk->lineages, slot->lineage))
        audit_broken(walk, "slot %llu was leased in lineage %u, which is unknown",
                     (unsigned long long)number, slot->lineage);
    if (slot->state == SLOT_STORED && slot->age < slot->start_round)
        audit_broken(walk, "slot %llu holds a group older than its lease",
                     (unsigned long long)number);
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
            audit_broken(walk, "slot %llu is missing", (unsigned long long)expected);
            expected = number;
        }
        if (audit_readable(walk, slot_decode(number, row.value, row.value_len, &slot), "slot",
                           number))
            check_slot(walk, &slot);
    }
    TRY(db_cursor_error(cursor));
    walk->audit->slots = expected;
    if (expected != walk->counters.next_slot)
        audit_broken(walk, "%llu slots, the counter says %llu", (unsigned long long)expected,
                     (unsigned long long)walk->counters.next_slot);
    return OK;
}

static void check_counts(struct walk *walk)
{
    struct audit *audit = walk->audit;
    for (int i = REASON_TRAINED; i < REASONS; i++)
        if (audit->groups[i] != walk->counters.gone[i])
            audit_broken(walk, "%llu groups left as %s, the counter says %llu",
                         (unsigned long long)audit->groups[i], reason_name((enum reason)i),
                         (unsigned long long)walk->counters.gone[i]);
    if (audit->fate[REASON_TRAINED] + walk->kept_n != audit->trained_groups)
        audit_broken(walk,
                     "%llu slots are gone as trained and %zu may be again, the rounds name %llu",
                     (unsigned long long)audit->fate[REASON_TRAINED], walk->kept_n,
                     (unsigned long long)audit->trained_groups);
}

static void print(FILE *out, const struct audit *audit)
{
    fprintf(out, "slots=%llu free=%llu leased=%llu stored=%llu gone=%llu",
            (unsigned long long)audit->slots, (unsigned long long)audit->free,
            (unsigned long long)audit->leased, (unsigned long long)audit->stored,
            (unsigned long long)audit->gone);
    if (audit->quarantined)
        fprintf(out, " quarantined=%llu", (unsigned long long)audit->quarantined);
    fputc('\n', out);
    for (int i = REASON_TRAINED; i < REASONS; i++)
        if (audit->fate[i] || audit->groups[i])
            fprintf(out, "reason=%s slots=%llu groups=%llu\n", reason_name((enum reason)i),
                    (unsigned long long)audit->fate[i], (unsigned long long)audit->groups[i]);
    for (int i = 0; i < AUDIT_LAGS; i++)
        if (audit->lag[i])
            fprintf(out, "lag=%s%d groups=%llu\n", i == AUDIT_LAGS - 1 ? ">=" : "", i,
                    (unsigned long long)audit->lag[i]);
    fprintf(out,
            "rounds=%llu rounds_done=%llu void=%llu versions=%llu trained=%llu groups=%llu "
            "lineages=%llu cut_off=%llu lag_max=%llu errors=%llu\n",
            (unsigned long long)audit->rounds, (unsigned long long)audit->rounds_done,
            (unsigned long long)audit->voided, (unsigned long long)audit->versions,
            (unsigned long long)audit->trained, (unsigned long long)audit->trained_groups,
            (unsigned long long)audit->lineages, (unsigned long long)audit->cut_off,
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
    TRY(lineages_load(walk->db, walk->counters.lineage, &walk->lineages));
    walk->audit->lineages = walk->lineages.count;
    TRY(walk_slots(walk));
    TRY(audit_rounds(walk));
    TRY(audit_gone(walk));
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
    free(walk.named);
    free(walk.used);
    free(walk.kept);
    free(walk.voided);
    lineages_done(&walk.lineages);
    TRY(err_wrap(e, "store '%s'", dir));
    if (out)
        print(out, &audit);
    *ret = audit;
    return OK;
}
