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
    REGEX_SET,   // one code point of set a
    REGEX_LOOP,  // as many of set a as there are, min to max, fewer if what follows wants that
    REGEX_HOLD,  // the same, and never fewer
    REGEX_SPLIT, // go on at a, and if that fails at b
    REGEX_JUMP,  // go on at a
    REGEX_LOOK,  // all up to a REGEX_END matches here; go on at a
    REGEX_ATOM,  // the same, and takes what it matched
    REGEX_LINE,  // the beginning of a line
    REGEX_EOL,   // the end of a line
    REGEX_FIRST, // the beginning of the text
    REGEX_LAST,  // the end of the text
    REGEX_END,   // a match
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
