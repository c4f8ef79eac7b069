/* The latest groups that this process has seen, each with the stations of its way: for `rlhfctl
 * trace`. As with metrics, nothing is decided by it.
 *
 *     station_note(&group->id, &(struct station){.name = "scored", .detail = "exact", .seconds = 0.02});
 *     struct stations way;
 *     if (stations_find(&id, &way)) ...
 *
 * A bounded number of groups is kept; older ones give way. Any thread. */
#pragma once
#include "base/hash.h"
#include <stdbool.h>
#include <stdint.h>

enum { STATIONS_MAX = 16, STATION_PARENT = 56 };

struct station {
    const char *name, *detail; // literals, or kept as long as the process; detail: NULL: none
    uint64_t number;           // drawn: the round; trained, published: the version
    double seconds;            // spent in it, where that is known; else 0
    double time_s;             // since 1970: when it was noted, which station_note fills
};

struct stations {
    char parent
        [STATION_PARENT]; // with which it came to this process (wire/traceparent.h); "": without
    uint32_t count;
    struct station at[STATIONS_MAX]; // as they were noted; a group with more keeps the last of all
};

void station_note(const struct digest *group, const struct station *station);
void station_came(const struct digest *group, const char *parent); // "": without
bool stations_find(const struct digest *group, struct stations *ret);
