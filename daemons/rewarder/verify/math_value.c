#include "rewarder/verify/math_value.h"
#include "base/hash.h"
#include <math.h>

/* Rounding of a few hundred operations in double; what sin(pi) leaves of 0. */
static const double ROUNDING = 1e-9, NOTHING = 1e-12;
enum { MOST_FACTORS = 5000 };

static const struct math_value unknown = {0};

static struct math_value rounded_off(double complex number)
{
    return (struct math_value){.known = isfinite(creal(number)) && isfinite(cimag(number)),
                               .number = number};
}

static struct math_value integer(double number)
{
    const double rest = fmod(number, (double)MATH_PRIME);
    struct math_value value = rounded_off(number);
    value.exact = fabs(number) < 0x1p53;
    value.residue = rest < 0 ? MATH_PRIME - (uint64_t)-rest : (uint64_t)rest;
    return value;
}

/* The flags of what is computed from two; exact stays only where the caller has a residue. */
static struct math_value from(struct math_value value, const struct math_value *a,
                              const struct math_value *b)
{
    value.decimal = a->decimal || b->decimal;
    value.varies = a->varies || b->varies;
    /* A number too large for double is known by its residue. */
    value.known = a->known && b->known && !a->infinite && !b->infinite &&
                  (value.exact || (isfinite(creal(value.number)) && isfinite(cimag(value.number))));
    return value;
}

static bool is_integer(const struct math_value *v)
{
    const double x = creal(v->number);
    return v->known && v->exact && !v->varies && cimag(v->number) == 0 && x == floor(x) &&
           fabs(x) < 0x1p53;
}

/* ---- arithmetic */

static struct math_value plus(struct math_value a, struct math_value b)
{
    const struct math_value sum = {.number = a.number + b.number,
                                   .exact = a.exact && b.exact,
                                   .residue = (a.residue + b.residue) % MATH_PRIME};
    return from(sum, &a, &b);
}

static struct math_value times(struct math_value a, struct math_value b)
{
    const struct math_value product = {.number = a.number * b.number,
                                       .exact = a.exact && b.exact,
                                       .residue = math_times(a.residue, b.residue)};
    return from(product, &a, &b);
}

static struct math_value over(struct math_value a, struct math_value b)
{
    if (b.exact ? b.residue == 0 : b.number == 0)
        return unknown;
    const struct math_value quotient = {.number = a.number / b.number,
                                        .exact = a.exact && b.exact,
                                        .residue = math_times(a.residue, math_inverse(b.residue))};
    return from(quotient, &a, &b);
}

static struct math_value negative(struct math_value a)
{
    a.number = -a.number;
    a.infinite = -a.infinite;
    a.residue = (MATH_PRIME - a.residue) % MATH_PRIME;
    return a;
}

static bool is_real(const struct math_value *v)
{
    return cimag(v->number) == 0;
}

static bool is_odd(const struct math_value *v)
{
    return is_integer(v) && fmod(fabs(creal(v->number)), 2) == 1;
}

/* A root of odd degree of a negative number is the real one. */
static bool is_odd_root(const struct math_tree *tree, uint16_t exponent, const struct math_value *a,
                        const struct math_place *place)
{
    const struct math_node *n = &tree->at[exponent];
    if (n->kind != MATH_QUOTIENT || !is_real(a) || creal(a->number) >= 0)
        return false;
    const struct math_value above = math_value(tree, n->first, place);
    const struct math_value below = math_value(tree, n->last, place);
    return is_odd(&above) && is_odd(&below);
}

static struct math_value raised(const struct math_tree *tree, const struct math_node *n,
                                const struct math_place *place)
{
    const struct math_value a = math_value(tree, n->first, place);
    const struct math_value b = math_value(tree, n->last, place);
    struct math_value power = {0};
    if (is_integer(&b) && a.exact) {
        const double e = creal(b.number);
        if (a.residue == 0 && e <= 0)
            return unknown; // 0^0 as well
        const uint64_t base = e < 0 ? math_inverse(a.residue) : a.residue;
        power.exact = true;
        power.residue = math_power(base, (uint64_t)fabs(e));
        power.number = is_real(&a) ? pow(creal(a.number), e) : cpow(a.number, b.number);
    } else if (is_odd_root(tree, n->last, &a, place))
        power.number = -pow(-creal(a.number), creal(b.number));
    else if (is_real(&a) && is_real(&b) && (creal(a.number) >= 0 || is_integer(&b)))
        power.number = pow(creal(a.number), creal(b.number));
    else
        power.number = cpow(a.number, b.number);
    return from(power, &a, &b);
}

/* ---- functions */

static double gamma_of(const struct math_value *n)
{
    return tgamma(creal(n->number) + 1);
}

/* Of integers by their factors, of what is between them by the gamma function. */
static struct math_value factorial(struct math_value a)
{
    if (!is_integer(&a))
        return is_real(&a) ? from(rounded_off(gamma_of(&a)), &a, &a) : unknown;
    if (creal(a.number) < 0 || creal(a.number) > MOST_FACTORS)
        return unknown;
    struct math_value product = integer(1);
    for (int i = 2; i <= (int)creal(a.number); i++)
        product = times(product, integer(i));
    return product;
}

static struct math_value binomial(struct math_value n, struct math_value k)
{
    if (!is_integer(&n) || !is_integer(&k)) {
        const struct math_value rest = plus(n, negative(k));
        const double all = gamma_of(&n) / (gamma_of(&k) * gamma_of(&rest));
        return is_real(&n) && is_real(&k) ? from(rounded_off(all), &n, &k) : unknown;
    }
    if (creal(k.number) < 0 || creal(k.number) > MOST_FACTORS)
        return unknown;
    struct math_value product = integer(1);
    for (int i = 0; i < (int)creal(k.number); i++)
        product = over(times(product, integer(creal(n.number) - i)), integer(i + 1));
    return product;
}

static struct math_value root(struct math_value a)
{
    const double x = creal(a.number), whole = is_real(&a) && x >= 0 ? floor(sqrt(x) + 0.5) : 0;
    if (is_integer(&a) && whole * whole == x)
        return integer(whole);
    return from(rounded_off(is_real(&a) && x >= 0 ? sqrt(x) : csqrt(a.number)), &a, &a);
}

/* abs, floor and ceil: of real numbers, and exact where the number is. */
static struct math_value stepped(enum math_call call, struct math_value a)
{
    const double x = creal(a.number);
    if (call == CALL_ABS) {
        if (a.exact && !a.varies && is_real(&a))
            return x < 0 ? negative(a) : a;
        return from(rounded_off(cabs(a.number)), &a, &a);
    }
    if (!is_real(&a))
        return unknown;
    const struct math_value whole = integer(call == CALL_FLOOR ? floor(x) : ceil(x));
    return from(whole, &a, &a);
}

static double complex smooth(enum math_call call, double complex x)
{
    switch (call) {
    case CALL_LN:
        return clog(x);
    case CALL_EXP:
        return cexp(x);
    case CALL_SIN:
        return csin(x);
    case CALL_COS:
        return ccos(x);
    case CALL_TAN:
        return ctan(x);
    case CALL_COT:
        return 1 / ctan(x);
    case CALL_SEC:
        return 1 / ccos(x);
    case CALL_CSC:
        return 1 / csin(x);
    case CALL_ARCSIN:
        return casin(x);
    case CALL_ARCCOS:
        return cacos(x);
    case CALL_ARCTAN:
        return catan(x);
    case CALL_SINH:
        return csinh(x);
    case CALL_COSH:
        return ccosh(x);
    case CALL_TANH:
        return ctanh(x);
    default:
        return NAN;
    }
}

/* log without a base is the decimal one where numbers of ours and others' agree least: most write
 * it for the natural one, so do sympy and this. */
static struct math_value called(const struct math_tree *tree, const struct math_node *n,
                                const struct math_place *place)
{
    struct math_value a = math_value(tree, n->first, place);
    if (!a.known || a.infinite)
        return unknown;
    if (n->call == CALL_FACTORIAL)
        return factorial(a);
    if (n->call == CALL_SQRT)
        return root(a);
    if (n->call == CALL_ABS || n->call == CALL_FLOOR || n->call == CALL_CEIL)
        return stepped(n->call, a);
    if (n->call == CALL_LOG) {
        const struct math_value top = from(rounded_off(clog(a.number)), &a, &a);
        if (n->count == 1)
            return top;
        const struct math_value base = math_value(tree, n->last, place);
        return over(top, from(rounded_off(clog(base.number)), &base, &base));
    }
    if (tree->at[n->first].kind == MATH_DEGREES)
        a.number *= M_PI / 180;
    return from(rounded_off(smooth(n->call, a.number)), &a, &a);
}

/* ---- letters and trees */

/* x_{1} is x_1. */
static struct math_value drawn(struct text_slice name, uint64_t seed)
{
    char bare[64];
    size_t len = 0;
    for (size_t i = 0; i < name.len && len < sizeof bare; i++)
        if (name.data[i] != '{' && name.data[i] != '}' && name.data[i] != ' ')
            bare[len++] = name.data[i];
    const uint64_t hash = hash64(bare, len, seed);
    const double place = (double)(hash >> 11) * 0x1p-53 * 6 - 3;
    return (struct math_value){.known = true,
                               .number = place,
                               .exact = true,
                               .residue = hash % MATH_PRIME,
                               .varies = true};
}

static struct math_value joined(const struct math_tree *tree, const struct math_node *n,
                                const struct math_place *place)
{
    struct math_value all = math_value(tree, n->first, place);
    for (uint16_t at = tree->at[n->first].next; at; at = tree->at[at].next) {
        const struct math_value next = math_value(tree, at, place);
        all = n->kind == MATH_SUM ? plus(all, next) : times(all, next);
    }
    return all;
}

struct math_value math_value(const struct math_tree *tree, uint16_t node,
                             const struct math_place *place)
{
    const struct math_node *n = &tree->at[node];
    switch (n->kind) {
    case MATH_NUMBER:
        return (struct math_value){.known = true,
                                   .number = n->value,
                                   .exact = true,
                                   .residue = n->residue,
                                   .decimal = n->decimal};
    case MATH_LETTER:
    case MATH_WORDS: // a quantity by its name
        return drawn(n->name, place->seed);
    case MATH_PI:
        return rounded_off(M_PI);
    case MATH_E:
        return rounded_off(M_E);
    case MATH_I:
        return rounded_off(I);
    case MATH_INFINITY:
        return (struct math_value){.known = true, .number = INFINITY, .infinite = 1};
    case MATH_SUM:
    case MATH_PRODUCT:
        return joined(tree, n, place);
    case MATH_QUOTIENT:
        return over(math_value(tree, n->first, place), math_value(tree, n->last, place));
    case MATH_NEGATIVE:
        return negative(math_value(tree, n->first, place));
    case MATH_EITHER: {
        const struct math_value of = math_value(tree, n->first, place);
        return place->sign < 0 ? negative(of) : of;
    }
    case MATH_POWER:
        return raised(tree, n, place);
    case MATH_CALL:
        return called(tree, n, place);
    case MATH_BINOMIAL:
        return binomial(math_value(tree, n->first, place), math_value(tree, n->last, place));
    case MATH_DEGREES:
    case MATH_BASED:
        return math_value(tree, n->first, place);
    case MATH_PERCENT:
        return over(math_value(tree, n->first, place), integer(100));
    default:
        return unknown;
    }
}

bool math_values_same(const struct math_value *a, const struct math_value *b, double tolerance)
{
    if (!a->known || !b->known)
        return false;
    if (a->infinite || b->infinite)
        return a->infinite == b->infinite;
    const double larger = fmax(cabs(a->number), cabs(b->number));
    const double apart = cabs(a->number - b->number);
    const bool near = !isfinite(larger) || apart <= ROUNDING * larger + NOTHING;
    if (a->exact && b->exact && a->residue == b->residue)
        return near;
    const bool rounds = a->decimal || b->decimal;
    if (!isfinite(larger) || (a->exact && b->exact && a->decimal == b->decimal))
        return false;
    return rounds ? apart <= tolerance * fmin(larger, 1) : near;
}
