/* Words of an answer: numbers, letters, commands of LaTeX, signs. Marks of type are skipped.
 *
 *     struct math_lex lex = {text.data, text.data + text.len};
 *     math_next(&lex);                              -- lex.kind, lex.text and lex.number
 *
 * Any thread. */
#pragma once
#include "rewarder/verify/math_tree.h"

enum math_token {
    TOKEN_END,
    TOKEN_NUMBER,  // number
    TOKEN_WORD,    // text: letters
    TOKEN_COMMAND, // text: its name
    TOKEN_TEXT,    // text: what stands inside \text{...}
    TOKEN_SIGN,    // sign
    TOKEN_UNKNOWN, // text: a byte
};

/* Signs that have no character of their own in ASCII. */
enum {
    SIGN_SET = 1,     // \{
    SIGN_SET_END = 2, // \}
    SIGN_ROW = 3,     // \\ in a matrix
    SIGN_MOST = 'l',  // <=
    SIGN_LEAST = 'g', // >=
    SIGN_NOT = 'n',
    SIGN_UNION = 'u',
    SIGN_EITHER = 'p', // +-
    SIGN_DEGREE = 'd',
    SIGN_IN = 'i',
};

struct math_lex {
    const char *at, *end;
    int brackets; // around this place: between them commas separate, and group no digits
    enum math_token kind;
    struct text_slice text;
    char sign;
    struct math_node number;
    const char *listed; // up to here commas are known to separate
};

void math_next(struct math_lex *lex);

/* Whether the text begins like that. */
bool math_begins(const char *at, const char *end, const char *word);

/* The next character that counts, which is not taken; 0: the end. */
char math_peek(struct math_lex *lex);

/* Takes one digit as a number, as the argument of \frac12; false: none is there. */
bool math_digit(struct math_lex *lex);
