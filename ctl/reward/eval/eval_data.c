#include "ctl/reward/eval/eval_data.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "base/mem.h"
#include "ctl/reward/answers.h"
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCORE_MAX 1e18 // its square is a float32

static void names_done(struct eval_names *names)
{
    json_decref(names->number);
    mem_free(names->at);
}

void eval_data_done(struct eval_data *data)
{
    mem_free(data->pair);
    mem_free(data->answer);
    mem_free(data->first);
    names_done(&data->groups);
    names_done(&data->models);
    json_decref(data->known);
}

/* ---- names */

static err_t number_of(struct eval_names *names, const char *text, size_t most, const char *what,
                       const char *name, size_t *ret)
{
    names->number = names->number ? names->number : json_object();
    const json_t *known = json_object_get(names->number, text);
    if (known) {
        *ret = (size_t)json_integer_value(known);
        return OK;
    }
    if (names->count == most)
        return err_new(ERR_INVALID, "%s: more than %zu different %s", name, most, what);
    json_object_set_new(names->number, text, json_integer((json_int_t)names->count));
    names->at = mem_grow(names->at, names->count + 1, sizeof *names->at);
    void *at = json_object_iter_at(names->number, text);
    names->at[names->count] = json_object_iter_key(at); // the object's own copy
    *ret = names->count++;
    return OK;
}

static const json_t *member(const json_t *line, const char *column)
{
    const json_t *value = column ? json_object_get(line, column) : NULL;
    return json_is_null(value) ? NULL : value;
}

/* Of the line, else of the row that a completion's line holds. */
static const json_t *line_or_row(const json_t *line, const char *column)
{
    const json_t *value = member(line, column);
    return value ? value : member(json_object_get(line, "row"), column);
}

static err_t read_group(struct eval_data *data, const json_t *line, const char *name, size_t *ret)
{
    const json_t *value = line_or_row(line, data->columns.by);
    *ret = EVAL_NONE;
    if (!value)
        return OK;
    SCOPED_MEM char *text = json_is_string(value)
                                ? mem_string(json_string_value(value))
                                : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    if (json_is_array(value) || json_is_object(value))
        return err_new(ERR_INVALID, "%s: '%s' is %s; it must be a text, a number or a truth", name,
                       data->columns.by, json_type_name(value));
    return number_of(&data->groups, text, EVAL_GROUPS, "groups", name, ret);
}

static err_t read_model(struct eval_data *data, const json_t *line, const char *column,
                        const char *name, size_t *ret)
{
    const json_t *value = member(line, column);
    *ret = EVAL_NONE;
    if (!value)
        return OK;
    if (!json_is_string(value))
        return err_new(ERR_INVALID, "%s: '%s' is %s; it must be a text", name, column,
                       json_type_name(value));
    return number_of(&data->models, json_string_value(value), BRADLEY_TERRY_PLAYERS, "models", name,
                     ret);
}

/* Lines with the same prompt have one number; a line without a prompt has its own. */
static size_t read_prompt(struct eval_data *data, const json_t *line)
{
    const json_t *row = json_object_get(line, "row"); // a completion's "prompt" is a number
    const json_t *prompt = member(json_is_object(row) ? row : line, data->columns.prompt);
    if (!prompt)
        return data->prompts++;
    SCOPED_MEM char *text = json_dumps(prompt, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
    const struct digest digest = hash128(text, strlen(text), 0);
    char key[DIGEST_TEXT];
    digest_text(&digest, key);
    data->known = data->known ? data->known : json_object();
    const json_t *known = json_object_get(data->known, key);
    if (known)
        return (size_t)json_integer_value(known);
    json_object_set_new(data->known, key, json_integer((json_int_t)data->prompts));
    return data->prompts++;
}

/* ---- values */

/* NaN: null, or no value. */
static err_t read_number(const json_t *value, const char *column, const char *name, double *ret)
{
    *ret = NAN;
    if (!value || json_is_null(value))
        return OK;
    if (!json_is_number(value) || !(fabs(json_number_value(value)) <= SCORE_MAX))
        return err_new(ERR_INVALID, "%s: '%s' is %s; allowed: null, or from %g to %g", name, column,
                       json_is_number(value) ? "out of range" : json_type_name(value), -SCORE_MAX,
                       SCORE_MAX);
    *ret = json_number_value(value);
    return OK;
}

static err_t read_gold(const json_t *value, const char *column, const char *name, double *ret)
{
    if (!json_is_boolean(value))
        return read_number(value, column, name, ret);
    *ret = json_is_true(value);
    return OK;
}

static double length_of(const json_t *answer)
{
    size_t i, sum = 0;
    json_t *message;
    if (json_is_string(answer))
        return (double)json_string_length(answer);
    json_array_foreach ((json_t *)answer, i, message)
        sum += json_string_length(json_object_get(message, "content"));
    return (double)sum;
}

static err_t room(struct eval_data *data, const char *name)
{
    if (data->pairs + data->answers >= EVAL_ANSWERS_MAX)
        return err_new(ERR_INVALID, "%s: more than %d pairs and answers", name, EVAL_ANSWERS_MAX);
    if (data->pairs == data->pairs_room) {
        data->pairs_room = 2 * data->pairs_room + 64;
        data->pair = mem_grow(data->pair, data->pairs_room, sizeof *data->pair);
    }
    if (data->answers + ROW_SIDES + 2 > data->answers_room) {
        data->answers_room = 2 * data->answers_room + 2 * ROW_SIDES;
        data->answer = mem_grow(data->answer, data->answers_room, sizeof *data->answer);
    }
    return OK;
}

static void add_answer(struct eval_data *data, const struct eval_answer *answer)
{
    if (isnan(answer->score))
        data->unscored++;
    else if (isnan(answer->gold))
        data->without_gold++;
    else
        data->answer[data->answers++] = *answer;
}

/* ---- a line */

/* "labels": 0 or 1 of each annotator, 1 for the chosen one. */
static err_t read_target(const json_t *line, const char *name, double *ret)
{
    const json_t *labels = member(line, "labels"), *label;
    double sum = 0;
    size_t i;
    *ret = 1;
    if (!labels)
        return OK;
    json_array_foreach (labels, i, label) {
        const double value =
            json_is_boolean(label) ? json_is_true(label) : json_number_value(label);
        if (!(json_is_boolean(label) || json_is_number(label)) || (value != 0 && value != 1))
            return err_new(ERR_INVALID, "%s: labels[%zu]: allowed are 0 and 1", name, i);
        sum += value;
    }
    if (!json_array_size(labels))
        return err_new(ERR_INVALID, "%s: 'labels' is %s; it must be a list of 0 and 1", name,
                       json_type_name(labels));
    *ret = sum / (double)json_array_size(labels);
    return OK;
}

/* The scores of both sides of a pair. */
static err_t read_sides(const json_t *line, const char *column, const char *name, double ret[2])
{
    for (int i = 0; i < 2; i++) {
        char own[ANSWERS_COLUMN];
        answers_column(ANSWERS_PAIR, column, i, own);
        TRY(read_number(json_object_get(line, own), own, name, &ret[i]));
    }
    return OK;
}

static err_t add_pair(struct eval_data *data, const json_t *line, const char *name)
{
    double score[2], gold[2];
    struct eval_pair pair = {0};
    TRY(read_sides(line, data->columns.score, name, score));
    TRY(read_sides(line, data->columns.gold ? data->columns.gold : "gold", name, gold));
    TRY(read_target(line, name, &pair.target));
    TRY(read_group(data, line, name, &pair.group));
    TRY(read_model(data, line, "model_chosen", name, &pair.model_chosen));
    TRY(read_model(data, line, "model_rejected", name, &pair.model_rejected));
    const double chosen = length_of(json_object_get(line, "chosen")),
                 rejected = length_of(json_object_get(line, "rejected"));
    pair.chosen = score[0];
    pair.rejected = score[1];
    pair.longer = chosen - rejected;
    pair.prompt = read_prompt(data, line);
    if (isnan(score[0]) || isnan(score[1])) {
        data->unscored++;
        return OK;
    }
    data->pair[data->pairs++] = pair;
    for (int i = 0; i < 2; i++)
        if (!isnan(gold[i]))
            add_answer(data,
                       &(struct eval_answer){.score = score[i],
                                             .gold = gold[i],
                                             .length = i ? rejected : chosen,
                                             .prompt = pair.prompt,
                                             .group = pair.group,
                                             .model = i ? pair.model_rejected : pair.model_chosen});
    return OK;
}

/* The list of a column, by either of its names. */
static const json_t *list_of(const json_t *line, const char *column, char own[ANSWERS_COLUMN])
{
    const json_t *list = json_object_get(line, answers_column(ANSWERS_LIST, column, 0, own));
    if (json_is_array(list))
        return list;
    list = json_object_get(line, answers_column(ANSWERS_ONE, column, 0, own));
    return json_is_array(list) ? list : NULL;
}

/* Ranked rows have people's ratings in "scores". */
static const json_t *golds_of(const struct eval_data *data, const json_t *line,
                              char own[ANSWERS_COLUMN])
{
    const json_t *golds = list_of(line, data->columns.gold ? data->columns.gold : "gold", own);
    if (golds || data->columns.gold || strcmp(data->columns.score, "score") == 0)
        return golds;
    return list_of(line, "score", own);
}

static err_t add_list(struct eval_data *data, const json_t *line, const json_t *scores,
                      const char *name)
{
    char own[ANSWERS_COLUMN], gold_own[ANSWERS_COLUMN];
    const json_t *golds = golds_of(data, line, gold_own),
                 *texts = json_object_get(line, "completions");
    const size_t count = json_array_size(scores);
    struct eval_answer answer = {.model = EVAL_NONE, .prompt = read_prompt(data, line)};
    answers_column(ANSWERS_LIST, data->columns.score, 0, own);
    TRY(read_group(data, line, name, &answer.group));
    if (count > ROW_SIDES)
        return err_new(ERR_INVALID, "%s: '%s' has %zu of them; at most %d are allowed", name, own,
                       count, ROW_SIDES);
    if (golds && json_array_size(golds) != count)
        return err_new(ERR_INVALID, "%s: '%s' has %zu numbers, and '%s' %zu", name, own, count,
                       gold_own, json_array_size(golds));
    for (size_t i = 0; i < count; i++) {
        TRY(read_number(json_array_get(scores, i), own, name, &answer.score));
        TRY(read_gold(json_array_get(golds, i), gold_own, name, &answer.gold));
        answer.length = length_of(json_array_get(texts, i));
        add_answer(data, &answer);
    }
    return OK;
}

static const json_t *answer_of(const struct eval_data *data, const json_t *line)
{
    static const char *const others[] = {"text", "messages"};
    const bool sampled = json_is_object(json_object_get(line, "row"));
    const json_t *answer = sampled ? NULL : member(line, data->columns.completion);
    for (int i = 0; i < 2 && !answer; i++)
        answer = member(line, others[i]);
    return answer;
}

static err_t add_one(struct eval_data *data, const json_t *line, const char *name)
{
    const char *column = data->columns.gold     ? data->columns.gold
                         : member(line, "gold") ? "gold"
                                                : "label";
    struct eval_answer answer = {.prompt = read_prompt(data, line),
                                 .length = length_of(answer_of(data, line))};
    TRY(read_number(json_object_get(line, data->columns.score), data->columns.score, name,
                    &answer.score));
    TRY(read_gold(json_object_get(line, column), column, name, &answer.gold));
    TRY(read_group(data, line, name, &answer.group));
    TRY(read_model(data, line, "model", name, &answer.model));
    add_answer(data, &answer);
    return OK;
}

err_t eval_data_add(struct eval_data *data, const json_t *line, const char *name)
{
    char chosen[ANSWERS_COLUMN], list[ANSWERS_COLUMN];
    const char *score = data->columns.score;
    /* A completion's line has a list of its own under "scores": its scorers'. */
    const bool sampled = json_is_object(json_object_get(line, "row"));
    const json_t *scores = sampled ? NULL : list_of(line, score, list);
    TRY(room(data, name));
    data->lines++;
    if (!sampled && json_object_get(line, answers_column(ANSWERS_PAIR, score, 0, chosen)))
        return add_pair(data, line, name);
    if (scores)
        return add_list(data, line, scores, name);
    if (json_object_get(line, score))
        return add_one(data, line, name);
    return err_new(ERR_INVALID,
                   "%s: no score: neither '%s_chosen' nor '%ss' nor '%s' is there; `rlhfctl reward "
                   "score` writes them, --score names others",
                   name, score, score, score);
}

/* ---- by prompt */

void eval_data_end(struct eval_data *data)
{
    struct eval_answer *sorted = mem_array(data->answers, sizeof *sorted);
    data->first = mem_array(data->prompts + 2, sizeof *data->first);
    size_t *next = data->first + 1; // where a prompt's next answer goes
    for (size_t i = 0; i < data->answers; i++)
        if (data->answer[i].prompt + 1 < data->prompts)
            next[data->answer[i].prompt + 1]++;
    for (size_t p = 1; p < data->prompts; p++)
        next[p] += next[p - 1];
    for (size_t i = 0; i < data->answers; i++)
        sorted[next[data->answer[i].prompt]++] = data->answer[i];
    mem_free(data->answer);
    data->answer = sorted;
    data->answers_room = data->answers;
}
