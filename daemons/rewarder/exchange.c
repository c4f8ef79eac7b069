#include "rewarder/exchange.h"
#include "base/mem.h"
#include "model/text/rows/row_text.h"
#include "rewarder/answer_fault.h"
#include "svc/recipe/recipe.h"
#include <ctype.h>
#include <math.h>
#include <string.h>

struct exchange {
    const struct recipe *recipe;
    struct row_chat chat;
    struct row_rules rules;
};

err_t exchange_open(const struct recipe *recipe, struct exchange **ret)
{
    struct exchange *exchange = mem_new(sizeof *exchange);
    answer_faults_register();
    exchange->recipe = recipe;
    if (*recipe->model.path)
        exchange->chat = row_chat_open(recipe->model.path);
    exchange->rules = row_rules_of(recipe, NULL, &exchange->chat, -1);
    *ret = exchange;
    return OK;
}

void exchange_free(struct exchange *exchange)
{
    if (!exchange)
        return;
    row_chat_done(&exchange->chat);
    mem_free(exchange);
}

/* ---- out */

static bool is_chat(const struct exchange *exchange, const json_t *row)
{
    const json_t *prompt = json_object_get(row, exchange->rules.names.prompt);
    return row_is_chat(prompt && !json_is_null(prompt) ? prompt : json_object_get(row, "chosen"));
}

err_t exchange_prompt_text(const struct exchange *exchange, const json_t *row, struct bytes *ret)
{
    SCOPED_VALUE(chat_text) text = {0};
    bool chat;
    TRY(row_prompt_text(&exchange->rules, row, "row", &text, &chat));
    bytes_put(ret, text.text.data, text.text.len);
    return OK;
}

static err_t text_of(const void *data, size_t len, const char *name, json_t **ret)
{
    json_t *text = json_stringn(data ? data : "", len);
    if (!text)
        return err_new(ERR_INVALID, "%s: not UTF-8", name);
    *ret = text;
    return OK;
}

static json_t *message_of(const char *role, json_t *content)
{
    return json_pack("[{s:s, s:o}]", "role", role, "content", content);
}

/* Of a preference whose prompt is what both begin with: the messages. */
static json_t *common_messages(const json_t *row, size_t count)
{
    json_t *first = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append(first, json_array_get(json_object_get(row, "chosen"), i));
    return first;
}

err_t exchange_prompt_messages(const struct exchange *exchange, const json_t *row, json_t **ret)
{
    json_t *prompt = json_object_get(row, exchange->rules.names.prompt);
    size_t count;
    if (row_is_chat(prompt)) {
        *ret = json_incref(prompt);
        return OK;
    }
    if (is_chat(exchange, row)) {
        TRY(row_extract_prompt(json_object_get(row, "chosen"), json_object_get(row, "rejected"),
                               "row", &count));
        *ret = common_messages(row, count);
        return OK;
    }
    SCOPED_VALUE(bytes) text = {0};
    SCOPED_JSON json_t *content = NULL;
    TRY(exchange_prompt_text(exchange, row, &text));
    TRY(text_of(text.data, text.len, "the prompt", &content));
    *ret = message_of("user", STEAL(content));
    return OK;
}

static err_t put_prompt(const struct exchange *exchange, const json_t *row, json_t *ret)
{
    SCOPED_VALUE(bytes) text = {0};
    json_t *prompt = NULL;
    if (is_chat(exchange, row)) {
        TRY(exchange_prompt_messages(exchange, row, &prompt));
    } else {
        TRY(exchange_prompt_text(exchange, row, &text));
        TRY(text_of(text.data, text.len, "the prompt", &prompt));
    }
    json_object_set_new(ret, "prompt", prompt);
    return OK;
}

err_t exchange_text(const struct completion *completion, uint32_t i, json_t **ret)
{
    SCOPED_MEM char *name = mem_printf("completion %u", i);
    return text_of(completion->text, completion->text_len, name, ret);
}

static err_t put_completions(const struct exchange *exchange, const struct group *group,
                             const json_t *row, const struct exchange_part *part, json_t *ret)
{
    static const char *const ends[] = {"?", "eos", "length", "stop"};
    json_t *completions = json_array(), *finish = json_array(), *tokens = json_array();
    const bool chat = is_chat(exchange, row);
    json_object_set_new(ret, "completions", completions);
    json_object_set_new(ret, "finish", finish);
    json_object_set_new(ret, "tokens", tokens);
    for (uint32_t i = part->first; i < part->first + part->count; i++) {
        const struct completion *c = &group->completion[i];
        json_t *text;
        TRY(exchange_text(c, i, &text));
        json_array_append_new(completions, chat ? message_of("assistant", text) : text);
        json_array_append_new(finish, json_string(ends[c->finish <= FINISH_STOP ? c->finish : 0]));
        json_array_append_new(tokens, json_integer(c->tokens));
    }
    return OK;
}

err_t exchange_group(const struct exchange *exchange, const struct group *group, const json_t *row,
                     const struct exchange_part *part, json_t **ret)
{
    char hex[DIGEST_TEXT], id[DIGEST_TEXT + 12];
    snprintf(id, sizeof id, "%s:%u", digest_text(&group->id, hex), part->first);
    SCOPED_JSON json_t *told =
        json_pack("{s:s, s:s, s:I, s:I, s:b, s:I}", "id", id, "run", group->run ? group->run : "",
                  "slot", (json_int_t)group->slot, "attempt", (json_int_t)group->attempt,
                  "evaluation", (int)group->evaluation, "first", (json_int_t)part->first);
    json_t *columns = json_copy((json_t *)row);
    json_object_del(columns, exchange->rules.names.prompt);
    json_object_set_new(told, "columns", columns);
    TRY(put_prompt(exchange, row, told));
    TRY(put_completions(exchange, group, row, part, told));
    *ret = STEAL(told);
    return OK;
}

/* ---- in */

/* Python writes what JSON has no word for. Looks at words outside of strings. */
static enum answer_fault fault_of(const char *text, size_t len)
{
    bool quoted = false;
    for (size_t i = 0; i < len; i++) {
        if (quoted && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            quoted = !quoted;
        else if (!quoted && len - i >= 3 && memcmp(text + i, "NaN", 3) == 0)
            return ANSWER_NAN;
        else if (!quoted && len - i >= 8 && memcmp(text + i, "Infinity", 8) == 0)
            return ANSWER_INFINITE;
    }
    return ANSWER_NOT_JSON;
}

/* Deeper than any answer is: refused before a parser goes so deep. */
static bool too_deep(const char *text, size_t len)
{
    size_t depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < len; i++) {
        if (quoted && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            quoted = !quoted;
        else if (!quoted && (text[i] == '[' || text[i] == '{') && ++depth > EXCHANGE_NESTING)
            return true;
        else if (!quoted && (text[i] == ']' || text[i] == '}') && depth)
            depth--;
    }
    return false;
}

err_t exchange_parse(const void *data, size_t len, json_t **ret)
{
    const char *text = data;
    size_t blank = 0;
    while (blank < len && isspace((unsigned char)text[blank]))
        blank++;
    if (blank == len)
        return answer_fault(ANSWER_EMPTY, "%zu bytes, none of them a value", len);
    if (too_deep(text, len))
        return answer_fault(ANSWER_NOT_JSON, "lists and objects nest deeper than %d",
                            EXCHANGE_NESTING);
    err_t failed = json_parse_nul(text, len, "answer", ret);
    if (!err_failed(failed))
        return OK;
    const bool overflow = strstr(err_message(failed), "real number overflow") != NULL;
    err_t fault =
        answer_fault(overflow ? ANSWER_INFINITE : fault_of(text, len), "%s", err_message(failed));
    err_free(failed);
    return fault;
}

err_t exchange_score(const json_t *value, const char *name, double *ret)
{
    if (json_is_null(value))
        return answer_fault(ANSWER_NULL, "%s is null", name);
    if (!json_is_number(value)) {
        return answer_fault(ANSWER_NOT_A_NUMBER, "%s is %s; a number is needed", name,
                            value ? json_type_name(value) : "missing");
    }
    const double number = json_number_value(value);
    if (!isfinite(number))
        return answer_fault(isnan(number) ? ANSWER_NAN : ANSWER_INFINITE, "%s", name);
    if (fabs(number) > EXCHANGE_MOST)
        return answer_fault(ANSWER_TOO_LARGE, "%s is %g; at most %g are trained", name, number,
                            EXCHANGE_MOST);
    *ret = number;
    return OK;
}

err_t exchange_scores(const json_t *list, const char *name, size_t count, double *ret,
                      bool *ret_null)
{
    if (!json_is_array(list))
        return answer_fault(ANSWER_NO_SCORES, "%s is %s; a list of %zu numbers is needed", name,
                            list ? json_type_name(list) : "missing", count);
    const size_t got = json_array_size(list);
    if (got != count)
        return answer_fault(got < count ? ANSWER_SHORT_LIST : ANSWER_LONG_LIST,
                            "%s has %zu values for %zu completions", name, got, count);
    SCOPED_MEM double *score = mem_array(count, sizeof *score);
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_array_get(list, i);
        char place[80];
        snprintf(place, sizeof place, "%.50s[%zu]", name, i);
        if (!ret_null || !json_is_null(value))
            TRY(exchange_score(value, place, &score[i]));
    }
    for (size_t i = 0; ret_null && i < count; i++)
        ret_null[i] = json_is_null(json_array_get(list, i));
    if (count)
        memcpy(ret, score, count * sizeof *score);
    return OK;
}
