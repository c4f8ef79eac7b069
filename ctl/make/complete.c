#include "ctl/make/complete.h"
#include "base/file.h"
#include "base/json.h"
#include "base/jsonl.h"
#include "base/mem.h"
#include "base/printable.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void prompt_set_done(struct prompt_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        json_decref(set->at[i].row);
    free(set->at);
}

void prompt_set_add(struct prompt_set *set, json_t *row)
{
    set->at = mem_grow(set->at, set->count + 1, sizeof *set->at);
    set->at[set->count] = (struct prompt){.row = row, .number = set->count};
    set->count++;
}

err_t prompt_set_read(const char *path, uint64_t most, struct prompt_set *set)
{
    SCOPED(jsonl) rows = NULL;
    TRY(jsonl_open(path, &rows));
    set->path = path;
    for (uint64_t i = 0; i < jsonl_rows(rows) && i < most; i++) {
        SCOPED_VALUE(bytes) text = {0};
        json_t *row;
        char name[PROMPT_NAME];
        snprintf(name, sizeof name, "%s:%" PRIu64, path, i + 1);
        TRY(jsonl_row(rows, i, &text));
        TRY(json_parse((const char *)text.data, text.len, name, &row));
        prompt_set_add(set, row);
    }
    return OK;
}

const char *prompt_name(const struct prompt_set *set, size_t i, char ret[PROMPT_NAME])
{
    if (set->path)
        snprintf(ret, PROMPT_NAME, "%s:%" PRIu64, set->path, set->at[i].number + 1);
    else
        snprintf(ret, PROMPT_NAME, "prompt %" PRIu64, set->at[i].number);
    return ret;
}

/* Prompts of a length that cannot be decoded leave the set. */
static err_t skip_too_long(const struct decoder *decoder, struct prompt_set *set)
{
    const size_t all = set->count;
    SCOPED_MEM char *first = NULL;
    size_t kept = 0;
    err_t failed = OK;
    for (size_t i = 0; i < all && !err_failed(failed); i++) {
        char name[PROMPT_NAME];
        SCOPED_VALUE(prompt_row) prompt = {0};
        failed = decoder_read(decoder, set->at[i].row, prompt_name(set, i, name), &prompt);
        if (err_code(failed) != ERR_RANGE) {
            set->at[kept++] = set->at[i];
            continue;
        }
        if (!set->skipped++)
            first = printable_text(err_message(failed), "");
        err_free(failed);
        failed = OK;
        json_decref(set->at[i].row);
    }
    set->count = kept;
    TRY(failed);
    if (!kept && set->skipped)
        return err_new(ERR_INVALID, "no prompt can be decoded: %s", first);
    if (set->skipped)
        fprintf(stderr, "%zu of %zu prompts are skipped; the first: %s\n", set->skipped, all,
                first);
    return OK;
}

static json_t *line_of(const struct prompt *prompt, const struct decoded_completion *c,
                       int completion)
{
    double logp = 0;
    json_t *ids = json_array();
    for (int i = 0; i < c->tokens; i++) {
        json_array_append_new(ids, json_integer(c->token[i]));
        logp += (double)c->logp[i];
    }
    return json_pack("{s:O, s:o, s:i, s:o, s:b, s:f, s:i, s:i}", "row", prompt->row, "text",
                     json_stringn(c->text, c->text_len), "tokens", c->tokens, "ids", ids, "ended",
                     c->finish != ENGINE_LENGTH, "logp", logp, "prompt", (int)prompt->number,
                     "completion", completion);
}

static void collect(struct collected *c, const struct decoded *decoded)
{
    const struct prompt *prompt = decoded->arg;
    const size_t at = (size_t)(prompt - c->set->at) * (size_t)c->completions;
    for (int i = 0; i < decoded->completions; i++)
        c->line[at + (size_t)i] = line_of(prompt, &decoded->completion[i], i);
    progress_add(&c->progress, (size_t)decoded->completions);
}

void collected_done(struct collected *c)
{
    for (size_t i = 0; c->line && i < c->set->count * (size_t)c->completions; i++)
        json_decref(c->line[i]);
    free(c->line);
}

static err_t admit(struct decoder *decoder, struct prompt_set *set, size_t i, int completions)
{
    char name[PROMPT_NAME];
    const struct decoder_request request = {.arg = &set->at[i],
                                            .row = set->at[i].row,
                                            .name = prompt_name(set, i, name),
                                            .prompt = set->at[i].number,
                                            .epoch = DECODER_APART,
                                            .completions = completions};
    return decoder_admit(decoder, &request);
}

err_t complete(struct decoder *decoder, struct prompt_set *set, struct collected *ret)
{
    TRY(skip_too_long(decoder, set));
    const size_t all = set->count * (size_t)ret->completions;
    ret->set = set;
    ret->line = mem_array(all, sizeof(json_t *));
    ret->progress = progress_begin("completions", all);
    for (size_t next = 0; next < set->count || decoder_busy(decoder);) {
        while (next < set->count && decoder_has_room(decoder, ret->completions))
            TRY(admit(decoder, set, next++, ret->completions));
        TRY(decoder_step(decoder));
        for (struct decoded *decoded; (decoded = decoder_take(decoder)); decoded_free(decoded))
            collect(ret, decoded);
    }
    return OK;
}

struct decoder_options complete_options(const struct recipe *recipe, const char *directory,
                                        double temperature, int completions)
{
    struct decoder_options options = decoder_options_apart(recipe, temperature);
    options.directory = directory;
    options.backend.cpus = NULL; // those are the generator's, and so is its GPU
    options.backend.wanted = BACKEND_NAMED;
    options.slots = options.slots > completions ? options.slots : completions;
    options.step_rows = 0;
    return options;
}

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
