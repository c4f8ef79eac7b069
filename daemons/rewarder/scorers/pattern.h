/* A PCRE2 pattern with bounds on the work of one match.
 *
 *     TRY(pattern_new("answer: ([0-9]+)", false, &pattern));
 *     struct pattern_match match = pattern_find(pattern, text);
 *
 * UTF is on; bytes that are no UTF-8 match nothing. Any thread, several at a time. */
#pragma once
#include "rewarder/scorer.h"

enum { PATTERN_BYTES = 1 << 14 };

struct pattern;
struct pattern_match {
    bool found;
    /* First group, or the whole match where the pattern has no groups; borrowed from the text */
    struct text_slice first;
};

/* whole: the pattern must match the text from end to end. INVALID: no pattern, with the place; over
 * PATTERN_BYTES. */
err_t pattern_new(const char *text, bool whole, struct pattern **ret);

/* A match that needs more than its share of work is none, and counted in
 * rlhfd_scorer_overruns_total. */
struct pattern_match pattern_find(const struct pattern *pattern, struct text_slice text);
void pattern_free(struct pattern *pattern);
DEFINE_SCOPED(pattern)
