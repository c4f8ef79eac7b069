/* The filter by which operators select groups: terms joined by spaces, all of which must hold.
 *
 *     struct filter filter;
 *     TRY(filter_parse("state=stored lag>=2 reward<0.5", &filter));
 *     if (filter_holds(&filter, &listed)) ...
 *
 * A term is a key, one of = != < <= > >= and a value. Keys with a whole number are slot, prompt,
 * epoch, attempt, lineage, lag, tokens and version (the oldest of the tokens'). reward has a
 * number, generator a name, state the word leased, stored or quarantined. state and generator have
 * = and != only. Tokens and reward of leased groups, and rewards of quarantined ones, are not
 * known, so no term on them holds. A filter without terms selects all groups. Any thread. */
#pragma once
#include "base/err.h"
#include "learner/store/groups.h"

enum { FILTER_TERMS = 32, FILTER_MAX_BYTES = 4096, FILTER_VALUE_MAX = 256 };

struct filter_term {
    int key, compare; // rows of tables in filter.c
    uint64_t whole;
    double number;
    char text[FILTER_VALUE_MAX];
};
struct filter {
    size_t terms;
    struct filter_term term[FILTER_TERMS];
};

/* INVALID: names the term and what is allowed. */
err_t filter_parse(const char *text, struct filter *ret);
bool filter_holds(const struct filter *filter, const struct listed *group);

/* The next of the store's groups from slot *at on that it selects; *at is then above it. */
bool filter_next(const struct filter *filter, const struct store *store, uint64_t *at,
                 struct listed *ret);
