#include "ctl/reward/answers.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "base/printable.h"
#include "base/scoped.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

void answers_done(struct answers *answers)
{
    row_tokens_done(&answers->tokens);
}

const char *answers_column(enum answers_shape shape, const char *column, int i,
                           char ret[ANSWERS_COLUMN])
{
    const char *end = shape == ANSWERS_LIST  ? "s"
                      : shape == ANSWERS_ONE ? ""
                      : i                    ? "_rejected"
                                             : "_chosen";
    snprintf(ret, ANSWERS_COLUMN, "%.*s%s", ANSWERS_COLUMN_MAX, column, end);
    return ret;
}

/* ---- completions as they were sampled */

/* The tokens tell nothing of the tokenizer that they are of, so their text is compared. A text that
 * a stop cut is the beginning of theirs. */
static err_t same_text(const struct row_rules *rules, const json_t *line, const char *name,
                       const int32_t *id, size_t count)
{
    SCOPED_VALUE(bytes) raw = {0}, text = {0};
    const json_t *told = json_object_get(line, "text");
    const size_t len = json_string_length(told);
    if (!json_is_string(told))
        return OK; // bytes that are no UTF-8
    TRY(tokenizer_decode(rules->tokenizer, id, count, true, &raw));
    utf8_put(&text, raw.data, raw.len); // as stops_text
    if (text.len >= len && (!len || memcmp(text.data, json_string_value(told), len) == 0))
        return OK;
    return err_new(ERR_INVALID,
                   "%s: the reward model's tokenizer reads other text from 'ids' than 'text' has: "
                   "they are of another tokenizer; --text scores the text",
                   name);
}

static err_t take_ids(const struct row_rules *rules, const json_t *line, const char *name,
                      struct row_sequence *to)
{
    const json_t *ids = json_object_get(line, "ids"), *id;
    const size_t prompt = (size_t)to->prompt_tokens, count = json_array_size(ids);
    size_t i;
    to->id = mem_grow(to->id, prompt + count + 1, sizeof *to->id);
    json_array_foreach (ids, i, id) {
        const json_int_t value = json_integer_value(id);
        if (!json_is_integer(id) || value < 0 || value >= tokenizer_vocab(rules->tokenizer))
            return err_new(ERR_INVALID, "%s: ids[%zu]: allowed are the tokens 0 to %d", name, i,
                           tokenizer_vocab(rules->tokenizer) - 1);
        to->id[prompt + i] = (int32_t)value;
    }
    to->tokens = (int)(prompt + count);
    return same_text(rules, line, name, to->id + prompt, count);
}

static err_t read_ids(const struct row_rules *rules, const json_t *line, const char *name,
                      struct row_tokens *ret)
{
    struct row_sequence *to = &ret->at[0];
    ret->sequences = 1;
    TRY(row_prompt(rules, json_object_get(line, "row"), name, &to->id, &to->prompt_tokens));
    return take_ids(rules, line, name, to);
}

/* As a row of prompt and completion. A text that the limit of tokens has cut has no end. */
static err_t read_text(const struct row_rules *rules, const json_t *line, const char *name,
                       struct row_tokens *ret)
{
    struct row_rules own = *rules;
    const json_t *text = json_object_get(line, "text"),
                 *prompt = json_object_get(json_object_get(line, "row"), rules->names.prompt);
    if (!json_is_string(text))
        return err_new(ERR_INVALID, "%s: 'text' is %s; it must be a string", name,
                       json_type_name(text));
    if (!prompt)
        return err_new(ERR_INVALID, "%s: its row has no '%s'", name, rules->names.prompt);
    SCOPED_JSON json_t *row = json_pack("{s:O}", rules->names.prompt, prompt);
    json_t *answer = row_is_chat(prompt)
                         ? json_pack("[{s:s, s:O}]", "role", "assistant", "content", text)
                         : json_incref((json_t *)text);
    json_object_set_new(row, rules->names.completion, answer);
    if (json_is_false(json_object_get(line, "ended")))
        own.end = -1;
    return row_encode(&own, row, name, ret);
}

/* ---- rows */

/* Answers without scores are read as if they had them. */
static err_t read_list(const struct row_rules *rules, const json_t *row, const char *name,
                       struct row_tokens *ret)
{
    SCOPED_JSON json_t *scored = json_copy((json_t *)row);
    json_t *zeros = json_array();
    for (size_t i = 0; i < json_array_size(json_object_get(row, "completions")); i++)
        json_array_append_new(zeros, json_integer(0));
    json_object_set_new(scored, "scores", zeros);
    return row_encode(rules, scored, name, ret);
}

static bool has(const json_t *row, const char *column)
{
    const json_t *value = json_object_get(row, column);
    return value && !json_is_null(value);
}

static err_t read_row(const struct row_rules *rules, const json_t *row, const char *name,
                      struct answers *ret)
{
    struct row_tokens *tokens = &ret->tokens;
    if (json_is_array(json_object_get(row, "completions")) && !has(row, "labels") &&
        !has(row, "chosen")) {
        ret->shape = ANSWERS_LIST;
        return read_list(rules, row, name, tokens);
    }
    TRY(row_encode(rules, row, name, tokens));
    ret->shape = tokens->kind.format == ROW_PREFERENCE ? ANSWERS_PAIR : ANSWERS_ONE;
    if (tokens->kind.format == ROW_PROMPT || tokens->kind.format == ROW_STEPWISE)
        return err_new(ERR_INVALID, "%s: a row of %s has no answer to score", name,
                       tokens->kind.format == ROW_PROMPT ? "a prompt alone" : "steps");
    return OK;
}

err_t answers_read(const struct row_rules *rules, bool text, const json_t *line, const char *name,
                   struct answers *ret)
{
    SCOPED_VALUE(answers) answers = {0};
    const bool sampled =
        json_is_object(json_object_get(line, "row")) && has(line, text ? "text" : "ids");
    if (!sampled)
        TRY(read_row(rules, line, name, &answers));
    else
        TRY(text ? read_text(rules, line, name, &answers.tokens)
                 : read_ids(rules, line, name, &answers.tokens));
    for (int i = 0; !sampled && i < answers.tokens.sequences; i++)
        row_cut_behind_end(&answers.tokens.at[i], rules->end);
    for (int i = 0; i < answers.tokens.sequences; i++)
        if (!answers.tokens.at[i].tokens)
            return err_new(ERR_INVALID, "%s: no token to score", name);
    *ret = answers;
    answers = (struct answers){0};
    return OK;
}

/* ---- their scores */

err_t answers_vacant(const struct answers *answers, const char *column, const json_t *line,
                     const char *name)
{
    char own[ANSWERS_COLUMN];
    for (int i = 0; i < (answers->shape == ANSWERS_PAIR ? 2 : 1); i++)
        if (json_object_get(line, answers_column(answers->shape, column, i, own)))
            return err_new(ERR_INVALID,
                           "%s: has '%s' already; --as NAME gives the new scores another name, "
                           "--replace drops the old ones",
                           name, own);
    return OK;
}

static json_t *number(double score)
{
    return isfinite(score) ? json_real(score) : json_null();
}

void answers_put(const struct answers *answers, const char *column, const double *score,
                 json_t *line)
{
    char own[ANSWERS_COLUMN];
    json_t *list = answers->shape == ANSWERS_LIST ? json_array() : NULL;
    for (int i = 0; i < answers->tokens.sequences; i++)
        if (list)
            json_array_append_new(list, number(score[i]));
        else
            json_object_set_new(line, answers_column(answers->shape, column, i, own),
                                number(score[i]));
    if (list)
        json_object_set_new(line, answers_column(ANSWERS_LIST, column, 0, own), list);
}
