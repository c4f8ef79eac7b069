#include "learner/store/rounds.h"
#include "base/mem.h"
#include "learner/store/inner.h"
#include "learner/store/pick.h"
#include <string.h>

const char *idle_name(enum idle idle)
{
    static const char *const names[] = {"none", "no groups", "straggler", "ended", "paused"};
    return (unsigned)idle < sizeof names / sizeof *names ? names[idle] : "?";
}

/* Revokes the excess leases of this age or older, oldest first, then by number. */
static void drop_stragglers(struct store *store, uint64_t age, uint64_t excess)
{
    for (; excess; excess--) {
        struct slot *oldest = NULL;
        for (size_t i = 0; i < store->slots.n; i++) {
            struct slot *slot = store->slots.at[i];
            if (slot->state == SLOT_LEASED && slot->start_round <= age &&
                (!oldest || slot->start_round < oldest->start_round))
                oldest = slot;
        }
        if (oldest)
            slot_revoke(store, oldest, REVOKED_STRAGGLER);
    }
}

/* Nothing is leased, nor ever will be, and the rest is less than a round. */
static enum idle last_round(struct store *store, size_t *ret_take)
{
    const struct slots *slots = &store->slots;
    if (!store_source_empty(store) || slots->leased || slots->free)
        return IDLE_NO_GROUPS;
    if (slots->stored && store->rules.last_batch == LAST_BATCH_SHORT) {
        *ret_take = slots->stored;
        return IDLE_NONE;
    }
    store_finish(store);
    return IDLE_ENDED;
}

/* How many of the stored groups make the next round, or why none do. */
static enum idle may_form(struct store *store, size_t *ret_take)
{
    struct slots *slots = &store->slots;
    store_sweep(store);
    struct lag_rules rules = store_lag_rules(store);
    if (store->rules.rounds && store->counters.next_round >= store->rules.rounds) {
        store_finish(store);
        return IDLE_ENDED;
    }
    if (!store_in_turn(store)) { // no group has to make room for another's turn
        *ret_take = rules.groups;
        return slots->stored < rules.groups ? last_round(store, ret_take) : IDLE_NONE;
    }
    for (;;) {
        struct lag_form form =
            lag_may_form(&rules, store->counters.next_round, slots->age, slots->ages);
        if (form.kind == LAG_FEW)
            return last_round(store, ret_take);
        *ret_take = rules.groups;
        if (form.kind == LAG_FORM)
            return IDLE_NONE;
        if (store->rules.straggler == STRAGGLER_WAIT || store->holds)
            return IDLE_STRAGGLER;
        drop_stragglers(store, form.age, form.excess);
    }
}

static void put_round(struct store *store, const struct round *round)
{
    uint8_t key[KEY_ROUND];
    SCOPED_VALUE(bytes) value = {0};
    key_round('r', round->lineage, round->round, key);
    round_encode(round, &value);
    db_put(store->db, DB_ROUNDS, key, sizeof key, value.data, value.len);
}

/* As the next round's record has it, which takes so many groups: a short one is the last. */
static uint64_t run_rounds(const struct store *store, size_t take)
{
    const uint64_t least = store->counters.next_round + 1, known = store_run_rounds(store);
    return take < store->rules.groups || known < least ? least : known;
}

/* Moves the counters on, and groups out whose last use this is. */
static err_t record(struct store *store, const struct round_plan *plan, size_t take,
                    struct round **ret)
{
    struct counters *counters = &store->counters;
    SCOPED(round) round = mem_new(sizeof *round);
    *round = (struct round){.lineage = counters->lineage,
                            .updates = plan->updates,
                            .round = counters->next_round,
                            .first_version = counters->next_version,
                            .seed = plan->seed,
                            .limit = store->limit,
                            .policy = store->rules.policy,
                            .max_uses = store->rules.max_uses,
                            .run_rounds = run_rounds(store, take),
                            .settings = mem_string(plan->settings),
                            .fingerprint = mem_string(plan->fingerprint),
                            .groups = take,
                            .group = mem_array(take, sizeof *round->group)};
    SCOPED_MEM struct slot **picked = pick_groups(store, take);
    bool last = take < store->rules.groups;
    for (size_t i = 0; i < take; i++) {
        struct slot *slot = picked[i];
        if (lag_of(round->round, slot->age) > round->limit)
            return err_new(ERR_INTERNAL, "slot %llu is too old for round %llu: the sweep missed it",
                           (unsigned long long)slot->number, (unsigned long long)round->round);
        slots_use(&store->slots, slot, round->round);
        round->group[i] = (struct round_group){slot->id,  slot->summary.content, slot->number,
                                               slot->age, slot->attempt,         slot->uses};
        if (last || slot->uses >= round->max_uses)
            slot_spent(store, slot);
        else
            slot_touch(store, slot);
    }
    put_round(store, round);
    counters->next_round++;
    counters->next_version += plan->updates;
    store->spare_before = store->spare;
    store->spare = UINT64_MAX;
    *ret = STEAL(round);
    return OK;
}

static err_t plan_check(const struct round_plan *plan)
{
    if (!plan->updates)
        return err_new(ERR_INVALID, "a round of no updates");
    if (!plan->settings || !plan->fingerprint || strlen(plan->settings) > ROUND_TEXT_MAX ||
        strlen(plan->fingerprint) > ROUND_TEXT_MAX)
        return err_new(ERR_INVALID, "a round's settings and fingerprint: texts of at most %d bytes",
                       ROUND_TEXT_MAX);
    return OK;
}

err_t store_form_round(struct store *store, int64_t now_ms, const struct round_plan *plan,
                       enum idle *ret_idle, struct round **ret)
{
    size_t take = 0;
    SCOPED(round) round = NULL;
    TRY(plan_check(plan));
    TRY(store_begin(store, now_ms));
    enum idle idle = may_form(store, &take);
    if (idle == IDLE_NONE)
        TRY(store_break(store, record(store, plan, take, &round)));
    TRY(store_commit(store));
    *ret_idle = idle;
    *ret = STEAL(round);
    return OK;
}

err_t store_round(struct store *store, uint64_t number, struct round **ret)
{
    TRY(store_begin(store, 0));
    if (number >= store->counters.next_round)
        return err_new(ERR_NOT_FOUND, "round %llu is not recorded", (unsigned long long)number);
    bool found;
    uint8_t key[KEY_ROUND];
    SCOPED_VALUE(bytes) value = {0};
    key_round('r', lineages_of_round(&store->lineages, number), number, key);
    TRY(db_get(store->db, DB_ROUNDS, key, sizeof key, &value, &found));
    if (!found)
        return err_new(ERR_DATA_LOSS, "store '%s': round %llu is missing", store->dir,
                       (unsigned long long)number);
    return err_wrap(round_decode(value.data, value.len, ret), "store '%s': round %llu", store->dir,
                    (unsigned long long)number);
}

static err_t read_group(struct store *store, const struct round *round,
                        const struct round_group *of, struct group **ret)
{
    bool found;
    uint8_t key[KEY_GROUP];
    SCOPED_VALUE(bytes) value = {0};
    key_group(of->age, of->slot, key);
    TRY(db_get(store->db, DB_GROUPS, key, sizeof key, &value, &found));
    if (!found && round->round < store->counters.checkpoint_round[1])
        return err_new(ERR_NOT_FOUND, "a checkpoint covers it: its groups are no longer kept");
    if (!found)
        return err_new(ERR_DATA_LOSS, "the group of slot %llu is missing",
                       (unsigned long long)of->slot);
    return err_wrap(stored_decode(value.data, value.len, &of->content, ret), "slot %llu",
                    (unsigned long long)of->slot);
}

err_t store_round_groups(struct store *store, const struct round *round, struct group ***ret)
{
    TRY(store_begin(store, 0));
    struct group **groups = mem_array(round->groups, sizeof(struct group *));
    for (size_t i = 0; i < round->groups; i++) {
        err_t e = read_group(store, round, &round->group[i], &groups[i]);
        if (err_failed(e)) {
            round_groups_free(groups, i);
            return err_wrap(e, "store '%s': round %llu", store->dir,
                            (unsigned long long)round->round);
        }
    }
    *ret = groups;
    return OK;
}

void round_groups_free(struct group **groups, size_t count)
{
    for (size_t i = 0; groups && i < count; i++)
        group_free(groups[i]);
    free(groups);
}
