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

/* The answer and the end token after p tokens of the prompt, into token (room); *ret_tokens 0: they
 * do not fit. */
static err_t encode_answer(const struct decoder *decoder, const char *text, int room, int p,
                           int32_t *token, int *ret_tokens)
{
    const struct prompt_rules *rules = decoder_rows(decoder);
    const int eos = tokenizer_end(rules->tokenizer, &decoder_model(decoder)->config);
    SCOPED_MEM int32_t *ids = NULL;
    int n = 0, end = eos >= 0;
    *ret_tokens = 0;
    TRY(tokenizer_encode_row(rules->tokenizer, text, strlen(text), rules->special, &ids, &n));
    if (n > room - p - end)
        return OK;
    memcpy(token + p, ids, (size_t)n * sizeof *ids);
    if (end)
        token[p + n++] = eos;
    *ret_tokens = n;
    return OK;
}

err_t texts_demonstrations(struct decoder *decoder, const struct prompt_set *set,
                           const char *column, struct texts *ret)
{
    int room = decoder_model(decoder)->config.max_positions;
    SCOPED_MEM int32_t *token = mem_array((size_t)room, sizeof *token);
    texts_open(ret, set->count);
    for (size_t i = 0; i < set->count; i++) {
        const char *text = json_string_value(json_object_get(set->at[i].row, column));
        int p = 0, n = 0;
        TRY(encode_prompt(decoder, set, i, token, &p));
        if (text)
            TRY(err_wrap(encode_answer(decoder, text, room, p, token, &n), "row %" PRIu64 ": %s",
                         set->at[i].number + 1, column));
        if (n)
            texts_add(ret, i, token, p, n);
        else
            ret->skipped++;
    }
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
