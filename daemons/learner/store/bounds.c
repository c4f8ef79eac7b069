/* The rules, and what they leave room for. */
#include "learner/store/keeping.h"
#include <sys/statvfs.h>

enum { LIMIT_MAX = 65535, PRIORITY_EXPONENT_MAX = 10 };
static const uint64_t GROUPS_MAX = 1 << 20, ROUNDS_MAX = (uint64_t)1 << 40;

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
    if (!(rules->filter_truncated >= 0 && rules->filter_truncated <= 1))
        return err_new(ERR_INVALID, "filter: truncated is %g: allowed is 0 to 1",
                       rules->filter_truncated);
    if (!rules->lease_ms)
        return err_new(ERR_INVALID, "a lease of 0 ms: it must last");
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

bool store_has_place(const struct store *store, uint64_t age)
{
    struct lag_rules rules = store_lag_rules(store);
    const struct slots *slots = &store->slots;
    if (store_in_turn(store))
        return lag_may_admit(&rules, store->counters.next_round, slots->age, slots->ages, age);
    return store_live(store) + store->rules.max_uses <= (rules.limit + 1) * rules.groups;
}

/* Uses of groups that the data still has; UINT64_MAX: it does not end. */
static uint64_t uses_left(const struct store *store)
{
    const struct slots *slots = &store->slots;
    const struct store_rules *rules = &store->rules;
    uint64_t all, uses;
    if (!rules->epochs || __builtin_mul_overflow(store->schema.rows, rules->epochs, &all))
        return UINT64_MAX;
    const uint64_t next = store->counters.next_slot, unseen = all > next ? all - next : 0;
    if (__builtin_mul_overflow(unseen + slots->free + slots->leased + slots->stored,
                               rules->max_uses, &uses))
        return UINT64_MAX;
    return uses > slots->used ? uses - slots->used : 0;
}

uint64_t store_run_rounds(const struct store *store)
{
    const struct store_rules *rules = &store->rules;
    const uint64_t uses = uses_left(store), next = store->counters.next_round,
                   limit = rules->rounds ? rules->rounds : ROUNDS_MAX,
                   more = uses / rules->groups +
                          (uses % rules->groups && rules->last_batch == LAST_BATCH_SHORT);
    return more < limit && next + more < limit ? next + more : limit;
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
