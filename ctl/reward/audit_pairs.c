#include "ctl/reward/audit_pairs.h"
#include "base/hash.h"
#include "base/mem.h"
#include "ctl/reward/words.h"
#include <inttypes.h>
#include <string.h>

/* ---- names of annotators and sources */

static err_t name_at(struct audit_names *names, const json_t *row, const char *column,
                     const char *name, int *ret)
{
    const json_t *value = json_object_get(row, column);
    *ret = -1;
    if (!value || json_is_null(value))
        return OK;
    if (!json_is_string(value) || json_string_length(value) > AUDIT_NAME_BYTES)
        return err_new(ERR_INVALID, "%s: '%s' must be a text of at most %d bytes", name, column,
                       AUDIT_NAME_BYTES);
    const char *text = json_string_value(value);
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->at[i], text) == 0) {
            *ret = (int)i;
            return OK;
        }
    if (names->count == AUDIT_NAMES)
        return err_new(ERR_RANGE, "%s: '%s' has more than %d different values", name, column,
                       AUDIT_NAMES);
    names->at = mem_grow(names->at, names->count + 1, sizeof *names->at);
    names->at[names->count] = mem_string(text);
    *ret = (int)names->count++;
    return OK;
}

static void names_done(struct audit_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        mem_free(names->at[i]);
    mem_free(names->at);
}

/* ---- texts */

/* The contents of messages from the `first` on, a line each. Other than text has no words. */
static void put_messages(struct bytes *ret, const json_t *messages, size_t first, size_t end)
{
    for (size_t i = first; i < end && i < json_array_size(messages); i++) {
        const char *content =
            json_string_value(json_object_get(json_array_get(messages, i), "content"));
        if (ret->len)
            bytes_text(ret, "\n");
        bytes_text(ret, content ? content : "");
    }
}

/* Of text or messages: bytes or messages [first, end). */
static char *part_of(const json_t *value, size_t first, size_t end)
{
    struct bytes text = {0};
    bytes_text(&text, "");
    if (!json_is_string(value))
        put_messages(&text, value, first, end);
    else if (first < json_string_length(value))
        bytes_put(&text, json_string_value(value) + first,
                  (end < json_string_length(value) ? end : json_string_length(value)) - first);
    bytes_u8(&text, 0);
    return (char *)text.data;
}

static err_t take_texts(const json_t *row, const struct row_names *names, const char *name,
                        struct audit_pair *pair)
{
    struct row_kind kind;
    char text[ROW_KIND_TEXT];
    const json_t *chosen, *rejected, *prompt;
    size_t shared = 0;
    TRY(row_kind_of(row, names, name, &kind));
    if (kind.format != ROW_PREFERENCE)
        return err_new(ERR_INVALID,
                       "%s: a %s row; an audit takes preference rows: [%s,] chosen, rejected", name,
                       row_kind_text(&kind, text), names->prompt);
    TRY(row_column(row, name, "chosen", kind.chat, &chosen));
    TRY(row_column(row, name, "rejected", kind.chat, &rejected));
    prompt = chosen;
    if (kind.implicit)
        TRY(row_extract_prompt(chosen, rejected, name, &shared));
    else
        TRY(row_column(row, name, names->prompt, kind.chat, &prompt));
    pair->prompt = part_of(prompt, 0, kind.implicit ? shared : SIZE_MAX);
    pair->winner = part_of(pair->swapped ? rejected : chosen, shared, SIZE_MAX);
    pair->loser = part_of(pair->swapped ? chosen : rejected, shared, SIZE_MAX);
    pair->winner_words = words_count(pair->winner);
    pair->loser_words = words_count(pair->loser);
    return OK;
}

/* ---- labels */

/* The share of `labels` (0 or 1 each) that prefer chosen; without the column 1. */
static err_t chosen_share(const json_t *row, const char *name, double *ret)
{
    const json_t *labels = json_object_get(row, "labels"), *label;
    size_t i;
    double sum = 0;
    *ret = 1;
    if (!labels || json_is_null(labels))
        return OK;
    const size_t count = json_array_size(labels);
    if (!json_is_array(labels) || !count || count > AUDIT_LABELS)
        return err_new(ERR_INVALID, "%s: 'labels' must be a list of 1 to %d labels, 0 or 1 each",
                       name, AUDIT_LABELS);
    json_array_foreach (labels, i, label) {
        const bool number = json_is_integer(label) &&
                            (json_integer_value(label) == 0 || json_integer_value(label) == 1);
        if (!number && !json_is_boolean(label))
            return err_new(ERR_INVALID, "%s: labels[%zu]: allowed are 0 and 1", name, i);
        sum += number ? (double)json_integer_value(label) : json_is_true(label);
    }
    *ret = sum / (double)count;
    return OK;
}

static void pair_done(struct audit_pair *pair)
{
    mem_free(pair->prompt);
    mem_free(pair->winner);
    mem_free(pair->loser);
}

static err_t take_row(struct audit_pairs *pairs, const struct row_names *names, const json_t *row,
                      const char *name, struct audit_pair *pair)
{
    double share;
    TRY(chosen_share(row, name, &share));
    if (share == 0.5) {
        pairs->ties++;
        return OK;
    }
    pair->swapped = share < 0.5;
    pair->preferred = pair->swapped ? 1 - share : share;
    TRY(name_at(&pairs->annotators, row, "annotator", name, &pair->annotator));
    TRY(name_at(&pairs->sources, row, "source", name, &pair->source));
    return take_texts(row, names, name, pair);
}

static err_t read_file(struct audit_pairs *pairs, const struct row_names *names, size_t f)
{
    const struct jsonl *file = pairs->file[f];
    for (uint64_t i = 0; i < jsonl_rows(file); i++) {
        SCOPED_VALUE(bytes) text = {0};
        SCOPED_JSON json_t *row = NULL;
        SCOPED_MEM char *name = mem_printf("%s:%" PRIu64, jsonl_path(file), i + 1);
        struct audit_pair pair = {.file = (uint32_t)f, .row = i};
        if (pairs->count == AUDIT_PAIRS)
            return err_new(ERR_RANGE, "%s: an audit takes at most %d pairs", name, AUDIT_PAIRS);
        TRY(jsonl_row(file, i, &text));
        TRY(json_parse((const char *)text.data, text.len, name, &row));
        err_t failed = take_row(pairs, names, row, name, &pair);
        if (err_failed(failed))
            pair_done(&pair);
        TRY(failed);
        if (!pair.winner)
            continue;                             // a tie
        if (!(pairs->count & (pairs->count - 1))) // full: at a power of two
            pairs->at = mem_grow(pairs->at, pairs->count ? 2 * pairs->count : 1, sizeof *pairs->at);
        pairs->at[pairs->count++] = pair;
    }
    return OK;
}

err_t audit_pairs_read(const struct recipe_files *files, const struct row_names *names,
                       struct audit_pairs *ret)
{
    for (size_t f = 0; f < files->count; f++) {
        TRY(jsonl_open(files->at[f].path, &ret->file[f]));
        ret->files = f + 1;
        TRY(read_file(ret, names, f));
    }
    return ret->count ? OK
                      : err_new(ERR_INVALID, "'%s' has no pair with a winner", files->at[0].path);
}

void audit_pairs_done(struct audit_pairs *pairs)
{
    for (size_t i = 0; i < pairs->count; i++)
        pair_done(&pairs->at[i]);
    for (size_t f = 0; f < pairs->files; f++)
        jsonl_free(pairs->file[f]);
    mem_free(pairs->at);
    names_done(&pairs->annotators);
    names_done(&pairs->sources);
}

err_t audit_pairs_row(const struct audit_pairs *pairs, size_t i, json_t **ret, char **ret_name)
{
    const struct audit_pair *pair = &pairs->at[i];
    const struct jsonl *file = pairs->file[pair->file];
    SCOPED_VALUE(bytes) text = {0};
    SCOPED_MEM char *name = mem_printf("%s:%" PRIu64, jsonl_path(file), pair->row + 1);
    TRY(jsonl_row(file, pair->row, &text));
    TRY(json_parse((const char *)text.data, text.len, name, ret));
    *ret_name = STEAL(name);
    return OK;
}
