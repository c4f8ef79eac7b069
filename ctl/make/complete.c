#include "ctl/make/complete.h"
#include "base/file.h"
#include "base/json.h"
#include "base/jsonl.h"
#include "base/mem.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void prompt_set_done(struct prompt_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        json_decref(set->row[i]);
    free(set->row);
    free(set->at);
}

err_t prompt_set_add(struct prompt_set *set, json_t *row, const char *name, const char *column)
{
    const char *text;
    err_t failed = json_get_text(row, name, column, &text);
    if (err_failed(failed)) {
        json_decref(row);
        return failed;
    }
    set->at = mem_grow(set->at, set->count + 1, sizeof *set->at);
    set->row = mem_grow(set->row, set->count + 1, sizeof *set->row);
    set->row[set->count] = row;
    set->at[set->count] =
        (struct sample_prompt){.text = text, .len = strlen(text), .number = set->count};
    set->count++;
    return OK;
}

err_t prompt_set_read(const char *path, const char *column, uint64_t most, struct prompt_set *set)
{
    SCOPED(jsonl) rows = NULL;
    TRY(jsonl_open(path, &rows));
    for (uint64_t i = 0; i < jsonl_rows(rows) && i < most; i++) {
        SCOPED_VALUE(bytes) text = {0};
        json_t *row;
        char name[512];
        snprintf(name, sizeof name, "%s:%" PRIu64, path, i + 1);
        TRY(jsonl_row(rows, i, &text));
        TRY(json_parse((const char *)text.data, text.len, name, &row));
        TRY(prompt_set_add(set, row, name, column));
    }
    return OK;
}

/* One line for a completion. Bytes that are no UTF-8 are replaced, as tokenizers' decode does. */
static json_t *line_of(const struct prompt_set *set, const struct sample_result *r)
{
    json_t *text = json_stringn(r->text, r->text_len);
    if (!text) {
        SCOPED_MEM char *ascii = mem_array(r->text_len + 1, 1);
        for (size_t i = 0; i < r->text_len; i++)
            ascii[i] = r->text[i] > 0 ? r->text[i] : '?';
        text = json_stringn(ascii, r->text_len);
    }
    json_t *ids = json_array();
    for (int i = 0; i < r->tokens; i++)
        json_array_append_new(ids, json_integer(r->token[i]));
    return json_pack("{s:O, s:o, s:i, s:o, s:b, s:f, s:i, s:i}", "row", set->row[r->prompt], "text",
                     text, "tokens", r->tokens, "ids", ids, "ended", r->ended, "logp", r->logp,
                     "prompt", (int)r->prompt, "completion", r->completion);
}

static err_t collect(void *arg, const struct sample_result *result)
{
    struct collected *c = arg;
    c->line[result->prompt * (size_t)c->completions + (size_t)result->completion] =
        line_of(c->set, result);
    progress_add(&c->progress, 1);
    return OK;
}

void collected_done(struct collected *c)
{
    for (size_t i = 0; i < c->set->count * (size_t)c->completions; i++)
        json_decref(c->line[i]);
    free(c->line);
}

err_t complete_with(struct sample *sample, const struct sample_options *options,
                    const struct prompt_set *set, struct collected *ret)
{
    size_t all = set->count * (size_t)options->completions;
    ret->set = set;
    ret->completions = options->completions;
    ret->line = mem_array(all, sizeof(json_t *));
    ret->progress = progress_begin("completions", all);
    return sample_run(sample, set->at, set->count, collect, ret);
}

err_t complete(const char *model, const struct sample_options *options,
               const struct prompt_set *set, struct collected *ret)
{
    SCOPED(sample) sample = NULL;
    TRY(sample_open(model, options, &sample));
    return complete_with(sample, options, set, ret);
}

struct sample_options complete_options(const struct recipe *recipe, double temperature,
                                       int completions)
{
    const struct recipe_generator *g = &recipe->generator;
    struct sample_options o = {.threads = (int)g->threads,
                               .completions = completions,
                               .max_tokens = (int)g->max_tokens,
                               .max_prompt_tokens = (int)recipe->data.max_prompt_tokens,
                               .sampling = {.temperature = (float)temperature,
                                            .seed = (uint64_t)recipe->run.seed,
                                            .epoch = UINT32_MAX}};
    o.kv = (enum kv_format)recipe->model.kv;
    o.kv_bytes = (size_t)g->kv_bytes;
    o.sampling.repetition_penalty = (float)g->repetition_penalty;
    o.stop = (struct stop_names){.text = g->stop.at,
                                 .texts = g->stop.count,
                                 .token = g->stop_tokens.at,
                                 .tokens = g->stop_tokens.count};
    o.slots = g->slots > completions ? (int)g->slots : completions;
    if (temperature > 0) {
        o.sampling.top_k = (int)g->top_k;
        o.sampling.top_p = (float)g->top_p;
        o.sampling.min_p = (float)g->min_p;
    }
    return o;
}

/* --model, or the run's newest checkpoint, or model.path. The caller's. */
err_t complete_model(const struct recipe *recipe, const char *flag, char **ret)
{
    SCOPED_MEM char *latest =
        *recipe->directory ? file_join(recipe->directory, "checkpoints/latest") : NULL;
    if (flag)
        *ret = mem_string(flag);
    else if (latest && file_exists(latest))
        *ret = STEAL(latest);
    else {
        TRY(recipe_require(recipe, "model.path"));
        *ret = mem_string(recipe->model.path);
    }
    return OK;
}

err_t collected_write(FILE *out, const struct collected *c)
{
    for (size_t i = 0; i < c->set->count * (size_t)c->completions; i++) {
        SCOPED_MEM char *text = json_to_text(c->line[i]);
        if (fprintf(out, "%s\n", text) < 0)
            return err_errno(errno, "cannot write completions");
    }
    return fflush(out) ? err_errno(errno, "cannot write completions") : OK;
}
