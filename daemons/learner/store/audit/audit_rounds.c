/* The audit of rounds, of the versions they made, and of the groups they name. */
#include "base/mem.h"
#include "learner/store/audit/auditing.h"
#include <string.h>

/* --- rounds --- */

static bool is_voided(const struct walk *walk, uint64_t round)
{
    for (size_t i = 0; i < walk->audit->voided; i++)
        if (walk->voided[i] == round)
            return true;
    return false;
}

/* The kind's records of all lineages, one by one. False at the end. */
static bool next_row(struct db_cursor *cursor, char kind, struct db_row *row, uint32_t *ret_lineage,
                     uint64_t *ret_number)
{
    if (!db_next(cursor, row) || row->key[0] != (uint8_t)kind)
        return false;
    struct reader key = {row->key + 1, row->key_len - 1};
    *ret_lineage = 0;
    *ret_number = UINT64_MAX;
    return read_be32(&key, ret_lineage) && read_be64(&key, ret_number);
}

static void seek(struct walk *walk, char kind, struct db_cursor **ret)
{
    uint8_t key[KEY_ROUND];
    key_round(kind, 0, 0, key);
    db_seek(walk->db, DB_ROUNDS, key, sizeof key, ret);
}

static err_t walk_tries(struct walk *walk)
{
    uint32_t lineage;
    uint64_t round;
    struct db_row row;
    SCOPED(db_cursor) cursor = NULL;
    seek(walk, 't', &cursor);
    while (next_row(cursor, 't', &row, &lineage, &round)) {
        SCOPED_VALUE(tries) tries = {0};
        if (!audit_readable(walk, tries_decode(row.value, row.value_len, &tries), "tries of round",
                            round) ||
            !tries.voided || lineage != lineages_of_round(&walk->lineages, round) ||
            round >= walk->counters.next_round)
            continue;
        walk->voided = mem_grow(walk->voided, walk->audit->voided + 1, sizeof *walk->voided);
        walk->voided[walk->audit->voided++] = round;
    }
    return db_cursor_error(cursor);
}

static void name_groups(struct walk *walk, const struct round *round, enum reason reason, bool cut)
{
    for (size_t i = 0; i < round->groups; i++) {
        if (walk->n == walk->capacity) {
            walk->capacity = walk->capacity ? 2 * walk->capacity : 4096;
            walk->named = mem_grow(walk->named, walk->capacity, sizeof *walk->named);
        }
        const struct round_group *group = &round->group[i];
        walk->named[walk->n++] = (struct named){group->slot,
                                                round->round,
                                                group->attempt,
                                                group->use,
                                                reason,
                                                cut,
                                                group->use >= round->max_uses};
    }
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
        if (!group->use || group->use > round->max_uses)
            audit_broken(walk, "round %llu used slot %llu for time %u, of %u allowed",
                         (unsigned long long)round->round, (unsigned long long)group->slot,
                         group->use, round->max_uses);
        if (lag > round->limit || group->age > round->round)
            audit_broken(walk, "round %llu trained slot %llu of age %llu, the limit was %llu",
                         (unsigned long long)round->round, (unsigned long long)group->slot,
                         (unsigned long long)group->age, (unsigned long long)round->limit);
        if (kept)
            audit_stored(walk, NULL, group);
    }
    bool voided = is_voided(walk, round->round);
    audit->trained += voided ? 0 : round->groups;
    name_groups(walk, round, voided ? REASON_ERRORED : REASON_TRAINED, false);
}

/* One that a fork cut off: its groups left, as errored if it had been voided before. */
static err_t check_cut_off(struct walk *walk, uint32_t lineage, const struct round *round)
{
    bool found = false;
    uint8_t key[KEY_ROUND];
    SCOPED_VALUE(bytes) value = {0};
    SCOPED_VALUE(tries) tries = {0};
    key_round('t', lineage, round->round, key);
    TRY(db_get(walk->db, DB_ROUNDS, key, sizeof key, &value, &found));
    if (found)
        TRY(tries_decode(value.data, value.len, &tries));
    walk->audit->cut_off++;
    name_groups(walk, round, tries.voided ? REASON_ERRORED : REASON_LINEAGE, true);
    return OK;
}

/* The history's rounds ascend as the keys do: an ancestor's lineage is the lower number. */
static err_t walk_rounds(struct walk *walk)
{
    struct audit *audit = walk->audit;
    uint32_t lineage;
    uint64_t version = 0, number;
    struct db_row row;
    SCOPED(db_cursor) cursor = NULL;
    seek(walk, 'r', &cursor);
    while (next_row(cursor, 'r', &row, &lineage, &number)) {
        SCOPED(round) round = NULL;
        bool ours = lineage == lineages_of_round(&walk->lineages, number);
        if (ours && number != audit->rounds)
            audit_broken(walk, "round %llu is missing", (unsigned long long)audit->rounds);
        audit->rounds += ours;
        if (!audit_readable(walk, round_decode(row.value, row.value_len, &round), "round", number))
            continue;
        if (round->lineage != lineage || round->round != number)
            audit_broken(walk, "round %llu of lineage %u is recorded as round %llu of lineage %u",
                         (unsigned long long)round->round, round->lineage,
                         (unsigned long long)number, lineage);
        if (!ours) {
            TRY(check_cut_off(walk, lineage, round));
            continue;
        }
        if (round->first_version < version)
            audit_broken(walk, "round %llu begins at version %llu, before round %llu",
                         (unsigned long long)round->round, (unsigned long long)round->first_version,
                         (unsigned long long)round->round - 1);
        version = round->first_version;
        check_round(walk, round);
    }
    TRY(db_cursor_error(cursor));
    if (audit->rounds != walk->counters.next_round)
        audit_broken(walk, "%llu rounds, the counter says %llu", (unsigned long long)audit->rounds,
                     (unsigned long long)walk->counters.next_round);
    return OK;
}

/* --- versions --- */

/* The round that just ended did so with the versions made so far. */
static err_t check_end(struct walk *walk)
{
    bool found = false;
    uint8_t key[KEY_ROUND];
    SCOPED_VALUE(bytes) value = {0};
    uint64_t round = walk->audit->rounds_done++, last = 0;
    key_round('d', lineages_of_round(&walk->lineages, round), round, key);
    TRY(db_get(walk->db, DB_ROUNDS, key, sizeof key, &value, &found));
    if (found &&
        !audit_readable(walk, last_decode(value.data, value.len, &last), "end of round", round))
        return OK;
    if (!found || last != walk->audit->versions)
        audit_broken(walk, "round %llu ended with version %llu, %s", (unsigned long long)round,
                     (unsigned long long)walk->audit->versions,
                     found ? "its end says another" : "its end is missing");
    return OK;
}

/* Voided rounds end with what the round before ended with. */
static err_t pass_voided(struct walk *walk)
{
    while (is_voided(walk, walk->audit->rounds_done))
        TRY(check_end(walk));
    return OK;
}

static err_t walk_updates(struct walk *walk)
{
    struct audit *audit = walk->audit;
    uint32_t lineage;
    uint64_t number;
    struct db_row row;
    SCOPED(db_cursor) cursor = NULL;
    seek(walk, 'u', &cursor);
    while (next_row(cursor, 'u', &row, &lineage, &number)) {
        struct update update;
        if (lineage != lineages_of_version(&walk->lineages, number))
            continue; // cut off
        TRY(pass_voided(walk));
        if (number != ++audit->versions)
            audit_broken(walk, "version %llu is missing", (unsigned long long)audit->versions);
        if (!audit_readable(walk, update_decode(row.value, row.value_len, &update), "version",
                            number))
            continue;
        if (update.round != audit->rounds_done)
            audit_broken(walk, "version %llu is of round %llu, not %llu",
                         (unsigned long long)number, (unsigned long long)update.round,
                         (unsigned long long)audit->rounds_done);
        if (update.ends_round)
            TRY(check_end(walk));
    }
    TRY(db_cursor_error(cursor));
    TRY(pass_voided(walk));
    if (audit->rounds_done != walk->counters.rounds_done ||
        audit->versions != walk->counters.last_version)
        audit_broken(walk, "%llu versions of %llu rounds, the counters say %llu of %llu",
                     (unsigned long long)audit->versions, (unsigned long long)audit->rounds_done,
                     (unsigned long long)walk->counters.last_version,
                     (unsigned long long)walk->counters.rounds_done);
    return OK;
}

err_t audit_rounds(struct walk *walk)
{
    TRY(walk_tries(walk));
    TRY(walk_rounds(walk));
    return walk_updates(walk);
}

/* --- what left --- */

static int by_slot(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    if (x->slot != y->slot)
        return x->slot < y->slot ? -1 : 1;
    if (x->attempt != y->attempt)
        return x->attempt < y->attempt ? -1 : 1;
    return (x->round > y->round) - (x->round < y->round);
}

/* One more round that names the group: in the history its uses are counted up from one. */
static void add_use(struct walk *walk, struct used *used, const struct named *named)
{
    used->voided |= named->reason == REASON_ERRORED;
    used->cut |= named->cut;
    used->spent |= named->cut && named->spent;
    if (named->cut)
        return;
    if (named->use != ++used->uses)
        audit_broken(walk, "slot %llu attempt %u: round %llu calls use %u what is its use %u",
                     (unsigned long long)named->slot, named->attempt,
                     (unsigned long long)named->round, named->use, used->uses);
    if (named->reason == REASON_TRAINED) {
        used->trained = true;
        used->last = named->round;
    }
}

static void collect(struct walk *walk)
{
    if (walk->n)
        qsort(walk->named, walk->n, sizeof *walk->named, by_slot);
    walk->used = mem_array(walk->n, sizeof *walk->used);
    struct used *at = NULL, *trained = NULL;
    for (size_t i = 0; i < walk->n; i++) {
        const struct named *named = &walk->named[i];
        if (!at || at->slot != named->slot || at->attempt != named->attempt) {
            at = &walk->used[walk->used_n++];
            *at = (struct used){.slot = named->slot, .attempt = named->attempt};
        }
        add_use(walk, at, named);
        if (named->cut || named->reason != REASON_TRAINED)
            continue;
        if (trained && trained != at &&
            trained->slot == at->slot) // whatever branches did that were cut off
            audit_broken(walk, "slot %llu was trained in rounds %llu and %llu",
                         (unsigned long long)at->slot, (unsigned long long)trained->last,
                         (unsigned long long)at->last);
        trained = at;
    }
    for (size_t i = 0; i < walk->used_n; i++)
        walk->audit->trained_groups += walk->used[i].trained && !walk->used[i].voided;
}

static enum reason must_leave(const struct used *used)
{
    return used->voided ? REASON_ERRORED : used->trained ? REASON_TRAINED : REASON_LINEAGE;
}

/* The groups that left, against those that the rounds name: both ascend by slot and attempt. */
static void check_gone(struct walk *walk, uint64_t slot, uint32_t attempt, const struct gone *gone)
{
    walk->audit->groups[gone->reason]++;
    struct used *at = walk->used + walk->next, *end = walk->used + walk->used_n;
    for (; at < end && (at->slot < slot || (at->slot == slot && at->attempt < attempt)); at++)
        walk->next++;
    bool named = at < end && at->slot == slot && at->attempt == attempt;
    if (!named && gone->reason == REASON_TRAINED)
        audit_broken(
            walk, "slot %llu attempt %u is gone as trained in round %llu, which does not name it",
            (unsigned long long)slot, attempt, (unsigned long long)gone->round);
    if (!named)
        return;
    at->matched = true;
    // given back by the fork, then it left for another reason
    bool given_back = at->cut && !at->spent && !at->trained && !at->voided;
    if (gone->answered != OUTCOME_STORED || (gone->reason != must_leave(at) && !given_back))
        audit_broken(walk, "slot %llu attempt %u of round %llu is gone as %s, not as %s",
                     (unsigned long long)slot, attempt, (unsigned long long)at->last,
                     reason_name(gone->reason), reason_name(must_leave(at)));
    else if (gone->reason == REASON_TRAINED && (gone->uses != at->uses || gone->round != at->last))
        audit_broken(walk,
                     "slot %llu attempt %u is gone after %u uses, the last by round %llu; the "
                     "rounds name it %u times, the last is %llu",
                     (unsigned long long)slot, attempt, gone->uses, (unsigned long long)gone->round,
                     at->uses, (unsigned long long)at->last);
}

/* Those that have not left are stored, with as many uses; a fork may have given all of them
 * back. */
static void check_kept(struct walk *walk)
{
    size_t next = 0;
    for (size_t i = 0; i < walk->used_n; i++) {
        const struct used *used = &walk->used[i];
        const struct used *kept = next < walk->kept_n ? &walk->kept[next] : NULL;
        bool same = kept && kept->slot == used->slot && kept->attempt == used->attempt;
        next += same;
        if (same &&
            (used->matched || used->voided || kept->uses != used->uses || kept->last != used->last))
            audit_broken(walk,
                         "slot %llu is stored with %u uses, the last by round %llu; the rounds "
                         "name it %u times, the last is %llu",
                         (unsigned long long)used->slot, kept->uses, (unsigned long long)kept->last,
                         used->uses, (unsigned long long)used->last);
        if (!same && !used->matched && (used->uses || used->voided))
            audit_broken(walk, "slot %llu attempt %u was trained but neither left nor is stored",
                         (unsigned long long)used->slot, used->attempt);
    }
    if (next != walk->kept_n)
        audit_broken(walk, "slot %llu is stored with %u uses, but no round names it",
                     (unsigned long long)walk->kept[next].slot, walk->kept[next].uses);
}

err_t audit_gone(struct walk *walk)
{
    collect(walk);
    SCOPED(db_cursor) cursor = NULL;
    db_seek(walk->db, DB_GONE, "", 0, &cursor);
    for (struct db_row row; db_next(cursor, &row);) {
        SCOPED_VALUE(gone) gone = {0};
        struct reader key = {row.key, row.key_len};
        uint64_t slot = 0;
        uint32_t attempt = 0;
        if (!read_be64(&key, &slot) || !read_be32(&key, &attempt) || key.left)
            audit_broken(walk, "a gone record with a key of %zu bytes", row.key_len);
        if (audit_readable(walk, gone_decode(row.value, row.value_len, &gone), "gone slot", slot))
            check_gone(walk, slot, attempt, &gone);
    }
    TRY(db_cursor_error(cursor));
    check_kept(walk);
    return OK;
}
