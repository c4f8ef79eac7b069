/* Regular expressions as tokenizer.json has them, the part of Oniguruma's language that real files
 * use, matched by backtracking.
 *
 *     TRY(regex_new("\\p{N}{1,3}|\\s+(?!\\S)", &regex));
 *     uint64_t steps = REGEX_STEPS(len);
 *     while (regex_find(regex, &(struct regex_text){text, len, &steps}, at, &begin, &end) == 1) ...
 *
 * Known are sets with \p{general category}, \s \d \w and ranges, groups, alternatives, greedy, lazy
 * and possessive repeats, lookahead, lookbehind of fixed length, (?i: of ASCII, ^ and $ of lines.
 * Bytes that are not UTF-8 are symbols of no property. Any thread once made. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include <stddef.h>
#include <stdint.h>

struct regex;

/* The cost that matching may have, for a text and all that is sought in it. */
#define REGEX_STEPS(len) (UINT64_C(1) << 20 | (uint64_t)(len)*512)

struct regex_text {
    const char *data;
    size_t len;
    uint64_t *steps; // left
};

/* INVALID: what is not known, and where it stands. */
err_t regex_new(const char *pattern, struct regex **ret);

/* The leftmost match that begins at `from` or later. 1: found; 0: there is none; -1: the steps are
 * used up. */
int regex_find(const struct regex *regex, const struct regex_text *text, size_t from,
               size_t *ret_begin, size_t *ret_end);

void regex_free(struct regex *regex);
DEFINE_SCOPED(regex)
