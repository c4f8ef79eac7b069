#include "learner/store/pick.h"
#include "base/mem.h"
#include "base/rng.h"
#include "learner/store/inner.h"
#include <assert.h>
#include <math.h>

static const double SPREAD_FLOOR = 0.01; // of the mean: no group is left out for ever

static int by_age_then_slot(const void *a, const void *b)
{
    const struct slot *x = *(struct slot *const *)a, *y = *(struct slot *const *)b;
    if (x->age != y->age)
        return x->age < y->age ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

/* Of an age that all have who are among the `take` oldest. */
static uint64_t oldest_enough(const struct slots *slots, size_t take)
{
    uint64_t stored = 0;
    for (size_t i = 0; i < slots->ages; i++) {
        stored += slots->age[i].stored;
        if (stored >= take)
            return slots->age[i].round;
    }
    return UINT64_MAX;
}

static struct slot **oldest(const struct slots *slots, size_t take)
{
    uint64_t age = oldest_enough(slots, take);
    struct slot **found = mem_array(slots->stored, sizeof(struct slot *));
    size_t n = 0;
    for (size_t i = 0; i < slots->n; i++)
        if (slots->at[i]->state == SLOT_STORED && slots->at[i]->age <= age)
            found[n++] = slots->at[i];
    qsort(found, n, sizeof(struct slot *), by_age_then_slot);
    return found;
}

/* --- draws: each group has a moment, exponentially distributed with its weight as the rate; the
 * first ones are picked --- */

struct draw {
    double moment;
    struct slot *slot;
};

static bool later(const struct draw *a, const struct draw *b)
{
    return a->moment > b->moment || (a->moment == b->moment && a->slot->number > b->slot->number);
}

/* A heap whose root is the latest: restores it below i. */
static void sink(struct draw *heap, size_t n, size_t i)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= n)
            return;
        if (child + 1 < n && later(&heap[child + 1], &heap[child]))
            child++;
        if (!later(&heap[child], &heap[i]))
            return;
        struct draw held = heap[i];
        heap[i] = heap[child];
        heap[child] = held;
        i = child;
    }
}

struct weighing {
    double mean, exponent;
    bool alike;
};

static double spread_of(const struct slot *slot, double otherwise)
{
    return slot->summary.spread >= 0 ? slot->summary.spread : otherwise;
}

static struct weighing weigh(const struct store *store)
{
    const struct slots *slots = &store->slots;
    double sum = 0;
    for (size_t i = 0; i < slots->n; i++)
        if (slots->at[i]->state == SLOT_STORED)
            sum += spread_of(slots->at[i], 0) / (double)slots->stored;
    return (struct weighing){.mean = sum,
                             .exponent = store->rules.priority_exponent,
                             .alike = store->rules.policy == REPLAY_UNIFORM ||
                                      !(sum > 0 && isfinite(sum))};
}

static double weight_of(const struct weighing *weighing, const struct slot *slot)
{
    if (weighing->alike)
        return 1;
    double relative = spread_of(slot, weighing->mean) / weighing->mean + SPREAD_FLOOR;
    return pow(relative, weighing->exponent);
}

static struct slot **drawn(const struct store *store, size_t take)
{
    const struct slots *slots = &store->slots;
    struct rng rng = rng_keyed(store->schema.seed, RNG_REPLAY, store->counters.next_round, 0);
    struct weighing weighing = weigh(store);
    SCOPED_MEM struct draw *heap = mem_array(take, sizeof *heap);
    size_t n = 0;
    for (size_t i = 0; i < slots->n; i++) {
        struct slot *slot = slots->at[i];
        if (slot->state != SLOT_STORED)
            continue;
        double u = 1 - rng_uniform(&rng, slot->number); // (0, 1]
        struct draw draw = {-log(u) / weight_of(&weighing, slot), slot};
        if (n < take) {
            heap[n++] = draw;
            for (size_t j = n / 2; n == take && j-- > 0;)
                sink(heap, n, j);
        } else if (later(&heap[0], &draw)) {
            heap[0] = draw;
            sink(heap, n, 0);
        }
    }
    struct slot **found = mem_array(take, sizeof(struct slot *));
    for (size_t i = 0; i < n; i++)
        found[i] = heap[i].slot;
    qsort(found, n, sizeof(struct slot *), by_age_then_slot);
    return found;
}

struct slot **pick_groups(struct store *store, size_t take)
{
    assert(take && take <= store->slots.stored);
    return store->rules.policy == REPLAY_FIFO ? oldest(&store->slots, take) : drawn(store, take);
}
