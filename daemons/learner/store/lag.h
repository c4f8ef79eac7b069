/* The bound on lag, as pure arithmetic over counts: how far the generators may run ahead, and when
 * a round may be formed.
 *
 *     struct lag_rules rules = {.eta = 1, .limit = 1, .groups = 64};
 *     uint64_t more = lag_may_lease(&rules, next, held, live);     -- rule 1: so many more slots
 *     more = lag_may_lease_ahead(&rules, next, live, ahead);       -- rule 1 for weights to come
 *     struct lag_form form = lag_may_form(&rules, next, ages, n);  -- rule 2: now, or wait for whom
 *     bool may = lag_of(next, oldest) <= rules.limit;              -- rule 3: what may be recorded
 *
 * next is the number of the first round not yet recorded. The age of a live group is a round. While
 * leased, a group has the round of the weights that its generator held at the lease. Once stored,
 * it has the round of the oldest version among its tokens, which is never older. A group of age s
 * can be trained in rounds s .. s + limit. So at most (s + limit - next + 1) * groups live groups
 * may be as old as s or older. This invariant holds for every s at every moment. Rules 1 and 2 keep
 * it, and from it follows that waiting always ends. Any thread: nothing is kept. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lag_rules {
    uint64_t eta;    // lag.max, what pacing aims at
    uint64_t limit;  // the promise: eta, or lag.hard_max with on_stale: keep; >= eta
    uint64_t groups; // in a round; > 0
};

/* The live groups of one age. Tables of them ascend strictly by round. */
struct lag_age {
    uint64_t round, leased /* scoring included */, stored;
};

static inline uint64_t lag_of(uint64_t round, uint64_t oldest)
{
    return round > oldest ? round - oldest : 0;
}

/* How many live groups may be as old as age when next is the first unrecorded round: max(0, age +
 * limit + 1 - next) * groups */
uint64_t lag_room(uint64_t age, uint64_t next, uint64_t limit, uint64_t groups);

/* How many more slots a generator may lease whose weights are of round held; live counts leased and
 * stored groups. */
uint64_t lag_may_lease(const struct lag_rules *rules, uint64_t next, uint64_t held, uint64_t live);

/* How many more slots may be leased ahead, for weights that the round under way will make: they are
 * of round next. `ahead` of the live groups are leased so. They never take the room of older
 * weights, and lag_may_lease does not count them. */
uint64_t lag_may_lease_ahead(const struct lag_rules *rules, uint64_t next, uint64_t live,
                             uint64_t ahead);

/* Whether one more live group of this age keeps the invariant: for work that comes back after its
 * lease was given up. */
bool lag_may_admit(const struct lag_rules *rules, uint64_t next, const struct lag_age *ages,
                   size_t n, uint64_t age);

enum lag_form_kind {
    LAG_FORM,     // the oldest `groups` stored groups may be the round
    LAG_FEW,      // fewer than that are stored
    LAG_STRAGGLER // forming now would make a leased group too late
};
struct lag_form {
    enum lag_form_kind kind;
    uint64_t age, excess; // STRAGGLER: so many leases of this age or older are in the way
};

/* May the oldest stored groups make round next? The invariant holds before; it will hold after. */
struct lag_form lag_may_form(const struct lag_rules *rules, uint64_t next,
                             const struct lag_age *ages, size_t n);

/* The oldest age at which the invariant is broken, and the number of groups of that age or older
 * that must leave. A change of the rules may have broken it. False: it is broken nowhere. */
bool lag_excess(const struct lag_rules *rules, uint64_t next, const struct lag_age *ages, size_t n,
                uint64_t *ret_age, uint64_t *ret_excess);
