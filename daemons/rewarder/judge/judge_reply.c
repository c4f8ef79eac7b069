#include "rewarder/judge/judge_reply.h"
#include "base/mem.h"
#include "base/printable.h"
#include "rewarder/answer_fault.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { SHOWN = 160 };

/* ---- labels */

static err_t read_label(const char *text, struct judge_label *ret)
{
    const char *equals = strrchr(text, '=');
    char *end;
    if (!equals || equals == text || equals - text >= LABEL_BYTES)
        return err_new(ERR_INVALID,
                       "labels: '%.80s' is no label; allowed: TEXT=VALUE, with at most %d bytes of "
                       "text",
                       text, LABEL_BYTES - 1);
    ret->value = strtod(equals + 1, &end);
    if (end == equals + 1 || *end || !(fabs(ret->value) <= EXCHANGE_MOST))
        return err_new(ERR_INVALID, "labels: '%.80s': the value is no finite number", text);
    memcpy(ret->text, text, (size_t)(equals - text));
    return OK;
}

err_t judge_read_labels(struct judge *judge)
{
    const struct recipe_texts *labels = &judge->keys->labels;
    if (labels->count > JUDGE_LABELS)
        return err_new(ERR_INVALID, "labels: %zu; at most %d are allowed", labels->count,
                       JUDGE_LABELS);
    for (size_t i = 0; i < labels->count; i++) {
        struct judge_label *label = &judge->label[judge->labels++];
        TRY(read_label(labels->at[i], label));
        if (judge->keys->compare != COMPARE_NONE && !(label->value >= 0 && label->value <= 1))
            return err_new(ERR_INVALID,
                           "labels: '%.80s': of pairs the value is 1 where the first is better, 0 "
                           "where the second is",
                           labels->at[i]);
        for (size_t j = 0; j + 1 < judge->labels; j++)
            if (strcasecmp(judge->label[j].text, label->text) == 0)
                return err_new(ERR_INVALID, "labels: '%.80s' comes twice", label->text);
    }
    return OK;
}

/* In any case, with blanks around: tokens begin with one. NULL: none. */
static const struct judge_label *find_label(const struct judge *judge, struct text_slice text)
{
    text = scorer_strip(text);
    for (size_t i = 0; i < judge->labels; i++)
        if (strlen(judge->label[i].text) == text.len &&
            strncasecmp(judge->label[i].text, text.data, text.len) == 0)
            return &judge->label[i];
    return NULL;
}

/* ---- verdicts */

static err_t no_verdict(const char *why, struct text_slice reply)
{
    SCOPED_VALUE(bytes) shown = {0};
    printable(&shown, reply.len ? reply.data : "", reply.len < SHOWN ? reply.len : SHOWN, "");
    return answer_fault(ANSWER_NO_SCORES, "%s: '%s'", why,
                        shown.len ? (const char *)shown.data : "");
}

static err_t by_pattern(const struct judge *judge, struct text_slice reply, double *ret)
{
    const double *range = judge->keys->range;
    struct pattern_match match;
    TRY(pattern_find(judge->pattern, reply, NULL, &match));
    if (!match.found)
        return no_verdict("the pattern does not occur in the reply", reply);
    if (judge->labels) {
        const struct judge_label *label = find_label(judge, match.first);
        if (!label)
            return no_verdict("the reply has none of the labels", match.first);
        *ret = label->value;
        return OK;
    }
    const struct text_slice bare = scorer_strip(match.first);
    SCOPED_MEM char *text =
        mem_printf("%.*s", (int)(bare.len < SHOWN ? bare.len : SHOWN), bare.len ? bare.data : "");
    char *end;
    const double number = strtod(text, &end);
    if (end == text || *end || !(number >= range[0] && number <= range[1]))
        return no_verdict("the reply has no number of the range", match.first);
    *ret = (number - range[0]) / (range[1] - range[0]);
    return OK;
}

/* The first token that is drawn: [{"token": "A", "logprob": -0.1}, ...]. */
static err_t by_logprobs(const struct judge *judge, const json_t *choice, double *ret)
{
    const json_t *content = json_object_get(json_object_get(choice, "logprobs"), "content");
    const json_t *top = json_object_get(json_array_get(content, 0), "top_logprobs");
    double mass = 0, sum = 0;
    if (!json_is_array(top) || !json_array_size(top))
        return answer_fault(ANSWER_NO_SCORES,
                            "choices[0].logprobs.content[0].top_logprobs is missing or empty");
    for (size_t i = 0; i < json_array_size(top); i++) {
        const json_t *one = json_array_get(top, i), *token = json_object_get(one, "token");
        double logp;
        if (!json_is_string(token))
            return answer_fault(ANSWER_NO_SCORES, "top_logprobs[%zu].token is no text", i);
        const struct judge_label *label = find_label(
            judge, (struct text_slice){json_string_value(token), json_string_length(token)});
        if (!label)
            continue;
        TRY(exchange_score(json_object_get(one, "logprob"), "logprob", &logp));
        const double p = exp(fmin(logp, 0));
        mass += p;
        sum += p * label->value;
    }
    if (!(mass >= judge->keys->least_mass && mass > 0))
        return answer_fault(ANSWER_NO_SCORES,
                            "the labels have %.3g of the probability; at least %.3g is needed "
                            "(least_mass)",
                            mass, judge->keys->least_mass);
    *ret = sum / mass;
    return OK;
}

err_t judge_reply(const struct judge *judge, const void *data, size_t len, double *ret)
{
    SCOPED_JSON json_t *answer = NULL;
    TRY(exchange_parse(data, len, &answer));
    const json_t *choice = json_array_get(json_object_get(answer, "choices"), 0);
    const json_t *content = json_object_get(json_object_get(choice, "message"), "content");
    if (judge->keys->verdict == VERDICT_LOGPROBS)
        return by_logprobs(judge, choice, ret);
    if (!json_is_string(content))
        return answer_fault(ANSWER_NO_SCORES, "choices[0].message.content is %s",
                            content ? json_type_name(content) : "missing");
    return by_pattern(
        judge, (struct text_slice){json_string_value(content), json_string_length(content)}, ret);
}
