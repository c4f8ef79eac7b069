#include "ctl/make/measure.h"
#include "base/mem.h"
#include "rl/kl.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 256 };

void texts_done(struct texts *texts)
{
    for (size_t i = 0; i < texts->count; i++)
        mem_free((void *)texts->at[i].prompt);
    mem_free(texts->at);
    mem_free(texts->line);
}

/* Room for `rows` texts. */
static void texts_open(struct texts *texts, size_t rows)
{
    *texts = (struct texts){.at = mem_array(rows, sizeof *texts->at),
                            .line = mem_array(rows, sizeof *texts->line)};
}

/* Prompt and completion lie one after the other in token, which is copied. */
static void texts_add(struct texts *texts, size_t line, const int32_t *token, int prompt_tokens,
                      int tokens)
{
    int all = prompt_tokens + tokens;
    uint32_t *copy = mem_copy(token, (size_t)all * sizeof *token);
    texts->at[texts->count] = (struct sequence){.prompt = copy,
                                                .token = copy + prompt_tokens,
                                                .prompt_tokens = prompt_tokens,
                                                .tokens = tokens,
                                                .context = prompt_tokens};
    texts->line[texts->count++] = line;
    texts->targets += (size_t)tokens;
    texts->longest = texts->longest > all ? texts->longest : all;
}

/* The prompt's tokens as they were decoded, into token (max_positions). */
static err_t encode_prompt(const struct decoder *decoder, const struct prompt_set *set, size_t i,
                           int32_t *token, int *ret_tokens)
{
    char name[PROMPT_NAME];
    SCOPED_VALUE(prompt_row) prompt = {0};
    TRY(decoder_read(decoder, set->at[i].row, prompt_name(set, i, name), &prompt));
    memcpy(token, prompt.token, (size_t)prompt.tokens * sizeof *token);
    *ret_tokens = prompt.tokens;
    return OK;
}

/* A prompt and an answer, both text or both messages. */
static bool demonstrates(const struct row_names *names, const json_t *row, const char *name)
{
    struct row_kind kind;
    err_t failed = row_kind_of(row, names, name, &kind);
    const json_t *answer = json_object_get(row, names->completion);
    const bool does = !err_failed(failed) && kind.format == ROW_COMPLETION &&
                      (kind.chat ? row_is_chat(answer) : json_is_string(answer));
    err_free(failed);
    return does;
}

static err_t add_row(const struct row_rules *rules, const struct prompt_set *set, size_t i,
                     int room, struct texts *ret)
{
    char name[PROMPT_NAME];
    SCOPED_VALUE(row_tokens) tokens = {0};
    const json_t *row = set->at[i].row;
    prompt_name(set, i, name);
    if (!demonstrates(&rules->names, row, name)) {
        ret->skipped++;
        return OK;
    }
    TRY(row_encode(rules, row, name, &tokens));
    const struct row_sequence *all = &tokens.at[0];
    if (all->tokens > room || all->prompt_tokens < 1 || all->prompt_tokens == all->tokens)
        ret->skipped++;
    else
        texts_add(ret, i, all->id, all->prompt_tokens, all->tokens - all->prompt_tokens);
    return OK;
}

err_t texts_demonstrations(struct decoder *decoder, const struct prompt_set *set, struct texts *ret)
{
    const int room = decoder_model(decoder)->config.max_positions;
    texts_open(ret, set->count);
    for (size_t i = 0; i < set->count; i++)
        TRY(add_row(&decoder_rows(decoder)->rows, set, i, room, ret));
    return OK;
}

err_t texts_completions(struct decoder *decoder, const struct collected *c, struct texts *ret)
{
    size_t lines = c->set->count * (size_t)c->completions;
    int room = decoder_model(decoder)->config.max_positions;
    SCOPED_MEM int32_t *token = mem_array((size_t)room, sizeof *token);
    texts_open(ret, lines);
    for (size_t i = 0; i < lines; i++) {
        const json_t *ids = json_object_get(c->line[i], "ids");
        int p, n = (int)json_array_size(ids);
        TRY(encode_prompt(decoder, c->set, i / (size_t)c->completions, token, &p));
        for (int t = 0; t < n; t++)
            token[p + t] = (int32_t)json_integer_value(json_array_get(ids, (size_t)t));
        texts_add(ret, i, token, p, n);
    }
    return OK;
}

err_t texts_logp(const struct texts *texts, struct model *model, int micro_tokens,
                 float inverse_temperature, const char *what, float *ret_logp)
{
    SCOPED(likelihood) likelihood = NULL;
    struct progress progress = progress_begin(what, texts->count);
    if (!texts->count)
        return OK;
    TRY(likelihood_new(model, micro_tokens, texts->longest, &likelihood));
    for (size_t at = 0, n; at < texts->count; at += n) {
        n = texts->count - at < CHUNK ? texts->count - at : CHUNK;
        TRY(likelihood_run(likelihood, texts->at + at, n, inverse_temperature, ret_logp));
        for (size_t i = at; i < at + n; i++)
            ret_logp += texts->at[i].tokens;
        progress_add(&progress, n);
    }
    return OK;
}

struct distance texts_distance(const struct texts *texts, const float *logp, const float *reference,
                               double *ret_completion)
{
    double n = (double)texts->count, sum = 0, squares = 0, k3 = 0;
    size_t at = 0;
    for (size_t i = 0; i < texts->count; i++) {
        double k1 = 0;
        for (int t = 0; t < texts->at[i].tokens; t++, at++) {
            double d = (double)logp[at] - (double)reference[at];
            k1 += d;
            k3 += kl_at(KL_K3, d).value;
        }
        ret_completion[i] = k1;
        sum += k1;
        squares += k1 * k1;
    }
    double mean = sum / n, variance = fmax(0, squares / n - mean * mean);
    return (struct distance){.k1 = mean,
                             .k1_error = n > 1 ? sqrt(variance / (n - 1)) : 0,
                             .k3 = k3 / (double)texts->targets};
}
