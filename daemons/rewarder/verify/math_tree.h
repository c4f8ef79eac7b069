/* An answer of mathematics as a tree: LaTeX, plain text as calculators take it, or a mixture.
 *
 *     struct math_tree *tree = mem_new(sizeof *tree);
 *     if (math_parse(text, tree))                     -- false: no mathematics that we read
 *         use(tree, tree->root);
 *
 * Read are numbers (decimals, thousands, mixed and repeating ones, of a base), fractions, roots,
 * powers, functions, letters, lists, intervals, sets, unions, matrices, relations and words. A unit
 * behind the value stands beside the tree. Work and memory are bounded by MATH_NODES and
 * MATH_DEPTH. Any thread. */
#pragma once
#include "rewarder/scorer.h"
#include "rewarder/verify/math_unit.h"

enum { MATH_NODES = 1024, MATH_DEPTH = 48, MATH_BYTES = 4096 };

enum math_kind {
    MATH_NUMBER, // value, residue
    MATH_LETTER, // name: a variable
    MATH_WORDS,  // name: text
    MATH_PI,
    MATH_E,
    MATH_I,
    MATH_INFINITY,
    MATH_SUM,      // of its children
    MATH_PRODUCT,  // of its children
    MATH_QUOTIENT, // of two
    MATH_NEGATIVE,
    MATH_EITHER,   // plus or minus its child
    MATH_POWER,    // of two
    MATH_CALL,     // call, of one; log: of the argument and the base
    MATH_BINOMIAL, // of two
    MATH_DEGREES,  // of one: an angle
    MATH_PERCENT,  // of one
    MATH_BASED,    // a number as it is written, and its base
    MATH_LIST,     // open and close: brackets of it, 0: none
    MATH_UNION,
    MATH_MATRIX,   // columns
    MATH_RELATION, // relation: '=', '<', 'l' (at most) or '!', of two
};

enum math_call {
    CALL_SQRT,
    CALL_ABS,
    CALL_FLOOR,
    CALL_CEIL,
    CALL_FACTORIAL,
    CALL_LN,
    CALL_LOG,
    CALL_EXP,
    CALL_SIN,
    CALL_COS,
    CALL_TAN,
    CALL_COT,
    CALL_SEC,
    CALL_CSC,
    CALL_ARCSIN,
    CALL_ARCCOS,
    CALL_ARCTAN,
    CALL_SINH,
    CALL_COSH,
    CALL_TANH,
};

struct math_node {
    enum math_kind kind;
    enum math_call call;
    char open, close, relation;
    uint16_t columns;
    uint16_t first, last, next; // children, and the next one of the same parent; 0: none
    uint16_t count;             // of children
    double value;
    uint64_t residue;       // of the number modulo MATH_PRIME
    bool decimal;           // written with a point: it may be rounded
    struct text_slice name; // borrowed from the text
};

struct math_tree {
    struct math_node at[MATH_NODES]; // 0 is none
    uint16_t count, root;
    struct math_unit unit;
};

/* Numbers are compared by their values modulo this prime, too, however many digits they have. */
#define MATH_PRIME ((UINT64_C(1) << 61) - 1)
static inline uint64_t math_times(uint64_t a, uint64_t b)
{
    return (uint64_t)((unsigned __int128)a * b % MATH_PRIME);
}
uint64_t math_power(uint64_t base, uint64_t exponent);
static inline uint64_t math_inverse(uint64_t a)
{
    return math_power(a, MATH_PRIME - 2);
}

/* The tree borrows the text. False: tokens, brackets or commands that have no place here; longer
 * than MATH_BYTES, too many nodes, too deep. */
bool math_parse(struct text_slice text, struct math_tree *ret);
