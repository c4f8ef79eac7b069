/* Inside template only: a source as tokens. */
#pragma once
#include "base/err.h"
#include "model/text/values/value_room.h"
#include <stdint.h>

enum token_kind {
    TOKEN_END,
    TOKEN_DATA,
    TOKEN_VARIABLE_BEGIN,
    TOKEN_VARIABLE_END,
    TOKEN_BLOCK_BEGIN,
    TOKEN_BLOCK_END,
    TOKEN_NAME,
    TOKEN_TEXT,
    TOKEN_INT,
    TOKEN_FLOAT,
    TOKEN_ADD, // the first of the operators, in the order of template_lex.c's table
    TOKEN_SUB,
    TOKEN_DIV,
    TOKEN_FLOORDIV,
    TOKEN_MUL,
    TOKEN_MOD,
    TOKEN_POW,
    TOKEN_TILDE,
    TOKEN_LBRACKET,
    TOKEN_RBRACKET,
    TOKEN_LPAREN,
    TOKEN_RPAREN,
    TOKEN_LBRACE,
    TOKEN_RBRACE,
    TOKEN_EQ,
    TOKEN_NE,
    TOKEN_GT,
    TOKEN_GE,
    TOKEN_LT,
    TOKEN_LE,
    TOKEN_ASSIGN,
    TOKEN_DOT,
    TOKEN_COLON,
    TOKEN_PIPE,
    TOKEN_COMMA,
    TOKEN_SEMICOLON,
    TOKEN_IN, // of comparisons only: made by the parser
    TOKEN_NOT_IN,
};

struct token {
    enum token_kind kind;
    int line;
    const char *text; // (len) NAME, DATA; TEXT: with its escapes resolved
    size_t len;
    int64_t number;
    double real;
};

struct tokens {
    struct token *at; // (count) the last one is END; owned
    size_t count, capacity;
};

/* Texts of tokens lie in room or in source. */
err_t template_lex(const char *source, size_t len, const char *name, struct room *room,
                   struct tokens *ret);
