/* data show: what rows of a dataset are to the ring, as JSON lines: kind, token ids, loss masks. */
#include "base/file.h"
#include "base/json.h"
#include "base/jsonl.h"
#include "base/mem.h"
#include "ctl/words/command.h"
#include "model/files/config.h"
#include "model/text/rows/row_encode.h"
#include "svc/recipe/recipe_cli.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct showing {
    const struct recipe *recipe;
    struct tokenizer *tokenizer;
    struct row_chat chat;
    struct row_rules rules;
    long most, left; // rows
};

static void showing_done(struct showing *s)
{
    tokenizer_free(s->tokenizer);
    row_chat_done(&s->chat);
}

/* ---- a row */

static json_t *ids_json(const int32_t *id, int count)
{
    json_t *list = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(list, json_integer(id[i]));
    return list;
}

static json_t *mask_json(const uint8_t *mask, int count)
{
    json_t *list = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(list, json_integer(mask[i]));
    return list;
}

/* TRL's labels of steps: the step's at its last token, -100 elsewhere. */
static json_t *labels_json(const int8_t *step, int count)
{
    json_t *list = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(list, json_integer(step[i] < 0 ? -100 : step[i]));
    return list;
}

static void put_prompt(json_t *line, const struct row_sequence *all)
{
    json_object_set_new(line, "prompt_ids", ids_json(all->id, all->prompt_tokens));
}

static void put_rest(json_t *line, const char *key, const struct row_sequence *all)
{
    json_object_set_new(line, key,
                        ids_json(all->id + all->prompt_tokens, all->tokens - all->prompt_tokens));
}

static json_t *scores_json(const struct row_tokens *tokens)
{
    json_t *scores = json_array();
    for (int i = 0; i < tokens->sequences; i++)
        json_array_append_new(scores, json_real(tokens->score[i]));
    return scores;
}

static void put_ranked(json_t *line, const struct row_tokens *tokens)
{
    json_t *answers = json_array();
    for (int i = 0; i < tokens->sequences; i++) {
        const struct row_sequence *s = &tokens->at[i];
        json_array_append_new(answers,
                              ids_json(s->id + s->prompt_tokens, s->tokens - s->prompt_tokens));
    }
    json_object_set_new(line, "completions_ids", answers);
    json_object_set_new(line, "scores", scores_json(tokens));
}

/* The keys are the columns of TRL's trainers once they have tokenized a row. */
static void put_tokens(json_t *line, const struct row_tokens *tokens)
{
    const struct row_sequence *all = &tokens->at[0];
    switch (tokens->kind.format) {
    case ROW_PREFERENCE:
        put_prompt(line, all);
        put_rest(line, "chosen_ids", all);
        put_rest(line, "rejected_ids", &tokens->at[1]);
        return;
    case ROW_UNPAIRED:
        put_prompt(line, all);
        put_rest(line, "completion_ids", all);
        json_object_set_new(line, "label", json_boolean(tokens->label));
        return;
    case ROW_RANKED:
        put_prompt(line, all);
        put_ranked(line, tokens);
        return;
    case ROW_PROMPT:
        put_prompt(line, all);
        return;
    case ROW_STEPWISE:
        json_object_set_new(line, "input_ids", ids_json(all->id, all->tokens));
        json_object_set_new(line, "labels", labels_json(tokens->step, all->tokens));
        return;
    default:
        json_object_set_new(line, "input_ids", ids_json(all->id, all->tokens));
        json_object_set_new(line, "mask", mask_json(all->loss, all->tokens));
    }
}

static err_t show_row(const struct showing *s, const struct jsonl *file, uint64_t i)
{
    char kind[ROW_KIND_TEXT];
    SCOPED_VALUE(bytes) text = {0};
    SCOPED_VALUE(row_tokens) tokens = {0};
    SCOPED_JSON json_t *row = NULL;
    SCOPED_MEM char *name = mem_printf("%s:%" PRIu64, jsonl_path(file), i + 1);
    TRY(jsonl_row(file, i, &text));
    TRY(json_parse((const char *)text.data, text.len, name, &row));
    TRY(row_encode(&s->rules, row, name, &tokens));
    SCOPED_JSON json_t *line =
        json_pack("{s:s, s:I, s:s}", "file", jsonl_path(file), "line", (json_int_t)i + 1, "kind",
                  row_kind_text(&tokens.kind, kind));
    put_tokens(line, &tokens);
    SCOPED_MEM char *out = json_to_text(line);
    if (!out || printf("%s\n", out) < 0)
        return err_new(ERR_UNAVAILABLE, "standard output cannot be written");
    return OK;
}

static err_t show_file(struct showing *s, const char *path)
{
    SCOPED(jsonl) file = NULL;
    TRY(jsonl_open(path, &file));
    for (uint64_t i = 0; i < jsonl_rows(file) && (!s->most || s->left); i++, s->left--)
        TRY(show_row(s, file, i));
    return OK;
}

/* ---- the command */

/* Without a config.json the tokenizer says which token ends a text. */
static err_t open_texts(const char *directory, struct showing *s)
{
    SCOPED_MEM char *file = file_join(directory, "config.json");
    struct model_config config;
    TRY(tokenizer_load(directory, &s->tokenizer));
    s->chat = row_chat_open(directory);
    int end = tokenizer_eos(s->tokenizer);
    if (file_exists(file)) {
        TRY(config_read(directory, &config));
        end = tokenizer_end(s->tokenizer, &config);
    }
    s->rules = row_rules_of(s->recipe, s->tokenizer, &s->chat, end);
    s->rules.prompt_loss = !s->recipe->sft.completion_only_loss;
    s->rules.assistant_only = s->recipe->sft.assistant_only_loss;
    return OK;
}

static err_t show_files(struct showing *s, const char *data)
{
    const struct recipe *r = s->recipe;
    const struct recipe_files *files = r->data.train.count ? &r->data.train : &r->sft.data;
    if (data)
        return show_file(s, data);
    if (!files->count)
        TRY(recipe_require(r, "data.train"));
    for (size_t i = 0; i < files->count && (!s->most || s->left); i++)
        TRY(show_file(s, files->at[i].path));
    return OK;
}

err_t command_data_show(int argc, char **argv)
{
    const char *model = NULL, *data = NULL, *rows = NULL;
    struct recipe_flag flags[] = {
        {"data", "FILE", "JSON lines, also compressed by zstd; else data.train, else sft.data",
         .text = &data},
        {"model", "DIR", "tokenizer and chat template; else model.path, else sft.model",
         .text = &model},
        {"rows", "N", "rows to show, from the beginning; else all", .text = &rows},
    };
    struct recipe_cli cli = {
        .program = "rlhfctl data show",
        .purpose =
            "Shows each row of a dataset as JSON: its kind, its token ids, and which of them count in the loss\n"
            "(by data.* and sft.* of the recipe). The keys are those of TRL's tokenized columns.",
        .flags = flags,
        .flags_count = sizeof flags / sizeof *flags,
        .recipe_optional = true};
    SCOPED(recipe) recipe = NULL;
    TRY(recipe_load(&cli, argc, argv, &recipe));
    if (!recipe)
        return OK;
    SCOPED_VALUE(showing) s = {.recipe = recipe};
    if (rows)
        TRY(flag_int("rows", rows, 1, JSONL_ROWS, &s.most));
    s.left = s.most;
    const char *directory = model                 ? model
                            : *recipe->model.path ? recipe->model.path
                                                  : recipe->sft.model;
    if (!*directory)
        TRY(recipe_require(recipe, "model.path"));
    TRY(open_texts(directory, &s));
    return show_files(&s, data);
}
