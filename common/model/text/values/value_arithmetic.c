/* Operators of numbers, and those that join lists and texts. */
#include "model/text/values/value_ops.h"
#include <math.h>

static err_t beyond(void)
{
    return err_new(ERR_INVALID, "a whole number beyond 64 bits");
}

static err_t by_zero(void)
{
    return err_new(ERR_INVALID, "a division by zero");
}

/* ---- whole numbers */

static err_t int_power(int64_t base, int64_t exponent, struct value *ret)
{
    int64_t result = 1;
    while (exponent) {
        if (exponent & 1 && __builtin_mul_overflow(result, base, &result))
            return beyond();
        exponent >>= 1;
        if (exponent && __builtin_mul_overflow(base, base, &base))
            return beyond();
    }
    *ret = value_int(result);
    return OK;
}

/* Floored, as in Python; b is not 0. */
static err_t int_divide(enum value_operator op, int64_t a, int64_t b, struct value *ret)
{
    if (b == -1) {
        int64_t negative;
        if (op == OP_MOD)
            *ret = value_int(0);
        else if (__builtin_sub_overflow((int64_t)0, a, &negative))
            return beyond();
        else
            *ret = value_int(negative);
        return OK;
    }
    const int64_t rest = a % b, below = rest && (rest < 0) != (b < 0);
    *ret = value_int(op == OP_MOD ? rest + below * b : a / b - below);
    return OK;
}

static err_t ints(enum value_operator op, int64_t a, int64_t b, struct value *ret)
{
    int64_t result;
    bool over;
    switch (op) {
    case OP_ADD:
        over = __builtin_add_overflow(a, b, &result);
        break;
    case OP_SUB:
        over = __builtin_sub_overflow(a, b, &result);
        break;
    case OP_MUL:
        over = __builtin_mul_overflow(a, b, &result);
        break;
    case OP_POW:
        return int_power(a, b, ret);
    default:
        return b ? int_divide(op, a, b, ret) : by_zero();
    }
    *ret = value_int(result);
    return over ? beyond() : OK;
}

/* ---- real numbers */

static err_t real_power(double a, double b, struct value *ret)
{
    const double result = pow(a, b);
    if (a == 0 && b < 0)
        return by_zero();
    if (isnan(result) && !isnan(a) && !isnan(b))
        return err_new(ERR_INVALID, "a power that is no real number");
    if (isinf(result) && isfinite(a) && isfinite(b))
        return err_new(ERR_INVALID, "a power that is too large");
    *ret = value_float(result);
    return OK;
}

static double real_rest(double a, double b)
{
    const double rest = fmod(a, b);
    if (rest == 0)
        return copysign(0, b);
    return (rest < 0) != (b < 0) ? rest + b : rest;
}

/* floor(a / b), from the rest as CPython does it */
static double real_floor(double a, double b)
{
    const double rest = fmod(a, b);
    const double whole = (a - rest) / b - (rest != 0 && (rest < 0) != (b < 0));
    if (whole == 0)
        return copysign(0, a / b);
    const double floored = floor(whole);
    return whole - floored > 0.5 ? floored + 1 : floored;
}

static err_t reals(enum value_operator op, double a, double b, struct value *ret)
{
    switch (op) {
    case OP_ADD:
        *ret = value_float(a + b);
        return OK;
    case OP_SUB:
        *ret = value_float(a - b);
        return OK;
    case OP_MUL:
        *ret = value_float(a * b);
        return OK;
    case OP_POW:
        return real_power(a, b, ret);
    default:
        break;
    }
    if (b == 0)
        return by_zero();
    *ret = value_float(op == OP_DIV ? a / b : op == OP_MOD ? real_rest(a, b) : real_floor(a, b));
    return OK;
}

static err_t numbers(enum value_operator op, const struct value *a, const struct value *b,
                     struct value *ret)
{
    int64_t i, k;
    const bool whole = value_is_int(a, &i) & value_is_int(b, &k);
    if (whole && op != OP_DIV && !(op == OP_POW && k < 0))
        return ints(op, i, k, ret);
    return reals(op, value_real(a), value_real(b), ret);
}

/* ---- texts and lists */

/* Markup takes another text only with its signs of HTML escaped. */
static err_t join_texts(struct run *r, const struct text *a, const struct text *b,
                        struct value *ret)
{
    struct builder out = {.room = &r->room};
    const bool markup = a->markup || b->markup;
    const struct text *text;
    TRY(run_work(r, a->len + b->len));
    builder_put(&out, markup ? value_escape(r, a) : a);
    builder_put(&out, markup ? value_escape(r, b) : b);
    TRY(builder_text(&out, &text));
    *ret = value_text(text_marked(&r->room, text, markup));
    return OK;
}

static err_t join_lists(struct run *r, const struct value *a, const struct value *b,
                        struct value *ret)
{
    struct list *list = list_new(r, 0);
    for (size_t i = 0; i < a->list->count; i++)
        TRY(list_push(r, list, a->list->at[i]));
    for (size_t i = 0; i < b->list->count; i++)
        TRY(list_push(r, list, b->list->at[i]));
    *ret = (struct value){.kind = a->kind, .list = list};
    return OK;
}

static err_t repeat(struct run *r, const struct value *what, int64_t times, struct value *ret)
{
    if (what->kind == VALUE_TEXT) {
        struct builder out = {.room = &r->room};
        const struct text *text;
        for (int64_t i = 0; what->text->len && i < times && !out.over; i++) {
            TRY(run_work(r, what->text->len));
            builder_put(&out, what->text);
        }
        TRY(builder_text(&out, &text));
        *ret = value_text(text_marked(&r->room, text, what->text->markup));
        return OK;
    }
    struct list *list = list_new(r, 0);
    for (int64_t i = 0; what->list->count && i < times; i++) {
        TRY(run_work(r, 0));
        for (size_t k = 0; k < what->list->count; k++)
            TRY(list_push(r, list, what->list->at[k]));
    }
    *ret = (struct value){.kind = what->kind, .list = list};
    return OK;
}

static bool can_repeat(const struct value *v)
{
    return v->kind == VALUE_TEXT || value_is_list(v);
}

err_t value_binary(struct run *r, enum value_operator op, const struct value *a,
                   const struct value *b, struct value *ret)
{
    static const char *const signs[] = {"+", "-", "/", "//", "*", "%", "**"};
    int64_t times;
    if (value_is_number(a) && value_is_number(b))
        return numbers(op, a, b, ret);
    if (op == OP_MOD && a->kind == VALUE_TEXT)
        return text_percent(r, a->text, b, ret);
    if (a->kind == VALUE_UNDEFINED || b->kind == VALUE_UNDEFINED)
        return undefined_error(a->kind == VALUE_UNDEFINED ? a : b);
    if (op == OP_ADD && a->kind == VALUE_TEXT && b->kind == VALUE_TEXT)
        return join_texts(r, a->text, b->text, ret);
    if (op == OP_ADD && a->kind == b->kind && value_is_list(a))
        return join_lists(r, a, b, ret);
    if (op == OP_MUL && can_repeat(a) && value_is_int(b, &times))
        return repeat(r, a, times, ret);
    if (op == OP_MUL && can_repeat(b) && value_is_int(a, &times))
        return repeat(r, b, times, ret);
    return err_new(ERR_INVALID, "%s %s %s is no operation", value_kind_name(a), signs[op],
                   value_kind_name(b));
}

err_t value_negate(const struct value *v, struct value *ret)
{
    int64_t number;
    if (v->kind == VALUE_UNDEFINED)
        return undefined_error(v);
    if (v->kind == VALUE_FLOAT) {
        *ret = value_float(-v->real);
        return OK;
    }
    if (!value_is_int(v, &number))
        return err_new(ERR_INVALID, "- before %s", value_kind_name(v));
    *ret = value_int(0);
    return __builtin_sub_overflow((int64_t)0, number, &ret->number) ? beyond() : OK;
}
