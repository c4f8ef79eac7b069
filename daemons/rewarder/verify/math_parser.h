/* The parser of answers, between its files: where it stands, and what it takes and makes.
 *
 *     if (math_take(p, '/'))
 *         left = math_two(p, MATH_QUOTIENT, left, math_primary(p));
 *
 * A failure is a flag, which every loop looks at: what is made after it is nothing's. The tightest
 * pieces stand in math_primary.c and reach the looser ones by `grammar`. */
#pragma once
#include "rewarder/verify/math_lex.h"
#include "rewarder/verify/math_tree.h"

struct parser {
    struct math_lex lex;
    struct math_tree *tree;
    const struct grammar *grammar;
    int depth, calls;
    int bars; // how many a | may close
    bool failed;
};

/* Functions of math_parse.c; at `bracketed` the current token opens the brackets. */
struct grammar {
    uint16_t (*bracketed)(struct parser *p, char open, char close);
    uint16_t (*list)(struct parser *p, char open, char close);
    uint16_t (*sum)(struct parser *p);
    uint16_t (*power)(struct parser *p);
    uint16_t (*implied)(struct parser *p, uint16_t left);
};

/* Nodes. */
uint16_t math_node_new(struct parser *p, enum math_kind kind);
struct math_node *math_node_at(struct parser *p, uint16_t at);
void math_adopt(struct parser *p, uint16_t parent, uint16_t child);
uint16_t math_one(struct parser *p, enum math_kind kind, uint16_t child);
uint16_t math_two(struct parser *p, enum math_kind kind, uint16_t a, uint16_t b);
uint16_t math_called(struct parser *p, enum math_call which, uint16_t argument);
uint16_t math_whole(struct parser *p, uint64_t value);
uint16_t math_fail(struct parser *p); // 0
bool math_deeper(struct parser *p);   // false: too deep

/* The current token. */
bool math_at_sign(const struct parser *p, char sign);
bool math_take(struct parser *p, char sign);
void math_need(struct parser *p, char sign);
bool math_is_word(struct text_slice text, const char *word); // in any case, without blanks
bool math_at_command(const struct parser *p, const char *name);
bool math_at_and(const struct parser *p); // "and", "or"
bool math_take_comma(struct parser *p);

/* A value without a sign, a power or a product. */
uint16_t math_primary(struct parser *p);
bool math_begins_factor(const struct parser *p);

/* The exponent behind a ^; 0, without a failure: the sign of degrees. */
uint16_t math_exponent(struct parser *p);
