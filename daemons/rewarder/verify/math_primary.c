/* The smallest pieces of an answer: numbers, letters, and commands with their arguments. */
#include "rewarder/verify/math_parser.h"
#include <string.h>

/* ---- what a command takes */

bool math_begins_factor(const struct parser *p)
{
    const struct math_lex *lex = &p->lex;
    if (lex->kind == TOKEN_SIGN)
        return lex->sign == '(' || lex->sign == '{' || (lex->sign == '|' && !p->bars);
    return (lex->kind == TOKEN_NUMBER || lex->kind == TOKEN_WORD || lex->kind == TOKEN_TEXT ||
            (lex->kind == TOKEN_COMMAND && !math_at_command(p, "end") &&
             !math_at_command(p, "rfloor") && !math_at_command(p, "rceil"))) &&
           !math_at_and(p);
}

uint16_t math_exponent(struct parser *p)
{
    if (math_at_command(p, "circ") || math_at_sign(p, SIGN_DEGREE)) {
        math_next(&p->lex);
        return 0;
    }
    if (math_take(p, '-'))
        return math_one(p, MATH_NEGATIVE, math_primary(p));
    if (!math_at_sign(p, '{'))
        return math_primary(p);
    struct parser before = *p;
    math_next(&p->lex);
    if (math_at_command(p, "circ") || math_at_sign(p, SIGN_DEGREE)) {
        math_next(&p->lex);
        math_need(p, '}');
        return 0;
    }
    *p = before;
    return p->grammar->bracketed(p, '{', '}');
}

static uint16_t argument(struct parser *p)
{
    if (math_peek(&p->lex) == '{') {
        math_next(&p->lex);
        return p->grammar->bracketed(p, '{', '}');
    }
    if (math_digit(&p->lex)) {
        const uint16_t at = math_node_new(p, MATH_NUMBER);
        *math_node_at(p, at) = p->lex.number;
        math_next(&p->lex);
        return at;
    }
    math_next(&p->lex);
    return math_primary(p);
}

/* The current token is the command; its arguments come next. */
static uint16_t two_arguments(struct parser *p, enum math_kind kind)
{
    /* The second one's first digit must not be read as part of another number. */
    const char c = math_peek(&p->lex);
    uint16_t first;
    if (c == '{') {
        math_next(&p->lex);
        if (!math_deeper(p))
            return 0;
        math_next(&p->lex);
        first = p->grammar->list(p, '{', '}');
        p->depth--;
    } else if (math_digit(&p->lex)) {
        first = math_node_new(p, MATH_NUMBER);
        *math_node_at(p, first) = p->lex.number;
    } else
        return math_fail(p);
    return p->failed ? 0 : math_two(p, kind, first, argument(p));
}

static uint16_t root(struct parser *p)
{
    uint16_t degree = 0;
    if (math_peek(&p->lex) == '[') {
        math_next(&p->lex);
        math_next(&p->lex);
        degree = p->grammar->sum(p);
        if (p->failed || !math_at_sign(p, ']'))
            return math_fail(p);
    }
    math_next(&p->lex);
    const uint16_t of = math_primary(p);
    if (!degree)
        return math_called(p, CALL_SQRT, of);
    return math_two(p, MATH_POWER, of, math_two(p, MATH_QUOTIENT, math_whole(p, 1), degree));
}

static const struct {
    const char *name;
    enum math_call call;
} functions[] = {
    {"ln", CALL_LN},         {"log", CALL_LOG},       {"exp", CALL_EXP},
    {"lg", CALL_LOG},        {"sin", CALL_SIN},       {"cos", CALL_COS},
    {"tan", CALL_TAN},       {"cot", CALL_COT},       {"sec", CALL_SEC},
    {"csc", CALL_CSC},       {"arcsin", CALL_ARCSIN}, {"arccos", CALL_ARCCOS},
    {"arctan", CALL_ARCTAN}, {"sinh", CALL_SINH},     {"cosh", CALL_COSH},
    {"tanh", CALL_TANH},     {"abs", CALL_ABS},       {"asin", CALL_ARCSIN},
    {"acos", CALL_ARCCOS},   {"atan", CALL_ARCTAN},
};

static bool find_function(const struct parser *p, enum math_call *ret)
{
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (scorer_same(p->lex.text,
                        (struct text_slice){functions[i].name, strlen(functions[i].name)})) {
            *ret = functions[i].call;
            return true;
        }
    return false;
}

/* sin 2x, without brackets: the factors up to a sign or another function. */
static uint16_t bare_argument(struct parser *p)
{
    enum math_call other;
    if (math_at_sign(p, '('))
        return math_primary(p);
    if (math_take(p, '-'))
        return math_one(p, MATH_NEGATIVE, bare_argument(p));
    uint16_t at = p->grammar->power(p);
    while (!p->failed && math_begins_factor(p) && !math_at_sign(p, '(') &&
           !(p->lex.kind != TOKEN_NUMBER && find_function(p, &other)))
        at = p->grammar->implied(p, at);
    return at;
}

static uint16_t function(struct parser *p, enum math_call which)
{
    uint16_t by = 0, base = 0;
    if (!math_deeper(p))
        return 0;
    p->calls++;
    math_next(&p->lex);
    if (which == CALL_LOG && math_take(p, '_'))
        base = math_primary(p);
    if (!p->failed && math_take(p, '^'))
        by = math_exponent(p);
    uint16_t at = p->failed ? 0 : math_called(p, which, bare_argument(p));
    if (base)
        math_adopt(p, at, base);
    p->calls--;
    p->depth--;
    if (p->failed || !by)
        return at;
    const struct math_node *n = math_node_at(p, by);
    const bool inverse = n->kind == MATH_NEGATIVE && math_node_at(p, n->first)->value == 1;
    if (!inverse)
        return math_two(p, MATH_POWER, at, by);
    if (which != CALL_SIN && which != CALL_COS && which != CALL_TAN)
        return math_fail(p);
    math_node_at(p, at)->call = CALL_ARCSIN + (which - CALL_SIN);
    return at;
}

/* ---- matrices */

static bool take_environment(struct parser *p, struct text_slice *ret)
{
    math_next(&p->lex); // {
    if (!math_at_sign(p, '{'))
        return false;
    math_next(&p->lex);
    if (p->lex.kind != TOKEN_WORD)
        return false;
    *ret = p->lex.text;
    math_next(&p->lex);
    return math_at_sign(p, '}');
}

/* pmatrix and its kin; array{cc}, whose columns' places do not count. */
static bool is_matrix(struct parser *p, struct text_slice name)
{
    if (name.len == 5 && memcmp(name.data, "array", 5) == 0) {
        const bool places = math_peek(&p->lex) == '{';
        const char *end = places ? memchr(p->lex.at, '}', (size_t)(p->lex.end - p->lex.at)) : NULL;
        p->lex.at = end ? end + 1 : p->lex.at;
        return true;
    }
    return name.len >= 6 && memcmp(name.data + name.len - 6, "matrix", 6) == 0;
}

static uint16_t matrix(struct parser *p)
{
    struct text_slice name, end;
    if (!math_deeper(p) || !take_environment(p, &name) || !is_matrix(p, name))
        return math_fail(p);
    const uint16_t at = math_node_new(p, MATH_MATRIX);
    unsigned rows = 0, columns = 0, of_row = 0;
    p->lex.brackets++;
    math_next(&p->lex);
    while (!p->failed && !math_at_command(p, "end")) {
        math_adopt(p, at, p->grammar->sum(p));
        of_row++;
        if (math_take(p, '&'))
            continue;
        if (rows && of_row != columns)
            return math_fail(p);
        columns = of_row;
        of_row = 0;
        rows++;
        if (!math_take(p, SIGN_ROW))
            break;
    }
    p->lex.brackets--;
    if (p->failed || of_row || !math_at_command(p, "end") || !take_environment(p, &end))
        return math_fail(p);
    math_next(&p->lex);
    math_node_at(p, at)->columns = (uint16_t)columns;
    p->depth--;
    return at;
}

/* ---- the smallest pieces */

static uint16_t bars(struct parser *p, char close)
{
    if (!math_deeper(p))
        return 0;
    p->bars++;
    math_next(&p->lex);
    const uint16_t at = math_called(p, CALL_ABS, p->grammar->sum(p));
    math_need(p, close);
    p->bars--;
    p->depth--;
    return at;
}

static uint16_t rounded(struct parser *p, enum math_call which, const char *end)
{
    if (!math_deeper(p))
        return 0;
    math_next(&p->lex);
    const uint16_t at = math_called(p, which, p->grammar->sum(p));
    if (!math_at_command(p, end))
        return math_fail(p);
    math_next(&p->lex);
    p->depth--;
    return at;
}

static uint16_t constant(struct parser *p, enum math_kind kind)
{
    const uint16_t at = math_node_new(p, kind);
    math_next(&p->lex);
    return at;
}

/* A letter and what stands below it: x_1, x_{12}. */
static uint16_t letter(struct parser *p, const char *begin, size_t len)
{
    const uint16_t at = math_node_new(p, MATH_LETTER);
    math_next(&p->lex);
    if (math_take(p, '_')) {
        const uint16_t below = math_primary(p);
        const struct math_node *n = math_node_at(p, below);
        if (!p->failed && (n->kind == MATH_NUMBER || n->kind == MATH_LETTER) && n->name.len &&
            n->name.data > begin)
            len = (size_t)(n->name.data + n->name.len - begin);
        else
            p->failed = true;
    }
    math_node_at(p, at)->name = (struct text_slice){begin, len};
    return at;
}

/* "(A)" stands for the choice A. */
static struct text_slice bare(struct text_slice text)
{
    text = scorer_strip(text);
    while (text.len && *text.data == '~') {
        text.data++;
        text.len--;
    }
    if (text.len > 2 && text.data[0] == '(' && text.data[text.len - 1] == ')')
        text = scorer_strip((struct text_slice){text.data + 1, text.len - 2});
    return text;
}

static uint16_t word(struct parser *p)
{
    const struct text_slice text = bare(p->lex.text);
    enum math_call which;
    if (find_function(p, &which))
        return function(p, which);
    if (math_is_word(text, "sqrt"))
        return root(p);
    if (math_is_word(text, "pi"))
        return constant(p, MATH_PI);
    if (math_is_word(text, "inf") || math_is_word(text, "infty") ||
        math_is_word(text, "infinity") || math_is_word(text, "oo"))
        return constant(p, MATH_INFINITY);
    if (text.len == 1 && (*text.data == 'e' || *text.data == 'i'))
        return constant(p, *text.data == 'e' ? MATH_E : MATH_I);
    if (text.len == 1)
        return letter(p, text.data, 1);
    if (p->lex.kind == TOKEN_WORD && text.len <= 3) { // factors: the first, then the others
        p->lex.at -= text.len - 1;
        return letter(p, text.data, 1);
    }
    const uint16_t at = constant(p, MATH_WORDS);
    math_node_at(p, at)->name = text;
    return at;
}

static uint16_t command(struct parser *p)
{
    if (math_at_command(p, "frac"))
        return two_arguments(p, MATH_QUOTIENT);
    if (math_at_command(p, "binom"))
        return two_arguments(p, MATH_BINOMIAL);
    if (math_at_command(p, "begin"))
        return matrix(p);
    if (math_at_command(p, "lfloor"))
        return rounded(p, CALL_FLOOR, "rfloor");
    if (math_at_command(p, "lceil"))
        return rounded(p, CALL_CEIL, "rceil");
    if (math_at_command(p, "boxed") || math_at_command(p, "fbox"))
        return argument(p);
    if (math_at_command(p, "emptyset") || math_at_command(p, "varnothing")) {
        const uint16_t at = constant(p, MATH_LIST);
        math_node_at(p, at)->open = '{';
        math_node_at(p, at)->close = '}';
        return at;
    }
    static const char *const letters[] = {
        "alpha",  "beta",  "gamma", "delta", "epsilon", "zeta",   "eta",       "theta", "kappa",
        "lambda", "mu",    "nu",    "xi",    "rho",     "sigma",  "tau",       "phi",   "varphi",
        "chi",    "psi",   "omega", "Delta", "Gamma",   "Lambda", "Sigma",     "Phi",   "Psi",
        "Omega",  "Theta", "hbar",  "ell",   "odot",    "prime",  "varepsilon"};
    for (size_t i = 0; i < sizeof letters / sizeof *letters; i++)
        if (math_at_command(p, letters[i]))
            return letter(p, p->lex.text.data, p->lex.text.len);
    enum math_call which;
    const bool known = find_function(p, &which) || math_at_command(p, "sqrt") ||
                       math_at_command(p, "pi") || math_at_command(p, "infty");
    return known ? word(p) : math_fail(p);
}

uint16_t math_primary(struct parser *p)
{
    uint16_t at = 0;
    if (!math_deeper(p))
        return 0;
    switch (p->lex.kind) {
    case TOKEN_NUMBER:
        at = math_node_new(p, MATH_NUMBER);
        *math_node_at(p, at) = p->lex.number;
        math_next(&p->lex);
        break;
    case TOKEN_WORD:
    case TOKEN_TEXT:
        at = word(p);
        break;
    case TOKEN_COMMAND:
        at = command(p);
        break;
    case TOKEN_SIGN:
        if (p->lex.sign == '(' || p->lex.sign == '[')
            at = p->grammar->bracketed(p, p->lex.sign, p->lex.sign == '(' ? ')' : ']');
        else if (p->lex.sign == '{')
            at = p->grammar->bracketed(p, '{', '}');
        else if (p->lex.sign == SIGN_SET)
            at = p->grammar->bracketed(p, SIGN_SET, SIGN_SET_END);
        else if (p->lex.sign == '|')
            at = bars(p, '|');
        break;
    default:
        break;
    }
    p->depth--;
    return at ? at : math_fail(p);
}
