/* Tests, which stand behind "is". */
#include "model/text/template/template_tables.h"
#include "model/text/values/value_ops.h"

#define TEST(name, holds)                                                                          \
    static err_t name(struct run *r, const struct value *self, const struct value *arg,            \
                      struct value *ret)                                                           \
    {                                                                                              \
        (void)r;                                                                                   \
        (void)arg;                                                                                 \
        *ret = value_bool(holds);                                                                  \
        return OK;                                                                                 \
    }

static bool is_iterable(const struct value *v)
{
    switch (v->kind) {
    case VALUE_UNDEFINED:
    case VALUE_TEXT:
    case VALUE_LIST:
    case VALUE_TUPLE:
    case VALUE_DICT:
    case VALUE_RANGE:
    case VALUE_ITERATOR:
    case VALUE_VIEW:
    case VALUE_LOOP:
        return true;
    default:
        return false;
    }
}

/* With a length, and items by number or key; an undefined value has both. */
static bool is_sequence(const struct value *v)
{
    return is_iterable(v) && v->kind != VALUE_ITERATOR && v->kind != VALUE_VIEW &&
           v->kind != VALUE_LOOP;
}

static bool is_callable(const struct value *v)
{
    return v->kind == VALUE_UNDEFINED || v->kind == VALUE_FUNCTION || v->kind == VALUE_MACRO ||
           v->kind == VALUE_LOOP || v->kind == VALUE_JOINER;
}

TEST(defined, self->kind != VALUE_UNDEFINED)
TEST(undefined, self->kind == VALUE_UNDEFINED)
TEST(none, self->kind == VALUE_NONE)
TEST(boolean, self->kind == VALUE_BOOL)
TEST(is_true, self->kind == VALUE_BOOL && self->truth)
TEST(is_false, self->kind == VALUE_BOOL && !self->truth)
TEST(integer, self->kind == VALUE_INT)
TEST(is_float, self->kind == VALUE_FLOAT)
TEST(number, value_is_number(self))
TEST(string, self->kind == VALUE_TEXT)
TEST(mapping, self->kind == VALUE_DICT)
TEST(iterable, is_iterable(self))
TEST(sequence, is_sequence(self))
TEST(callable, is_callable(self))
TEST(escaped, self->kind == VALUE_TEXT && self->text->markup)

static err_t cased(struct run *r, const struct value *self, enum text_class class,
                   struct value *ret)
{
    const struct text *text;
    TRY(value_to_text(r, self, &text));
    TRY(run_work(r, text->len));
    *ret = value_bool(text_all(text, class));
    return OK;
}

static err_t lower(struct run *r, const struct value *self, const struct value *arg,
                   struct value *ret)
{
    (void)arg;
    return cased(r, self, CLASS_LOWER, ret);
}

static err_t upper(struct run *r, const struct value *self, const struct value *arg,
                   struct value *ret)
{
    (void)arg;
    return cased(r, self, CLASS_UPPER, ret);
}

static err_t rest_is(struct run *r, const struct value *self, const struct value *by, int64_t want,
                     struct value *ret)
{
    const struct value wanted = value_int(want);
    struct value rest;
    bool same;
    TRY(value_binary(r, OP_MOD, self, by, &rest));
    TRY(value_equal(r, &rest, &wanted, &same));
    *ret = value_bool(same);
    return OK;
}

static err_t odd(struct run *r, const struct value *self, const struct value *arg,
                 struct value *ret)
{
    const struct value two = value_int(2);
    (void)arg;
    return rest_is(r, self, &two, 1, ret);
}

static err_t even(struct run *r, const struct value *self, const struct value *arg,
                  struct value *ret)
{
    const struct value two = value_int(2);
    (void)arg;
    return rest_is(r, self, &two, 0, ret);
}

static err_t divisibleby(struct run *r, const struct value *self, const struct value *arg,
                         struct value *ret)
{
    return rest_is(r, self, &arg[0], 0, ret);
}

static err_t sameas(struct run *r, const struct value *self, const struct value *arg,
                    struct value *ret)
{
    bool same = false;
    if (self->kind == arg[0].kind && self->kind <= VALUE_INT)
        TRY(value_equal(r, self, &arg[0], &same));
    else
        same = self->kind == arg[0].kind && self->kind != VALUE_FLOAT && self->list == arg[0].list;
    *ret = value_bool(same);
    return OK;
}

static err_t in(struct run *r, const struct value *self, const struct value *arg, struct value *ret)
{
    bool found;
    TRY(value_contains(r, &arg[0], self, &found));
    *ret = value_bool(found);
    return OK;
}

static err_t equal(struct run *r, const struct value *self, const struct value *arg,
                   struct value *ret)
{
    bool same;
    TRY(value_equal(r, self, &arg[0], &same));
    *ret = value_bool(same);
    return OK;
}

static err_t unequal(struct run *r, const struct value *self, const struct value *arg,
                     struct value *ret)
{
    TRY(equal(r, self, arg, ret));
    ret->truth = !ret->truth;
    return OK;
}

#define ORDER(name, holds)                                                                         \
    static err_t name(struct run *r, const struct value *self, const struct value *arg,            \
                      struct value *ret)                                                           \
    {                                                                                              \
        int order;                                                                                 \
        TRY(value_order(r, self, &arg[0], &order));                                                \
        *ret = value_bool(order != ORDER_NONE && (holds));                                         \
        return OK;                                                                                 \
    }
ORDER(greater, order > 0)
ORDER(greater_equal, order >= 0)
ORDER(less, order < 0)
ORDER(less_equal, order <= 0)

static err_t known(const struct run *r, const struct value *self, enum builtin_table table,
                   struct value *ret)
{
    const struct text *name;
    TRY(want_text(self, "a name", &name));
    *ret = value_bool(r->ways->find(table, name->data, name->len));
    return OK;
}

static err_t filter(struct run *r, const struct value *self, const struct value *arg,
                    struct value *ret)
{
    (void)arg;
    return known(r, self, BUILTIN_FILTERS, ret);
}

static err_t test(struct run *r, const struct value *self, const struct value *arg,
                  struct value *ret)
{
    (void)arg;
    return known(r, self, BUILTIN_TESTS, ret);
}

static const struct builtin rows[] = {
    {"defined", "", 0, .call = defined},
    {"undefined", "", 0, .call = undefined},
    {"none", "", 0, .call = none},
    {"boolean", "", 0, .call = boolean},
    {"true", "", 0, .call = is_true},
    {"false", "", 0, .call = is_false},
    {"integer", "", 0, .call = integer},
    {"float", "", 0, .call = is_float},
    {"number", "", 0, .call = number},
    {"string", "", 0, .call = string},
    {"mapping", "", 0, .call = mapping},
    {"iterable", "", 0, .call = iterable},
    {"sequence", "", 0, .call = sequence},
    {"callable", "", 0, .call = callable},
    {"escaped", "", 0, .call = escaped},
    {"lower", "", 0, .call = lower},
    {"upper", "", 0, .call = upper},
    {"odd", "", 0, .call = odd},
    {"even", "", 0, .call = even},
    {"divisibleby", "num", 1, .call = divisibleby},
    {"sameas", "other", 1, .call = sameas},
    {"in", "seq", 1, .call = in},
    {"==", "other", 1, .call = equal},
    {"eq", "other", 1, .call = equal},
    {"equalto", "other", 1, .call = equal},
    {"!=", "other", 1, .call = unequal},
    {"ne", "other", 1, .call = unequal},
    {">", "other", 1, .call = greater},
    {"gt", "other", 1, .call = greater},
    {"greaterthan", "other", 1, .call = greater},
    {">=", "other", 1, .call = greater_equal},
    {"ge", "other", 1, .call = greater_equal},
    {"<", "other", 1, .call = less},
    {"lt", "other", 1, .call = less},
    {"lessthan", "other", 1, .call = less},
    {"<=", "other", 1, .call = less_equal},
    {"le", "other", 1, .call = less_equal},
    {"filter", "", 0, .call = filter},
    {"test", "", 0, .call = test},
};

struct builtins builtins_tests(void)
{
    return BUILTINS(rows);
}
