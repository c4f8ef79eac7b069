/* Tokenizers: learnt from texts, looked at. */
#include "base/file.h"
#include "base/json.h"
#include "base/jsonl.h"
#include "base/mem.h"
#include "ctl/command.h"
#include "model/tokenizer.h"
#include "model/tokenizer_trainer.h"
#include <argp.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { FILES_MAX = 64, COLUMNS_MAX = 16, SPECIALS_MAX = 64, TEXT_MAX_BYTES = 1 << 30 };

struct train_options {
    const char *out, *special[SPECIALS_MAX], *column[COLUMNS_MAX], *file[FILES_MAX];
    int specials, columns, files;
    long vocab, min_frequency;
    bool data_alphabet;
    err_t error;
};

static const struct argp_option train_flags[] = {
    {"vocab", 'v', "N", 0, "tokens at most, special ones included (32000)", 0},
    {"special", 's', "TOKEN", 0, "a special token, again for each; ids from 0 (<pad>, <eos>)", 0},
    {"alphabet", 'a', "bytes|data", 0, "begin with all 256 bytes, or only those seen (bytes)", 0},
    {"column", 'c', "NAME", 0,
     "column of JSON lines to learn from, again for each (prompt, completion)", 0},
    {"min-frequency", 'm', "N", 0, "merge pairs seen so often (2)", 0},
    {"out", 'o', "DIRECTORY", 0,
     "where tokenizer.json and tokenizer_config.json go; made if missing", 0},
    {0},
};

static error_t remember(struct train_options *o, err_t e)
{
    err_free(o->error);
    o->error = e;
    return ECANCELED;
}

static error_t train_parse(int key, char *arg, struct argp_state *state)
{
    struct train_options *o = state->input;
    err_t e = OK;
    switch (key) {
    case 'v':
        e = flag_int("--vocab", arg, 2, TOKENIZER_VOCAB_MAX, &o->vocab);
        return err_failed(e) ? remember(o, e) : 0;
    case 'm':
        e = flag_int("--min-frequency", arg, 1, INT32_MAX, &o->min_frequency);
        return err_failed(e) ? remember(o, e) : 0;
    case 's':
        if (o->specials == SPECIALS_MAX)
            return remember(o, err_new(ERR_INVALID, "more than %d --special", SPECIALS_MAX));
        o->special[o->specials++] = arg;
        return 0;
    case 'c':
        if (o->columns == COLUMNS_MAX)
            return remember(o, err_new(ERR_INVALID, "more than %d --column", COLUMNS_MAX));
        o->column[o->columns++] = arg;
        return 0;
    case 'a':
        if (strcmp(arg, "bytes") != 0 && strcmp(arg, "data") != 0)
            return remember(o, err_new(ERR_INVALID,
                                       "--alphabet: '%s' is not known; allowed: bytes, data", arg));
        o->data_alphabet = strcmp(arg, "data") == 0;
        return 0;
    case 'o':
        o->out = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (o->files == FILES_MAX)
            return remember(o, err_new(ERR_INVALID, "more than %d files", FILES_MAX));
        o->file[o->files++] = arg;
        return 0;
    case ARGP_KEY_END:
        if (!o->files || !o->out)
            argp_usage(state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

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
        for (int c = 0; c < o->columns; c++) {
            const json_t *value = json_object_get(row, o->column[c]);
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

static err_t train(struct train_options *o)
{
    static const char *const specials[] = {"<pad>", "<eos>"};
    static const char *const columns[] = {"prompt", "completion"};
    for (int i = 0; !o->specials && i < 2; i++)
        o->special[i] = specials[i];
    for (int i = 0; !o->columns && i < 2; i++)
        o->column[i] = columns[i];
    o->specials = o->specials ? o->specials : 2;
    o->columns = o->columns ? o->columns : 2;
    SCOPED(tokenizer_trainer) trainer = NULL;
    SCOPED(tokenizer) tokenizer = NULL;
    struct tokenizer_training config = {.vocab_size = (int)o->vocab,
                                        .min_frequency = (int)o->min_frequency,
                                        .byte_alphabet = !o->data_alphabet,
                                        .special = o->special,
                                        .specials = o->specials};
    TRY(tokenizer_trainer_new(&config, &trainer));
    for (int i = 0; i < o->files; i++)
        TRY(feed_file(trainer, o, o->file[i]));
    TRY(tokenizer_trainer_finish(trainer, &tokenizer));
    TRY(file_make_directories(o->out));
    TRY(tokenizer_save(tokenizer, o->out));
    printf("%s: %d tokens, eos %d, pad %d\n", o->out, tokenizer_vocab(tokenizer),
           tokenizer_eos(tokenizer), tokenizer_pad(tokenizer));
    return OK;
}

err_t command_tokenizer_train(int argc, char **argv)
{
    static const struct argp argp = {
        train_flags,
        train_parse,
        "FILE...",
        "Learns a byte-level BPE tokenizer, as Hugging Face's tokenizers would, from FILEs: JSON lines (.jsonl) or text.",
        0,
        0,
        0};
    struct train_options o = {.vocab = 32000, .min_frequency = 2};
    if (argp_parse(&argp, argc, argv, 0, NULL, &o))
        return err_failed(o.error) ? o.error : err_new(ERR_INVALID, "arguments not understood");
    return train(&o);
}

err_t command_tokenizer_encode(int argc, char **argv)
{
    if (argc != 3 || argv[1][0] == '-') {
        puts(
            "Usage: rlhfctl tokenizer encode DIRECTORY TEXT\nShows the tokens of TEXT: id and bytes, a line each.");
        return argc == 2 ? OK : err_new(ERR_INVALID, "a DIRECTORY and a TEXT are needed");
    }
    SCOPED(tokenizer) tokenizer = NULL;
    TRY(tokenizer_load(argv[1], &tokenizer));
    size_t len = strlen(argv[2]);
    SCOPED_MEM int32_t *ids = mem_array(len + 1, sizeof *ids);
    int count;
    TRY(tokenizer_encode(tokenizer, argv[2], len, (int)len + 1, ids, &count));
    for (int i = 0; i < count; i++) {
        SCOPED_VALUE(bytes) text = {0};
        TRY(tokenizer_decode(tokenizer, &ids[i], 1, false, &text));
        SCOPED_JSON json_t *shown = json_stringn((const char *)text.data, text.len);
        SCOPED_MEM char *quoted = shown ? json_to_text(shown) : mem_string("(not UTF-8)");
        printf("%d\t%s\n", ids[i], quoted);
    }
    return OK;
}
