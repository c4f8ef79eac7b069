#include "rewarder/verify/math_parser.h"
#include <string.h>
#include <strings.h>

/* ---- nodes */

uint16_t math_node_new(struct parser *p, enum math_kind kind)
{
    if (p->tree->count + 1 >= MATH_NODES) {
        p->failed = true;
        p->tree->count = 0; // nothing is read any more
    }
    const uint16_t at = ++p->tree->count;
    p->tree->at[at] = (struct math_node){.kind = kind};
    return at;
}

struct math_node *math_node_at(struct parser *p, uint16_t at)
{
    return &p->tree->at[at];
}

void math_adopt(struct parser *p, uint16_t parent, uint16_t child)
{
    struct math_node *to = math_node_at(p, parent);
    if (p->failed || !child) {
        p->failed = true;
        return;
    }
    if (to->last)
        math_node_at(p, to->last)->next = child;
    else
        to->first = child;
    to->last = child;
    to->count++;
}

uint16_t math_one(struct parser *p, enum math_kind kind, uint16_t child)
{
    const uint16_t at = math_node_new(p, kind);
    math_adopt(p, at, child);
    return at;
}

uint16_t math_two(struct parser *p, enum math_kind kind, uint16_t a, uint16_t b)
{
    const uint16_t at = math_one(p, kind, a);
    math_adopt(p, at, b);
    return at;
}

uint16_t math_called(struct parser *p, enum math_call which, uint16_t argument)
{
    const uint16_t at = math_one(p, MATH_CALL, argument);
    math_node_at(p, at)->call = which;
    return at;
}

uint16_t math_whole(struct parser *p, uint64_t value)
{
    const uint16_t at = math_node_new(p, MATH_NUMBER);
    math_node_at(p, at)->value = (double)value;
    math_node_at(p, at)->residue = value;
    return at;
}

uint16_t math_fail(struct parser *p)
{
    p->failed = true;
    return 0;
}

/* ---- tokens */

bool math_at_sign(const struct parser *p, char sign)
{
    return p->lex.kind == TOKEN_SIGN && p->lex.sign == sign;
}

bool math_take(struct parser *p, char sign)
{
    if (!math_at_sign(p, sign))
        return false;
    math_next(&p->lex);
    return true;
}

void math_need(struct parser *p, char sign)
{
    if (!math_take(p, sign))
        p->failed = true;
}

bool math_is_word(struct text_slice text, const char *word)
{
    const struct text_slice bare = scorer_strip(text);
    return bare.len == strlen(word) && strncasecmp(bare.data, word, bare.len) == 0;
}

bool math_at_command(const struct parser *p, const char *name)
{
    return p->lex.kind == TOKEN_COMMAND &&
           scorer_same(p->lex.text, (struct text_slice){name, strlen(name)});
}

bool math_at_and(const struct parser *p)
{
    const bool words = p->lex.kind == TOKEN_WORD || p->lex.kind == TOKEN_TEXT;
    return words && (math_is_word(p->lex.text, "and") || math_is_word(p->lex.text, "or"));
}

bool math_take_comma(struct parser *p)
{
    bool taken = false;
    while (math_at_sign(p, ',') || math_at_sign(p, ';') || math_at_and(p)) {
        math_next(&p->lex);
        taken = true;
    }
    return taken;
}

bool math_deeper(struct parser *p)
{
    if (++p->depth > MATH_DEPTH)
        p->failed = true;
    return !p->failed;
}
