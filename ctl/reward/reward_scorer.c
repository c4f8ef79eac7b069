#include "ctl/reward/reward_scorer.h"
#include "base/mem.h"
#include "ctl/make/progress.h"
#include "model/adapter.h"
#include "model/backend_recipe.h"
#include "model/files/fit.h"
#include "model/text/tokenizer.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CHUNK = 256, NAME = 512 }; // CHUNK: sequences scored at once

void reward_scorer_done(struct reward_scorer *s)
{
    scores_free(s->scores);
    model_free(s->model);
    tokenizer_free(s->tokenizer);
    row_chat_done(&s->chat);
    backend_free(s->be);
}

static err_t open_all(const struct recipe *recipe, struct reward_scorer *s)
{
    struct backend_config config = backend_of_rewarder(recipe);
    config.cpus = NULL; // those are the daemon's, and so is its GPU
    config.wanted = BACKEND_NAMED;
    SCOPED_MEM char *under = NULL; // an adapter's base, or itself
    SCOPED_MEM char *text = NULL;
    TRY(adapter_under(s->directory, &under));
    TRY(adapter_tokenizer(s->directory, &text));
    TRY(tokenizer_load(text, &s->tokenizer));
    TRY(backend_open(NULL, &config, &s->be));
    TRY(fit_model(s->be, under, sizeof(bf16), "a reward model's weights"));
    TRY(adapter_open_reward(s->be, s->directory, &s->model));
    TRY(tokenizer_check(s->tokenizer, &s->model->config));
    s->chat = row_chat_open(text);
    return OK;
}

err_t reward_scorer_open(const struct recipe *recipe, const char *directory,
                         struct reward_scorer *ret)
{
    *ret = (struct reward_scorer){.directory = directory};
    TRY(err_wrap(open_all(recipe, ret), "reward model '%s'", directory));
    ret->rules = row_rules_of(recipe, ret->tokenizer, &ret->chat,
                              tokenizer_end(ret->tokenizer, &ret->model->config));
    return OK;
}

static err_t read_line(const struct reward_scorer *s, const struct jsonl *rows, uint64_t i,
                       char name[NAME], json_t **ret_line, struct answers *ret)
{
    SCOPED_VALUE(bytes) text = {0};
    SCOPED_JSON json_t *line = NULL;
    snprintf(name, NAME, "%s:%" PRIu64, jsonl_path(rows), i + 1);
    TRY(jsonl_row(rows, i, &text));
    TRY(json_parse_nul((const char *)text.data, text.len, name, &line));
    TRY(answers_read(&s->rules, s->text, line, name, ret));
    *ret_line = STEAL(line);
    return OK;
}

/* ---- looking at all lines */

static err_t look_at(struct reward_scorer *s, const struct jsonl *rows, uint64_t i, reward_line *fn,
                     void *arg)
{
    char name[NAME];
    SCOPED_JSON json_t *line = NULL;
    SCOPED_VALUE(answers) answers = {0};
    const int most = s->model->config.max_positions;
    TRY(read_line(s, rows, i, name, &line, &answers));
    for (int a = 0; a < answers.tokens.sequences; a++) {
        const int tokens = answers.tokens.at[a].tokens;
        if (tokens > most)
            s->too_long++;
        else if (tokens > s->longest)
            s->longest = tokens;
    }
    s->sequences += (size_t)answers.tokens.sequences;
    return fn ? fn(arg, line, name, &answers, NULL) : OK;
}

err_t reward_scorer_check(struct reward_scorer *s, const struct jsonl *rows, reward_line *fn,
                          void *arg)
{
    for (uint64_t i = 0; i < jsonl_rows(rows); i++)
        TRY(look_at(s, rows, i, fn, arg));
    if (!s->longest)
        return err_new(ERR_INVALID, "'%s': every sequence is longer than the model's %d positions",
                       jsonl_path(rows), s->model->config.max_positions);
    scores_free(s->scores);
    s->scores = NULL;
    return scores_new(s->model, s->longest, &s->scores);
}

/* ---- scoring */

/* Lines that are scored together. */
struct chunk {
    size_t lines, sequences;
    json_t *line[CHUNK];
    char (*name)[NAME];
    struct answers *answers; // (CHUNK)
};

static void chunk_clear(struct chunk *chunk)
{
    for (size_t i = 0; i < chunk->lines; i++) {
        json_decref(chunk->line[i]);
        answers_done(&chunk->answers[i]);
        chunk->answers[i] = (struct answers){0};
    }
    chunk->lines = chunk->sequences = 0;
}

static void chunk_done(struct chunk *chunk)
{
    chunk_clear(chunk);
    mem_free(chunk->name);
    mem_free(chunk->answers);
}

/* Neighbours with the same prompt name the same memory, so that its rows are computed once. */
static struct sequence sequence_of(const struct row_sequence *all, const struct sequence *before)
{
    const uint32_t *id = (const uint32_t *)all->id;
    const size_t bytes = (size_t)all->prompt_tokens * sizeof *id;
    const bool same = before && before->prompt_tokens == all->prompt_tokens &&
                      memcmp(before->prompt, id, bytes) == 0;
    return (struct sequence){.prompt = same ? before->prompt : id,
                             .token = id + all->prompt_tokens,
                             .prompt_tokens = all->prompt_tokens,
                             .tokens = all->tokens - all->prompt_tokens};
}

/* Sequences of all lines that fit, one after another. */
static size_t gather(const struct reward_scorer *s, const struct chunk *chunk, struct sequence *ret)
{
    size_t count = 0;
    for (size_t i = 0; i < chunk->lines; i++)
        for (int a = 0; a < chunk->answers[i].tokens.sequences; a++) {
            const struct row_sequence *all = &chunk->answers[i].tokens.at[a];
            if (all->tokens > s->longest)
                continue;
            ret[count] = sequence_of(all, count ? &ret[count - 1] : NULL);
            count++;
        }
    return count;
}

static err_t hand_out(const struct reward_scorer *s, const struct chunk *chunk, const float *given,
                      reward_line *fn, void *arg)
{
    for (size_t i = 0; i < chunk->lines; i++) {
        const struct answers *answers = &chunk->answers[i];
        double score[ROW_SIDES];
        for (int a = 0; a < answers->tokens.sequences; a++)
            score[a] = answers->tokens.at[a].tokens <= s->longest ? (double)*given++ : NAN;
        TRY(fn(arg, chunk->line[i], chunk->name[i], answers, score));
    }
    return OK;
}

static err_t score_chunk(struct reward_scorer *s, const struct chunk *chunk, reward_line *fn,
                         void *arg)
{
    SCOPED_MEM struct sequence *sequence = mem_array(chunk->sequences, sizeof *sequence);
    SCOPED_MEM float *score = mem_array(chunk->sequences, sizeof *score);
    const size_t count = gather(s, chunk, sequence);
    TRY(err_wrap(scores_run_all(s->scores, sequence, count, NULL, score),
                 "%s and the lines after it", chunk->name[0]));
    return hand_out(s, chunk, score, fn, arg);
}

static err_t fill(const struct reward_scorer *s, const struct jsonl *rows, uint64_t *at,
                  struct chunk *chunk)
{
    for (; *at < jsonl_rows(rows) && chunk->lines < CHUNK && chunk->sequences < CHUNK; ++*at) {
        const size_t i = chunk->lines;
        TRY(read_line(s, rows, *at, chunk->name[i], &chunk->line[i], &chunk->answers[i]));
        chunk->lines++;
        chunk->sequences += (size_t)chunk->answers[i].tokens.sequences;
    }
    return OK;
}

err_t reward_scorer_run(struct reward_scorer *s, const struct jsonl *rows, reward_line *fn,
                        void *arg)
{
    SCOPED_VALUE(chunk)
    chunk = {.name = mem_array(CHUNK, NAME), .answers = mem_array(CHUNK, sizeof *chunk.answers)};
    struct progress progress = progress_begin("sequences scored", s->sequences);
    for (uint64_t at = 0; at < jsonl_rows(rows);) {
        TRY(fill(s, rows, &at, &chunk));
        TRY(score_chunk(s, &chunk, fn, arg));
        progress_add(&progress, chunk.sequences);
        chunk_clear(&chunk);
    }
    return OK;
}
