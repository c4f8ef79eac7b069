#include "model/text/rows/row_kind.h"
#include "base/bytes.h"
#include "base/jsonl.h"
#include "base/mem.h"
#include "base/scoped.h"
#include <stdio.h>
#include <string.h>

static const char *const formats[ROW_FORMATS] = {
    [ROW_LANGUAGE] = "language modelling",  [ROW_PROMPT] = "prompt-only",
    [ROW_COMPLETION] = "prompt-completion", [ROW_PREFERENCE] = "preference",
    [ROW_UNPAIRED] = "unpaired preference", [ROW_STEPWISE] = "stepwise supervision",
    [ROW_RANKED] = "ranked completions",
};

const char *row_kind_text(const struct row_kind *kind, char ret[ROW_KIND_TEXT])
{
    snprintf(ret, ROW_KIND_TEXT, "%s%s%s", kind->chat ? "conversational " : "",
             formats[kind->format], kind->implicit ? ", implicit prompt" : "");
    return ret;
}

bool row_is_chat(const json_t *value)
{
    size_t i;
    json_t *message;
    json_array_foreach ((json_t *)value, i, message)
        if (!json_is_string(json_object_get(message, "role")))
            return false;
    return json_array_size(value) > 0;
}

/* A column that holds null counts as missing: writers of tables fill rows up so. */
static const json_t *column_of(const json_t *row, const char *column)
{
    const json_t *value = json_object_get(row, column);
    return json_is_null(value) ? NULL : value;
}

err_t row_column(const json_t *row, const char *name, const char *column, bool chat,
                 const json_t **ret)
{
    const json_t *value = column_of(row, column);
    if (value && (chat ? row_is_chat(value) : json_is_string(value))) {
        *ret = value;
        return OK;
    }
    SCOPED_MEM char *text = value ? json_to_text(value) : NULL;
    return err_new(
        ERR_INVALID, "%s: '%s' is %.60s; it must be %s", name, column, text ? text : "missing",
        chat ? "a list of messages, each {\"role\": ..., \"content\": ...}" : "a string");
}

static err_t none_of_ours(const json_t *row, const struct row_names *names, const char *name)
{
    SCOPED_VALUE(bytes) columns = {0};
    json_put_keys(row, &columns);
    return err_new(ERR_INVALID,
                   "%s: the columns are %s; allowed: %s | messages | %s | %s, %s | [%s,] chosen, "
                   "rejected | %s, %s, label | %s, completions, labels | %s, completions, scores",
                   name, (const char *)columns.data, names->text, names->prompt, names->prompt,
                   names->completion, names->prompt, names->prompt, names->completion,
                   names->prompt, names->prompt);
}

/* The format alone. As in TRL's trainers, a prompt goes before messages and text. */
static enum row_format format_of(const json_t *row, const struct row_names *names)
{
    const bool prompt = column_of(row, names->prompt);
    if (column_of(row, "chosen") && column_of(row, "rejected"))
        return ROW_PREFERENCE;
    if (prompt && column_of(row, "completions") && column_of(row, "labels"))
        return ROW_STEPWISE;
    if (prompt && column_of(row, "completions") && column_of(row, "scores"))
        return ROW_RANKED;
    if (prompt && column_of(row, names->completion))
        return json_is_boolean(column_of(row, "label")) ? ROW_UNPAIRED : ROW_COMPLETION;
    if (prompt)
        return ROW_PROMPT;
    return column_of(row, "messages") || column_of(row, names->text) ? ROW_LANGUAGE : ROW_FORMATS;
}

err_t row_kind_of(const json_t *row, const struct row_names *names, const char *name,
                  struct row_kind *ret)
{
    struct row_kind kind = {.format = format_of(row, names)};
    const json_t *prompt = column_of(row, names->prompt), *chosen = column_of(row, "chosen");
    if (kind.format == ROW_FORMATS)
        return none_of_ours(row, names, name);
    if (kind.format == ROW_LANGUAGE) {
        kind.chat = column_of(row, "messages");
    } else if (kind.format == ROW_PREFERENCE) {
        kind.chat = row_is_chat(chosen);
        kind.implicit = !prompt || row_is_chat(prompt) != kind.chat;
    } else {
        kind.chat = row_is_chat(prompt);
    }
    *ret = kind;
    return OK;
}

err_t row_kind_of_file(const struct jsonl *file, const struct row_names *names,
                       struct row_kind *ret)
{
    SCOPED_VALUE(bytes) text = {0};
    SCOPED_JSON json_t *row = NULL;
    SCOPED_MEM char *name = mem_printf("%s:1", jsonl_path(file));
    TRY(jsonl_row(file, 0, &text));
    TRY(json_parse((const char *)text.data, text.len, name, &row));
    return row_kind_of(row, names, name, ret);
}

/* ---- the prompt of a preference */

/* Whole characters of UTF-8 that both begin with. */
static size_t common_text(const char *a, size_t a_len, const char *b, size_t b_len, bool *ret_ends)
{
    const size_t least = a_len < b_len ? a_len : b_len;
    size_t at = 0;
    while (at < least && a[at] == b[at])
        at++;
    *ret_ends = at == least;
    while (at && at < least && ((unsigned char)a[at] & 0xc0) == 0x80)
        at--;
    return at;
}

/* TRL's loop ends at the last character that both have, where they do not differ. */
static size_t before_last(const char *text, size_t len)
{
    do
        len--;
    while (len && ((unsigned char)text[len] & 0xc0) == 0x80);
    return len;
}

static size_t prompt_of_texts(const json_t *chosen, const json_t *rejected)
{
    const char *a = json_string_value(chosen), *b = json_string_value(rejected);
    bool ends;
    const size_t a_len = json_string_length(chosen), b_len = json_string_length(rejected);
    const size_t same = common_text(a, a_len, b, b_len, &ends);
    if (ends)
        return before_last(a_len < b_len ? a : b, a_len < b_len ? a_len : b_len);
    return same && a[same - 1] == ' ' ? same - 1 : same; // the space begins the completions
}

static size_t prompt_of_messages(const json_t *chosen, const json_t *rejected)
{
    const size_t a = json_array_size(chosen), b = json_array_size(rejected);
    const size_t least = a < b ? a : b;
    size_t at = 0;
    while (at < least && json_equal(json_array_get(chosen, at), json_array_get(rejected, at)))
        at++;
    return at == least ? least - 1 : at;
}

err_t row_extract_prompt(const json_t *chosen, const json_t *rejected, const char *name,
                         size_t *ret_count)
{
    const bool texts = json_string_length(chosen) && json_string_length(rejected);
    if (!texts && !(row_is_chat(chosen) && row_is_chat(rejected)))
        return err_new(
            ERR_INVALID,
            "%s: 'chosen' and 'rejected' have no prompt in common: both must be text, or "
            "both lists of messages, and neither empty",
            name);
    *ret_count = texts ? prompt_of_texts(chosen, rejected) : prompt_of_messages(chosen, rejected);
    return OK;
}
