#include "rewarder/verify/math_same.h"
#include "base/hash.h"
#include "base/mem.h"
#include "rewarder/verify/math_lex.h"
#include "rewarder/verify/math_value.h"
#include <ctype.h>
#include <math.h>
#include <string.h>

enum { PLACES = 6, PLACES_NEEDED = 2, ELEMENTS = 64 };

/* One side of a comparison. */
struct side {
    const struct math_tree *tree;
    uint16_t node;
    int sign;
};

struct comparing {
    uint64_t seed;
    double tolerance;
};

static const struct math_node *node_of(const struct side *side)
{
    return &side->tree->at[side->node];
}

static struct side child(const struct side *side, uint16_t node)
{
    return (struct side){side->tree, node, side->sign};
}

static struct math_value value_at(const struct comparing *c, const struct side *side, int place)
{
    const struct math_place at = {c->seed + (uint64_t)place, side->sign};
    return math_value(side->tree, side->node, &at);
}

/* ---- values */

static bool same_value(const struct comparing *c, const struct side *a, const struct side *b,
                       double ratio)
{
    int known = 0;
    for (int i = 0; i < PLACES; i++) {
        struct math_value x = value_at(c, a, i), y = value_at(c, b, i);
        if (ratio != 1) {
            y.number *= ratio;
            y.exact = false;
        }
        const bool varies = x.varies || y.varies;
        if (!varies)
            return math_values_same(&x, &y, c->tolerance);
        if (!x.known || !y.known)
            continue;
        if (!math_values_same(&x, &y, c->tolerance))
            return false;
        known++;
    }
    return known >= PLACES_NEEDED;
}

/* 50% is 50, and it is 1/2. */
static bool same_percent(const struct comparing *c, const struct side *a, const struct side *b)
{
    const bool left = node_of(a)->kind == MATH_PERCENT, right = node_of(b)->kind == MATH_PERCENT;
    if (left == right)
        return false;
    const struct side x = left ? child(a, node_of(a)->first) : *a;
    const struct side y = right ? child(b, node_of(b)->first) : *b;
    return same_value(c, &x, &y, 1);
}

/* Units scale the answer as a whole. */
static double ratio_of(const struct side *a, const struct side *b)
{
    const bool whole = a->node == a->tree->root && b->node == b->tree->root;
    return whole ? math_units_ratio(&b->tree->unit, &a->tree->unit) : 1;
}

/* ---- relations */

static double complex difference(const struct comparing *c, const struct side *side, int place,
                                 bool *ret_known)
{
    const struct side left = child(side, node_of(side)->first);
    const struct side right = child(side, node_of(side)->last);
    const struct math_value a = value_at(c, &left, place), b = value_at(c, &right, place);
    *ret_known = a.known && b.known && !a.infinite && !b.infinite;
    return a.number - b.number;
}

/* 2x = y and y - 2x = 0: one is a multiple of the other. */
static bool same(const struct comparing *c, const struct side *a, const struct side *b);

static bool same_letter(const struct side *a, const struct side *b)
{
    const struct math_node *x = node_of(a), *y = node_of(b);
    return x->kind == MATH_LETTER && y->kind == MATH_LETTER && scorer_same(x->name, y->name);
}

static bool same_relation(const struct comparing *c, const struct side *a, const struct side *b)
{
    const struct side of_a = child(a, node_of(a)->first), of_b = child(b, node_of(b)->first);
    if (node_of(a)->relation == '=' && node_of(b)->relation == '=' && same_letter(&of_a, &of_b)) {
        const struct side x = child(a, node_of(a)->last), y = child(b, node_of(b)->last);
        if (same(c, &x, &y))
            return true;
    }
    const char relation = node_of(a)->relation;
    const bool ordered = relation == '<' || relation == SIGN_MOST;
    double complex ratio = 0;
    int known = 0;
    if (relation != node_of(b)->relation)
        return false;
    for (int i = 0; i < PLACES; i++) {
        bool first, second;
        const double complex x = difference(c, a, i, &first), y = difference(c, b, i, &second);
        if (!first || !second || cabs(x) == 0 || cabs(y) == 0)
            continue;
        const double complex here = x / y;
        if (known++ && cabs(here - ratio) > 1e-7 * cabs(ratio))
            return false;
        ratio = here;
        if (ordered && creal(ratio) <= 0)
            return false;
    }
    return known >= PLACES_NEEDED;
}

/* ---- lists */

static bool has_either(const struct math_tree *tree, uint16_t node)
{
    const struct math_node *n = &tree->at[node];
    if (n->kind == MATH_EITHER)
        return true;
    for (uint16_t at = n->first; at; at = tree->at[at].next)
        if (has_either(tree, at))
            return true;
    return false;
}

static bool is_ordered(const struct math_node *n)
{
    return n->kind == MATH_LIST && n->open && n->open != '{';
}

/* The elements of a list, of which "plus or minus" makes two. */
static size_t elements(const struct side *side, struct side ret[ELEMENTS])
{
    const struct math_node *n = node_of(side);
    const bool many = n->kind == MATH_LIST || n->kind == MATH_UNION;
    size_t count = 0;
    for (uint16_t at = many ? n->first : side->node; at && count + 2 <= ELEMENTS;
         at = many ? side->tree->at[at].next : 0) {
        ret[count++] = child(side, at);
        if (is_ordered(n) || !has_either(side->tree, at))
            continue;
        ret[count] = ret[count - 1];
        ret[count - 1].sign = 1;
        ret[count++].sign = -1;
    }
    return count;
}

/* Without an order: each has its like on the other side, as in sets. */
static bool same_elements(const struct comparing *c, const struct side *a, const struct side *b,
                          bool ordered)
{
    struct side x[ELEMENTS], y[ELEMENTS];
    bool met[ELEMENTS] = {0};
    const size_t count = elements(a, x), other = elements(b, y);
    if (count + 2 > ELEMENTS || other + 2 > ELEMENTS || (ordered && count != other))
        return false;
    for (size_t i = 0; i < count; i++) {
        bool found = false;
        for (size_t j = ordered ? i : 0; j < (ordered ? i + 1 : other); j++)
            if (same(c, &x[i], &y[j]))
                found = met[j] = true;
        if (!found)
            return false;
    }
    for (size_t j = 0; j < other; j++)
        if (!met[j])
            return false;
    return true;
}

/* [a, b) and (a, b) differ; a bare list may stand for a tuple or a set. */
static bool same_list(const struct comparing *c, const struct side *a, const struct side *b)
{
    const struct math_node *x = node_of(a), *y = node_of(b);
    const bool brackets = is_ordered(x) && is_ordered(y);
    if (brackets && x->count == 2 && (x->open != y->open || x->close != y->close))
        return false;
    if ((x->open == '{' && is_ordered(y)) || (y->open == '{' && is_ordered(x)))
        return false;
    return same_elements(c, a, b, is_ordered(x) || is_ordered(y));
}

/* ---- words */

static size_t letters(struct text_slice text, size_t at)
{
    while (at < text.len && !isalnum((unsigned char)text.data[at]) &&
           (unsigned char)text.data[at] < 0x80)
        at++;
    return at;
}

/* Letters and digits alone, in any case. */
static bool same_words(struct text_slice a, struct text_slice b)
{
    size_t i = letters(a, 0), j = letters(b, 0);
    const bool any = i < a.len;
    for (; i < a.len && j < b.len; i = letters(a, i + 1), j = letters(b, j + 1))
        if (tolower((unsigned char)a.data[i]) != tolower((unsigned char)b.data[j]))
            return false;
    return any && i == a.len && j == b.len;
}

/* Text without a digit, a sign or a command but \text: a name, "no solution". */
static bool is_words(struct text_slice text, struct bytes *ret)
{
    struct math_lex lex = {.at = text.data, .end = text.data + text.len};
    bool word = false;
    for (math_next(&lex); lex.kind != TOKEN_END; math_next(&lex)) {
        if (lex.kind != TOKEN_WORD && lex.kind != TOKEN_TEXT)
            return false;
        word |=
            lex.text.len > 1 && !scorer_same(scorer_strip(lex.text), (struct text_slice){"pi", 2});
        bytes_put(ret, lex.text.data, lex.text.len);
    }
    return word;
}

static bool same_token(const struct math_lex *a, const struct math_lex *b)
{
    if (a->kind != b->kind)
        return false;
    if (a->kind == TOKEN_NUMBER)
        return a->number.residue == b->number.residue;
    if (a->kind == TOKEN_SIGN)
        return a->sign == b->sign;
    return scorer_same(scorer_strip(a->text), scorer_strip(b->text));
}

/* For what has no tree. */
static bool same_tokens(struct text_slice a, struct text_slice b)
{
    struct math_lex x = {.at = a.data, .end = a.data + a.len};
    struct math_lex y = {.at = b.data, .end = b.data + b.len};
    for (;;) {
        math_next(&x);
        math_next(&y);
        if (!same_token(&x, &y))
            return false;
        if (x.kind == TOKEN_END)
            return true;
    }
}

/* ---- all together */

static bool same_matrix(const struct comparing *c, const struct side *a, const struct side *b)
{
    const struct math_node *x = node_of(a), *y = node_of(b);
    if (x->columns != y->columns || x->count != y->count)
        return false;
    uint16_t i = x->first, j = y->first;
    for (; i && j; i = a->tree->at[i].next, j = b->tree->at[j].next) {
        const struct side of_a = child(a, i), of_b = child(b, j);
        if (!same(c, &of_a, &of_b))
            return false;
    }
    return true;
}

/* The base may be left out, where the question says it. */
static bool same_base(const struct comparing *c, const struct side *a, const struct side *b)
{
    if (node_of(a)->kind != MATH_BASED || node_of(b)->kind != MATH_BASED)
        return true;
    const struct side x = child(a, node_of(a)->last), y = child(b, node_of(b)->last);
    return same_value(c, &x, &y, 1);
}

static bool same(const struct comparing *c, const struct side *a, const struct side *b)
{
    const struct math_node *x = node_of(a), *y = node_of(b);
    const bool left = x->kind == MATH_RELATION, right = y->kind == MATH_RELATION;
    if (left && right)
        return same_relation(c, a, b);
    if (left || right) { // y = 2x + 1 is answered by 2x + 1
        const struct side of_a = left ? child(a, x->last) : *a;
        const struct side of_b = right ? child(b, y->last) : *b;
        return (left ? x : y)->relation == '=' && same(c, &of_a, &of_b);
    }
    if (x->kind == MATH_MATRIX || y->kind == MATH_MATRIX)
        return x->kind == y->kind && same_matrix(c, a, b);
    if (x->kind == MATH_UNION || y->kind == MATH_UNION)
        return x->kind == y->kind && same_elements(c, a, b, false);
    if (x->kind == MATH_WORDS || y->kind == MATH_WORDS)
        return x->kind == y->kind && same_words(x->name, y->name);
    const bool sign_a = !a->sign && has_either(a->tree, a->node);
    const bool sign_b = !b->sign && has_either(b->tree, b->node);
    if (x->kind == MATH_LIST || y->kind == MATH_LIST || sign_a || sign_b)
        return same_list(c, a, b);
    return same_base(c, a, b) && (same_value(c, a, b, ratio_of(a, b)) || same_percent(c, a, b));
}

static bool same_trees(const struct comparing *c, struct text_slice want, struct text_slice got)
{
    SCOPED_MEM struct math_tree *a = mem_new(sizeof *a);
    SCOPED_MEM struct math_tree *b = mem_new(sizeof *b);
    if (!math_parse(want, a) || !math_parse(got, b) || math_units_differ(&a->unit, &b->unit))
        return false;
    const struct side x = {a, a->root, 0}, y = {b, b->root, 0};
    return same(c, &x, &y);
}

bool math_same(struct text_slice want, struct text_slice got, double tolerance)
{
    SCOPED_VALUE(bytes) a = {0}, b = {0};
    const struct comparing c = {hash64(want.data, want.len, 0), tolerance};
    want = scorer_strip(want);
    got = scorer_strip(got);
    if (!want.len || !got.len || want.len > MATH_BYTES || got.len > MATH_BYTES)
        return scorer_same(want, got);
    if (is_words(want, &a) && is_words(got, &b))
        return same_words((struct text_slice){(char *)a.data, a.len},
                          (struct text_slice){(char *)b.data, b.len});
    return same_tokens(want, got) || same_trees(&c, want, got);
}
