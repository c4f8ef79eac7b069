#include "rewarder/offline.h"
#include "base/json.h"
#include "base/jsonl.h"
#include "base/mem.h"
#include "rewarder/pipeline.h"
#include "svc/loop.h"
#include "svc/recipe/recipe_place.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_BYTES = 16 << 20 };

/* The ring's pipeline without a ring: one completion at a time. */
struct desk {
    struct loop *loop;
    struct pipeline *pipeline;
    size_t scorers;
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
    return pipeline_open(&pipeline, &ret->pipeline);
}

/* Scores one completion of the row into desk->score and reward. Of its tokens it has the number
 * alone. */
static err_t desk_score(struct desk *desk, const json_t *row, const struct completion *completion)
{
    struct group *group = mem_new(sizeof *group);
    group->row = json_to_text(row);
    group->completions = 1;
    group->completion = mem_new(sizeof *completion);
    group->completion[0] = *completion;
    group->completion[0].text = mem_copy(completion->text, completion->text_len + 1);
    pipeline_put(desk->pipeline, group, NULL);
    TRY(loop_run(desk->loop));
    const err_t failed = desk->failed;
    desk->failed = OK;
    return failed;
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
    const struct completion completion = {.text = (char *)json_string_value(text),
                                          .text_len = (uint32_t)json_string_length(text),
                                          .tokens = (uint32_t)tokens,
                                          .finish = ended ? FINISH_EOS : FINISH_LENGTH};
    TRY(err_wrap(desk_score(desk, row, &completion), "%s", name));
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
    return err_wrap(desk_score(arg, row, &empty), "%s", name);
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
