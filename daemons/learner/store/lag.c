#include "learner/store/lag.h"

uint64_t lag_room(uint64_t age, uint64_t next, uint64_t limit, uint64_t groups)
{
    uint64_t last = age + limit + 1; // the first round that a group of this age may not join
    return last > next ? (last - next) * groups : 0;
}

uint64_t lag_may_lease(const struct lag_rules *rules, uint64_t next, uint64_t held, uint64_t live)
{
    if (lag_of(next, held) > rules->eta)
        return 0;
    uint64_t room = lag_room(held, next, rules->eta, rules->groups);
    return room > live ? room - live : 0;
}

/* Older weights may fill the room of round next - 1; the rest is one round's. */
uint64_t lag_may_lease_ahead(const struct lag_rules *rules, uint64_t next, uint64_t live,
                             uint64_t ahead)
{
    const uint64_t room = lag_may_lease(rules, next, next, live);
    const uint64_t rest = rules->groups > ahead ? rules->groups - ahead : 0;
    return room < rest ? room : rest;
}

/* A step function of age: it is enough to look where live(<= s) jumps. */
bool lag_may_admit(const struct lag_rules *rules, uint64_t next, const struct lag_age *ages,
                   size_t n, uint64_t age)
{
    uint64_t live = 1;
    size_t i = 0;
    for (; i < n && ages[i].round <= age; i++)
        live += ages[i].leased + ages[i].stored;
    if (live > lag_room(age, next, rules->limit, rules->groups))
        return false;
    for (; i < n; i++) {
        live += ages[i].leased + ages[i].stored;
        if (live > lag_room(ages[i].round, next, rules->limit, rules->groups))
            return false;
    }
    return true;
}

struct lag_form lag_may_form(const struct lag_rules *rules, uint64_t next,
                             const struct lag_age *ages, size_t n)
{
    uint64_t stored = 0;
    for (size_t i = 0; i < n; i++)
        stored += ages[i].stored;
    if (stored < rules->groups)
        return (struct lag_form){.kind = LAG_FEW};
    uint64_t take = rules->groups, left = 0; // still to be picked; live of this age or older after
    for (size_t i = 0; i < n; i++) {
        uint64_t picked = ages[i].stored < take ? ages[i].stored : take;
        take -= picked;
        left += ages[i].leased + ages[i].stored - picked;
        uint64_t room = lag_room(ages[i].round, next + 1, rules->limit, rules->groups);
        if (left > room)
            return (struct lag_form){LAG_STRAGGLER, ages[i].round, left - room};
    }
    return (struct lag_form){.kind = LAG_FORM};
}

bool lag_excess(const struct lag_rules *rules, uint64_t next, const struct lag_age *ages, size_t n,
                uint64_t *ret_age, uint64_t *ret_excess)
{
    uint64_t live = 0;
    for (size_t i = 0; i < n; i++) {
        live += ages[i].leased + ages[i].stored;
        uint64_t room = lag_room(ages[i].round, next, rules->limit, rules->groups);
        if (live > room) {
            *ret_age = ages[i].round;
            *ret_excess = live - room;
            return true;
        }
    }
    return false;
}
