/* All builtins by their names. */
#include "model/text/template/template_tables.h"
#include <string.h>

enum { TABLES_OF_ONE = 3 };

static const struct builtins none;

const struct builtin *builtin_find(enum builtin_table table, const char *name, size_t len)
{
    const struct builtins parts[BUILTIN_TABLES][TABLES_OF_ONE] = {
        [BUILTIN_FILTERS] = {builtins_text_filters(), builtins_list_filters(),
                             builtins_value_filters()},
        [BUILTIN_TESTS] = {builtins_tests(), none, none},
        [BUILTIN_GLOBALS] = {builtins_globals(), none, none},
        [BUILTIN_TEXT_METHODS] = {builtins_text_methods(), builtins_text_methods_more(), none},
        [BUILTIN_LIST_METHODS] = {builtins_list_methods(), none, none},
        [BUILTIN_DICT_METHODS] = {builtins_dict_methods(), none, none},
        [BUILTIN_LOOP_METHODS] = {builtins_loop_methods(), none, none},
    };
    for (int i = 0; i < TABLES_OF_ONE; i++) {
        const struct builtins *rows = &parts[table][i];
        for (size_t k = 0; k < rows->count; k++)
            if (strlen(rows->row[k].name) == len && !memcmp(rows->row[k].name, name, len))
                return &rows->row[k];
    }
    return NULL;
}
