/* Patterns that a text is searched for: a string, a regular expression, a property of code points.
 * Pre-tokenizers cut at them.
 *
 *     struct search search = {.text = text, .len = len, .steps = &steps};
 *     while (cuts_find(&pattern, &search, at, &begin, &end) == 1) ...
 *     TRY(cuts_run(&cut, &search, piece, arg));
 *
 * Any thread. */
#pragma once
#include "base/err.h"
#include "model/text/pretoken.h"
#include "model/text/regex/regex.h"
#include "model/text/unicode.h"
#include <stdbool.h>

struct pattern {
    enum {
        PATTERN_TEXT,
        PATTERN_REGEX,
        PATTERN_KNOWN,
        PATTERN_PROPERTY,
        PATTERN_NOT_PROPERTY
    } kind;
    char *text; // TEXT, owned
    size_t len;
    struct regex *regex;            // REGEX, owned
    enum pretoken known;            // KNOWN: one that we have by hand, which matches everywhere
    enum unicode_property property; // a code point with it, or a code point without
};

/* tokenizer.json's SplitDelimiterBehavior: what becomes of a match. */
enum cut_behavior {
    CUT_REMOVED,
    CUT_ISOLATED,
    CUT_CONTIGUOUS, // matches that touch are one piece
    CUT_WITH_PREVIOUS,
    CUT_WITH_NEXT,
};

struct cut {
    struct pattern pattern;
    enum cut_behavior behavior;
    bool invert; // matches are the text between them
};

struct search {
    const char *text;
    size_t len;
    uint64_t *steps; // REGEX_STEPS, shared by all searches in a text
};

/* The leftmost match from `from` on. 1: found; 0: none; -1: the steps are used up. A match may be
 * empty. */
int cuts_find(const struct pattern *pattern, const struct search *search, size_t from,
              size_t *ret_begin, size_t *ret_end);

typedef err_t cut_piece(void *arg, size_t begin, size_t end);

/* Calls piece for each piece in order, none of them empty. INVALID: the steps are used up. */
err_t cuts_run(const struct cut *cut, const struct search *search, cut_piece *piece, void *arg);

void cuts_done(struct pattern *pattern);
