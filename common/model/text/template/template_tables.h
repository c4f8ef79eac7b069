/* Inside template only: the tables of builtins, one a file. */
#pragma once
#include "model/text/values/value_builtin.h"

/* NULL: none of that name. */
const struct builtin *builtin_find(enum builtin_table table, const char *name, size_t len);

struct builtins {
    const struct builtin *row;
    size_t count;
};
struct builtins builtins_text_filters(void);
struct builtins builtins_list_filters(void);
struct builtins builtins_value_filters(void);
struct builtins builtins_tests(void);
struct builtins builtins_globals(void);
struct builtins builtins_text_methods(void);
struct builtins builtins_text_methods_more(void);
struct builtins builtins_list_methods(void);
struct builtins builtins_dict_methods(void);
struct builtins builtins_loop_methods(void);
#define BUILTINS(rows) ((struct builtins){rows, sizeof(rows) / sizeof *(rows)})
