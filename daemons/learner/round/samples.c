#include "learner/round/samples.h"
#include "base/env.h"
#include "base/file.h"
#include "base/json.h"
#include "base/lines.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/printable.h"
#include "model/text/tokenizer.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum { LOGGED = 1 };

struct samples {
    const struct recipe *recipe;
    struct tokenizer *tokenizer; // NULL: not read yet
    struct lines *file;          // NULL: not open
    uint64_t bytes;              // of the file
};

struct samples *samples_new(const struct recipe *recipe)
{
    struct samples *samples = mem_new(sizeof *samples);
    samples->recipe = recipe;
    return samples;
}

static err_t open_file(struct samples *samples)
{
    struct stat at;
    SCOPED_MEM char *path = file_join(samples->recipe->directory, "samples.jsonl");
    if (samples->file)
        return OK;
    TRY(lines_open(path, &samples->file));
    samples->bytes = stat(path, &at) == 0 ? (uint64_t)at.st_size : 0;
    return OK;
}

/* The full file is put aside. */
static err_t turn_over(struct samples *samples)
{
    if (samples->bytes < SAMPLES_MAX_BYTES)
        return OK;
    SCOPED_MEM char *path = file_join(samples->recipe->directory, "samples.jsonl");
    SCOPED_MEM char *before = file_join(samples->recipe->directory, "samples.jsonl.1");
    lines_free(STEAL(samples->file));
    if (env()->rename(path, before))
        return err_errno(errno, "cannot rename '%s'", path);
    return open_file(samples);
}

static err_t prompt_of(struct samples *samples, const struct group *group, json_t **ret)
{
    SCOPED_VALUE(bytes) text = {0};
    SCOPED_MEM int32_t *ids = mem_array(group->prompt_tokens, sizeof *ids);
    if (!samples->tokenizer)
        TRY(tokenizer_load(samples->recipe->model.path, &samples->tokenizer));
    for (uint32_t i = 0; i < group->prompt_tokens; i++)
        ids[i] = (int32_t)group->prompt_token[i];
    TRY(tokenizer_decode(samples->tokenizer, ids, group->prompt_tokens, false, &text));
    SCOPED_VALUE(bytes) whole = {0};
    utf8_put(&whole, (const char *)text.data, text.len);
    *ret = json_stringn((const char *)whole.data, whole.len);
    return OK;
}

/* By the scorers' names; null where one does not apply. */
static json_t *scores_of(const struct samples *samples, const struct group *group, uint32_t i)
{
    const struct recipe_scorers *scorers = &samples->recipe->rewarder.scorers;
    const double *score = group_values(group, COLUMN_SCORES, i);
    const uint8_t *none = group_values(group, COLUMN_INAPPLICABLE, i);
    json_t *object = json_object();
    for (size_t s = 0; score && s < scorers->count && s < group_width(group, COLUMN_SCORES); s++) {
        const struct recipe_scorer *scorer = &scorers->at[s];
        const char *name = *scorer->name ? scorer->name : scorer->kind;
        SCOPED_MEM char *key =
            json_object_get(object, name) ? mem_printf("%s[%zu]", name, s) : mem_string(name);
        json_object_set_new(object, key, none && none[s] ? json_null() : json_real(score[s]));
    }
    return object;
}

static json_t *line_of(const struct samples *samples, const struct round *round,
                       const struct group *group, uint32_t i, uint64_t version)
{
    const struct completion *c = &group->completion[i];
    SCOPED_VALUE(bytes) text = {0};
    utf8_put(&text, c->text, c->text_len);
    return json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:s%, s:f, s:o, s:s, s:I}", "round", (json_int_t)round->round,
        "version", (json_int_t)version, "lineage", (json_int_t)round->lineage, "slot",
        (json_int_t)group->slot, "attempt", (json_int_t)group->attempt, "completion",
        text.len ? (const char *)text.data : "", text.len, "reward",
        group_value(group, COLUMN_REWARD, i), "scores", scores_of(samples, group, i), "finish",
        c->finish == FINISH_LENGTH ? "length" : "stop", "tokens", (json_int_t)c->tokens);
}

static err_t put_group(struct samples *samples, const struct round *round,
                       const struct group *group, uint64_t version)
{
    SCOPED_JSON json_t *prompt = NULL;
    TRY(prompt_of(samples, group, &prompt));
    for (uint32_t i = 0; i < group->completions; i++) {
        SCOPED_JSON json_t *line = line_of(samples, round, group, i, version);
        if (!line)
            return err_new(ERR_INVALID, "slot %llu: completion %u has no text",
                           (unsigned long long)group->slot, i);
        json_object_set(line, "prompt", prompt);
        SCOPED_MEM char *text = json_to_text(line);
        TRY(turn_over(samples));
        TRY(lines_put(samples->file, text));
        samples->bytes += strlen(text) + 1;
    }
    return OK;
}

static err_t put_round(struct samples *samples, const struct round *round,
                       struct group *const *groups, uint64_t count, uint64_t version)
{
    TRY(open_file(samples));
    for (uint64_t i = 0; i < count && i < round->groups; i++)
        TRY(put_group(samples, round, groups[i], version));
    return OK;
}

void samples_round(struct samples *samples, const struct round *round, struct group *const *groups,
                   uint64_t count, uint64_t version)
{
    if (!count)
        return;
    err_t failed = put_round(samples, round, groups, count, version);
    if (err_failed(failed))
        log_limited(LOG_WARNING, LOGGED, "samples not written", "why=\"%s\"", err_message(failed));
    err_free(failed);
}

void samples_free(struct samples *samples)
{
    if (!samples)
        return;
    lines_free(samples->file);
    tokenizer_free(samples->tokenizer);
    mem_free(samples);
}
