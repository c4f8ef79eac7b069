/* Operands: names, literals, calls, subscripts, filters and tests. */
#include "model/text/template/template_parse.h"
#include "model/text/template/template_tables.h"
#include "model/text/values/value_text.h"

/* ---- calls and subscripts */

static err_t one_argument(struct parser *p, struct arguments_given *args)
{
    struct node *value;
    if (parse_skip(p, TOKEN_MUL)) {
        if (args->star || args->stars)
            return parse_error(p, p->at, "a second * among arguments");
        return p->expression(p, &args->star);
    }
    if (parse_skip(p, TOKEN_POW)) {
        if (args->stars)
            return parse_error(p, p->at, "a second ** among arguments");
        return p->expression(p, &args->stars);
    }
    if (p->at->kind == TOKEN_NAME && p->at[1].kind == TOKEN_ASSIGN) {
        const struct token *name = p->at;
        if (args->stars)
            return parse_error(p, p->at, "an argument behind **");
        p->at += 2;
        TRY(p->expression(p, &value));
        parse_push(p, &args->named, value);
        const size_t count = (size_t)args->named.count;
        struct value *names = room_take(&p->t->room, count * sizeof *names);
        for (size_t i = 0; i + 1 < count; i++) {
            names[i] = args->names[i];
            if (names[i].text->len == name->len &&
                !memcmp(names[i].text->data, name->text, name->len))
                return parse_error(p, name, "an argument is given twice");
        }
        names[count - 1] = value_text(text_new(&p->t->room, name->text, name->len, 0));
        args->names = names;
        return OK;
    }
    if (args->star || args->stars || args->named.count)
        return parse_error(p, p->at, "an argument without a name behind one with a name");
    TRY(p->expression(p, &value));
    parse_push(p, &args->plain, value);
    return OK;
}

static err_t arguments(struct parser *p, struct arguments_given **ret)
{
    struct arguments_given *args = room_take(&p->t->room, sizeof *args);
    TRY(parse_expect(p, TOKEN_LPAREN, "'('"));
    for (bool first = true; p->at->kind != TOKEN_RPAREN; first = false) {
        if (!first)
            TRY(parse_expect(p, TOKEN_COMMA, "',' or ')'"));
        if (p->at->kind == TOKEN_RPAREN && !first)
            break;
        TRY(one_argument(p, args));
    }
    p->at++;
    *ret = args;
    return OK;
}

static err_t call(struct parser *p, struct node **node)
{
    struct node *all = parse_node(p, NODE_CALL, p->at->line);
    all->a = *node;
    TRY(arguments(p, &all->args));
    *node = all;
    return OK;
}

static err_t slice(struct parser *p, struct node *first, struct node **node)
{
    struct node *all = parse_node(p, NODE_SLICE, p->at->line);
    all->a = *node;
    parse_push(p, &all->list, first);
    for (int i = 1; i < 3; i++) {
        struct node *part = NULL;
        if (parse_skip(p, TOKEN_COLON)) {
            if (p->at->kind != TOKEN_COLON && p->at->kind != TOKEN_RBRACKET)
                TRY(p->expression(p, &part));
        }
        parse_push(p, &all->list, part);
    }
    *node = all;
    return OK;
}

static err_t subscript(struct parser *p, struct node **node)
{
    struct node *first = NULL;
    if (p->at->kind != TOKEN_COLON) {
        TRY(p->tuple(p, true, NULL, &first));
        if (p->at->kind != TOKEN_COLON) {
            struct node *all = parse_node(p, NODE_ITEM, p->at->line);
            all->a = *node;
            all->b = first;
            *node = all;
            return parse_expect(p, TOKEN_RBRACKET, "']'");
        }
    }
    TRY(slice(p, first, node));
    return parse_expect(p, TOKEN_RBRACKET, "']'; a slice stands alone in brackets");
}

static err_t member(struct parser *p, struct node **node)
{
    const struct token *token = p->at++;
    struct node *all =
        parse_node(p, token->kind == TOKEN_INT ? NODE_ITEM : NODE_MEMBER, token->line);
    all->a = *node;
    if (token->kind == TOKEN_INT) {
        all->b = parse_node(p, NODE_CONST, token->line);
        all->b->value = value_int(token->number);
    } else if (token->kind == TOKEN_NAME) {
        all->value = value_text(text_new(&p->t->room, token->text, token->len, 0));
    } else {
        p->at--;
        return parse_expected(p, "a name or a number behind '.'");
    }
    *node = all;
    return OK;
}

static err_t postfix(struct parser *p, struct node **node)
{
    while (true) {
        if (p->at->kind == TOKEN_LPAREN)
            TRY(call(p, node));
        else if (parse_skip(p, TOKEN_DOT))
            TRY(member(p, node));
        else if (parse_skip(p, TOKEN_LBRACKET))
            TRY(subscript(p, node));
        else
            return OK;
    }
}

/* ---- filters and tests */

/* One that neither we nor jinja2 know fails where it is reached, if an if is around it: so does
 * jinja2's. */
static err_t find(struct parser *p, enum builtin_table table, const struct token *token,
                  struct node *node)
{
    const char *what = table == BUILTIN_FILTERS ? "filter" : "test";
    node->builtin = builtin_find(table, token->text, token->len);
    node->value = value_text(text_new(&p->t->room, token->text, token->len, 0));
    if (node->builtin ? node->builtin->call || node->builtin->raw : p->conditions > 0)
        return OK;
    return template_error(p->t, token->line, "%s '%.*s' is not %s", what, (int)token->len,
                          token->text, node->builtin ? "supported" : "known");
}

err_t parse_filters(struct parser *p, bool inside, struct node **node)
{
    while (inside || parse_skip(p, TOKEN_PIPE)) {
        const struct token *token = p->at;
        TRY(parse_expect(p, TOKEN_NAME, "a filter's name"));
        struct node *all = parse_node(p, NODE_FILTER, token->line);
        all->a = *node;
        TRY(find(p, BUILTIN_FILTERS, token, all));
        if (p->at->kind == TOKEN_LPAREN)
            TRY(arguments(p, &all->args));
        *node = all;
        inside = false;
    }
    return OK;
}

static err_t test_argument(struct parser *p, struct node *test)
{
    const enum token_kind kind = p->at->kind;
    const bool begins = kind == TOKEN_NAME || kind == TOKEN_TEXT || kind == TOKEN_INT ||
                        kind == TOKEN_FLOAT || kind == TOKEN_LBRACKET || kind == TOKEN_LBRACE;
    if (kind == TOKEN_LPAREN)
        return arguments(p, &test->args);
    if (!begins || parse_at_word(p->at, "else") || parse_at_word(p->at, "or") ||
        parse_at_word(p->at, "and"))
        return OK;
    if (parse_at_word(p->at, "is"))
        return parse_error(p, p->at, "tests cannot be chained with 'is'");
    struct node *value;
    TRY(parse_primary(p, false, &value));
    TRY(postfix(p, &value));
    test->args = room_take(&p->t->room, sizeof *test->args);
    parse_push(p, &test->args->plain, value);
    return OK;
}

static err_t test(struct parser *p, struct node **node)
{
    const bool negated = parse_skip_word(p, "not");
    const struct token *token = p->at;
    TRY(parse_expect(p, TOKEN_NAME, "a test's name"));
    struct node *all = parse_node(p, NODE_TEST, token->line);
    all->a = *node;
    TRY(find(p, BUILTIN_TESTS, token, all));
    TRY(test_argument(p, all));
    *node = all;
    if (negated) {
        *node = parse_node(p, NODE_NOT, token->line);
        (*node)->a = all;
    }
    return OK;
}

static err_t filtered(struct parser *p, struct node **node)
{
    while (true) {
        if (p->at->kind == TOKEN_PIPE)
            TRY(parse_filters(p, false, node));
        else if (parse_skip_word(p, "is"))
            TRY(test(p, node));
        else if (p->at->kind == TOKEN_LPAREN)
            TRY(call(p, node));
        else
            return OK;
    }
}

err_t parse_operand(struct parser *p, bool filters, struct node **ret)
{
    const bool minus = p->at->kind == TOKEN_SUB;
    if (minus || p->at->kind == TOKEN_ADD) {
        struct node *node = parse_node(p, minus ? NODE_NEG : NODE_POS, p->at->line);
        p->at++;
        TRY(parse_deeper(p));
        TRY(parse_operand(p, false, &node->a));
        p->depth--;
        *ret = node;
    } else {
        TRY(parse_primary(p, false, ret));
    }
    TRY(postfix(p, ret));
    return filters ? filtered(p, ret) : OK;
}

/* ---- literals and names */

static err_t constant(struct parser *p, struct value value, struct node **ret)
{
    struct node *node = parse_node(p, NODE_CONST, p->at->line);
    node->value = value;
    *ret = node;
    return OK;
}

static err_t name(struct parser *p, bool namespaces, struct node **ret)
{
    const struct token *token = p->at++;
    if (parse_at_word(token, "true") || parse_at_word(token, "True"))
        return constant(p, value_bool(true), ret);
    if (parse_at_word(token, "false") || parse_at_word(token, "False"))
        return constant(p, value_bool(false), ret);
    if (parse_at_word(token, "none") || parse_at_word(token, "None"))
        return constant(p, value_none(), ret);
    struct node *node = parse_node(p, NODE_NAME, token->line);
    TRY(parse_name(p, token, &node->name));
    if (namespaces && parse_skip(p, TOKEN_DOT)) {
        const struct token *field = p->at;
        node->kind = NODE_NSREF;
        TRY(parse_expect(p, TOKEN_NAME, "a name behind '.'"));
        node->value = value_text(text_new(&p->t->room, field->text, field->len, 0));
    }
    for (struct parse_macro *macro = p->macro; macro; macro = macro->outer) {
        macro->signature->caller |= node->name == NAME_CALLER;
        macro->signature->varargs |= node->name == NAME_VARARGS;
        macro->signature->kwargs |= node->name == NAME_KWARGS;
    }
    *ret = node;
    return OK;
}

static err_t strings(struct parser *p, struct node **ret)
{
    struct builder all = {.room = &p->t->room};
    const struct text *text = &text_empty;
    const struct token *first = p->at;
    for (; p->at->kind == TOKEN_TEXT; p->at++)
        builder_add(&all, p->at->text, p->at->len, 0);
    TRY(builder_text(&all, &text));
    TRY(constant(p, value_text(text), ret));
    (*ret)->line = first->line;
    return OK;
}

static err_t items(struct parser *p, struct node **ret)
{
    const bool dict = p->at->kind == TOKEN_LBRACE;
    const enum token_kind end = dict ? TOKEN_RBRACE : TOKEN_RBRACKET;
    struct node *all = parse_node(p, dict ? NODE_DICT : NODE_LIST, p->at->line), *item;
    p->at++;
    for (bool first = true; p->at->kind != end; first = false) {
        if (!first)
            TRY(parse_expect(p, TOKEN_COMMA, dict ? "',' or '}'" : "',' or ']'"));
        if (p->at->kind == end)
            break;
        TRY(p->expression(p, &item));
        parse_push(p, &all->list, item);
        if (dict) {
            TRY(parse_expect(p, TOKEN_COLON, "':'"));
            TRY(p->expression(p, &item));
            parse_push(p, &all->list, item);
        }
    }
    p->at++;
    *ret = all;
    return OK;
}

static err_t parentheses(struct parser *p, struct node **ret)
{
    p->at++;
    if (p->at->kind == TOKEN_RPAREN)
        *ret = parse_node(p, NODE_TUPLE, p->at->line);
    else
        TRY(p->tuple(p, true, NULL, ret));
    return parse_expect(p, TOKEN_RPAREN, "')'");
}

err_t parse_primary(struct parser *p, bool namespaces, struct node **ret)
{
    switch (p->at->kind) {
    case TOKEN_NAME:
        return name(p, namespaces, ret);
    case TOKEN_TEXT:
        return strings(p, ret);
    case TOKEN_INT:
        return constant(p, value_int(p->at++->number), ret);
    case TOKEN_FLOAT:
        return constant(p, value_float(p->at++->real), ret);
    case TOKEN_LPAREN:
        return parentheses(p, ret);
    case TOKEN_LBRACKET:
    case TOKEN_LBRACE:
        return items(p, ret);
    default:
        return parse_expected(p, "an expression");
    }
}
