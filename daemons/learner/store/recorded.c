/* A store opened to read, what made a version, and rounds that cannot be trained. */
#include "base/mem.h"
#include "learner/store/history.h"
#include "learner/store/inner.h"
#include <string.h>

static err_t read_it(const char *dir, bool rest, struct store **ret)
{
    SCOPED(store) store = mem_new(sizeof *store);
    store->dir = mem_string(dir);
    TRY(rest ? db_open_rest(dir, true, &store->db) : db_open(dir, true, &store->db));
    TRY(store_load(store, NULL));
    *ret = STEAL(store);
    return OK;
}

err_t store_read(const char *dir, struct store **ret)
{
    return read_it(dir, false, ret);
}

err_t store_read_rest(const char *dir, struct store **ret)
{
    return read_it(dir, true, ret);
}

err_t store_verify(struct store *store)
{
    return db_verify(store->db);
}

const char *store_run(const struct store *store)
{
    return store->schema.run;
}

err_t store_maker(struct store *store, uint64_t version, uint64_t *ret_round)
{
    struct update update;
    TRY(store_begin(store, 0));
    if (!version)
        return err_new(ERR_NOT_FOUND, "version 0 is what training started from");
    if (version > store->counters.last_version)
        return err_new(ERR_NOT_FOUND, "version %llu was never made here: the newest is %llu",
                       (unsigned long long)version,
                       (unsigned long long)store->counters.last_version);
    TRY(read_update(store, version, &update));
    *ret_round = update.round;
    return OK;
}

err_t store_version_after(struct store *store, uint64_t rounds, uint64_t *ret)
{
    bool found = false;
    uint8_t key[KEY_ROUND];
    SCOPED_VALUE(bytes) value = {0};
    TRY(store_begin(store, 0));
    if (!rounds) {
        *ret = 0;
        return OK;
    }
    key_round('d', lineages_of_round(&store->lineages, rounds - 1), rounds - 1, key);
    if (rounds <= store->counters.rounds_done)
        TRY(db_get(store->db, DB_ROUNDS, key, sizeof key, &value, &found));
    if (!found)
        return err_new(ERR_NOT_FOUND, "%llu rounds have not ended: %llu have",
                       (unsigned long long)rounds, (unsigned long long)store->counters.rounds_done);
    return err_wrap(last_decode(value.data, value.len, ret), "store '%s'", store->dir);
}

err_t store_valid_up_to(const struct store *store, uint32_t lineage, uint64_t *ret_version)
{
    if (lineages_limit(&store->lineages, lineage, store->counters.last_version, ret_version))
        return OK;
    return err_new(ERR_NOT_FOUND, "lineage %u is not of this store", lineage);
}

struct branch store_branch(const struct store *store)
{
    const struct fork *fork = lineages_find(&store->lineages, store->lineages.current);
    return (struct branch){fork->lineage, fork->parent, fork->round, fork->version};
}

void trace_done(struct trace *trace)
{
    free(trace->generator);
    trace->generator = NULL;
}

static err_t read_gone(struct store *store, uint64_t slot, uint32_t attempt, struct gone *ret)
{
    bool found = false;
    uint8_t key[KEY_GONE];
    SCOPED_VALUE(bytes) value = {0};
    key_gone(slot, attempt, key);
    TRY(db_get(store->db, DB_GONE, key, sizeof key, &value, &found));
    if (!found)
        return err_new(ERR_NOT_FOUND, "slot %llu attempt %u has not left", (unsigned long long)slot,
                       attempt);
    return err_wrap(gone_decode(value.data, value.len, ret), "store '%s': slot %llu", store->dir,
                    (unsigned long long)slot);
}

/* A group that rounds have used and may use again; ret->state 0: it is none. */
static err_t read_kept(struct store *store, uint64_t number, uint32_t attempt, struct slot *ret)
{
    bool found = false;
    uint8_t key[KEY_SLOT];
    SCOPED_VALUE(bytes) value = {0};
    SCOPED_VALUE(slot) slot = {0};
    key_slot(number, key);
    TRY(db_get(store->db, DB_SLOTS, key, sizeof key, &value, &found));
    if (!found)
        return OK;
    TRY(err_wrap(slot_decode(number, value.data, value.len, &slot), "store '%s'", store->dir));
    if (slot.state != SLOT_STORED || slot.attempt != attempt || !slot.uses)
        return OK;
    *ret = slot;
    slot.generator = NULL;
    return OK;
}

err_t store_trace(struct store *store, uint64_t slot, uint32_t attempt, struct trace *ret)
{
    SCOPED_VALUE(gone) gone = {0};
    SCOPED_VALUE(slot) kept = {0};
    TRY(store_begin(store, 0));
    TRY(read_kept(store, slot, attempt, &kept));
    if (kept.state)
        gone = (struct gone){.reason = REASON_TRAINED,
                             .summary = kept.summary,
                             .generator = mem_string(kept.generator ? kept.generator : "")};
    else
        TRY(read_gone(store, slot, attempt, &gone));
    const struct summary *summary = &gone.summary;
    *ret = (struct trace){gone.reason,
                          summary->reward,
                          slot_prompt(store, slot),
                          slot / store->schema.rows,
                          summary->tokens,
                          summary->oldest_version,
                          summary->newest_version,
                          summary->completions,
                          STEAL(gone.generator)};
    return OK;
}

err_t gone_change(struct store *store, uint64_t slot, uint32_t attempt, enum reason from,
                  enum reason to)
{
    SCOPED_VALUE(gone) gone = {0};
    TRY(read_gone(store, slot, attempt, &gone));
    if (gone.reason != from)
        return OK;
    gone.reason = to;
    store->counters.gone[from]--;
    group_left(store, slot, attempt, &gone); // counts the other
    return OK;
}

err_t gone_uses(struct store *store, uint64_t slot, uint32_t attempt, uint32_t uses,
                uint64_t trained_in)
{
    SCOPED_VALUE(gone) gone = {0};
    TRY(read_gone(store, slot, attempt, &gone));
    if (gone.reason != REASON_TRAINED)
        return OK;
    gone.uses = uses;
    gone.round = trained_in;
    store->counters.gone[REASON_TRAINED]--;
    group_left(store, slot, attempt, &gone);
    return OK;
}

/* --- rounds that are begun and do not end --- */

static err_t read_tries(struct store *store, uint64_t round, struct tries *ret)
{
    bool found = false;
    uint8_t key[KEY_ROUND];
    SCOPED_VALUE(bytes) value = {0};
    key_round('t', lineages_of_round(&store->lineages, round), round, key);
    TRY(db_get(store->db, DB_ROUNDS, key, sizeof key, &value, &found));
    if (!found)
        return OK;
    return err_wrap(tries_decode(value.data, value.len, ret), "store '%s': round %llu", store->dir,
                    (unsigned long long)round);
}

static err_t put_tries(struct store *store, uint64_t round, const struct tries *tries)
{
    uint8_t key[KEY_ROUND];
    SCOPED_VALUE(bytes) value = {0};
    key_round('t', store->counters.lineage, round, key);
    tries_encode(tries, &value);
    db_put(store->db, DB_ROUNDS, key, sizeof key, value.data, value.len);
    store->changed = true;
    return store_commit(store);
}

/* Rounds are trained one after another: only the last recorded can be under way. */
static err_t is_under_way(const struct store *store, uint64_t round)
{
    const struct counters *counters = &store->counters;
    if (round == counters->rounds_done && round + 1 == counters->next_round)
        return OK;
    return err_new(ERR_PRECONDITION, "round %llu is not under way: %llu of %llu rounds have ended",
                   (unsigned long long)round, (unsigned long long)counters->rounds_done,
                   (unsigned long long)counters->next_round);
}

err_t store_round_begin(struct store *store, uint64_t round, struct round_tries *ret)
{
    SCOPED_VALUE(tries) tries = {0};
    TRY(store_begin(store, 0));
    TRY(is_under_way(store, round));
    TRY(read_tries(store, round, &tries));
    tries.starts++;
    TRY(put_tries(store, round, &tries));
    uint32_t starts = tries.starts + 1; // its recorder's too
    *ret =
        (struct round_tries){.starts = starts,
                             .failures = tries.failures,
                             .hopeless = tries.failures >= VOID_FAILURES || starts > VOID_STARTS};
    return OK;
}

err_t store_round_failed(struct store *store, uint64_t round, const char *why, uint32_t *ret)
{
    SCOPED_VALUE(tries) tries = {0};
    TRY(store_begin(store, 0));
    TRY(is_under_way(store, round));
    TRY(read_tries(store, round, &tries));
    tries_done(&tries);
    tries.failures++;
    tries.why = mem_printf("%.*s", WHY_MAX, why);
    TRY(put_tries(store, round, &tries));
    *ret = tries.failures;
    return OK;
}

/* A slot that is gone is on disk alone. */
static err_t void_group(struct store *store, const struct round_group *group)
{
    struct slot *held = slots_find(&store->slots, group->slot);
    if (held && held->state == SLOT_STORED) { // it was not its last use
        slot_group_left(store, held, REASON_ERRORED);
        slot_gone(store, held, REASON_ERRORED);
        return OK;
    }
    bool found = false;
    uint8_t key[KEY_SLOT];
    SCOPED_VALUE(bytes) value = {0};
    SCOPED_VALUE(slot) slot = {0};
    key_slot(group->slot, key);
    TRY(gone_change(store, group->slot, group->attempt, REASON_TRAINED, REASON_ERRORED));
    TRY(db_get(store->db, DB_SLOTS, key, sizeof key, &value, &found));
    if (!found)
        return err_new(ERR_DATA_LOSS, "store '%s': slot %llu is missing", store->dir,
                       (unsigned long long)group->slot);
    TRY(err_wrap(slot_decode(group->slot, value.data, value.len, &slot), "store '%s'", store->dir));
    slot.reason = REASON_ERRORED;
    bytes_clear(&value);
    slot_encode(&slot, &value);
    db_put(store->db, DB_SLOTS, key, sizeof key, value.data, value.len);
    return OK;
}

/* Leases for a version that never comes. */
static void revoke_ahead(struct store *store)
{
    for (size_t i = 0; i < store->slots.n; i++) {
        struct slot *slot = store->slots.at[i];
        if (slot_is_ahead(store, slot))
            slot_revoke(store, slot, REVOKED_VOID);
    }
}

static err_t void_round(struct store *store, const struct round *round)
{
    struct counters *counters = &store->counters;
    SCOPED_VALUE(tries) tries = {0};
    uint8_t from[KEY_ROUND], below[KEY_ROUND];
    for (size_t i = 0; i < round->groups; i++)
        TRY(void_group(store, &round->group[i]));
    key_round('u', counters->lineage, round->first_version + 1, from);
    key_round('u', counters->lineage, counters->last_version + 1, below);
    if (counters->last_version > round->first_version)
        db_delete_range(store->db, DB_ROUNDS, from, below, sizeof from);
    counters->last_version = counters->next_version = round->first_version;
    revoke_ahead(store);
    versions_end(store, round->round, round->first_version);
    TRY(read_tries(store, round->round, &tries));
    tries.voided = true;
    return put_tries(store, round->round, &tries);
}

err_t store_void_round(struct store *store, uint64_t number)
{
    SCOPED(round) round = NULL;
    TRY(store_begin(store, 0));
    TRY(is_under_way(store, number));
    TRY(store_round(store, number, &round));
    return store_break(store, void_round(store, round));
}

err_t store_round_voided(struct store *store, uint64_t round, bool *ret, char **ret_why)
{
    SCOPED_VALUE(tries) tries = {0};
    TRY(store_begin(store, 0));
    TRY(read_tries(store, round, &tries));
    *ret = tries.voided;
    if (ret_why)
        *ret_why = tries.voided ? STEAL(tries.why) : NULL;
    return OK;
}
