#include "model/text/rows/row_encode.h"
#include "base/mem.h"
#include "model/text/rows/row_text.h"
#include <math.h>
#include <string.h>

#define SCORE_MAX 1e18 // its square is a float32

void row_tokens_done(struct row_tokens *tokens)
{
    for (int i = 0; i < tokens->sequences; i++) {
        mem_free(tokens->at[i].id);
        mem_free(tokens->at[i].loss);
    }
    mem_free(tokens->step);
}

/* ---- ids */

/* Ids that grow, with the mask of the assistant's. */
struct ids {
    int32_t *id;
    uint8_t *assistant;
    int count;
};

static void ids_done(struct ids *ids)
{
    mem_free(ids->id);
    mem_free(ids->assistant);
}

struct sides {
    struct ids at[ROW_SIDES];
};

static void sides_done(struct sides *sides)
{
    for (int i = 0; i < ROW_SIDES; i++)
        ids_done(&sides->at[i]);
}

static void put_ids(struct ids *ids, const int32_t *id, const uint8_t *assistant, int count)
{
    const size_t all = (size_t)ids->count + (size_t)count;
    ids->id = mem_grow(ids->id, all + 1, sizeof *ids->id);
    ids->assistant = mem_grow(ids->assistant, all + 1, sizeof *ids->assistant);
    for (int i = 0; i < count; i++) {
        ids->id[ids->count] = id[i];
        ids->assistant[ids->count++] = assistant && assistant[i];
    }
}

static err_t put_text(const struct row_rules *rules, const struct chat_text *text, const char *name,
                      struct ids *ret)
{
    SCOPED_MEM int32_t *id = NULL;
    SCOPED_MEM uint8_t *mask = NULL;
    int count;
    TRY(chat_encode(rules->tokenizer, text, name, &id, &mask, &count));
    put_ids(ret, id, mask, count);
    return OK;
}

/* Messages end as their template says, and have all around them that there is to be. */
static void put_before(const struct row_rules *rules, bool chat, struct ids *ret)
{
    const int32_t *id;
    const int count = rules->around && !chat ? tokenizer_before(rules->tokenizer, &id) : 0;
    if (count)
        put_ids(ret, id, NULL, count);
}

/* A text that spells the end token itself, and may, has no second one. */
static void put_after(const struct row_rules *rules, bool chat, bool ends, struct ids *ret)
{
    const int32_t end = rules->end, *id;
    if (chat)
        return;
    if (ends && end >= 0 && (!ret->count || ret->id[ret->count - 1] != end))
        put_ids(ret, &end, NULL, 1);
    const int count = rules->around ? tokenizer_after(rules->tokenizer, &id) : 0;
    if (count)
        put_ids(ret, id, NULL, count);
}

static err_t put_slice(const struct row_rules *rules, const struct chat_text *text, size_t from,
                       size_t to, const char *name, struct ids *ret)
{
    SCOPED_VALUE(chat_text) slice = {0};
    row_text_slice(text, from, to, &slice);
    return put_text(rules, &slice, name, ret);
}

static int common(const struct ids *a, const struct ids *b)
{
    int at = 0;
    while (at < a->count && at < b->count && a->id[at] == b->id[at])
        at++;
    return at;
}

/* ---- sequences */

/* The ids of whole texts, and how many of them are the prompt's. *ret_keeps: all of those that it
 * has alone. */
static err_t encode_joined(const struct row_rules *rules, const struct row_texts *texts, bool chat,
                           const char *name, struct ids *whole, int *ret_prompt, bool *ret_keeps)
{
    SCOPED_VALUE(ids) prompt = {0};
    put_before(rules, chat, &prompt);
    TRY(put_text(rules, &texts->prompt, name, &prompt));
    if (rules->joined)
        put_after(rules, chat, false, &prompt);
    *ret_prompt = prompt.count;
    for (int i = 0; i < texts->wholes; i++) {
        put_before(rules, chat, &whole[i]);
        TRY(put_text(rules, &texts->whole[i], name, &whole[i]));
        put_after(rules, chat, true, &whole[i]);
        const int same = common(&prompt, &whole[i]);
        *ret_prompt = same < *ret_prompt ? same : *ret_prompt;
    }
    *ret_keeps = *ret_prompt == prompt.count;
    return OK;
}

static err_t encode_apart(const struct row_rules *rules, const struct row_texts *texts, bool chat,
                          const char *name, struct ids *whole, int *ret_prompt)
{
    *ret_prompt = 0;
    for (int i = 0; i < texts->wholes; i++) {
        const struct chat_text *text = &texts->whole[i];
        put_before(rules, chat, &whole[i]);
        TRY(put_slice(rules, text, 0, texts->shared, name, &whole[i]));
        *ret_prompt = whole[i].count;
        TRY(put_slice(rules, text, texts->shared, text->text.len, name, &whole[i]));
        put_after(rules, chat, true, &whole[i]);
    }
    return OK;
}

/* As one text where the prompt keeps its tokens: then nothing is written before the completion that
 * a text begins with, such as a space. Else apart. */
static err_t encode_wholes(const struct row_rules *rules, const struct row_texts *texts, bool chat,
                           const char *name, struct ids *whole, int *ret_prompt)
{
    bool keeps = false;
    if (texts->has_prompt)
        TRY(encode_joined(rules, texts, chat, name, whole, ret_prompt, &keeps));
    if (texts->has_prompt && (keeps || rules->joined))
        return OK;
    for (int i = 0; i < texts->wholes; i++) {
        ids_done(&whole[i]);
        whole[i] = (struct ids){0};
    }
    return encode_apart(rules, texts, chat, name, whole, ret_prompt);
}

/* Which tokens count. */
static err_t mask(const struct row_rules *rules, bool chat, const char *name, const struct ids *ids,
                  struct row_sequence *to)
{
    bool any = false;
    if (rules->assistant_only && !chat)
        return err_new(ERR_INVALID, "%s: a row of text, and assistant_only_loss needs messages",
                       name);
    const int from = rules->prompt_loss ? 0 : to->prompt_tokens;
    const bool assistant = rules->assistant_only;
    to->loss = mem_array((size_t)to->tokens, 1);
    for (int i = 0; i < to->tokens; i++)
        any = (to->loss[i] = i >= from && (!assistant || ids->assistant[i])) || any;
    if (any || !assistant)
        return OK;
    return err_new(ERR_INVALID,
                   "%s: no token is the assistant's, and assistant_only_loss is set: the chat "
                   "template needs {%% generation %%} around its text",
                   name);
}

static err_t take(const struct row_rules *rules, bool chat, const char *name, struct ids *ids,
                  int prompt_tokens, struct row_tokens *ret)
{
    struct row_sequence *to = &ret->at[ret->sequences++];
    to->tokens = ids->count;
    to->prompt_tokens = prompt_tokens;
    to->id = STEAL(ids->id);
    return mask(rules, chat, name, ids, to);
}

static err_t encode_prompt_only(const struct row_rules *rules, const struct chat_text *text,
                                bool chat, const char *name, struct ids *ret)
{
    put_before(rules, chat, ret);
    return put_text(rules, text, name, ret);
}

static err_t encode_texts(const struct row_rules *rules, const json_t *row, const char *name,
                          struct row_tokens *ret)
{
    SCOPED_VALUE(row_texts) texts = {0};
    SCOPED_VALUE(sides) sides = {0};
    const bool chat = ret->kind.chat;
    int prompt_tokens = 0;
    TRY(row_texts_of(rules, row, name, &ret->kind, &texts));
    if (texts.wholes)
        TRY(encode_wholes(rules, &texts, chat, name, sides.at, &prompt_tokens));
    else
        TRY(encode_prompt_only(rules, &texts.prompt, chat, name, &sides.at[0]));
    if (!texts.wholes)
        prompt_tokens = sides.at[0].count;
    if (ret->kind.format == ROW_LANGUAGE)
        prompt_tokens = 0;
    TRY(take(rules, chat, name, &sides.at[0], prompt_tokens, ret));
    for (int i = 1; i < texts.wholes; i++)
        TRY(take(rules, chat, name, &sides.at[i], prompt_tokens, ret));
    return OK;
}

/* Of ranked completions; their texts have been counted. */
static err_t read_scores(const json_t *row, const char *name, struct row_tokens *ret)
{
    size_t i;
    json_t *score;
    const json_t *scores = json_object_get(row, "scores");
    if ((int)json_array_size(scores) != ret->sequences)
        return err_new(ERR_INVALID, "%s: 'scores' has %zu numbers for %d completions", name,
                       json_array_size(scores), ret->sequences);
    json_array_foreach ((json_t *)scores, i, score) {
        ret->score[i] = json_number_value(score);
        if (!json_is_number(score) || !(fabs(ret->score[i]) <= SCORE_MAX))
            return err_new(ERR_INVALID,
                           "%s: scores[%zu] is no number that can be trained; allowed: from %g to "
                           "%g",
                           name, i, -SCORE_MAX, SCORE_MAX);
    }
    return OK;
}

/* ---- steps */

enum { STEPS_MAX = 4096 };

static err_t check_steps(const json_t *row, const char *name, const json_t **ret_steps,
                         const json_t **ret_labels)
{
    const json_t *steps = json_object_get(row, "completions"),
                 *labels = json_object_get(row, "labels");
    size_t i;
    json_t *step, *label;
    const size_t count = json_array_size(steps);
    if (!count || count > STEPS_MAX || json_array_size(labels) != count)
        return err_new(ERR_INVALID,
                       "%s: 'completions' has %zu steps and 'labels' %zu; allowed: 1 to %d, and a "
                       "label for each",
                       name, count, json_array_size(labels), STEPS_MAX);
    json_array_foreach ((json_t *)steps, i, step)
        if (!json_is_string(step))
            return err_new(ERR_INVALID, "%s: completions[%zu] is %s; it must be text", name, i,
                           json_type_name(step));
    json_array_foreach ((json_t *)labels, i, label)
        if (!json_is_boolean(label))
            return err_new(ERR_INVALID, "%s: labels[%zu] is %s; it must be true or false", name, i,
                           json_type_name(label));
    *ret_steps = steps;
    *ret_labels = labels;
    return OK;
}

static err_t put_step(const struct row_rules *rules, const char *data, size_t len, const char *name,
                      struct ids *ret)
{
    SCOPED_VALUE(chat_text) text = {0};
    row_text_put(data, len, rules->special, &text);
    return put_text(rules, &text, name, ret);
}

/* Each step and a line's end behind it; its label counts at its last token. A prompt begins with
 * the tokenizer's first token, if it has one. */
static err_t encode_steps(const struct row_rules *rules, const json_t *row, const char *name,
                          struct row_tokens *ret)
{
    const json_t *prompt, *steps = NULL, *labels = NULL;
    SCOPED_VALUE(ids) ids = {0};
    size_t i;
    json_t *step;
    if (ret->kind.chat)
        return err_new(ERR_INVALID, "%s: steps of messages; allowed: a prompt of text", name);
    TRY(row_column(row, name, rules->names.prompt, false, &prompt));
    TRY(check_steps(row, name, &steps, &labels));
    const int32_t bos = tokenizer_bos(rules->tokenizer);
    if (rules->around && bos >= 0)
        put_ids(&ids, &bos, NULL, 1);
    TRY(put_step(rules, json_string_value(prompt), json_string_length(prompt), name, &ids));
    const int prompt_tokens = ids.count;
    SCOPED_MEM int *last = mem_array(json_array_size(steps), sizeof *last);
    json_array_foreach ((json_t *)steps, i, step) {
        TRY(put_step(rules, json_string_value(step), json_string_length(step), name, &ids));
        TRY(put_step(rules, "\n", 1, name, &ids));
        last[i] = ids.count - 1;
    }
    ret->step = mem_new((size_t)ids.count);
    memset(ret->step, -1, (size_t)ids.count);
    json_array_foreach ((json_t *)steps, i, step)
        ret->step[last[i]] = json_is_true(json_array_get(labels, i));
    TRY(take(rules, false, name, &ids, prompt_tokens, ret));
    for (int t = 0; t < ret->at[0].tokens; t++)
        ret->at[0].loss[t] = ret->step[t] >= 0;
    return OK;
}

/* ---- the row */

err_t row_encode(const struct row_rules *rules, const json_t *row, const char *name,
                 struct row_tokens *ret)
{
    SCOPED_VALUE(row_tokens) tokens = {0};
    TRY(row_kind_of(row, &rules->names, name, &tokens.kind));
    tokens.label = json_is_true(json_object_get(row, "label"));
    if (tokens.kind.format == ROW_STEPWISE)
        TRY(encode_steps(rules, row, name, &tokens));
    else
        TRY(encode_texts(rules, row, name, &tokens));
    if (tokens.kind.format == ROW_RANKED)
        TRY(read_scores(row, name, &tokens));
    *ret = tokens;
    tokens = (struct row_tokens){0};
    return OK;
}

void row_cut_behind_end(struct row_sequence *s, int end)
{
    int last = s->tokens - 1;
    while (last >= s->prompt_tokens && s->id[last] != end)
        last--;
    if (last >= s->prompt_tokens)
        s->tokens = last + 1;
}

err_t row_prompt(const struct row_rules *rules, const json_t *row, const char *name,
                 int32_t **ret_ids, int *ret_count)
{
    SCOPED_VALUE(chat_text) text = {0};
    SCOPED_VALUE(ids) ids = {0};
    bool chat;
    TRY(row_prompt_text(rules, row, name, &text, &chat));
    TRY(encode_prompt_only(rules, &text, chat, name, &ids));
    *ret_count = ids.count;
    *ret_ids = STEAL(ids.id);
    return OK;
}
