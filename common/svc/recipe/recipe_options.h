/* The options table as data, and one value read, written and freed by its row. For svc, and for the
 * keys of the rewarder's stages, which have tables of their own.
 *
 *     TRY(option_set(row, &keys, value));        -- INVALID: "'x' is out of range; allowed: ..."
 *
 * Owner: any thread; the table is constant. */
#pragma once
#include "base/bytes.h"
#include "base/err.h"
#include "svc/recipe/recipe.h"
#include "svc/recipe/yaml_tree.h"

enum option_kind {
    OPTION_text,
    OPTION_name,
    OPTION_word,
    OPTION_path,
    OPTION_output,
    OPTION_address, // up to here: text
    OPTION_count,
    OPTION_count_or_auto,
    OPTION_number_or_default,
    OPTION_number,
    OPTION_flag,
    OPTION_pair,
    OPTION_texts,
    OPTION_stage,
    OPTION_scorers,
    OPTION_files,
    OPTION_choice,
    OPTION_group,
};

struct option_rows {
    const struct recipe_option *row;
    size_t count;
};

struct recipe_option {
    const char *key;
    enum option_kind kind;
    size_t offset;     // of the field in its group's struct
    const char *value; // the default, as written in a recipe
    bool live;
    bool required;     // of a stage: an entry without the key is refused
    double min, max;   // of a number; of a text's length
    bool above, below; // min, max themselves are not allowed
    const char *words; // "a|b|c"
    const char *help;
    struct option_rows (*rows)(void); // of a group
};

struct option_rows option_root(void);
struct option_rows option_scorer(void); // the part of a scorers' entry that svc reads
struct option_rows option_file(void);   // an entry of files

/* The row of key, or NULL. */
const struct recipe_option *option_find(struct option_rows rows, const char *key);

/* The row at a dotted path ("learner.optimizer.lr") and where its group lies in the recipe, or
 * NULL. */
const struct recipe_option *option_at(const char *path, size_t *ret_base);

/* The same, or the error says at which part of the path it went wrong: INVALID, "no such key; did
 * you mean 'x'?". */
err_t option_require(const char *path, const struct recipe_option **ret_row, size_t *ret_base);

/* Calls fn with every value below rows, depth first; path is dotted, base the offset of its group.
 * Stops at an error. */
typedef err_t (*option_visit)(void *arg, const char *path, const struct recipe_option *row,
                              size_t base);
err_t option_each(option_visit fn, void *arg);

/* INVALID without a place: "no such key; did you mean 'x'?". prefix: the section of the rows
 * ("learner."). leaf: the last part of the written key, which may be a key of another section. */
err_t option_unknown(struct option_rows rows, const char *prefix, const char *key,
                     const char *leaf);

/* Sets the field of row in the struct at group, empty before, to its default. */
void option_set_default(const struct recipe_option *row, void *group);

/* Sets it from a recipe's value. INVALID, without place and key. Not for groups, scorers,
 * files. */
err_t option_set(const struct recipe_option *row, void *group, const struct yaml_tree *value);

/* Sets the field of row in the struct at group from a scalar's text. INVALID, without place and
 * key: "'x' is ...; allowed: ...". The field is as it was. Not for pairs, texts, stages,
 * scorers, files, groups. */
err_t option_set_text(const struct recipe_option *row, void *group, const char *text, bool quoted);
err_t option_set_pair(const struct recipe_option *row, void *group, const struct yaml_tree *value);
err_t option_set_texts(const struct recipe_option *row, void *group, const struct yaml_tree *value);
err_t option_set_stage(const struct recipe_option *row, void *group, const struct yaml_tree *value);

/* A copy of a stage's map. INVALID: too large or too deep for a recipe that is rendered. */
err_t option_copy_entry(const struct yaml_tree *value, struct yaml_tree **ret);

/* Whether the value at this path may change while the run goes on. sft's may not: that section is
 * an offline job's, even where its options are the learner's. */
bool option_is_live(const char *path, const struct recipe_option *row);

/* The allowed values in words: "a whole number from 1 to 1000", "one of a, b". */
void option_allowed(const struct recipe_option *row, struct bytes *ret);
static inline void *option_field(const struct recipe_option *row, const void *group)
{
    return (char *)group + row->offset;
}
bool option_is_text(const struct recipe_option *row);
const char *option_kind_name(const struct recipe_option *row); // "number"

/* Appends the value as YAML (flow style) that reads back as the same. */
void option_put(const struct recipe_option *row, const void *group, struct bytes *ret);
void option_free(const struct recipe_option *row, void *group); // leaves the field empty

/* Appends text to a cell of a Markdown table, which '|' would end. */
void markdown_cell(struct bytes *ret, const char *text);

/* Appends the row as one of a Markdown table: key, default, type, allowed values, note, help. NULL:
 * the table has no column of notes. */
void markdown_option(struct bytes *ret, const struct recipe_option *row, const char *key,
                     const char *note);
