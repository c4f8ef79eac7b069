#include "rewarder/verify/math_parser.h"
#include <string.h>

/* ---- units */

/* A unit is at hand: words behind a value. Words that are none of the table's count only as text,
 * so that letters stay factors. */
static bool at_unit(const struct parser *p)
{
    if (p->lex.kind == TOKEN_TEXT)
        return !math_at_and(p);
    if (p->lex.kind != TOKEN_WORD || math_at_and(p))
        return false;
    const struct text_slice word = p->lex.text;
    return word.len >= 2 && (math_unit_is(word) || word.len > 3);
}

static void take_unit(struct parser *p)
{
    char text[128];
    struct text_slice word = p->lex.text;
    word.len = word.len < 100 ? word.len : 100;
    memcpy(text, word.data, word.len);
    math_next(&p->lex);
    if (math_take(p, '^')) {
        const bool group = math_take(p, '{');
        text[word.len++] = '^';
        if (math_take(p, '-'))
            text[word.len++] = '-';
        if (p->lex.kind != TOKEN_NUMBER || p->lex.number.name.len != 1)
            p->failed = true;
        else
            text[word.len++] = *p->lex.number.name.data;
        math_next(&p->lex);
        if (group)
            math_need(p, '}');
    }
    if (p->lex.brackets || p->calls)
        return;
    const bool again = p->tree->unit.given;
    math_unit_read((struct text_slice){text, word.len}, &p->tree->unit);
    if (again && p->tree->unit.known && p->lex.kind == TOKEN_NUMBER)
        p->failed = true; // 3 hours 20 minutes is no product
}

/* "/ h" behind "km". */
static bool take_unit_below(struct parser *p)
{
    const struct parser before = *p;
    const struct math_unit unit = p->tree->unit;
    if (!unit.given || !math_take(p, '/'))
        return false;
    const bool word =
        p->lex.kind == TOKEN_WORD && (math_unit_is(p->lex.text) || p->lex.text.len > 3);
    if (!word && p->lex.kind != TOKEN_TEXT) {
        *p = before;
        return false;
    }
    struct math_unit below = {0};
    math_unit_read(p->lex.text, &below);
    math_next(&p->lex);
    for (int i = 0; i < UNIT_DIMENSIONS; i++)
        p->tree->unit.power[i] -= below.power[i];
    p->tree->unit.factor /= below.factor;
    p->tree->unit.known &= below.known;
    return true;
}

/* ---- the grammar, from the loosest to the tightest */

static uint16_t clause(struct parser *p);
static uint16_t sum(struct parser *p);

/* Clauses up to a closing sign; 0: to the end. One alone stands for itself where its brackets only
 * group. */
static uint16_t list(struct parser *p, char open, char close)
{
    const uint16_t at = math_node_new(p, MATH_LIST);
    const bool set = open == SIGN_SET || open == '{';
    math_node_at(p, at)->open = set ? '{' : open;
    math_node_at(p, at)->close = set ? '}' : close;
    math_take_comma(p);
    while (!p->failed && p->lex.kind != TOKEN_END &&
           !(math_at_sign(p, close) ||
             (open && !set && (math_at_sign(p, ')') || math_at_sign(p, ']'))))) {
        math_adopt(p, at, clause(p));
        if (!math_take_comma(p))
            break;
    }
    if (open && !set && (math_at_sign(p, ')') || math_at_sign(p, ']')))
        math_node_at(p, at)->close = p->lex.sign; // [a, b) is an interval
    else if (open && !math_at_sign(p, close))
        return math_fail(p);
    const bool groups = math_node_at(p, at)->count == 1 && open != SIGN_SET;
    return groups ? math_node_at(p, at)->first : at;
}

static uint16_t bracketed(struct parser *p, char open, char close)
{
    if (!math_deeper(p))
        return 0;
    const int bars = p->bars;
    const bool counts = open != '{';
    p->bars = 0;
    p->lex.brackets += counts; // before the next number is read
    math_next(&p->lex);
    const uint16_t at = list(p, open, close);
    p->lex.brackets -= counts;
    p->bars = bars;
    p->depth--;
    math_next(&p->lex);
    return at;
}

static bool take_relation(struct parser *p, char *ret)
{
    static const char known[] = {'=', '<', '>', SIGN_MOST, SIGN_LEAST, SIGN_NOT, SIGN_IN, 0};
    if (p->lex.kind != TOKEN_SIGN || !strchr(known, p->lex.sign) || !p->lex.sign)
        return false;
    *ret = p->lex.sign;
    math_next(&p->lex);
    return true;
}

static uint16_t interval(struct parser *p, uint16_t from, char open, uint16_t to, char close)
{
    const uint16_t at = math_two(p, MATH_LIST, from, to);
    math_node_at(p, at)->open = open;
    math_node_at(p, at)->close = close;
    return at;
}

static uint16_t infinity(struct parser *p, bool minus)
{
    const uint16_t at = math_node_new(p, MATH_INFINITY);
    return minus ? math_one(p, MATH_NEGATIVE, at) : at;
}

/* x < 5 is an interval, too: (-oo, 5). */
static uint16_t relation(struct parser *p, uint16_t left, char sign, uint16_t right)
{
    uint16_t a = left, b = right;
    if (sign == '>' || sign == SIGN_LEAST) {
        a = right;
        b = left;
        sign = sign == '>' ? '<' : SIGN_MOST;
    }
    const char open = sign == '<' ? '(' : '[', close = sign == '<' ? ')' : ']';
    if ((sign == '<' || sign == SIGN_MOST) && math_node_at(p, a)->kind == MATH_LETTER)
        return interval(p, infinity(p, true), '(', b, close);
    if ((sign == '<' || sign == SIGN_MOST) && math_node_at(p, b)->kind == MATH_LETTER)
        return interval(p, a, open, infinity(p, false), ')');
    const uint16_t at = math_two(p, MATH_RELATION, a, b);
    math_node_at(p, at)->relation = sign;
    return at;
}

/* a < x <= b */
static uint16_t between(struct parser *p, uint16_t a, char left, uint16_t b, char right)
{
    if (left == '>' || left == SIGN_LEAST)
        return interval(p, b, right == '>' ? '(' : '[', a, left == '>' ? ')' : ']');
    return interval(p, a, left == '<' ? '(' : '[', b, right == '<' ? ')' : ']');
}

static bool same_way(char a, char b)
{
    const bool up = (a == '<' || a == SIGN_MOST) && (b == '<' || b == SIGN_MOST);
    return up || ((a == '>' || a == SIGN_LEAST) && (b == '>' || b == SIGN_LEAST));
}

static uint16_t joined(struct parser *p)
{
    const uint16_t first = sum(p);
    if (!math_at_sign(p, SIGN_UNION))
        return first;
    const uint16_t at = math_one(p, MATH_UNION, first);
    while (!p->failed && math_take(p, SIGN_UNION))
        math_adopt(p, at, sum(p));
    return at;
}

static uint16_t clause(struct parser *p)
{
    char sign, second;
    if (!math_deeper(p))
        return 0;
    const uint16_t left = joined(p);
    uint16_t at = left;
    if (!p->failed && take_relation(p, &sign)) {
        uint16_t right = joined(p);
        if (p->failed)
            return 0;
        if (sign == SIGN_IN) {
            at = right;
        } else if (take_relation(p, &second)) {
            const uint16_t third = joined(p);
            if (p->failed)
                return 0;
            if (same_way(sign, second)) {
                at = between(p, left, sign, third, second);
            } else {
                if (sign != '=' || second != '=')
                    return math_fail(p);
                for (right = third; !p->failed && math_take(p, '=');)
                    right = joined(p);
                at = p->failed ? 0 : relation(p, left, '=', right);
            }
        } else
            at = relation(p, left, sign, right);
    }
    p->depth--;
    return at;
}

/* ---- products */

static bool is_natural(const struct math_node *n)
{
    return n->kind == MATH_NUMBER && !n->decimal && n->name.len;
}

/* A fraction of numerals, less than 1: what a mixed number ends with. */
static bool is_proper(struct parser *p, uint16_t at)
{
    const struct math_node *n = math_node_at(p, at);
    if (n->kind != MATH_QUOTIENT)
        return false;
    const struct math_node *above = math_node_at(p, n->first), *below = math_node_at(p, n->last);
    return is_natural(above) && is_natural(below) && above->value < below->value;
}

static uint16_t signed_factor(struct parser *p);
static uint16_t power(struct parser *p);

/* 3 1/2 */
static uint16_t mixed(struct parser *p, uint16_t left)
{
    const uint16_t above = power(p);
    if (!math_take(p, '/') || p->failed)
        return math_fail(p);
    const uint16_t part = math_two(p, MATH_QUOTIENT, above, power(p));
    return !p->failed && is_proper(p, part) ? math_two(p, MATH_SUM, left, part) : math_fail(p);
}

static uint16_t implied(struct parser *p, uint16_t left)
{
    const bool natural = is_natural(math_node_at(p, left));
    if (p->lex.kind == TOKEN_NUMBER)
        return natural ? mixed(p, left) : math_fail(p);
    const bool fraction = math_at_command(p, "frac");
    const uint16_t right = power(p);
    if (p->failed)
        return 0;
    if (natural && fraction && is_proper(p, right))
        return math_two(p, MATH_SUM, left, right);
    return math_two(p, MATH_PRODUCT, left, right);
}

static uint16_t product(struct parser *p)
{
    uint16_t left = signed_factor(p);
    while (!p->failed) {
        if (take_unit_below(p))
            continue;
        if (math_take(p, '*'))
            left = math_two(p, MATH_PRODUCT, left, signed_factor(p));
        else if (math_take(p, '/'))
            left = math_two(p, MATH_QUOTIENT, left, signed_factor(p));
        else if (at_unit(p))
            take_unit(p);
        else if (math_begins_factor(p))
            left = implied(p, left);
        else
            return left;
    }
    return 0;
}

static uint16_t sum(struct parser *p)
{
    if (!math_deeper(p))
        return 0;
    uint16_t left = product(p);
    while (!p->failed) {
        if (math_take(p, '+'))
            left = math_two(p, MATH_SUM, left, product(p));
        else if (math_take(p, '-'))
            left = math_two(p, MATH_SUM, left, math_one(p, MATH_NEGATIVE, product(p)));
        else if (math_take(p, SIGN_EITHER))
            left = math_two(p, MATH_SUM, left, math_one(p, MATH_EITHER, product(p)));
        else
            break;
    }
    p->depth--;
    return left;
}

static uint16_t signed_factor(struct parser *p)
{
    if (!math_deeper(p))
        return 0;
    uint16_t at;
    if (math_take(p, '-'))
        at = math_one(p, MATH_NEGATIVE, signed_factor(p));
    else if (math_take(p, '+'))
        at = signed_factor(p);
    else if (math_take(p, SIGN_EITHER))
        at = math_one(p, MATH_EITHER, signed_factor(p));
    else
        at = power(p);
    p->depth--;
    return at;
}

/* ---- powers and what stands behind a value */

static uint16_t degrees(struct parser *p, uint16_t at)
{
    if (!p->calls && !p->lex.brackets && !p->tree->unit.given)
        math_unit_read((struct text_slice){"degree", 6}, &p->tree->unit);
    return math_one(p, MATH_DEGREES, at);
}

static uint16_t power(struct parser *p)
{
    uint16_t at = math_primary(p);
    while (!p->failed) {
        if (math_take(p, '^')) {
            const uint16_t by = math_exponent(p);
            if (!p->failed)
                at = by ? math_two(p, MATH_POWER, at, by) : degrees(p, at);
        } else if (math_take(p, '!'))
            at = math_called(p, CALL_FACTORIAL, at);
        else if (math_take(p, '%'))
            at = math_one(p, MATH_PERCENT, at);
        else if (math_take(p, SIGN_DEGREE))
            at = degrees(p, at);
        else if (is_natural(math_node_at(p, at)) && math_take(p, '_'))
            at = math_two(p, MATH_BASED, at, math_primary(p));
        else
            return at;
    }
    return 0;
}

static const struct grammar grammar = {bracketed, list, sum, power, implied};

bool math_parse(struct text_slice text, struct math_tree *ret)
{
    struct parser p = {
        .lex = {.at = text.data, .end = text.data + text.len}, .tree = ret, .grammar = &grammar};
    ret->count = ret->root = 0;
    ret->unit = (struct math_unit){0};
    if (text.len == 0 || text.len > MATH_BYTES)
        return false;
    math_next(&p.lex);
    ret->root = list(&p, 0, 0);
    const struct math_node *root = math_node_at(&p, ret->root);
    const bool empty = root->kind == MATH_LIST && !root->open && !root->count;
    return !p.failed && p.lex.kind == TOKEN_END && !empty;
}
