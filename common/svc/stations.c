#include "svc/stations.h"
#include "base/clock.h"
#include "base/mem.h"
#include <pthread.h>
#include <stdio.h>

/* A group has a place among WAYS of one set; the set's oldest gives way. STEP_S: what differs more
 * from the clock that only rises is a clock that was set. */
enum { SETS = 128, WAYS = 8 };
#define STEP_S 0.005

struct kept {
    struct digest id;
    uint64_t used; // 0: empty
    struct stations stations;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; // of all that follows
static struct kept *sets;                                 // (SETS, WAYS)
static uint64_t uses;
static double wall_s; // seconds added to clock_s()

static struct kept *set_of(const struct digest *group)
{
    if (!sets)
        sets = mem_array((size_t)SETS * WAYS, sizeof *sets);
    return sets + (size_t)(group->byte[0] % SETS) * WAYS;
}

static struct kept *find(const struct digest *group)
{
    struct kept *set = set_of(group);
    for (int i = 0; i < WAYS; i++)
        if (set[i].used && digest_equal(&set[i].id, group))
            return &set[i];
    return NULL;
}

static struct kept *find_or_make(const struct digest *group)
{
    struct kept *found = find(group);
    if (!found) {
        found = set_of(group);
        for (int i = 1; i < WAYS; i++)
            if (set_of(group)[i].used < found->used)
                found = &set_of(group)[i];
        *found = (struct kept){.id = *group};
    }
    found->used = ++uses;
    return found;
}

/* Finer than the wall clock's milliseconds: what they leave out is never negative, so the largest
 * difference is the nearest. */
static double now_s(void)
{
    const double since = clock_s(), differs = (double)clock_wall_ms() / 1000 - since;
    if (differs > wall_s || differs < wall_s - STEP_S)
        wall_s = differs;
    return since + wall_s;
}

void station_note(const struct digest *group, const struct station *station)
{
    pthread_mutex_lock(&mutex);
    struct stations *to = &find_or_make(group)->stations;
    if (to->count < STATIONS_MAX)
        to->count++;
    to->at[to->count - 1] = *station;
    to->at[to->count - 1].time_s = now_s();
    pthread_mutex_unlock(&mutex);
}

void station_came(const struct digest *group, const char *parent)
{
    pthread_mutex_lock(&mutex);
    struct stations *to = &find_or_make(group)->stations;
    snprintf(to->parent, sizeof to->parent, "%s", parent);
    pthread_mutex_unlock(&mutex);
}

bool stations_find(const struct digest *group, struct stations *ret)
{
    pthread_mutex_lock(&mutex);
    const struct kept *found = find(group);
    if (found)
        *ret = found->stations;
    pthread_mutex_unlock(&mutex);
    return found;
}
