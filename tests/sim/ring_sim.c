#include "base/mem.h"
#include "base/rng.h"
#include "learner/store/lag.h"
#include "sim/simulated.h"
#include <math.h>

enum event_kind { SLOT_FREE, GROUP_DONE, TRAINED, WEIGHTS };
struct event {
    double at;
    uint64_t number; // ties in the order of making
    enum event_kind kind;
    int generator;
    uint64_t round; // GROUP_DONE: the group's age; WEIGHTS: of the weights
};

struct sim {
    const struct simulated_config *config;
    struct event *heap;
    size_t events;
    uint64_t made, draws;
    struct rng rng;
    double now;
    int *free_slots; // of each generator
    uint64_t *held;  // round of its weights
    int *waiting;    // generators that would take a group, oldest request first
    size_t waits;
    bool *waits_already;
    uint64_t next;       // the round not yet formed
    struct lag_age *age; // by round, from 0
    uint64_t live;
    bool training;
    double trained_at; // when the last round ended
    double idle_s, begun_s, lags;
    uint64_t first_counted, counted, lag_max;
};

/* ---- the heap of events */

static bool before(const struct event *a, const struct event *b)
{
    return a->at < b->at || (a->at == b->at && a->number < b->number);
}

static void push(struct sim *s, struct event event)
{
    event.number = s->made++;
    s->heap = mem_grow(s->heap, s->events + 1, sizeof *s->heap);
    size_t i = s->events++;
    for (; i && before(&event, &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = event;
}

static struct event pop(struct sim *s)
{
    const struct event top = s->heap[0], last = s->heap[--s->events];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= s->events)
            break;
        if (child + 1 < s->events && before(&s->heap[child + 1], &s->heap[child]))
            child++;
        if (!before(&s->heap[child], &last))
            break;
        s->heap[i] = s->heap[child];
        i = child;
    }
    s->heap[i] = last;
    return top;
}

/* ---- the ring */

static struct lag_rules rules(const struct sim *s)
{
    const uint64_t eta = (uint64_t)s->config->eta;
    return (struct lag_rules){.eta = eta, .limit = eta, .groups = (uint64_t)s->config->groups};
}

/* The table of live groups by age: rounds that can still be met. */
static const struct lag_age *ages(const struct sim *s, size_t *ret_count)
{
    const uint64_t oldest = lag_of(s->next, (uint64_t)s->config->eta + 1);
    *ret_count = (size_t)(s->next + 1 - oldest);
    return s->age + oldest;
}

static void decode(struct sim *s, int g)
{
    const struct simulated_config *c = s->config;
    double longest = 0;
    s->free_slots[g] -= c->completions;
    for (int i = 0; i < c->completions; i++) {
        const double u = rng_uniform(&s->rng, s->draws++);
        const double tokens = fmin(c->longest_tokens, -c->mean_tokens * log1p(-u));
        const double took = tokens * c->token_s;
        longest = fmax(longest, took);
        push(s, (struct event){.at = s->now + took, .kind = SLOT_FREE, .generator = g});
    }
    push(s, (struct event){.at = s->now + longest + c->score_s,
                           .kind = GROUP_DONE,
                           .generator = g,
                           .round = s->held[g]});
}

static void ask(struct sim *s, int g)
{
    if (s->waits_already[g] || s->free_slots[g] < s->config->completions)
        return;
    s->waits_already[g] = true;
    s->waiting[s->waits++] = g;
}

/* One group each in turn, as long as the rule allows: what asks first does not take all. */
static void grant(struct sim *s)
{
    const struct lag_rules r = rules(s);
    bool any = true;
    while (any && s->waits) {
        any = false;
        size_t kept = 0;
        for (size_t i = 0; i < s->waits; i++) {
            const int g = s->waiting[i];
            if (lag_may_lease(&r, s->next, s->held[g], s->live) == 0) {
                s->waiting[kept++] = g;
                continue;
            }
            any = true;
            s->live++;
            s->age[s->held[g]].leased++;
            decode(s, g);
            if (s->free_slots[g] >= s->config->completions)
                s->waiting[kept++] = g;
            else
                s->waits_already[g] = false;
        }
        s->waits = kept;
    }
}

static void take_round(struct sim *s)
{
    uint64_t take = (uint64_t)s->config->groups;
    for (uint64_t age = lag_of(s->next, (uint64_t)s->config->eta); take; age++) {
        const uint64_t picked = s->age[age].stored < take ? s->age[age].stored : take;
        const uint64_t lag = lag_of(s->next, age);
        s->age[age].stored -= picked;
        s->live -= picked;
        take -= picked;
        if (!picked || s->next < s->first_counted)
            continue;
        s->lags += (double)(lag * picked);
        s->counted += picked;
        s->lag_max = lag > s->lag_max ? lag : s->lag_max;
    }
}

static void form(struct sim *s)
{
    size_t count;
    const struct lag_age *table = ages(s, &count);
    const struct lag_rules r = rules(s);
    if (s->training || lag_may_form(&r, s->next, table, count).kind != LAG_FORM)
        return;
    take_round(s);
    if (s->next == s->first_counted)
        s->begun_s = s->now;
    if (s->next > s->first_counted)
        s->idle_s += s->now - s->trained_at;
    s->next++;
    s->training = true;
    push(s, (struct event){.at = s->now + s->config->round_s, .kind = TRAINED});
}

static void happen(struct sim *s, const struct event *e)
{
    switch (e->kind) {
    case SLOT_FREE:
        s->free_slots[e->generator]++;
        ask(s, e->generator);
        break;
    case GROUP_DONE:
        s->age[e->round].leased--;
        s->age[e->round].stored++;
        break;
    case TRAINED:
        s->training = false;
        s->trained_at = s->now;
        for (int g = 0; g < s->config->generators; g++)
            push(s, (struct event){.at = s->now + s->config->publish_s[g],
                                   .kind = WEIGHTS,
                                   .generator = g,
                                   .round = s->next});
        break;
    case WEIGHTS:
        s->held[e->generator] = e->round > s->held[e->generator] ? e->round : s->held[e->generator];
        break;
    }
}

void simulate_ring(const struct simulated_config *c, struct simulated *ret)
{
    const size_t n = (size_t)c->generators, rounds = (size_t)c->rounds;
    struct sim s = {.config = c,
                    .rng = rng_keyed(c->seed, RNG_TEST, 0, 0),
                    .free_slots = mem_array(n, sizeof *s.free_slots),
                    .held = mem_array(n, sizeof *s.held),
                    .waiting = mem_array(n, sizeof *s.waiting),
                    .waits_already = mem_array(n, sizeof *s.waits_already),
                    .age = mem_array(rounds + 2, sizeof *s.age),
                    .first_counted = rounds / 3};
    for (size_t r = 0; r < rounds + 2; r++)
        s.age[r].round = r;
    for (int g = 0; g < c->generators; g++) {
        s.free_slots[g] = c->slots;
        ask(&s, g);
    }
    grant(&s);
    while (s.next < rounds) {
        const struct event e = pop(&s);
        s.now = e.at;
        happen(&s, &e);
        form(&s);
        grant(&s);
    }
    const double seconds = s.now - s.begun_s;
    *ret = (struct simulated){.round_s = seconds / (double)(s.next - 1 - s.first_counted),
                              .learner_idle = s.idle_s / seconds,
                              .lag_mean = s.lags / (double)s.counted,
                              .lag_max = s.lag_max};
    mem_free(s.heap);
    mem_free(s.free_slots);
    mem_free(s.held);
    mem_free(s.waiting);
    mem_free(s.waits_already);
    mem_free(s.age);
}
