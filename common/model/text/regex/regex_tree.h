/* Inside text only: a pattern while it is read. regex_parse.c reads groups and repeats,
 * regex_set.c sets, regex_emit.c writes instructions. */
#pragma once
#include "model/text/regex/regex_program.h"

enum node_kind {
    NODE_EMPTY,
    NODE_SET,
    NODE_ROW,    // child, then other
    NODE_CHOICE, // child, else other
    NODE_REPEAT,
    NODE_LOOK,
    NODE_ATOM, // no way back into child
    NODE_LINE,
    NODE_EOL,
    NODE_FIRST,
    NODE_LAST,
};

struct node {
    enum node_kind kind;
    int set, child, other;
    uint32_t min, max;
    bool lazy, negated, empty; // empty: it may match nothing
    int behind;                // LOOK: code points
};

struct parse {
    const char *text;
    size_t at;
    bool fold; // (?i)
    int depth;
    struct regex *regex;
    struct node *node;
    int nodes;
};

static inline err_t regex_refuse(const struct parse *p, const char *what)
{
    return err_new(ERR_INVALID, "at byte %zu: %s", p->at, what);
}

int regex_node(struct parse *p, struct node node);

/* One code point as a pattern says it: itself, an escape, a dot, or [...]. */
err_t regex_parse_set(struct parse *p, int *ret_set);

/* Whether all that the node matches has one number of code points. */
bool regex_width(const struct parse *p, int node, int *ret);
/* Writes the instructions, REGEX_END last, and what a match can begin with. */
err_t regex_emit(struct parse *p, int root);
