/* A pattern into a tree of nodes, and the tree into instructions. */
#include "base/mem.h"
#include "model/text/regex/regex.h"
#include "model/text/regex/regex_tree.h"
#include <string.h>

enum { REPEAT_MAX = 1000, CODE_END = 0x110000 };

/* Whether it may match nothing, from what its parts may. */
static bool may_be_empty(const struct parse *p, const struct node *n)
{
    switch (n->kind) {
    case NODE_SET:
        return false;
    case NODE_ROW:
        return p->node[n->child].empty && p->node[n->other].empty;
    case NODE_CHOICE:
        return p->node[n->child].empty || p->node[n->other].empty;
    case NODE_REPEAT:
        return !n->min || p->node[n->child].empty;
    case NODE_ATOM:
        return p->node[n->child].empty;
    default:
        return true;
    }
}

int regex_node(struct parse *p, struct node node)
{
    node.empty = may_be_empty(p, &node);
    p->node = mem_grow(p->node, (size_t)p->nodes + 1, sizeof *p->node);
    p->node[p->nodes] = node;
    return p->nodes++;
}

static char peek(const struct parse *p)
{
    return p->text[p->at];
}

static bool take(struct parse *p, const char *text)
{
    const size_t len = strlen(text);
    if (strncmp(p->text + p->at, text, len) != 0)
        return false;
    p->at += len;
    return true;
}

static err_t parse_choices(struct parse *p, int *ret);

/* Sets flags of the rest of the group: only i, on or off. */
static err_t parse_flags(struct parse *p)
{
    bool on = true;
    for (; peek(p) && peek(p) != ':' && peek(p) != ')'; p->at++) {
        if (peek(p) == '-')
            on = false;
        else if (peek(p) == 'i')
            p->fold = on;
        else
            return regex_refuse(p, "of flags only i is known");
    }
    return OK;
}

static err_t close_group(struct parse *p)
{
    return take(p, ")") ? OK : regex_refuse(p, "a group is not closed");
}

static err_t parse_look(struct parse *p, struct node look, int *ret)
{
    TRY(parse_choices(p, &look.child));
    TRY(close_group(p));
    if (look.behind && !regex_width(p, look.child, &look.behind))
        return regex_refuse(p, "what looks behind must have one length");
    *ret = regex_node(p, look);
    return OK;
}

/* After "(". */
static err_t parse_group(struct parse *p, int *ret)
{
    const bool fold = p->fold;
    *ret = -1;
    if (++p->depth > REGEX_NESTING)
        return regex_refuse(p, "groups are nested too deeply");
    if (take(p, "?="))
        TRY(parse_look(p, (struct node){.kind = NODE_LOOK}, ret));
    else if (take(p, "?!"))
        TRY(parse_look(p, (struct node){.kind = NODE_LOOK, .negated = true}, ret));
    else if (take(p, "?<="))
        TRY(parse_look(p, (struct node){.kind = NODE_LOOK, .behind = 1}, ret));
    else if (take(p, "?<!"))
        TRY(parse_look(p, (struct node){.kind = NODE_LOOK, .negated = true, .behind = 1}, ret));
    else if (take(p, "?>"))
        TRY(parse_look(p, (struct node){.kind = NODE_ATOM}, ret));
    else {
        if (take(p, "?")) {
            TRY(parse_flags(p));
            if (take(p, ")")) { // the flags hold to the end of the group around
                p->depth--;
                return parse_choices(p, ret);
            }
            take(p, ":");
        }
        TRY(parse_choices(p, ret));
        TRY(close_group(p));
    }
    p->fold = fold;
    p->depth--;
    return OK;
}

static err_t parse_number(struct parse *p, uint32_t *ret, bool *ret_given)
{
    *ret = 0;
    *ret_given = false;
    for (; peek(p) >= '0' && peek(p) <= '9'; p->at++) {
        *ret = *ret * 10 + (uint32_t)(peek(p) - '0');
        *ret_given = true;
        if (*ret > REPEAT_MAX)
            return regex_refuse(p, "a repeat of more than 1000");
    }
    return OK;
}

/* {n}, {n,}, {,m} or {n,m}. */
static err_t parse_counts(struct parse *p, struct node *repeat)
{
    bool least, most = true;
    TRY(parse_number(p, &repeat->min, &least));
    repeat->max = repeat->min;
    if (take(p, ",")) {
        TRY(parse_number(p, &repeat->max, &most));
        if (!most)
            repeat->max = UINT32_MAX;
    }
    if (!take(p, "}") || (!least && (!most || !repeat->max)) || repeat->max < repeat->min)
        return regex_refuse(p, "a repeat must be {n}, {n,}, {,m} or {n,m}");
    return OK;
}

/* The repeats after an atom, if there are any. A + after {n,m} repeats it once more. */
static err_t parse_repeats(struct parse *p, int *atom)
{
    for (;;) {
        struct node repeat = {.kind = NODE_REPEAT, .child = *atom, .max = UINT32_MAX};
        const bool counted = take(p, "{");
        if (counted)
            TRY(parse_counts(p, &repeat));
        else if (take(p, "?"))
            repeat.max = 1;
        else if (take(p, "+"))
            repeat.min = 1;
        else if (!take(p, "*"))
            return OK;
        if (repeat.max != 1 && p->node[*atom].empty)
            return regex_refuse(p, "a repeat of what may be empty");
        if (counted && repeat.max == repeat.min && peek(p) == '?')
            return regex_refuse(p, "? after {n}");
        repeat.lazy = take(p, "?");
        const bool holds = !counted && !repeat.lazy && take(p, "+");
        *atom = regex_node(p, repeat);
        if (holds)
            *atom = regex_node(p, (struct node){.kind = NODE_ATOM, .child = *atom});
    }
}

static err_t parse_atom(struct parse *p, int *ret)
{
    static const struct {
        const char *text;
        enum node_kind kind;
    } places[] = {{"^", NODE_LINE}, {"$", NODE_EOL}, {"\\A", NODE_FIRST}, {"\\z", NODE_LAST}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (take(p, places[i].text)) {
            *ret = regex_node(p, (struct node){.kind = places[i].kind});
            return OK;
        }
    if (take(p, "("))
        return parse_group(p, ret);
    if (strchr("*+?{", peek(p)))
        return regex_refuse(p, "nothing to repeat");
    int set = -1;
    TRY(regex_parse_set(p, &set));
    *ret = regex_node(p, (struct node){.kind = NODE_SET, .set = set});
    return OK;
}

static err_t parse_row(struct parse *p, int *ret)
{
    int row = regex_node(p, (struct node){.kind = NODE_EMPTY});
    while (peek(p) && peek(p) != '|' && peek(p) != ')') {
        int atom = -1;
        TRY(parse_atom(p, &atom));
        TRY(parse_repeats(p, &atom));
        row = regex_node(p, (struct node){.kind = NODE_ROW, .child = row, .other = atom});
    }
    *ret = row;
    return OK;
}

static err_t parse_choices(struct parse *p, int *ret)
{
    int row = -1, others = -1;
    TRY(parse_row(p, &row));
    *ret = row;
    if (!take(p, "|"))
        return OK;
    TRY(parse_choices(p, &others));
    *ret = regex_node(p, (struct node){.kind = NODE_CHOICE, .child = row, .other = others});
    return OK;
}

err_t regex_new(const char *pattern, struct regex **ret)
{
    enum { PATTERN_MAX = 4096 };
    if (strlen(pattern) > PATTERN_MAX)
        return err_new(ERR_INVALID, "it has more than %d bytes", PATTERN_MAX);
    SCOPED(regex) regex = mem_new(sizeof *regex);
    struct parse p = {.text = pattern, .regex = regex};
    int root = -1;
    err_t failed = parse_choices(&p, &root);
    if (!err_failed(failed) && peek(&p))
        failed = regex_refuse(&p, "a ) without its (");
    if (!err_failed(failed))
        failed = regex_emit(&p, root);
    mem_free(p.node);
    TRY(failed);
    *ret = STEAL(regex);
    return OK;
}
