/* Tokens and nodes, as all parts of the parser use them. */
#include "base/printable.h"
#include "model/text/template/template_parse.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

err_t template_shown(err_t e)
{
    if (!err_failed(e))
        return e;
    SCOPED_MEM char *text = printable_text(err_message(e), "");
    err_t shown = err_new(err_code(e), "%s", text);
    err_free(e);
    return shown;
}

err_t template_error(const struct template *t, int line, const char *format, ...)
{
    char what[512];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return err_new(ERR_INVALID, "%s:%d: %s", t->name, line, what);
}

err_t parse_error(const struct parser *p, const struct token *at, const char *what)
{
    return template_error(p->t, at->line, "%s", what);
}

err_t parse_expected(const struct parser *p, const char *what)
{
    static const char *const ends[] = {
        "the end of the template", "text", "'{{'", "'}}'", "'{%'", "'%}'"};
    const struct token *token = p->at;
    if (token->kind <= TOKEN_BLOCK_END)
        return template_error(p->t, token->line, "expected %s, got %s", what, ends[token->kind]);
    return template_error(p->t, token->line, "expected %s, got '%.*s'", what,
                          (int)(token->len < 60 ? token->len : 60), token->text);
}

struct node *parse_node(struct parser *p, enum node_kind kind, int line)
{
    struct node *node = room_take(&p->t->room, sizeof *node);
    node->kind = kind;
    node->line = line;
    return node;
}

void parse_push(struct parser *p, struct nodes *nodes, struct node *node)
{
    if (nodes->count == nodes->capacity) {
        nodes->capacity = nodes->capacity ? nodes->capacity * 2 : 2;
        struct node **at = room_take(&p->t->room, (size_t)nodes->capacity * sizeof *at);
        if (nodes->count)
            memcpy(at, nodes->at, (size_t)nodes->count * sizeof *at);
        nodes->at = at;
    }
    nodes->at[nodes->count++] = node;
}

int template_name(const struct template *t, const char *name, size_t len)
{
    for (int i = 0; i < t->name_count; i++)
        if (strlen(t->names[i]) == len && memcmp(t->names[i], name, len) == 0)
            return i;
    return -1;
}

err_t parse_name(struct parser *p, const struct token *token, int *ret)
{
    struct template *t = p->t;
    *ret = template_name(t, token->text, token->len);
    if (*ret >= 0)
        return OK;
    if (t->name_count == PARSE_NAMES)
        return parse_error(p, token, "more than 2048 names");
    char *name = room_take(&t->room, token->len + 1);
    memcpy(name, token->text, token->len);
    t->names[t->name_count] = name;
    *ret = t->name_count++;
    return OK;
}

bool parse_at_word(const struct token *token, const char *word)
{
    return token->kind == TOKEN_NAME && token->len == strlen(word) &&
           memcmp(token->text, word, token->len) == 0;
}

bool parse_skip(struct parser *p, enum token_kind kind)
{
    const bool there = p->at->kind == kind;
    p->at += there;
    return there;
}

bool parse_skip_word(struct parser *p, const char *word)
{
    const bool there = parse_at_word(p->at, word);
    p->at += there;
    return there;
}

err_t parse_expect(struct parser *p, enum token_kind kind, const char *what)
{
    return parse_skip(p, kind) ? OK : parse_expected(p, what);
}

err_t parse_deeper(struct parser *p)
{
    if (++p->depth > PARSE_DEPTH)
        return parse_error(p, p->at, "statements and expressions are nested too deeply");
    return OK;
}
