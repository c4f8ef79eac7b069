/* Inside template only: a parser. template_parse.c has statements, template_expression.c operators,
 * template_operand.c what stands between them, template_tokens.c what these have in common. */
#pragma once
#include "model/text/template/template_tree.h"

enum { PARSE_NAMES = 2048, PARSE_DEPTH = 400 };

struct parser {
    struct template *t;
    const struct token *at; // the next one
    int depth, loops;       // loops: around this statement, in its macro
    int conditions;         // if around this statement
    struct parse_macro *macro;
    /* Operands hold expressions in parentheses and brackets: parse_expression and parse_tuple. */
    err_t (*expression)(struct parser *p, struct node **ret);
    err_t (*tuple)(struct parser *p, bool conditions, const char *end, struct node **ret);
};

/* A macro or call block whose body is parsed. */
struct parse_macro {
    struct parse_macro *outer;
    struct signature *signature;
};

err_t parse_error(const struct parser *p, const struct token *at, const char *what);
err_t parse_expected(const struct parser *p, const char *what);

struct node *parse_node(struct parser *p, enum node_kind kind, int line);
void parse_push(struct parser *p, struct nodes *nodes, struct node *node);
err_t parse_name(struct parser *p, const struct token *token, int *ret);

bool parse_at_word(const struct token *token, const char *word);
bool parse_skip(struct parser *p, enum token_kind kind);
bool parse_skip_word(struct parser *p, const char *word);
err_t parse_expect(struct parser *p, enum token_kind kind, const char *what);

err_t parse_deeper(struct parser *p); // INVALID: too deep; p->depth-- ends it

err_t parse_expression(struct parser *p, struct node **ret);
/* With commas between: a tuple; conditions: whether "a if b" is one expression; end: a word that
 * ends it, or NULL. */
err_t parse_tuple(struct parser *p, bool conditions, const char *end, struct node **ret);
err_t parse_target(struct parser *p, bool namespaces, const char *end, struct node **ret);

/* With its sign, subscripts and calls; filters: and filters and tests behind it. */
err_t parse_operand(struct parser *p, bool filters, struct node **ret);
/* A literal or name alone; namespaces: ns.x is a target, too. */
err_t parse_primary(struct parser *p, bool namespaces, struct node **ret);
/* Filters behind a node, or of a block: inside says that the first has no '|' before it. */
err_t parse_filters(struct parser *p, bool inside, struct node **node);
