/* Scored groups come in: what becomes of each, and why. */
#include "base/mem.h"
#include "learner/store/keeping.h"
#include <math.h>
#include <string.h>

struct arrival {
    const struct group *group;
    const struct encoded *encoded; // NULL: to be encoded
    bool rejected;                 // by the caller
    const char *unscored;          // why; NULL: it has its reward
};

static struct verdict verdict(enum outcome outcome, const char *why)
{
    return (struct verdict){outcome, why, FILTERED_NONE};
}

static struct summary summarize(const struct group *group)
{
    struct summary summary = {.oldest_version =
                                  group->completions ? group_oldest_version(group) : 0,
                              .tokens = group_tokens(group),
                              .completions = group->completions};
    for (uint32_t i = 0; i < group->completions; i++)
        summary.reward += group_value(group, COLUMN_REWARD, i) / group->completions;
    for (uint32_t i = 0; i < group->completions; i++) {
        const struct completion *completion = &group->completion[i];
        summary.spread +=
            fabs(group_value(group, COLUMN_REWARD, i) - summary.reward) / group->completions;
        for (uint32_t j = 0; j < completion->spans; j++)
            if (completion->span[j].version > summary.newest_version)
                summary.newest_version = completion->span[j].version;
    }
    return summary;
}

/* Whether it could be a group of this run at all; nothing is recorded of one that is not. */
static const char *foreign(const struct store *store, const struct group *group)
{
    if (strcmp(group->run, store->schema.run))
        return "of another run";
    if (!lineages_find(&store->lineages, group->lineage))
        return "of another lineage";
    if (group->slot >= store->counters.next_slot || !group->attempt)
        return "of a slot that was never leased";
    struct digest id = group_id(group->run, group->lineage, group->slot, group->attempt);
    return digest_equal(&id, &group->id) ? NULL
                                         : "its id does not follow from its slot and attempt";
}

/* Up to this version the group's lineage and this history have the same weights. A generator may go
 * on with a group whose lease a fork revoked, by weights of the new branch. The versions of these
 * are above the limit, as are those that the fork cut off. */
static uint64_t valid_up_to(const struct store *store, const struct group *group)
{
    uint64_t limit = 0;
    lineages_limit(&store->lineages, group->lineage, store->counters.last_version, &limit);
    return limit;
}

/* The fault of its contents, or NULL and its age. */
static const char *unfit(const struct store *store, const struct slot *slot,
                         const struct group *group, const struct summary *summary,
                         uint64_t *ret_age)
{
    if (group->start_round != slot->start_round)
        return "its start round is not the lease's";
    if (group->prompt != slot_prompt(store, slot->number) ||
        group->epoch != slot->number / store->schema.rows)
        return "its prompt is not the slot's";
    if (summary->newest_version > store->counters.last_version)
        return "tokens of a version that was never made here";
    uint64_t age = version_round(store, summary->oldest_version);
    if (age < slot->start_round && group->lineage == store->counters.lineage)
        return "tokens of weights older than its lease";
    if (!isfinite(summary->reward))
        return "a reward that is not a number";
    *ret_age = age;
    return NULL;
}

/* A group that is of no use to its slot any more: remembered once. */
static err_t too_late(struct store *store, const struct group *group, enum outcome outcome,
                      enum reason reason)
{
    bool found;
    uint8_t key[KEY_GONE];
    SCOPED_VALUE(bytes) value = {0};
    key_gone(group->slot, group->attempt, key);
    TRY(db_get(store->db, DB_GONE, key, sizeof key, &value, &found));
    if (found)
        return OK;
    struct gone gone = {.answered = outcome,
                        .reason = reason,
                        .round = store->counters.next_round,
                        .age = group->start_round,
                        .summary = summarize(group),
                        .generator = group->generator};
    group_left(store, group->slot, group->attempt, &gone);
    return OK;
}

static err_t superseded(struct store *store, const struct group *group, struct verdict *ret)
{
    TRY(too_late(store, group, OUTCOME_SUPERSEDED, REASON_SUPERSEDED));
    *ret = verdict(OUTCOME_SUPERSEDED, "its slot was leased again");
    return OK;
}

/* The same group a second time. */
static struct verdict again(enum outcome answered)
{
    switch (answered) {
    case OUTCOME_STALE:
        return verdict(OUTCOME_STALE, "it was too old when it first came");
    case OUTCOME_REJECTED:
        return verdict(OUTCOME_REJECTED, "it was rejected when it first came");
    default:
        return verdict(OUTCOME_DUPLICATE, "it was stored before");
    }
}

static err_t judge_gone(struct store *store, const struct group *group, struct verdict *ret)
{
    bool found;
    uint8_t key[KEY_SLOT];
    SCOPED_VALUE(bytes) value = {0};
    SCOPED_VALUE(slot) slot = {0};
    key_slot(group->slot, key);
    TRY(db_get(store->db, DB_SLOTS, key, sizeof key, &value, &found));
    if (!found)
        return err_new(ERR_DATA_LOSS, "store '%s': slot %llu is missing", store->dir,
                       (unsigned long long)group->slot);
    TRY(err_wrap(slot_decode(group->slot, value.data, value.len, &slot), "store '%s'", store->dir));
    if (group->attempt < slot.attempt)
        return superseded(store, group, ret);
    if (group->attempt > slot.attempt || group->lineage != slot.lineage) {
        *ret = verdict(OUTCOME_REJECTED, "of an attempt that was never leased");
    } else if (slot.answered) {
        *ret = again(slot.answered);
    } else {
        TRY(too_late(store, group, OUTCOME_STALE, slot.reason));
        *ret = verdict(OUTCOME_STALE, "its slot is closed");
    }
    return OK;
}

static void put_bytes(struct store *store, struct slot *slot, const uint8_t key[KEY_GROUP],
                      const struct encoded *encoded)
{
    SCOPED_VALUE(bytes) header = {0};
    stored_header(&header);
    slot->summary.content = hash128(encoded->data, encoded->len, 0);
    db_put_parts(store->db, DB_GROUPS, key, KEY_GROUP,
                 (const void *const[]){header.data, encoded->data},
                 (const size_t[]){header.len, encoded->len});
}

static struct verdict put_group(struct store *store, struct slot *slot, const struct arrival *from,
                                uint64_t age)
{
    const struct group *group = from->group;
    uint8_t key[KEY_GROUP];
    SCOPED_VALUE(bytes) value = {0};
    key_group(age, slot->number, key);
    if (age < store->counters.floor) // after a fork, or late under a lost lease
        store->counters.floor = age;
    if (!from->encoded)
        group_encode(group, &value);
    put_bytes(store, slot, key,
              from->encoded ? from->encoded : &(struct encoded){value.data, value.len});
    slot_forget_kept(store, slot);
    slots_move(&store->slots, slot, SLOT_STORED, age);
    slot_done(slot);
    slot->generator = *group->generator ? mem_string(group->generator) : NULL;
    slot_touch(store, slot);
    store_unusable_forget(store);
    return verdict(OUTCOME_STORED, "");
}

/* It came, but leaves at once: the slot is free for another attempt. */
static struct verdict turn_away(struct store *store, struct slot *slot, const struct group *group,
                                uint64_t age, enum reason reason, const char *why)
{
    slot->answered = reason == REASON_ERRORED ? OUTCOME_REJECTED : OUTCOME_STALE;
    struct gone gone = {.answered = slot->answered,
                        .reason = reason,
                        .round = store->counters.next_round,
                        .age = age,
                        .summary = slot->summary,
                        .generator = group->generator};
    group_left(store, slot->number, slot->attempt, &gone);
    if (slot->state == SLOT_LEASED && reason == REASON_ERRORED)
        slot_failed(store, slot);
    else
        slot_free_again(store, slot);
    return verdict(slot->answered, why);
}

static bool are_equal(const struct group *group)
{
    for (uint32_t i = 1; i < group->completions; i++)
        if (group_value(group, COLUMN_REWARD, i) != group_value(group, COLUMN_REWARD, 0))
            return false;
    return group->completions > 1;
}

static double truncated_share(const struct group *group)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < group->completions; i++)
        count += group->completion[i].finish == FINISH_LENGTH;
    return group->completions ? (double)count / group->completions : 0;
}

static enum filtered filtered_as(const struct store_rules *rules, const struct group *group)
{
    if (rules->filter_equal && are_equal(group))
        return FILTERED_EQUAL;
    return truncated_share(group) > rules->filter_truncated ? FILTERED_TRUNCATED : FILTERED_NONE;
}

/* Scored, but not worth training: its slot is closed, and another one's group takes its place. */
static struct verdict filter(struct store *store, struct slot *slot, const struct group *group,
                             uint64_t age, enum filtered why)
{
    static const char *const words[FILTERED_WHYS] = {
        "", "filtered: all its rewards are the same",
        "filtered: too many of its completions were cut off"};
    slot->answered = OUTCOME_REJECTED;
    const struct gone gone = {.answered = slot->answered,
                              .reason = REASON_FILTERED,
                              .round = store->counters.next_round,
                              .age = age,
                              .summary = slot->summary,
                              .generator = group->generator};
    group_left(store, slot->number, slot->attempt, &gone);
    slot_filtered(store, slot);
    return (struct verdict){slot->answered, words[why], why};
}

/* Not scored: its bytes are kept, and its slot is closed. */
static struct verdict set_aside(struct store *store, struct slot *slot, const struct arrival *from,
                                uint64_t age)
{
    uint8_t key[KEY_GROUP];
    key_group(QUARANTINE_AGE, slot->number, key);
    put_bytes(store, slot, key, from->encoded);
    slot_quarantine(store, slot, age, from->group->generator, from->unscored);
    return verdict(OUTCOME_REJECTED, "quarantined");
}

/* The first group of the slot's newest attempt. Without its lease it takes a place that pacing may
 * have given away. */
static struct verdict judge(struct store *store, struct slot *slot, const struct arrival *from)
{
    const struct group *group = from->group;
    struct lag_rules rules = store_lag_rules(store);
    uint64_t next = store->counters.next_round, age = slot->start_round;
    slot->summary = summarize(group);
    if (group->lineage != store->counters.lineage &&
        slot->summary.newest_version > valid_up_to(store, group))
        return turn_away(store, slot, group, age, REASON_LINEAGE,
                         "tokens of weights that a fork cut off");
    const char *why =
        from->rejected ? "unfit for training" : unfit(store, slot, group, &slot->summary, &age);
    if (why)
        return turn_away(store, slot, group, age, REASON_ERRORED, why);
    if (lag_of(next, age) > rules.limit)
        return turn_away(store, slot, group, age, REASON_STALE, "over the lag limit");
    if (slot->state == SLOT_FREE && (!store_groups_wanted(store) || !store_has_place(store, age)))
        return turn_away(store, slot, group, age, REASON_STALE,
                         "its lease was lost and its place given away");
    if (from->unscored && slot->state != SLOT_LEASED)
        return turn_away(store, slot, group, age, REASON_ERRORED, "without a reward");
    if (from->unscored)
        return set_aside(store, slot, from, age);
    const enum filtered filtered = filtered_as(&store->rules, group);
    if (filtered)
        return filter(store, slot, group, age, filtered);
    slot->answered = OUTCOME_STORED;
    return put_group(store, slot, from, age);
}

static err_t append_one(struct store *store, const struct arrival *from, struct verdict *ret)
{
    const struct group *group = from->group;
    const char *why = foreign(store, group);
    if (why) {
        *ret = verdict(OUTCOME_REJECTED, why);
        return OK;
    }
    struct slot *slot = slots_find(&store->slots, group->slot);
    if (!slot)
        return judge_gone(store, group, ret);
    if (group->attempt < slot->attempt)
        return superseded(store, group, ret);
    if (group->attempt > slot->attempt || group->lineage != slot->lineage)
        *ret = verdict(OUTCOME_REJECTED, "of an attempt that was never leased");
    else if (slot->state == SLOT_GONE || slot->answered)
        *ret = again(slot->answered);
    else
        *ret = judge(store, slot, from);
    return OK;
}

/* One batch may hold a group twice: what the first made of the store is not readable yet. */
static bool answered_in_batch(const struct group *const *groups, size_t i, struct verdict *verdicts)
{
    for (size_t j = 0; j < i; j++)
        if (digest_equal(&groups[j]->id, &groups[i]->id) &&
            verdicts[j].outcome != OUTCOME_REJECTED) {
            verdicts[i] =
                verdicts[j].outcome == OUTCOME_STORED ? again(OUTCOME_STORED) : verdicts[j];
            return true;
        }
    return false;
}

err_t store_append(struct store *store, const struct group *const *groups,
                   const struct encoded *encoded, size_t n, int64_t now_ms, struct verdict *ret)
{
    TRY(store_begin(store, now_ms));
    SCOPED_MEM struct verdict *verdicts = mem_array(n, sizeof *verdicts);
    for (size_t i = 0; i < n; i++) {
        struct arrival from = {groups[i], encoded ? &encoded[i] : NULL, false, NULL};
        if (!answered_in_batch(groups, i, verdicts))
            TRY(store_break(store, append_one(store, &from, &verdicts[i])));
        store->counters.outcomes[verdicts[i].outcome]++;
        store->changed = true;
    }
    TRY(store_commit(store));
    if (n)
        memcpy(ret, verdicts, n * sizeof *verdicts);
    return OK;
}

static err_t append_alone(struct store *store, const struct arrival *from, int64_t now_ms,
                          struct verdict *ret)
{
    struct verdict found;
    TRY(store_begin(store, now_ms));
    TRY(store_break(store, append_one(store, from, &found)));
    store->counters.outcomes[found.outcome]++;
    store->changed = true;
    TRY(store_commit(store));
    *ret = found;
    return OK;
}

err_t store_reject(struct store *store, const struct group *group, int64_t now_ms,
                   struct verdict *ret)
{
    return append_alone(store, &(struct arrival){group, NULL, true, NULL}, now_ms, ret);
}

err_t store_quarantine(struct store *store, const struct group *group,
                       const struct encoded *encoded, const char *why, int64_t now_ms,
                       struct verdict *ret)
{
    return append_alone(store, &(struct arrival){group, encoded, false, why}, now_ms, ret);
}
