/* Python's values, as templates have them, and texts whose bytes know who wrote them.
 *
 * value_*.h beside this one say what they can do; a rendering (value_run.h) owns them all, so that
 * nothing is freed by itself. One thread. */
#pragma once
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum value_kind {
    VALUE_MISSING, // an argument that was not given; no template sees it
    VALUE_UNDEFINED,
    VALUE_NONE,
    VALUE_BOOL,
    VALUE_INT,
    VALUE_FLOAT,
    VALUE_TEXT,
    VALUE_LIST,
    VALUE_TUPLE,
    VALUE_DICT,
    VALUE_RANGE,
    VALUE_ITERATOR, // Python's generators and iterators: each item once
    VALUE_VIEW,     // keys(), values(), items() of a dict
    VALUE_NAMESPACE,
    VALUE_MACRO,
    VALUE_FUNCTION, // a builtin, and a method with its object
    VALUE_LOOP,
    VALUE_CYCLER,
    VALUE_JOINER,
};

struct value {
    enum value_kind kind;
    union {
        bool truth;
        int64_t number;
        double real;
        const char *hint; // UNDEFINED: what an error says
        const struct text *text;
        struct list *list; // LIST, TUPLE
        struct dict *dict; // DICT, NAMESPACE
        struct range *range;
        struct iterator *iterator;
        struct view *view;
        struct macro *macro;
        struct function *function;
        struct loop *loop;
        struct cycler *cycler; // CYCLER, JOINER
    };
};

static inline struct value value_none(void)
{
    return (struct value){.kind = VALUE_NONE};
}
static inline struct value value_bool(bool truth)
{
    return (struct value){.kind = VALUE_BOOL, .truth = truth};
}
static inline struct value value_int(int64_t number)
{
    return (struct value){.kind = VALUE_INT, .number = number};
}
static inline struct value value_float(double real)
{
    return (struct value){.kind = VALUE_FLOAT, .real = real};
}
static inline struct value value_text(const struct text *text)
{
    return (struct value){.kind = VALUE_TEXT, .text = text};
}
static inline struct value value_list(struct list *list)
{
    return (struct value){.kind = VALUE_LIST, .list = list};
}
static inline struct value value_dict(struct dict *dict)
{
    return (struct value){.kind = VALUE_DICT, .dict = dict};
}
static inline struct value value_undefined(const char *hint)
{
    return (struct value){.kind = VALUE_UNDEFINED, .hint = hint};
}
/* bool is a kind of int */
static inline bool value_is_int(const struct value *v, int64_t *ret)
{
    *ret = v->kind == VALUE_BOOL ? v->truth : v->number;
    return v->kind == VALUE_INT || v->kind == VALUE_BOOL;
}
static inline bool value_is_number(const struct value *v)
{
    return v->kind == VALUE_INT || v->kind == VALUE_BOOL || v->kind == VALUE_FLOAT;
}
static inline double value_real(const struct value *v)
{
    return v->kind == VALUE_FLOAT  ? v->real
           : v->kind == VALUE_BOOL ? (double)v->truth
                                   : (double)v->number;
}
static inline bool value_is_list(const struct value *v)
{
    return v->kind == VALUE_LIST || v->kind == VALUE_TUPLE;
}
