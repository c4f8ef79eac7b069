/* A PCRE2 pattern with bounds on the work of one match.
 *
 *     TRY(pattern_new("answer: ([0-9]+)", false, &pattern));
 *     struct pattern_match match = pattern_find(pattern, text);
 *
 * UTF is on; bytes that are no UTF-8 match nothing. One thread at a time: matches share their
 * memory. */
#pragma once
#include "rewarder/scorer.h"

struct pattern;
struct pattern_match {
    bool found;
    bool overrun; // given up: over the limit; then not found
    /* First group, or the whole match where the pattern has no groups; borrowed from the text */
    struct text_slice first;
};

/* whole: the pattern must match the text from end to end. INVALID: no pattern, with the place; over
 * SCORER_PATTERN_MAX. */
err_t pattern_new(const char *text, bool whole, struct pattern **ret);
struct pattern_match pattern_find(struct pattern *pattern, struct text_slice text);
void pattern_free(struct pattern *pattern);
DEFINE_SCOPED(pattern)
