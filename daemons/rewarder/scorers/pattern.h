/* A PCRE2 pattern with one budget of steps for a whole search, over all places where it may begin.
 *
 *     static const struct recipe_option keys[] = {..., PATTERN_KEYS(struct regex_keys)};
 *     TRY(pattern_new("answer: ([0-9]+)", false, &from->limits, &pattern));
 *     TRY(pattern_find(pattern, text, sample->stop, &match));
 *
 * A step is one item of the pattern tried at one place of the text, or 16 bytes that an item has
 * passed. The count follows from pattern and text alone. So the same searches are given up on every
 * machine, at any speed and with any number of threads. UTF is on; bytes that are no UTF-8 match
 * nothing. Any thread, several at a time. */
#pragma once
#include "rewarder/scorer.h"

enum { PATTERN_BYTES = 1 << 14 };

struct pattern_limits {
    int64_t match_limit;    // steps
    int64_t heap_limit_mib; // for the places that a search may come back to
};

/* Rows of a scorer's table, whose struct has a field `limits`. */
#define PATTERN_KEYS(type_)                                                                        \
    {                                                                                              \
        .key = "match_limit",                                                                      \
        .kind = OPTION_count,                                                                      \
        .offset = offsetof(type_, limits.match_limit),                                             \
        .value = "10000000",                                                                       \
        .min = 1000,                                                                               \
        .max = 1e12,                                                                               \
        .help = "steps of the search through one completion, of which a second has some twenty "   \
                "million; where they do not suffice, the group leaves the ring with this reason",  \
    },                                                                                             \
    {                                                                                              \
        .key = "heap_limit_mib", .kind = OPTION_count,                                             \
        .offset = offsetof(type_, limits.heap_limit_mib), .value = "64", .min = 1, .max = 65536,   \
        .help = "memory of that search for places to come back to; where it does not suffice, "    \
                "likewise",                                                                        \
    }

struct pattern;
struct pattern_match {
    bool found;
    /* First group, or the whole match where the pattern has no groups; borrowed from the text */
    struct text_slice first;
};

/* whole: the pattern must match the text from end to end. INVALID: no pattern, with the place; over
 * PATTERN_BYTES; an item whose steps have no bound. */
err_t pattern_new(const char *text, bool whole, const struct pattern_limits *limits,
                  struct pattern **ret);

/* RANGE: it takes more steps or memory than the limits; counted in rlhfd_scorer_overruns_total.
 * CANCELLED: stop (NULL: never) became other than 0. */
err_t pattern_find(const struct pattern *pattern, struct text_slice text, const struct cell *stop,
                   struct pattern_match *ret);
void pattern_free(struct pattern *pattern);
DEFINE_SCOPED(pattern)
