/* Operators, with the precedences of jinja2's parser. */
#include "model/text/template/template_parse.h"

/* ---- operators */

typedef err_t level(struct parser *p, struct node **ret);

static err_t two(struct parser *p, enum node_kind kind, level *next, struct node **left)
{
    struct node *node = parse_node(p, kind, p->at[-1].line);
    node->a = *left;
    node->op = p->at[-1].kind;
    TRY(next(p, &node->b));
    *left = node;
    return OK;
}

static err_t unary_filtered(struct parser *p, struct node **ret)
{
    return parse_operand(p, true, ret);
}

static err_t power(struct parser *p, struct node **ret)
{
    TRY(unary_filtered(p, ret));
    while (parse_skip(p, TOKEN_POW))
        TRY(two(p, NODE_BINARY, unary_filtered, ret));
    return OK;
}

static err_t product(struct parser *p, struct node **ret)
{
    TRY(power(p, ret));
    while (parse_skip(p, TOKEN_MUL) || parse_skip(p, TOKEN_DIV) || parse_skip(p, TOKEN_FLOORDIV) ||
           parse_skip(p, TOKEN_MOD))
        TRY(two(p, NODE_BINARY, power, ret));
    return OK;
}

static err_t concat(struct parser *p, struct node **ret)
{
    struct node *first, *more;
    TRY(product(p, &first));
    if (p->at->kind == TOKEN_TILDE) {
        struct node *all = parse_node(p, NODE_CONCAT, p->at->line);
        parse_push(p, &all->list, first);
        while (parse_skip(p, TOKEN_TILDE)) {
            TRY(product(p, &more));
            parse_push(p, &all->list, more);
        }
        first = all;
    }
    *ret = first;
    return OK;
}

static err_t sum(struct parser *p, struct node **ret)
{
    TRY(concat(p, ret));
    while (parse_skip(p, TOKEN_ADD) || parse_skip(p, TOKEN_SUB))
        TRY(two(p, NODE_BINARY, concat, ret));
    return OK;
}

/* The comparison at hand, passed over; TOKEN_END: none. */
static enum token_kind comparison(struct parser *p)
{
    if (p->at->kind >= TOKEN_EQ && p->at->kind <= TOKEN_LE)
        return p->at++->kind;
    if (parse_skip_word(p, "in"))
        return TOKEN_IN;
    if (parse_at_word(p->at, "not") && parse_at_word(p->at + 1, "in")) {
        p->at += 2;
        return TOKEN_NOT_IN;
    }
    return TOKEN_END;
}

static err_t compare(struct parser *p, struct node **ret)
{
    struct node *first, *all = NULL, *more;
    TRY(sum(p, &first));
    for (enum token_kind op; (op = comparison(p)) != TOKEN_END;) {
        if (!all) {
            all = parse_node(p, NODE_COMPARE, p->at[-1].line);
            all->a = first;
        }
        TRY(sum(p, &more));
        parse_push(p, &all->list, more);
        enum token_kind *ops = room_take(&p->t->room, (size_t)all->list.count * sizeof *ops);
        for (int i = 0; i < all->list.count - 1; i++)
            ops[i] = all->ops[i];
        ops[all->list.count - 1] = op;
        all->ops = ops;
    }
    *ret = all ? all : first;
    return OK;
}

static err_t not(struct parser * p, struct node **ret)
{
    if (!parse_skip_word(p, "not"))
        return compare(p, ret);
    struct node *node = parse_node(p, NODE_NOT, p->at[-1].line);
    TRY(parse_deeper(p));
    TRY(not(p, &node->a));
    p->depth--;
    *ret = node;
    return OK;
}

static err_t and (struct parser * p, struct node **ret)
{
    TRY(not(p, ret));
    while (parse_skip_word(p, "and"))
        TRY(two(p, NODE_AND, not, ret));
    return OK;
}

static err_t or (struct parser * p, struct node **ret)
{
    TRY(and(p, ret));
    while (parse_skip_word(p, "or"))
        TRY(two(p, NODE_OR, and, ret));
    return OK;
}

static err_t condition(struct parser *p, struct node **ret)
{
    TRY(or (p, ret));
    while (parse_skip_word(p, "if")) {
        struct node *node = parse_node(p, NODE_COND, p->at[-1].line);
        node->a = *ret;
        TRY(or (p, &node->b));
        if (parse_skip_word(p, "else"))
            TRY(parse_expression(p, &node->c));
        *ret = node;
    }
    return OK;
}

err_t parse_expression(struct parser *p, struct node **ret)
{
    TRY(parse_deeper(p));
    TRY(condition(p, ret));
    p->depth--;
    return OK;
}

/* ---- tuples and targets */

static bool tuple_ends(const struct parser *p, const char *end)
{
    return p->at->kind == TOKEN_VARIABLE_END || p->at->kind == TOKEN_BLOCK_END ||
           p->at->kind == TOKEN_RPAREN || p->at->kind == TOKEN_RBRACKET ||
           (end && parse_at_word(p->at, end));
}

static err_t tuple_item(struct parser *p, bool target, bool other, struct node **ret)
{
    if (target)
        return parse_primary(p, other, ret);
    return other ? parse_expression(p, ret) : or (p, ret);
}

/* target: names alone, and other says whether ns.x is one; else other: with conditions. */
static err_t tuple(struct parser *p, bool target, bool other, const char *end, struct node **ret)
{
    struct node *all = parse_node(p, NODE_TUPLE, p->at->line), *item = NULL;
    bool comma = false;
    while (!tuple_ends(p, end)) {
        TRY(tuple_item(p, target, other, &item));
        parse_push(p, &all->list, item);
        if (!parse_skip(p, TOKEN_COMMA))
            break;
        comma = true;
    }
    if (!item)
        return parse_expected(p, "an expression");
    *ret = comma ? all : item;
    return OK;
}

err_t parse_tuple(struct parser *p, bool conditions, const char *end, struct node **ret)
{
    TRY(parse_deeper(p));
    TRY(tuple(p, false, conditions, end, ret));
    p->depth--;
    return OK;
}

static bool is_target(const struct node *node)
{
    if (node->kind == NODE_NAME || node->kind == NODE_NSREF)
        return true;
    for (int i = 0; node->kind == NODE_TUPLE && i < node->list.count; i++)
        if (!is_target(node->list.at[i]))
            return false;
    return node->kind == NODE_TUPLE;
}

err_t parse_target(struct parser *p, bool namespaces, const char *end, struct node **ret)
{
    const struct token *first = p->at;
    TRY(tuple(p, true, namespaces, end, ret));
    return is_target(*ret) ? OK : parse_error(p, first, "only names can be assigned to");
}
