/* Functions that templates have by name, and how they get what they are given.
 *
 * A row says its parameters, of which the first `least` must be given: call gets them as an array,
 * MISSING where they are not. raw gets what was written. Neither: Python has it, and we do not. */
#pragma once
#include "model/text/values/value.h"

struct run;
struct text;

struct call {
    const struct value *at; // (count)
    int count;
    const struct value *name, *named; // (nameds) texts, and what has that name
    int nameds;
};

typedef err_t builtin_call(struct run *r, const struct value *self, const struct value *arg,
                           struct value *ret);
typedef err_t builtin_raw(struct run *r, const struct value *self, const struct call *call,
                          struct value *ret);

enum { BUILTIN_PARAMS = 6 };
struct builtin {
    const char *name, *params; // separated by spaces
    int least;
    builtin_call *call;
    builtin_raw *raw;
};

enum builtin_table {
    BUILTIN_FILTERS,
    BUILTIN_TESTS,
    BUILTIN_GLOBALS,
    BUILTIN_TEXT_METHODS,
    BUILTIN_LIST_METHODS,
    BUILTIN_DICT_METHODS,
    BUILTIN_LOOP_METHODS,
    BUILTIN_TABLES
};

err_t builtin_apply(struct run *r, const struct builtin *builtin, const struct value *self,
                    const struct call *call, struct value *ret);

/* Neither MISSING nor None. */
static inline bool given(const struct value *v)
{
    return v->kind != VALUE_MISSING && v->kind != VALUE_NONE;
}

/* INVALID: what is another kind of value, in words. */
err_t want_text(const struct value *v, const char *what, const struct text **ret);
err_t want_int(const struct value *v, const char *what, int64_t *ret);
err_t undefined_error(const struct value *v);
const char *value_kind_name(const struct value *v); // "str"
