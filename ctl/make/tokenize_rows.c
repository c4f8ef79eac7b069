/* Texts into tokens and back, as a tokenizer.json has it: a text by hand, or a file of rows. */
#include "base/json.h"
#include "base/mem.h"
#include "base/printable.h"
#include "ctl/make/each_row.h"
#include "ctl/words/arguments.h"
#include "ctl/words/command.h"
#include "model/text/tokenizer.h"
#include <stdio.h>
#include <string.h>

struct rows_options {
    const char *word[2], *file, *column;
    size_t words;
    bool special, around, skip;
};

/* A file's rows, and what is done with each. */
struct rows {
    const struct tokenizer *tokenizer;
    const struct rows_options *o;
};

/* ---- encode */

static void put_ids(struct bytes *line, const int32_t *ids, int count)
{
    for (int i = 0; i < count; i++)
        bytes_printf(line, "%s%d", line->len > 1 ? ", " : "", ids[i]);
}

/* As `tokenizers` does it, what the vocabulary lacks included. */
static err_t encode(const struct tokenizer *tokenizer, const char *text, size_t len, bool special,
                    int32_t **ret_ids, int *ret_count)
{
    const struct text_span all = {0, len};
    const struct tokenizer_text whole = {text, len, &all, special, true};
    return tokenizer_encode(tokenizer, &whole, ret_ids, ret_count);
}

static err_t encode_line(void *arg, const json_t *row, const char *name)
{
    const struct tokenizer *tokenizer = ((struct rows *)arg)->tokenizer;
    const struct rows_options *o = ((struct rows *)arg)->o;
    const json_t *text = json_object_get(row, o->column);
    const int32_t *before, *after;
    SCOPED_MEM int32_t *ids = NULL;
    SCOPED_VALUE(bytes) line = {0};
    int count = 0;
    if (!json_is_string(text))
        return err_new(ERR_INVALID, "%s: '%s' is %s; it must be a string", name, o->column,
                       text ? "another value" : "missing");
    TRY(err_wrap(encode(tokenizer, json_string_value(text), json_string_length(text), o->special,
                        &ids, &count),
                 "%s", name));
    const int befores = tokenizer_before(tokenizer, &before);
    const int afters = tokenizer_after(tokenizer, &after);
    bytes_text(&line, "[");
    put_ids(&line, before, o->around ? befores : 0);
    put_ids(&line, ids, count);
    put_ids(&line, after, o->around ? afters : 0);
    bytes_text(&line, "]\n");
    fwrite(line.data, 1, line.len, stdout);
    return OK;
}

static err_t show_tokens(const struct tokenizer *tokenizer, const char *text, bool special)
{
    SCOPED_MEM int32_t *ids = NULL;
    int count = 0;
    TRY(encode(tokenizer, text, strlen(text), special, &ids, &count));
    for (int i = 0; i < count; i++) {
        SCOPED_VALUE(bytes) token = {0};
        TRY(tokenizer_decode_part(tokenizer, &ids[i], 1, false, &token));
        SCOPED_JSON json_t *shown = json_stringn((const char *)token.data, token.len);
        SCOPED_MEM char *quoted = shown ? json_to_text(shown) : mem_string("(not UTF-8)");
        printf("%d\t%s\n", ids[i], quoted);
    }
    return OK;
}

err_t command_tokenizer_encode(int argc, char **argv)
{
    struct rows_options o = {.column = "text"};
    bool helped;
    SCOPED(tokenizer) tokenizer = NULL;
    const struct argument_flag flags[] = {
        {"jsonl", "FILE", "rows to encode; a JSON array of ids a row is printed", .text = &o.file},
        {"column", "NAME", "column of the rows (text)", .text = &o.column},
        {"special", NULL, "the texts of special tokens become them, as in a template's text",
         .flag = &o.special},
        {"post-processor", NULL, "with what tokenizer.json's post_processor puts around a text",
         .flag = &o.around},
    };
    const struct arguments arguments = {
        .usage = "tokenizer encode DIRECTORY [TEXT]",
        .purpose =
            "Shows the tokens of TEXT, a line each: id and bytes; or the ids of FILE's rows. Needs DIRECTORY/tokenizer.json "
            "alone, and adds no special tokens. Put -- before a TEXT that begins with a dash.",
        .flags = flags,
        .flags_count = sizeof flags / sizeof *flags,
        .words = o.word,
        .words_min = 1,
        .words_max = 2,
        .words_count = &o.words};
    TRY(arguments_read(&arguments, argc, argv, &helped));
    if (helped)
        return OK;
    if ((o.words == 2) == (o.file != NULL))
        return err_new(ERR_INVALID, "tokenizer encode: either TEXT or --jsonl FILE must be given");
    TRY(tokenizer_load(o.word[0], &tokenizer));
    return o.file ? each_row(o.file, encode_line, &(struct rows){tokenizer, &o})
                  : show_tokens(tokenizer, o.word[1], o.special);
}

/* ---- decode */

static err_t decode_line(void *arg, const json_t *row, const char *name)
{
    const struct tokenizer *tokenizer = ((struct rows *)arg)->tokenizer;
    const struct rows_options *o = ((struct rows *)arg)->o;
    const json_t *list = json_is_array(row) ? row : json_object_get(row, "ids");
    const size_t count = json_array_size(list);
    SCOPED_MEM int32_t *ids = mem_array(count, sizeof *ids);
    SCOPED_VALUE(bytes) raw = {0}, text = {0};
    if (!json_is_array(list))
        return err_new(ERR_INVALID, "%s: it must be an array of ids, or an object with 'ids'",
                       name);
    for (size_t i = 0; i < count; i++) {
        const json_t *id = json_array_get(list, i);
        if (!json_is_integer(id) || json_integer_value(id) < 0 ||
            json_integer_value(id) > INT32_MAX)
            return err_new(ERR_INVALID, "%s: id %zu must be a whole number from 0 to %d", name, i,
                           INT32_MAX);
        ids[i] = (int32_t)json_integer_value(id);
    }
    TRY(tokenizer_decode(tokenizer, ids, count, o->skip, &raw));
    utf8_put(&text, raw.data, raw.len);
    bytes_u8(&text, 0);
    SCOPED_JSON json_t *out =
        json_pack("{s:o}", "text", json_stringn((const char *)text.data, text.len - 1));
    SCOPED_MEM char *line = json_to_text(out);
    printf("%s\n", line);
    return OK;
}

err_t command_tokenizer_decode(int argc, char **argv)
{
    struct rows_options o = {0};
    bool helped;
    SCOPED(tokenizer) tokenizer = NULL;
    const struct argument_flag flags[] = {
        {"jsonl", "FILE", "rows of ids, as tokenizer encode --jsonl prints them", .text = &o.file},
        {"skip-special", NULL, "without special tokens", .flag = &o.skip},
    };
    const struct arguments arguments = {
        .usage = "tokenizer decode DIRECTORY --jsonl FILE",
        .purpose = "Shows the text of each of FILE's rows, as a row {\"text\": ...}.",
        .flags = flags,
        .flags_count = sizeof flags / sizeof *flags,
        .words = o.word,
        .words_min = 1,
        .words_max = 1,
        .words_count = &o.words};
    TRY(arguments_read(&arguments, argc, argv, &helped));
    if (helped)
        return OK;
    if (!o.file)
        return err_new(ERR_INVALID, "tokenizer decode: --jsonl FILE is missing");
    TRY(tokenizer_load(o.word[0], &tokenizer));
    return each_row(o.file, decode_line, &(struct rows){tokenizer, &o});
}
