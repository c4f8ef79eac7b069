/* Tokenizers: learnt from texts, looked at. */
#include "base/file.h"
#include "base/json.h"
#include "base/jsonl.h"
#include "base/mem.h"
#include "ctl/words/arguments.h"
#include "ctl/words/command.h"
#include "model/text/tokenizer.h"
#include "model/text/tokenizer_trainer.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { FILES_MAX = 64, TEXT_MAX_BYTES = 1 << 30 };

struct train_options {
    const char *out, *file[FILES_MAX];
    struct argument_list special, column;
    size_t files;
    long vocab, min_frequency;
    bool data_alphabet;
};

/* The chosen columns of every row; rows may lack some of them, not all. */
static err_t feed_rows(struct tokenizer_trainer *trainer, const struct train_options *o,
                       const char *path)
{
    SCOPED(jsonl) rows = NULL;
    TRY(jsonl_open(path, &rows));
    for (uint64_t i = 0; i < jsonl_rows(rows); i++) {
        SCOPED_VALUE(bytes) text = {0};
        SCOPED_JSON json_t *row = NULL;
        bool any = false;
        TRY(jsonl_row(rows, i, &text));
        TRY(json_parse((const char *)text.data, text.len, path, &row));
        for (size_t c = 0; c < o->column.count; c++) {
            const json_t *value = json_object_get(row, o->column.at[c]);
            if (json_is_string(value))
                tokenizer_trainer_feed(trainer, json_string_value(value),
                                       json_string_length(value));
            any = any || json_is_string(value);
        }
        if (!any)
            return err_new(ERR_INVALID,
                           "%s:%" PRIu64 ": none of the columns asked for (--column) holds text",
                           path, i + 1);
    }
    return OK;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static err_t feed_file(struct tokenizer_trainer *trainer, const struct train_options *o,
                       const char *path)
{
    if (ends_with(path, ".jsonl"))
        return feed_rows(trainer, o, path);
    SCOPED_VALUE(bytes) text = {0};
    TRY(file_read(path, TEXT_MAX_BYTES, &text));
    tokenizer_trainer_feed(trainer, (const char *)text.data, text.len);
    return OK;
}

static err_t train(const struct train_options *o)
{
    SCOPED(tokenizer_trainer) trainer = NULL;
    SCOPED(tokenizer) tokenizer = NULL;
    struct tokenizer_training config = {.vocab_size = (int)o->vocab,
                                        .min_frequency = (int)o->min_frequency,
                                        .byte_alphabet = !o->data_alphabet,
                                        .special = o->special.at,
                                        .specials = (int)o->special.count};
    TRY(tokenizer_trainer_new(&config, &trainer));
    for (size_t i = 0; i < o->files; i++)
        TRY(feed_file(trainer, o, o->file[i]));
    TRY(tokenizer_trainer_finish(trainer, &tokenizer));
    TRY(file_make_directories(o->out));
    TRY(tokenizer_save(tokenizer, o->out));
    printf("%s: %d tokens, eos %d, pad %d\n", o->out, tokenizer_vocab(tokenizer),
           tokenizer_eos(tokenizer), tokenizer_pad(tokenizer));
    return OK;
}

static void fall_back(struct argument_list *list, const char *first, const char *second)
{
    if (!list->count)
        *list = (struct argument_list){.count = 2, .at = {first, second}};
}

static err_t check(struct train_options *o, const char *vocab, const char *frequency,
                   const char *alphabet)
{
    if (!o->out)
        return err_new(ERR_INVALID, "--out DIRECTORY is missing");
    if (vocab)
        TRY(flag_int("--vocab", vocab, 2, TOKENIZER_VOCAB_MAX, &o->vocab));
    if (frequency)
        TRY(flag_int("--min-frequency", frequency, 1, INT32_MAX, &o->min_frequency));
    if (strcmp(alphabet, "bytes") != 0 && strcmp(alphabet, "data") != 0)
        return err_new(ERR_INVALID, "--alphabet: '%s' is not known; allowed: bytes, data",
                       alphabet);
    o->data_alphabet = strcmp(alphabet, "data") == 0;
    fall_back(&o->special, "<pad>", "<eos>");
    fall_back(&o->column, "prompt", "completion");
    return OK;
}

err_t command_tokenizer_train(int argc, char **argv)
{
    struct train_options o = {.vocab = 32000, .min_frequency = 2};
    const char *vocab = NULL, *frequency = NULL, *alphabet = "bytes";
    bool helped;
    const struct argument_flag rows[] = {
        {"vocab", "N", "most tokens, special ones included (32000)", .text = &vocab},
        {"special", "TOKEN", "a special token, repeated for more; ids from 0 (<pad>, <eos>)",
         .list = &o.special},
        {"alphabet", "WORD", "bytes: begin with all 256; data: with those seen (bytes)",
         .text = &alphabet},
        {"column", "NAME",
         "column of JSON lines to learn from, repeated for more (prompt, completion)",
         .list = &o.column},
        {"min-frequency", "N", "least count of a pair that is merged (2)", .text = &frequency},
        {"out", "DIRECTORY",
         "directory of tokenizer.json and tokenizer_config.json; made if missing", .text = &o.out},
    };
    const struct arguments arguments = {
        .usage = "tokenizer train FILE... --out DIRECTORY",
        .purpose =
            "Learns a byte-level BPE tokenizer, as Hugging Face's tokenizers would, from FILEs: JSON lines (.jsonl) or text.",
        .flags = rows,
        .flags_count = sizeof rows / sizeof *rows,
        .words = o.file,
        .words_min = 1,
        .words_max = FILES_MAX,
        .words_count = &o.files};
    TRY(arguments_read(&arguments, argc, argv, &helped));
    if (helped)
        return OK;
    TRY(check(&o, vocab, frequency, alphabet));
    return train(&o);
}
