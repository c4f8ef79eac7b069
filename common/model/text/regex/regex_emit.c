/* The tree of a pattern as instructions. */
#include "base/mem.h"
#include "model/text/regex/regex_tree.h"
#include <string.h>

bool regex_width(const struct parse *p, int at, int *ret)
{
    const struct node *n = &p->node[at];
    int a = 0, b = 0;
    switch (n->kind) {
    case NODE_SET:
        *ret = 1;
        return true;
    case NODE_ROW:
        if (!regex_width(p, n->child, &a) || !regex_width(p, n->other, &b))
            return false;
        *ret = a + b;
        return true;
    case NODE_CHOICE:
        if (!regex_width(p, n->child, &a) || !regex_width(p, n->other, &b))
            return false;
        *ret = a;
        return a == b;
    case NODE_REPEAT:
        if (n->min != n->max || !regex_width(p, n->child, &a))
            return false;
        *ret = a * (int)n->min;
        return true;
    case NODE_ATOM:
        return regex_width(p, n->child, ret);
    default:
        *ret = 0;
        return true;
    }
}

/* The bytes that the code points which the node takes can begin with, added. */
static void add_first(const struct parse *p, int at, uint8_t first[32])
{
    const struct node *n = &p->node[at];
    switch (n->kind) {
    case NODE_SET:
        memset(first + 16, 0xff, 16);
        for (int byte = 0; byte < 128; byte++)
            if (p->regex->set[n->set].ascii[byte >> 6] >> (byte & 63) & 1)
                first[byte >> 3] |= (uint8_t)(1 << (byte & 7));
        break;
    case NODE_ROW:
    case NODE_CHOICE:
        add_first(p, n->child, first);
        if (n->kind == NODE_CHOICE || p->node[n->child].empty)
            add_first(p, n->other, first);
        break;
    case NODE_REPEAT:
    case NODE_ATOM:
        add_first(p, n->child, first);
        break;
    default:
        break;
    }
}

/* Before what may be empty any byte may stand. */
static void first_bytes(const struct parse *p, int at, uint8_t first[32])
{
    if (p->node[at].empty)
        memset(first, 0xff, 32);
    else
        add_first(p, at, first);
}

static err_t put(struct parse *p, struct regex_op op, int *ret)
{
    struct regex *regex = p->regex;
    if (regex->ops == REGEX_OPS)
        return err_new(ERR_INVALID, "it needs more than %d steps", REGEX_OPS);
    regex->op = mem_grow(regex->op, (size_t)regex->ops + 1, sizeof *regex->op);
    regex->op[regex->ops] = op;
    *ret = regex->ops++;
    return OK;
}

static err_t emit(struct parse *p, int at);

static err_t emit_choice(struct parse *p, const struct node *n)
{
    int split = 0, jump = 0;
    struct regex_op op = {.code = REGEX_SPLIT};
    first_bytes(p, n->child, op.first);
    TRY(put(p, op, &split));
    p->regex->op[split].a = split + 1;
    TRY(emit(p, n->child));
    TRY(put(p, (struct regex_op){.code = REGEX_JUMP}, &jump));
    p->regex->op[split].b = p->regex->ops;
    TRY(emit(p, n->other));
    p->regex->op[jump].a = p->regex->ops;
    return OK;
}

/* One more of child, or none: the split of an optional part, its targets to be set. */
static err_t put_split(struct parse *p, const struct node *n, int *ret)
{
    struct regex_op op = {.code = REGEX_SPLIT};
    if (n->lazy)
        memset(op.first, 0xff, sizeof op.first);
    else
        first_bytes(p, n->child, op.first);
    return put(p, op, ret);
}

static void aim(struct parse *p, const struct node *n, int split, int more, int enough)
{
    p->regex->op[split].a = n->lazy ? enough : more;
    p->regex->op[split].b = n->lazy ? more : enough;
}

static err_t emit_repeat(struct parse *p, const struct node *n, bool holds)
{
    enum { COPIES_MAX = 64 };
    int split = 0, jump = 0, first = -1;
    if (p->node[n->child].kind == NODE_SET && !n->lazy)
        return put(p,
                   (struct regex_op){.code = holds ? REGEX_HOLD : REGEX_LOOP,
                                     .a = p->node[n->child].set,
                                     .min = n->min,
                                     .max = n->max},
                   &split);
    if (n->min > COPIES_MAX || (n->max != UINT32_MAX && n->max > COPIES_MAX))
        return err_new(ERR_INVALID, "a group repeated more than %d times", COPIES_MAX);
    for (uint32_t i = 0; i < n->min; i++)
        TRY(emit(p, n->child));
    if (n->max == UINT32_MAX) {
        TRY(put_split(p, n, &split));
        TRY(emit(p, n->child));
        TRY(put(p, (struct regex_op){.code = REGEX_JUMP, .a = split}, &jump));
        aim(p, n, split, split + 1, p->regex->ops);
        return OK;
    }
    for (uint32_t i = n->min; i < n->max; i++) { // each inside the one before
        TRY(put_split(p, n, &split));
        p->regex->op[split].min = (uint32_t)(first + 1); // a chain until the end is known
        first = split;
        TRY(emit(p, n->child));
    }
    for (int next; first >= 0; first = next) {
        next = (int)p->regex->op[first].min - 1;
        aim(p, n, first, first + 1, p->regex->ops);
    }
    return OK;
}

static err_t emit_look(struct parse *p, const struct node *n)
{
    int look = 0, end = 0;
    const struct node *child = &p->node[n->child];
    if (n->kind == NODE_ATOM && child->kind == NODE_REPEAT &&
        p->node[child->child].kind == NODE_SET)
        return emit_repeat(p, child, true);
    TRY(put(p,
            (struct regex_op){.code = n->kind == NODE_ATOM ? REGEX_ATOM : REGEX_LOOK,
                              .negated = n->negated,
                              .behind = n->behind},
            &look));
    TRY(emit(p, n->child));
    TRY(put(p, (struct regex_op){.code = REGEX_END}, &end));
    p->regex->op[look].a = p->regex->ops;
    return OK;
}

static err_t emit(struct parse *p, int at)
{
    const struct node n = p->node[at];
    int op = 0;
    switch (n.kind) {
    case NODE_EMPTY:
        return OK;
    case NODE_SET:
        return put(p, (struct regex_op){.code = REGEX_SET, .a = n.set}, &op);
    case NODE_ROW:
        TRY(emit(p, n.child));
        return emit(p, n.other);
    case NODE_CHOICE:
        return emit_choice(p, &n);
    case NODE_REPEAT:
        return emit_repeat(p, &n, false);
    case NODE_LOOK:
    case NODE_ATOM:
        return emit_look(p, &n);
    case NODE_LINE:
        return put(p, (struct regex_op){.code = REGEX_LINE}, &op);
    case NODE_EOL:
        return put(p, (struct regex_op){.code = REGEX_EOL}, &op);
    case NODE_FIRST:
        return put(p, (struct regex_op){.code = REGEX_FIRST}, &op);
    case NODE_LAST:
        return put(p, (struct regex_op){.code = REGEX_LAST}, &op);
    }
    return OK;
}

err_t regex_emit(struct parse *p, int root)
{
    int end = 0;
    TRY(emit(p, root));
    TRY(put(p, (struct regex_op){.code = REGEX_END}, &end));
    first_bytes(p, root, p->regex->first);
    return OK;
}
