#include "rewarder/offline.h"
#include "base/json.h"
#include "base/jsonl.h"
#include "base/mem.h"
#include "model/text/rows/row_encode.h"
#include "model/text/tokenizer.h"
#include "rewarder/pipeline.h"
#include "svc/loop.h"
#include "svc/recipe/recipe_place.h"
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_BYTES = 16 << 20 };

/* The ring's pipeline without a ring: one completion at a time. */
struct desk {
    struct loop *loop;
    struct pipeline *pipeline;
    size_t scorers;
    struct tokenizer *tokenizer; // of model.path; NULL: it has none that can be read
    struct row_chat chat;
    struct row_rules rules;
    bool check;
    double score[RECIPE_SCORERS], reward; // of the last completion
    err_t failed;
};

static void on_left(void *arg, const struct group *group, void *tag)
{
    (void)tag;
    struct desk *desk = arg;
    if (group->failure) {
        desk->failed = err_new(ERR_INVALID, "%s", group->failure);
    } else {
        for (size_t s = 0; s < desk->scorers; s++)
            desk->score[s] = group_score(group, 0, s);
        desk->reward = group_value(group, COLUMN_REWARD, 0);
    }
    loop_stop(desk->loop);
}

static void desk_done(struct desk *desk)
{
    pipeline_free(desk->pipeline);
    loop_free(desk->loop);
    tokenizer_free(desk->tokenizer);
    row_chat_done(&desk->chat);
}

/* Scorers that read tokens ask for model.path themselves, so its lack is no error here. */
static void desk_read_tokenizer(const struct recipe *recipe, struct desk *ret)
{
    err_free(*recipe->model.path ? tokenizer_load(recipe->model.path, &ret->tokenizer) : OK);
    if (!ret->tokenizer)
        return;
    ret->chat = row_chat_open(recipe->model.path);
    ret->rules = row_rules_of(recipe, ret->tokenizer, &ret->chat, -1);
}

static err_t desk_open(const struct recipe *recipe, bool check, struct desk *ret)
{
    struct pipeline_options pipeline = {.left = on_left, .impatient = true, .arg = ret};
    TRY(loop_new(&ret->loop));
    const struct stage_list_options list = {
        .recipe = recipe, .loop = ret->loop, .scorers_only = true, .check = check};
    pipeline.loop = ret->loop;
    TRY(stage_list_open(&list, &pipeline.list));
    ret->scorers = pipeline.list->scorers;
    ret->check = check;
    desk_read_tokenizer(recipe, ret);
    return pipeline_open(&pipeline, &ret->pipeline);
}

/* Of a completion with tokens, and for a check. A row that is no prompt fails where it is decoded.
 * A check of the scorers goes past it. */
static err_t read_prompt(const struct desk *desk, const json_t *row, const char *name,
                         struct group *ret)
{
    int32_t *id = NULL;
    int count = 0;
    const bool reads = desk->tokenizer && (desk->check || ret->completion[0].token);
    err_t failed = reads ? row_prompt(&desk->rules, row, name, &id, &count) : OK;
    if (desk->check) {
        err_free(failed);
        failed = OK;
    }
    ret->prompt_token = (uint32_t *)id;
    ret->prompt_tokens = (uint32_t)count;
    return failed;
}

/* Scores one completion of the row into desk->score and reward. Takes its tokens, if there are
 * any. */
static err_t desk_score(struct desk *desk, const json_t *row, const char *name,
                        const struct completion *completion)
{
    SCOPED(group) made = mem_new(sizeof *made);
    made->completions = 1;
    made->completion = mem_new(sizeof *completion);
    made->completion[0] = *completion;
    made->completion[0].text = mem_copy(completion->text, completion->text_len + 1);
    TRY(read_prompt(desk, row, name, made));
    struct group *group = STEAL(made);
    group->row = json_to_text(row);
    pipeline_put(desk->pipeline, group, NULL);
    TRY(loop_run(desk->loop));
    const err_t failed = desk->failed;
    desk->failed = OK;
    return failed;
}

/* The tokens that were sampled, the caller's; NULL: the line has none. */
static err_t read_ids(const json_t *line, const char *name, int64_t tokens, uint32_t **ret)
{
    const json_t *ids = json_object_get(line, "ids"), *id;
    const size_t count = json_array_size(ids);
    size_t i;
    if (!ids || !count)
        return OK;
    if (count != (size_t)tokens)
        return err_new(ERR_INVALID, "%s: 'ids' has %zu tokens, 'tokens' says %" PRId64, name, count,
                       tokens);
    SCOPED_MEM uint32_t *token = mem_array(count, sizeof *token);
    json_array_foreach (ids, i, id) {
        const json_int_t value = json_integer_value(id);
        if (!json_is_integer(id) || value < 0 || value > INT32_MAX)
            return err_new(ERR_INVALID, "%s: ids[%zu] is no token", name, i);
        token[i] = (uint32_t)value;
    }
    *ret = STEAL(token);
    return OK;
}

static err_t score_line(struct desk *desk, json_t *line, const char *name)
{
    const json_t *text = json_object_get(line, "text"), *row = json_object_get(line, "row");
    int64_t tokens = 0;
    bool ended = true;
    if (!json_is_string(text))
        return err_new(ERR_INVALID, "%s: 'text' must be a string", name);
    if (!json_is_object(row))
        return err_new(ERR_INVALID, "%s: 'row' must be an object", name);
    TRY(json_get_int_or(line, name, "tokens", 0, UINT32_MAX, &tokens));
    TRY(json_get_bool_or(line, name, "ended", &ended));
    struct completion completion = {.text = (char *)json_string_value(text),
                                    .text_len = (uint32_t)json_string_length(text),
                                    .tokens = (uint32_t)tokens,
                                    .finish = ended ? FINISH_EOS : FINISH_LENGTH};
    TRY(read_ids(line, name, tokens, &completion.token));
    TRY(err_wrap(desk_score(desk, row, "row", &completion), "%s", name));
    json_t *scores = json_array();
    for (size_t i = 0; i < desk->scorers; i++)
        json_array_append_new(scores,
                              isnan(desk->score[i]) ? json_null() : json_real(desk->score[i]));
    json_object_set_new(line, "scores", scores);
    json_object_set_new(line, "reward", json_real(desk->reward));
    return OK;
}

err_t score_offline(const struct recipe *recipe, FILE *in, FILE *out)
{
    SCOPED_VALUE(desk) desk = {0};
    TRY(desk_open(recipe, false, &desk));
    SCOPED_MEM char *text = NULL;
    size_t capacity = 0;
    ssize_t len;
    for (long number = 1; (len = getline(&text, &capacity, in)) >= 0; number++) {
        char name[64];
        snprintf(name, sizeof name, "standard input:%ld", number);
        SCOPED_JSON json_t *line = NULL;
        if (len > LINE_MAX_BYTES)
            return err_new(ERR_RANGE, "%s: %zd bytes; at most %d are allowed", name, len,
                           LINE_MAX_BYTES);
        TRY(json_parse_nul(text, (size_t)len, name, &line)); // a text may hold it
        TRY(score_line(&desk, line, name));
        SCOPED_MEM char *result = json_to_text(line);
        if (fprintf(out, "%s\n", result) < 0)
            return err_errno(errno, "cannot write scores");
    }
    if (ferror(in))
        return err_errno(errno, "cannot read standard input");
    if (fflush(out))
        return err_errno(errno, "cannot write scores");
    return OK;
}

/* ---- check */

static err_t look_at_row(void *arg, const json_t *row, const char *name)
{
    const struct completion empty = {.text = (char *)"", .finish = FINISH_EOS};
    return err_wrap(desk_score(arg, row, "row", &empty), "%s", name);
}

static err_t check_rows(const struct recipe *recipe, const char *key, const char *path,
                        struct desk *desk, json_t *notes)
{
    SCOPED(jsonl) rows = NULL;
    SCOPED_MEM char *note = NULL;
    if (!*path)
        return OK;
    TRY(recipe_place(recipe, key, jsonl_open(path, &rows)));
    TRY(recipe_place(recipe, key, jsonl_probe(rows, "scored", look_at_row, desk, &note)));
    if (note) {
        SCOPED_MEM char *line = mem_printf("%s: %s", key, note);
        json_array_append_new(notes, json_string(line));
    }
    return OK;
}

static err_t check(const struct recipe *recipe, json_t *notes)
{
    SCOPED_VALUE(desk) desk = {0};
    TRY(desk_open(recipe, true, &desk));
    for (size_t i = 0; i < recipe->data.train.count; i++)
        TRY(check_rows(recipe, "data.train", recipe->data.train.at[i].path, &desk, notes));
    return check_rows(recipe, "data.eval", recipe->data.eval, &desk, notes);
}

err_t check_offline(const struct recipe *recipe, FILE *out)
{
    SCOPED_JSON json_t *notes = json_array();
    err_t failed = check(recipe, notes);
    SCOPED_JSON json_t *answer =
        err_failed(failed)
            ? json_pack("{s:i, s:s}", "code", (int)err_code(failed), "message", err_message(failed))
            : json_pack("{s:O}", "notes", notes);
    SCOPED_MEM char *text = answer ? json_to_text(answer) : NULL;
    if (text)
        fprintf(out, "%s\n", text);
    fflush(out);
    return failed;
}
