/* Statements, as jinja2's parser takes them. */
#include "model/text/template/template_parse.h"
#include "base/mem.h"
#include "base/printable.h"
#include "model/text/values/value_text.h"
#include <string.h>

/* ---- bodies */

static err_t statement(struct parser *p, struct node **ret);

/* Whether the word at hand is one of those in ends, which are separated by '|'. */
static bool at_end(const struct parser *p, const char *ends)
{
    for (const char *word = ends; p->at->kind == TOKEN_NAME && word; word = strchr(word, '|')) {
        word += *word == '|';
        if (strcspn(word, "|") == p->at->len && !memcmp(word, p->at->text, p->at->len))
            return true;
    }
    return false;
}

static err_t output(struct parser *p, struct node *all)
{
    struct node *item;
    if (p->at->kind == TOKEN_DATA) {
        item = parse_node(p, NODE_CONST, p->at->line);
        item->value = value_text(text_new(&p->t->room, p->at->text, p->at->len, 0));
        p->at++;
    } else {
        p->at++;
        TRY(parse_tuple(p, true, NULL, &item));
        TRY(parse_expect(p, TOKEN_VARIABLE_END, "'}}'"));
    }
    parse_push(p, &all->list, item);
    return OK;
}

/* Statements up to a tag of one of the words in ends, whose word is at hand then; NULL: all. */
static err_t body(struct parser *p, const char *ends, struct nodes *ret)
{
    const struct token *first = p->at;
    struct node *all = NULL, *node = NULL;
    while (p->at->kind != TOKEN_END) {
        if (p->at->kind != TOKEN_BLOCK_BEGIN) {
            if (!all) {
                all = parse_node(p, NODE_OUTPUT, p->at->line);
                parse_push(p, ret, all);
            }
            TRY(output(p, all));
            continue;
        }
        all = NULL;
        p->at++;
        if (ends && at_end(p, ends))
            return OK;
        TRY(parse_deeper(p));
        TRY(statement(p, &node));
        p->depth--;
        parse_push(p, ret, node);
        TRY(parse_expect(p, TOKEN_BLOCK_END, "'%}'"));
    }
    if (ends)
        return template_error(p->t, first->line, "a statement has no end: none of {%% %s %%}",
                              ends);
    return OK;
}

static err_t statements(struct parser *p, const char *ends, struct nodes *ret)
{
    parse_skip(p, TOKEN_COLON);
    TRY(parse_expect(p, TOKEN_BLOCK_END, "'%}'"));
    return body(p, ends, ret);
}

/* The same for a statement with one end, whose word is passed over. */
static err_t statements_to(struct parser *p, const char *end, struct nodes *ret)
{
    TRY(statements(p, end, ret));
    p->at++;
    return OK;
}

/* ---- statements; the word is passed over, and node is of its kind */

static err_t parse_if(struct parser *p, struct node *node)
{
    for (p->conditions++;;) {
        TRY(parse_tuple(p, false, NULL, &node->b));
        TRY(statements(p, "elif|else|endif", &node->list));
        if (!parse_skip_word(p, "elif"))
            break;
        struct node *other = parse_node(p, NODE_IF, p->at->line);
        parse_push(p, &node->other, other);
        node->flag = true;
        node = other;
    }
    if (parse_skip_word(p, "else"))
        TRY(statements(p, "endif", &node->other));
    p->at++;
    p->conditions--;
    return OK;
}

static err_t parse_for(struct parser *p, struct node *node)
{
    const struct token *first = p->at;
    TRY(parse_target(p, false, "in", &node->a));
    if (node->a->kind == NODE_NAME && node->a->name == NAME_LOOP)
        return parse_error(p, first, "for cannot assign to 'loop'");
    if (!parse_skip_word(p, "in"))
        return parse_expected(p, "'in'");
    TRY(parse_tuple(p, false, "recursive", &node->b));
    if (parse_skip_word(p, "if"))
        TRY(parse_expression(p, &node->c));
    node->flag = parse_skip_word(p, "recursive");
    p->loops++;
    TRY(statements(p, "endfor|else", &node->list));
    p->loops--;
    if (parse_skip_word(p, "else"))
        TRY(statements(p, "endfor", &node->other));
    p->at++;
    return OK;
}

static err_t parse_set(struct parser *p, struct node *node)
{
    TRY(parse_target(p, true, NULL, &node->a));
    if (parse_skip(p, TOKEN_ASSIGN))
        return parse_tuple(p, true, NULL, &node->b);
    node->kind = NODE_SET_BLOCK;
    TRY(parse_filters(p, false, &node->b));
    return statements_to(p, "endset", &node->list);
}

static err_t signature(struct parser *p, struct signature *s)
{
    struct nodes initial = {0}, names = {0};
    bool had_initial = false;
    TRY(parse_expect(p, TOKEN_LPAREN, "'('"));
    while (p->at->kind != TOKEN_RPAREN) {
        struct node *name = parse_node(p, NODE_NAME, p->at->line), *value = NULL;
        if (names.count)
            TRY(parse_expect(p, TOKEN_COMMA, "',' or ')'"));
        const struct token *token = p->at;
        TRY(parse_expect(p, TOKEN_NAME, "a parameter's name"));
        TRY(parse_name(p, token, &name->name));
        if (name->name == NAME_CALLER)
            return parse_error(p, token, "a parameter 'caller' is not supported");
        for (int i = 0; i < names.count; i++)
            if (names.at[i]->name == name->name)
                return parse_error(p, token, "a parameter is named twice");
        if (parse_skip(p, TOKEN_ASSIGN))
            TRY(parse_expression(p, &value));
        else if (had_initial)
            return parse_error(p, token, "a parameter without a default behind one with a default");
        had_initial = value;
        parse_push(p, &names, name);
        parse_push(p, &initial, value);
    }
    p->at++;
    s->count = names.count;
    s->initial = initial.at;
    s->name = room_take(&p->t->room, (size_t)names.count * sizeof *s->name);
    for (int i = 0; i < names.count; i++)
        s->name[i] = names.at[i]->name;
    return OK;
}

/* The body of a macro or call block. */
static err_t macro_body(struct parser *p, struct node *node, const char *end)
{
    struct parse_macro macro = {p->macro, node->signature};
    const int loops = p->loops;
    p->macro = &macro;
    p->loops = 0;
    TRY(statements_to(p, end, &node->list));
    p->macro = macro.outer;
    p->loops = loops;
    return OK;
}

static err_t parse_macro(struct parser *p, struct node *node)
{
    const struct token *name = p->at;
    TRY(parse_expect(p, TOKEN_NAME, "a macro's name"));
    TRY(parse_name(p, name, &node->name));
    node->signature = room_take(&p->t->room, sizeof *node->signature);
    TRY(signature(p, node->signature));
    return macro_body(p, node, "endmacro");
}

static err_t parse_call(struct parser *p, struct node *node)
{
    node->signature = room_take(&p->t->room, sizeof *node->signature);
    if (p->at->kind == TOKEN_LPAREN)
        TRY(signature(p, node->signature));
    TRY(parse_expression(p, &node->a));
    if (node->a->kind != NODE_CALL)
        return parse_error(p, p->at, "{% call %} needs a call, as in {% call name() %}");
    return macro_body(p, node, "endcall");
}

static err_t parse_filter(struct parser *p, struct node *node)
{
    TRY(parse_filters(p, true, &node->b));
    return statements_to(p, "endfilter", &node->list);
}

static err_t parse_with(struct parser *p, struct node *node)
{
    while (p->at->kind != TOKEN_BLOCK_END) {
        struct node *target, *value;
        if (node->other.count)
            TRY(parse_expect(p, TOKEN_COMMA, "','"));
        TRY(parse_target(p, false, NULL, &target));
        TRY(parse_expect(p, TOKEN_ASSIGN, "'='"));
        TRY(parse_expression(p, &value));
        parse_push(p, &node->other, target);
        parse_push(p, &node->other, value);
    }
    return statements_to(p, "endwith", &node->list);
}

static err_t parse_print(struct parser *p, struct node *node)
{
    while (p->at->kind != TOKEN_BLOCK_END) {
        struct node *item;
        if (node->list.count)
            TRY(parse_expect(p, TOKEN_COMMA, "','"));
        TRY(parse_expression(p, &item));
        parse_push(p, &node->list, item);
    }
    return OK;
}

static err_t parse_generation(struct parser *p, struct node *node)
{
    struct signature none = {0};
    node->signature = &none;
    TRY(macro_body(p, node, "endgeneration"));
    node->signature = NULL;
    return OK;
}

static err_t parse_leave(struct parser *p, struct node *node)
{
    (void)node;
    return p->loops ? OK : parse_error(p, p->at - 1, "break and continue belong into a loop");
}

static const struct {
    const char *word;
    err_t (*parse)(struct parser *p, struct node *node); // NULL: not supported
    enum node_kind kind;
} rows[] = {
    {"if", parse_if, NODE_IF},
    {"for", parse_for, NODE_FOR},
    {"set", parse_set, NODE_SET},
    {"macro", parse_macro, NODE_MACRO},
    {"call", parse_call, NODE_CALL_BLOCK},
    {"filter", parse_filter, NODE_FILTER_BLOCK},
    {"with", parse_with, NODE_WITH},
    {"print", parse_print, NODE_OUTPUT},
    {"generation", parse_generation, NODE_GENERATION},
    {"break", parse_leave, NODE_BREAK},
    {"continue", parse_leave, NODE_CONTINUE},
    {"include", NULL, 0},
    {"import", NULL, 0},
    {"from", NULL, 0},
    {"extends", NULL, 0},
    {"block", NULL, 0},
    {"autoescape", NULL, 0},
};

static err_t statement(struct parser *p, struct node **ret)
{
    const struct token *word = p->at;
    TRY(parse_expect(p, TOKEN_NAME, "a statement's name"));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!parse_at_word(word, rows[i].word))
            continue;
        if (!rows[i].parse)
            return template_error(p->t, word->line, "{%% %s %%} is not supported", rows[i].word);
        *ret = parse_node(p, rows[i].kind, word->line);
        return rows[i].parse(p, *ret);
    }
    return template_error(p->t, word->line, "{%% %.*s %%} is no statement here", (int)word->len,
                          word->text);
}

/* ---- a template */

static err_t parse(struct template *t, const char *source, size_t len, struct tokens *tokens)
{
    static const char *const known[NAMES_KNOWN] = {"loop", "caller", "varargs", "kwargs"};
    TRY(template_lex(source, len, t->name, &t->room, tokens));
    t->names = room_take(&t->room, PARSE_NAMES * sizeof *t->names);
    for (; t->name_count < NAMES_KNOWN; t->name_count++)
        t->names[t->name_count] = known[t->name_count];
    struct parser p = {
        .t = t, .at = tokens->at, .expression = parse_expression, .tuple = parse_tuple};
    return body(&p, NULL, &t->body);
}

static bool is_utf8(const char *text, size_t len)
{
    uint32_t point;
    for (size_t at = 0, bytes; at < len; at += bytes)
        if (!(bytes = utf8_point(text + at, len - at, &point)))
            return false;
    return true;
}

err_t template_parse(const char *source, size_t len, const char *name, struct template **ret)
{
    SCOPED(template) t = mem_new(sizeof *t);
    struct tokens tokens = {0};
    t->name = mem_string(name);
    if (len > TEMPLATE_BYTES)
        return err_new(ERR_INVALID, "%s: a template of %zu bytes; at most %d are allowed", name,
                       len, TEMPLATE_BYTES);
    if (!is_utf8(source, len) || memchr(source, 0, len))
        return err_new(ERR_INVALID, "%s: the template is not UTF-8, or has a zero byte", name);
    err_t e = parse(t, source, len, &tokens);
    mem_free(tokens.at);
    TRY(template_shown(e));
    *ret = STEAL(t);
    return OK;
}

void template_free(struct template *t)
{
    if (!t)
        return;
    room_done(&t->room);
    mem_free(t->name);
    mem_free(t);
}
