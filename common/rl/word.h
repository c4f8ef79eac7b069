/* The making of a table of words: enumerators, their words in a recipe, their help. Included by the
 * tables alone (rl/word_table.h, rl/pair_word_table.h, rl/objective_table.h). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define WORD_ENUM(value, ...) value,

/* "none|clip|cap"; WORD_LIST_AFTER has a word before them: "default|none|clip|cap". */
#define WORD_TEXT(value, word, help)  "|" word
#define WORD_LIST(ROWS)               (&ROWS(WORD_TEXT)[1])
#define WORD_LIST_AFTER(before, ROWS) before ROWS(WORD_TEXT)

struct word_row {
    int value;
    const char *word, *help;
};

/* Of a table, in its order: TYPE_word(i), NULL past the last; TYPE_name(value), TYPE_help(value);
 * TYPE_find(word, &value). */
#define WORD_ROW(value, word, help) {value, word, help},
#define WORD_TYPE(type, ROWS)                                                                      \
    static inline const struct word_row *type##_word(size_t i)                                     \
    {                                                                                              \
        static const struct word_row rows[] = {ROWS(WORD_ROW)};                                    \
        return i < sizeof rows / sizeof *rows ? &rows[i] : NULL;                                   \
    }                                                                                              \
    static inline const char *type##_name(enum type value)                                         \
    {                                                                                              \
        const struct word_row *row;                                                                \
        for (size_t i = 0; (row = type##_word(i)); i++)                                            \
            if (row->value == (int)value)                                                          \
                return row->word;                                                                  \
        return "none";                                                                             \
    }                                                                                              \
    static inline const char *type##_help(enum type value)                                         \
    {                                                                                              \
        const struct word_row *row;                                                                \
        for (size_t i = 0; (row = type##_word(i)); i++)                                            \
            if (row->value == (int)value)                                                          \
                return row->help;                                                                  \
        return "";                                                                                 \
    }                                                                                              \
    static inline bool type##_find(const char *word, enum type *ret)                               \
    {                                                                                              \
        const struct word_row *row;                                                                \
        for (size_t i = 0; (row = type##_word(i)); i++)                                            \
            if (strcmp(row->word, word) == 0) {                                                    \
                *ret = (enum type)row->value;                                                      \
                return true;                                                                       \
            }                                                                                      \
        return false;                                                                              \
    }
