/* Inside text only: a regular expression as instructions, which regex_emit.c writes and
 * regex_match.c runs. */
#pragma once
#include "base/err.h"
#include "model/text/unicode.h"

enum { REGEX_OPS = 8192, REGEX_ITEMS = 4096, REGEX_SETS = 512, REGEX_NESTING = 16 };

/* A part of a set. */
struct regex_item {
    enum { ITEM_RANGE, ITEM_CATEGORIES, ITEM_PROPERTY, ITEM_SET } kind;
    bool negated;
    uint32_t a, b; // range; mask of categories; property; number of a set
};

/* The code points of any of the items, or of none of them if negated. */
struct regex_set {
    uint64_t ascii[2]; // the first 128 code points in it, negation included
    int first, items;
    bool negated;
};

enum regex_code {
    REGEX_SET,   // Takes one code point of set a.
    REGEX_LOOP,  // Takes min to max code points of set a: most first, fewer if the rest fails.
    REGEX_HOLD,  // Takes as many as there are, and gives none back.
    REGEX_SPLIT, // Goes on at a, or, if that fails, at b.
    REGEX_JUMP,  // Goes on at a.
    REGEX_LOOK,  // The part up to REGEX_END matches here. Takes nothing, and goes on at a.
    REGEX_ATOM,  // The part matches here. Takes its match, and goes on at a.
    REGEX_LINE,  // A line begins here.
    REGEX_EOL,   // A line ends here.
    REGEX_FIRST, // The text begins here.
    REGEX_LAST,  // The text ends here.
    REGEX_END,   // The match is complete.
};

struct regex_op {
    enum regex_code code;
    int a, b;
    uint32_t min, max;
    bool negated;      // LOOK
    int behind;        // LOOK: so many code points before
    uint8_t first[32]; // SPLIT: the bytes that what stands at a can begin with
};

struct regex {
    int ops, sets, items;
    struct regex_op *op;
    struct regex_set *set;
    struct regex_item *item;
    uint8_t first[32];
};

bool regex_set_has(const struct regex *regex, const struct regex_set *set, uint32_t code);
