#include "learner/store/leases.h"
#include "base/mem.h"
#include "learner/store/keeping.h"
#include <string.h>

enum { GRANTS_MAX = 4096 };

void grants_done(struct grants *grants)
{
    free(grants->grant);
    *grants = (struct grants){0};
}

const char *lease_stop_name(enum lease_stop stop)
{
    static const char *const names[] = {"all",    "paced", "old weights", "full",
                                        "source", "disk",  "ended"};
    return (unsigned)stop < sizeof names / sizeof *names ? names[stop] : "?";
}

const char *revoked_why_name(enum revoked_why why)
{
    static const char *const names[] = {"expired", "stale", "straggler", "ended",
                                        "lineage", "lost",  "drained",   "void"};
    return (unsigned)why < sizeof names / sizeof *names ? names[why] : "?";
}

err_t holder_check(const struct store_holder *holder)
{
    size_t len = strlen(holder->generator);
    if (!len || len > NAME_MAX_BYTES)
        return err_new(ERR_INVALID, "a generator's name of %zu bytes: allowed is 1 to %d", len,
                       NAME_MAX_BYTES);
    return OK;
}

/* Nothing else is of the next round as long as a round is under way. */
static uint64_t leased_ahead(const struct store *store)
{
    const struct slots *slots = &store->slots;
    const uint64_t next = store->counters.next_round;
    if (store->counters.rounds_done == next || !slots->ages)
        return 0;
    const struct lag_age *youngest = &slots->age[slots->ages - 1];
    return youngest->round == next ? youngest->leased : 0;
}

/* How many more slots rule 1 allows, for weights of round held. */
static uint64_t paced(const struct store *store, uint64_t held)
{
    const struct lag_rules rules = store_lag_rules(store);
    const uint64_t next = store->counters.next_round, live = store_live(store),
                   ahead = leased_ahead(store) * store->rules.max_uses;
    const uint64_t uses = held == next && store->counters.rounds_done < next
                              ? lag_may_lease_ahead(&rules, next, live, ahead)
                              : lag_may_lease(&rules, next, held, live - ahead);
    return uses / store->rules.max_uses;
}

/* How many slots rule 1 and the other bounds allow, and which of them is the tightest; *ret_paced:
 * rule 1 alone. */
static uint64_t allowed(const struct store *store, uint64_t held, enum lease_stop *ret_stop,
                        uint64_t *ret_paced)
{
    uint64_t free_bytes, groups = store->slots.leased + store->slots.stored;
    *ret_stop = LEASE_ENDED;
    if (store_ended(store))
        return 0;
    *ret_stop = LEASE_DISK;
    if (store_disk_low(store, &free_bytes))
        return 0;
    *ret_stop = LEASE_OLD_WEIGHTS;
    *ret_paced = 0;
    if (lag_of(store->counters.next_round, held) > store->rules.eta)
        return 0;
    *ret_stop = LEASE_PACED;
    uint64_t room = *ret_paced = paced(store, held);
    uint64_t wanted = store_groups_wanted(store);
    uint64_t full = store->rules.max_groups > groups ? store->rules.max_groups - groups : 0;
    if (wanted < room)
        room = wanted;
    if (full < room)
        *ret_stop = LEASE_FULL;
    return full < room ? full : room;
}

/* The lowest free slot, else the next of the data; NULL when that is empty. */
static struct slot *next_slot(struct store *store)
{
    struct slot *found = slots_lowest_free(&store->slots);
    if (found || store_source_empty(store))
        return found;
    struct slot fresh = {.number = store->counters.next_slot++, .state = SLOT_FREE};
    return slots_add(&store->slots, &fresh);
}

static struct grant grant(struct store *store, struct slot *slot, const struct store_holder *holder,
                          uint64_t version, uint64_t held)
{
    const struct schema *schema = &store->schema;
    slots_move(&store->slots, slot, SLOT_LEASED, held);
    slot->attempt++;
    slot->lineage = store->counters.lineage;
    slot->answered = (enum outcome)0;
    slot->summary = (struct summary){0};
    slot->uses = 0;
    slot->trained_in = 0;
    slot->version = version;
    slot->deadline_ms = store->counters.clock_ms + store->rules.lease_ms;
    slot->term = holder->term;
    slot->generator = mem_string(holder->generator);
    slot->id = group_id(schema->run, store->counters.lineage, slot->number, slot->attempt);
    slot_touch(store, slot);
    store->counters.granted++;
    store->behind += lag_of(store->counters.next_round, held);
    return (struct grant){.id = slot->id,
                          .slot = slot->number,
                          .prompt = slot_prompt(store, slot->number),
                          .start_round = held,
                          .version = version,
                          .lineage = store->counters.lineage,
                          .attempt = slot->attempt,
                          .epoch = (uint32_t)(slot->number / schema->rows),
                          .lease_ms = store->rules.lease_ms};
}

/* Adds up to count grants; fewer where the data have no more. */
static void take(struct store *store, const struct store_holder *holder, uint64_t version,
                 uint64_t held, size_t count, struct grants *grants)
{
    if (count > GRANTS_MAX)
        count = GRANTS_MAX;
    grants->grant = mem_grow(grants->grant, grants->count + count, sizeof *grants->grant);
    for (; count; count--) {
        struct slot *slot = next_slot(store);
        if (!slot) {
            grants->stop = LEASE_SOURCE;
            return;
        }
        grants->grant[grants->count++] = grant(store, slot, holder, version, held);
    }
}

/* The round of the weights that a holder says it has. */
static err_t begin(struct store *store, const struct store_holder *holder, uint64_t version,
                   int64_t now_ms, uint64_t *ret_held)
{
    TRY(store_begin(store, now_ms));
    TRY(holder_check(holder));
    err_t e = store_round_of(store, version, ret_held);
    if (!err_failed(e))
        return OK;
    err_free(e);
    return err_new(ERR_PRECONDITION, "generator '%s' holds version %llu, which was never made here",
                   holder->generator, (unsigned long long)version);
}

err_t store_lease(struct store *store, const struct store_holder *holder, uint64_t version,
                  size_t want, int64_t now_ms, struct grants *ret)
{
    uint64_t held;
    enum lease_stop stop;
    TRY(begin(store, holder, version, now_ms, &held));
    uint64_t rule = UINT64_MAX, room = allowed(store, held, &stop, &rule);
    SCOPED_VALUE(grants) grants = {.stop = want > room ? stop : LEASE_ALL};
    take(store, holder, version, held, want < room ? want : (size_t)room, &grants);
    TRY(store_commit(store));
    uint64_t unused = rule == UINT64_MAX ? rule : rule - grants.count;
    if (unused < store->spare && want)
        store->spare = unused;
    *ret = grants;
    grants = (struct grants){0};
    return OK;
}

static bool holds(const struct slot *slot, const struct store_holder *holder)
{
    return slot->state == SLOT_LEASED && slot->term == holder->term &&
           !strcmp(slot->generator, holder->generator);
}

/* The rest of the holder's share of a round: who asks early leaves some to others. */
static uint64_t share_left(const struct store *store, const struct store_holder *holder,
                           uint64_t holders)
{
    uint64_t share = (store->rules.groups + holders - 1) / holders;
    for (size_t i = 0; share && i < store->slots.n; i++)
        share -= holds(store->slots.at[i], holder) && slot_is_ahead(store, store->slots.at[i]);
    return share;
}

err_t store_lease_ahead(struct store *store, const struct store_holder *holder, uint64_t version,
                        uint64_t holders, size_t want, int64_t now_ms, struct grants *ret)
{
    const struct counters *counters = &store->counters;
    const uint64_t next = counters->next_round;
    const uint64_t newest = store->ends ? store->last[store->ends - 1] : 0;
    uint64_t rule, held;
    enum lease_stop stop;
    TRY(begin(store, holder, version, now_ms, &held));
    if (counters->rounds_done == next || held != counters->rounds_done || !holders)
        return OK;
    if (!want || !paced(store, next)) // most times: the disk is not asked then
        return OK;
    uint64_t room = allowed(store, next, &stop, &rule);
    if (room > want)
        room = want;
    if (!room)
        return OK;
    const uint64_t share = share_left(store, holder, holders);
    take(store, holder, newest + 1, next, (size_t)(share < room ? share : room), ret);
    return store_commit(store);
}

size_t store_leased(const struct store *store, const struct store_holder *holder)
{
    size_t count = 0;
    for (size_t i = 0; i < store->slots.n; i++)
        count += holds(store->slots.at[i], holder);
    return count;
}

bool store_oldest_lease(struct store *store, int64_t now_ms, struct store_lease *ret)
{
    const struct slot *oldest = NULL;
    err_free(store_begin(store, now_ms)); // of a store that failed the clock stands still
    for (size_t i = 0; store->slots.leased && i < store->slots.n; i++) {
        const struct slot *slot = store->slots.at[i];
        if (slot->state == SLOT_LEASED && (!oldest || slot->start_round < oldest->start_round))
            oldest = slot;
    }
    if (!oldest)
        return false;
    const uint64_t begun = oldest->deadline_ms - store->rules.lease_ms,
                   now = store->counters.clock_ms;
    *ret = (struct store_lease){.generator =
                                    slot_is_again(oldest) ? "a rewarder, again" : oldest->generator,
                                .slot = oldest->number,
                                .prompt = slot_prompt(store, oldest->number),
                                .start_round = oldest->start_round,
                                .leased_s = now > begun ? (double)(now - begun) / 1e3 : 0};
    return true;
}

const struct lag_age *store_ages(const struct store *store, size_t *ret_count)
{
    *ret_count = store->slots.ages;
    return store->slots.age;
}

static struct slot *find_lease(struct store *store, const struct store_holder *holder,
                               const struct digest *id)
{
    for (size_t i = 0; i < store->slots.n; i++) {
        struct slot *slot = store->slots.at[i];
        if (digest_equal(&slot->id, id))
            return holds(slot, holder) ? slot : NULL;
    }
    return NULL;
}

err_t store_give_back(struct store *store, const struct store_holder *holder,
                      const struct digest *ids, size_t n, int64_t now_ms)
{
    TRY(store_begin(store, now_ms));
    for (size_t i = 0; i < n; i++) {
        struct slot *slot = find_lease(store, holder, &ids[i]);
        if (!slot)
            continue;
        slot_free_again(store, slot);
        store->counters.given_back++;
    }
    return store_commit(store);
}

err_t store_filter(struct store *store, const struct store_holder *holder, const struct digest *ids,
                   size_t n, int64_t now_ms)
{
    TRY(store_begin(store, now_ms));
    for (size_t i = 0; i < n; i++) {
        struct slot *slot = find_lease(store, holder, &ids[i]);
        if (slot)
            slot_gone(store, slot, REASON_FILTERED);
    }
    return store_commit(store);
}

static bool among(const struct digest *ids, size_t n, const struct digest *id)
{
    for (size_t i = 0; i < n; i++)
        if (digest_equal(&ids[i], id))
            return true;
    return false;
}

err_t store_holds_only(struct store *store, const struct store_holder *holder,
                       const struct digest *ids, size_t n, int64_t now_ms)
{
    TRY(store_begin(store, now_ms));
    for (size_t i = 0; i < store->slots.n; i++) {
        struct slot *slot = store->slots.at[i];
        if (!holds(slot, holder) || among(ids, n, &slot->id))
            continue;
        slot_free_again(store, slot);
        store->counters.given_back++;
    }
    return store_commit(store);
}

err_t store_holder_gone(struct store *store, const struct store_holder *holder, int64_t now_ms)
{
    TRY(store_begin(store, now_ms));
    for (size_t i = 0; i < store->slots.n; i++) {
        struct slot *slot = store->slots.at[i];
        if (slot->state == SLOT_LEASED && slot->term && slot->term != holder->term &&
            !strcmp(slot->generator, holder->generator)) {
            slot_free_again(store, slot);
            store->counters.given_back++;
        }
    }
    return store_commit(store);
}

void store_holders(const struct store *store,
                   void (*fn)(void *arg, const struct store_holder *holder), void *arg)
{
    for (size_t i = 0; store->slots.leased && i < store->slots.n; i++) {
        const struct slot *slot = store->slots.at[i];
        if (slot->state == SLOT_LEASED && slot->term)
            fn(arg, &(struct store_holder){slot->generator, slot->term});
    }
}

err_t store_free_leases(struct store *store, const struct store_holder *holder,
                        enum revoked_why why, int64_t now_ms, size_t *ret_count)
{
    size_t count = 0;
    TRY(store_begin(store, now_ms));
    for (size_t i = 0; store->slots.leased && i < store->slots.n; i++) {
        struct slot *slot = store->slots.at[i];
        if (!holds(slot, holder))
            continue;
        slot_revoke(store, slot, why);
        count++;
    }
    TRY(store_commit(store));
    *ret_count = count;
    return OK;
}

void store_hold(struct store *store, bool holds)
{
    store->holds = holds;
}

err_t store_expire(struct store *store, int64_t now_ms)
{
    TRY(store_begin(store, now_ms));
    for (size_t i = 0; store->slots.leased && i < store->slots.n; i++) {
        struct slot *slot = store->slots.at[i];
        if (slot->state != SLOT_LEASED)
            continue;
        /* A wait for the version is not the holder's. A restart counts from the grant again. */
        if (slot_is_ahead(store, slot))
            slot->deadline_ms = store->counters.clock_ms + store->rules.lease_ms;
        else if (slot->deadline_ms <= store->counters.clock_ms)
            slot_revoke(store, slot, REVOKED_EXPIRED);
    }
    store_sweep(store);
    return store_commit(store);
}

bool store_holds(struct store *store, const struct store_holder *holder, const struct digest *id)
{
    return find_lease(store, holder, id) != NULL;
}

void store_revoked(struct store *store, struct revoked **ret, size_t *ret_count)
{
    *ret_count = store->revoked_n;
    *ret = STEAL(store->revoked);
    store->revoked_n = store->revoked_capacity = 0;
}

void revoked_free(struct revoked *revoked, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(revoked[i].generator);
    free(revoked);
}
