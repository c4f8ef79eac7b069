#include "svc/recipe/recipe_options.h"
#include "base/mem.h"
#include "rl/objective_table.h"
#include "rl/word_table.h"
#include "svc/recipe/recipe_words.h"
#include "svc/recipe/suggest.h"
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Limits, as the table writes them. */
#define ANY            .words = NULL
#define FROM(low, up)  .min = (low), .max = (up)
#define ABOVE(low, up) .min = (low), .max = (up), .above = true
#define BELOW(low, up) .min = (low), .max = (up), .below = true
#define TEXT(low, up)  .min = (low), .max = (up)
#define WORDS(list)    .words = (list)
#define LIVE           true
#define FIXED          false

/* `self` is the group's struct wherever these are expanded. */
#define VALUE_ROW(kind_, key_, value_, live_, limits_, help_)                                      \
    {.key = #key_,                                                                                 \
     .kind = OPTION_##kind_,                                                                       \
     .offset = offsetof(typeof(*self), key_),                                                      \
     .value = (value_),                                                                            \
     .live = (live_),                                                                              \
     .help = (help_),                                                                              \
     limits_},
#define CHOICE_ROW(key_, enum_, value_, live_, words_, help_)                                      \
    {.key = #key_,                                                                                 \
     .kind = OPTION_choice,                                                                        \
     .offset = offsetof(typeof(*self), key_),                                                      \
     .value = (value_),                                                                            \
     .live = (live_),                                                                              \
     .words = (words_),                                                                            \
     .help = (help_)},
#define GROUP_ROW(key_, help_)                                                                     \
    {.key = #key_,                                                                                 \
     .kind = OPTION_group,                                                                         \
     .offset = offsetof(typeof(*self), key_),                                                      \
     .help = (help_),                                                                              \
     .rows = rows_##key_},
#define ROWS(name, type, table)                                                                    \
    static struct option_rows rows_##name(void)                                                    \
    {                                                                                              \
        const type *self = NULL;                                                                   \
        (void)self;                                                                                \
        static const struct recipe_option rows[] = {table(VALUE_ROW, CHOICE_ROW, GROUP_ROW)};      \
        return (struct option_rows){rows, sizeof rows / sizeof *rows};                             \
    }

#define GROUP_ROWS(name, table) ROWS(name, struct recipe_##name, table)
RECIPE_GROUPS(GROUP_ROWS)
ROWS(scorer, struct recipe_scorer, RECIPE_SCORER)
ROWS(file, struct mixture_file, RECIPE_FILE)
ROWS(run, struct recipe_run, RECIPE_RUN)
ROWS(model, struct recipe_model, RECIPE_MODEL)
ROWS(lora, struct recipe_lora, RECIPE_LORA)
ROWS(data, struct recipe_data, RECIPE_DATA)
ROWS(generator, struct recipe_generator, RECIPE_GENERATOR)
ROWS(rewarder, struct recipe_rewarder, RECIPE_REWARDER)
ROWS(learner, struct recipe_learner, RECIPE_LEARNER)
ROWS(lag, struct recipe_lag, RECIPE_LAG)
ROWS(publish, struct recipe_publish, RECIPE_PUBLISH)
ROWS(replay, struct recipe_replay, RECIPE_REPLAY)
ROWS(checkpoint, struct recipe_checkpoint, RECIPE_CHECKPOINT)
ROWS(eval, struct recipe_eval, RECIPE_EVAL)
ROWS(sft, struct recipe_sft, RECIPE_SFT)
ROWS(train, struct recipe_train, RECIPE_TRAIN)
ROWS(metrics, struct recipe_metrics, RECIPE_METRICS)
ROWS(log, struct recipe_log, RECIPE_LOG)
ROWS(net, struct recipe_net, RECIPE_NET)
ROWS(root, struct recipe, RECIPE_ROOT)

struct option_rows option_root(void)
{
    return rows_root();
}

struct option_rows option_scorer(void)
{
    return rows_scorer();
}

struct option_rows option_file(void)
{
    return rows_file();
}

bool option_is_text(const struct recipe_option *row)
{
    return row->kind <= OPTION_address;
}

const struct recipe_option *option_find(struct option_rows rows, const char *key)
{
    for (size_t i = 0; i < rows.count; i++)
        if (strcmp(rows.row[i].key, key) == 0)
            return &rows.row[i];
    return NULL;
}

const struct recipe_option *option_at(const char *path, size_t *ret_base)
{
    SCOPED_MEM char *copy = mem_string(path);
    char *rest = copy;
    struct option_rows rows = rows_root();
    for (size_t base = 0;;) {
        const char *key = strsep(&rest, ".");
        const struct recipe_option *row = option_find(rows, key);
        if (!row || (rest && row->kind != OPTION_group))
            return NULL;
        if (!rest) {
            *ret_base = base;
            return row;
        }
        base += row->offset;
        rows = row->rows();
    }
}

bool option_is_live(const char *path, const struct recipe_option *row)
{
    return row->live && strncmp(path, "sft.", 4) != 0;
}

static err_t each(struct option_rows rows, const char *prefix, size_t base, option_visit fn,
                  void *arg)
{
    for (size_t i = 0; i < rows.count; i++) {
        const struct recipe_option *row = &rows.row[i];
        SCOPED_MEM char *path = mem_printf("%s%s%s", prefix, *prefix ? "." : "", row->key);
        TRY(row->kind == OPTION_group ? each(row->rows(), path, base + row->offset, fn, arg)
                                      : fn(arg, path, row, base));
    }
    return OK;
}

err_t option_each(option_visit fn, void *arg)
{
    return each(rows_root(), "", 0, fn, arg);
}

/* The first key of that name anywhere in the table. */
struct elsewhere {
    const char *key;
    char *path; // owned
};

static err_t look(void *arg, const char *path, const struct recipe_option *row, size_t base)
{
    (void)base;
    struct elsewhere *elsewhere = arg;
    if (!elsewhere->path && strcmp(row->key, elsewhere->key) == 0)
        elsewhere->path = mem_string(path);
    return OK;
}

err_t option_unknown(struct option_rows rows, const char *prefix, const char *key, const char *leaf)
{
    SCOPED_MEM const char **words = mem_array(rows.count, sizeof *words);
    struct bytes all = {0};
    for (size_t i = 0; i < rows.count; i++) {
        words[i] = rows.row[i].key;
        bytes_printf(&all, "%s%s", i ? ", " : "", words[i]);
    }
    SCOPED_MEM char *list = (char *)all.data;
    const char *meant = suggest(key, words, rows.count);
    if (meant)
        return err_new(ERR_INVALID, "no such key; did you mean '%s%s'?", prefix, meant);
    struct elsewhere elsewhere = {.key = leaf};
    err_free(option_each(look, &elsewhere));
    SCOPED_MEM char *path = elsewhere.path;
    if (path)
        return err_new(ERR_INVALID, "no such key; did you mean '%s'?", path);
    return err_new(ERR_INVALID, "no such key; allowed: %s", list);
}

err_t option_require(const char *key, const struct recipe_option **ret_row, size_t *ret_base)
{
    const struct recipe_option *row = option_at(key, ret_base);
    if (row) {
        *ret_row = row;
        return OK;
    }
    TRY(recipe_word_answer(key));
    struct option_rows rows = option_root();
    const char *last = strrchr(key, '.'), *leaf = last ? last + 1 : key;
    SCOPED_MEM char *copy = mem_string(key);
    for (char *part = copy, *dot; (dot = strchr(part, '.')); part = dot + 1) {
        *dot = 0;
        row = option_find(rows, part);
        if (row && row->kind != OPTION_group)
            return err_new(ERR_INVALID, "no such key: '%.100s' has no keys below it", copy);
        if (!row) {
            SCOPED_MEM char *prefix = mem_copy(key, (size_t)(part - copy) + 1);
            prefix[part - copy] = 0;
            return option_unknown(rows, prefix, part, leaf);
        }
        *dot = '.';
        rows = row->rows();
    }
    SCOPED_MEM char *prefix = mem_copy(key, (last ? (size_t)(last - key) + 1 : 0) + 1);
    prefix[last ? last - key + 1 : 0] = 0;
    return option_unknown(rows, prefix, leaf, leaf);
}

void markdown_cell(struct bytes *ret, const char *text)
{
    for (const char *p = text; *p; p++) {
        if (*p == '|')
            bytes_u8(ret, '\\');
        bytes_u8(ret, (uint8_t)*p);
    }
}
