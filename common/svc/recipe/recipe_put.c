/* One value of a recipe as YAML that reads back as the same, and its end. */
#include "svc/recipe/recipe_options.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_count(const struct recipe_option *row, int64_t x, struct bytes *ret)
{
    if (row->kind == OPTION_count_or_auto && x == RECIPE_COUNT_AUTO)
        bytes_text(ret, "auto");
    else
        bytes_printf(ret, "%" PRId64, x);
}

static void put_number(struct bytes *ret, double x)
{
    char text[40];
    snprintf(text, sizeof text, "%.15g", x);
    if (strtod(text, NULL) != x)
        snprintf(text, sizeof text, "%.17g", x);
    bytes_text(ret, text);
}

static void put_choice(const struct recipe_option *row, const void *from, struct bytes *ret)
{
    int choice;
    memcpy(&choice, from, sizeof choice);
    const char *word = row->words;
    for (; choice > 0; choice--)
        word = strchr(word, '|') + 1;
    bytes_put(ret, word, strcspn(word, "|"));
}

/* Keys that svc reads come in full. The stage's own follow as they were written. */
static void put_scorer(const struct recipe_scorer *scorer, struct bytes *ret)
{
    const struct yaml_tree *entry = scorer->entry;
    struct option_rows rows = option_scorer();
    for (size_t j = 0; j < rows.count; j++) {
        bytes_printf(ret, "%s%s: ", j ? ", " : "", rows.row[j].key);
        option_put(&rows.row[j], scorer, ret);
    }
    for (size_t i = 0; entry && i < entry->count; i++) {
        if (option_find(rows, entry->key[i]))
            continue;
        bytes_text(ret, ", ");
        yaml_put_quoted(entry->key[i], ret);
        bytes_text(ret, ": ");
        yaml_tree_put(entry->at[i], ret);
    }
}

static void put_scorers(const struct recipe_scorers *scorers, struct bytes *ret)
{
    bytes_u8(ret, '[');
    for (size_t i = 0; i < scorers->count; i++) {
        bytes_text(ret, i ? ", {" : "{");
        put_scorer(&scorers->at[i], ret);
        bytes_u8(ret, '}');
    }
    bytes_u8(ret, ']');
}

/* One file as its path alone, where its weight is the usual one. */
static void put_files(const struct recipe_files *files, struct bytes *ret)
{
    const bool alone = files->count == 1 && files->at[0].weight == 1;
    if (!files->count || alone) {
        yaml_put_quoted(alone ? files->at[0].path : "", ret);
        return;
    }
    bytes_u8(ret, '[');
    for (size_t i = 0; i < files->count; i++) {
        bytes_text(ret, i ? ", {path: " : "{path: ");
        yaml_put_quoted(files->at[i].path, ret);
        bytes_text(ret, ", weight: ");
        put_number(ret, files->at[i].weight);
        bytes_u8(ret, '}');
    }
    bytes_u8(ret, ']');
}

static void put_texts(const struct recipe_texts *texts, struct bytes *ret)
{
    bytes_u8(ret, '[');
    for (size_t i = 0; i < texts->count; i++) {
        bytes_text(ret, i ? ", " : "");
        yaml_put_quoted(texts->at[i], ret);
    }
    bytes_u8(ret, ']');
}

void option_put(const struct recipe_option *row, const void *group, struct bytes *ret)
{
    const void *from = option_field(row, group);
    switch (row->kind) {
    case OPTION_count:
    case OPTION_count_or_auto:
        put_count(row, *(const int64_t *)from, ret);
        return;
    case OPTION_number_or_default:
        if (*(const double *)from == RECIPE_NUMBER_DEFAULT)
            bytes_text(ret, "default");
        else
            put_number(ret, *(const double *)from);
        return;
    case OPTION_number:
        put_number(ret, *(const double *)from);
        return;
    case OPTION_flag:
        bytes_text(ret, *(const bool *)from ? "true" : "false");
        return;
    case OPTION_choice:
        put_choice(row, from, ret);
        return;
    case OPTION_pair: {
        const struct recipe_pair *pair = from;
        bytes_u8(ret, '[');
        put_number(ret, pair->at[0]);
        bytes_text(ret, ", ");
        put_number(ret, pair->at[1]);
        bytes_u8(ret, ']');
        return;
    }
    case OPTION_texts:
        put_texts(from, ret);
        return;
    case OPTION_stage: {
        const struct recipe_stage *stage = from;
        if (stage->entry)
            yaml_tree_put(stage->entry, ret);
        else
            bytes_text(ret, stage->kind);
        return;
    }
    case OPTION_scorers:
        put_scorers(from, ret);
        return;
    case OPTION_files:
        put_files(from, ret);
        return;
    default:
        yaml_put_quoted(*(char *const *)from, ret);
    }
}

static void free_scorers(struct recipe_scorers *scorers)
{
    const struct option_rows rows = option_scorer();
    for (size_t i = 0; i < scorers->count; i++) {
        for (size_t j = 0; j < rows.count; j++)
            option_free(&rows.row[j], &scorers->at[i]);
        yaml_tree_free(scorers->at[i].entry);
    }
    free(scorers->at);
    *scorers = (struct recipe_scorers){0};
}

static void free_files(struct recipe_files *files)
{
    for (size_t i = 0; i < files->count; i++)
        free(files->at[i].path);
    free(files->at);
    *files = (struct recipe_files){0};
}

void option_free(const struct recipe_option *row, void *group)
{
    void *from = option_field(row, group);
    if (option_is_text(row)) {
        free(*(char **)from);
        *(char **)from = NULL;
    } else if (row->kind == OPTION_texts) {
        struct recipe_texts *texts = from;
        for (size_t i = 0; i < texts->count; i++)
            free(texts->at[i]);
        free(texts->at);
        *texts = (struct recipe_texts){0};
    } else if (row->kind == OPTION_stage) {
        struct recipe_stage *stage = from;
        free(stage->kind);
        yaml_tree_free(stage->entry);
        *stage = (struct recipe_stage){0};
    } else if (row->kind == OPTION_scorers) {
        free_scorers(from);
    } else if (row->kind == OPTION_files) {
        free_files(from);
    }
}
