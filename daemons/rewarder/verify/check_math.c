/* 1 if the completion's answer is the row's. */
#include "rewarder/verify/check.h"
#include "rewarder/verify/math_same.h"
#include <stdio.h>
#include <string.h>

static enum answer_place place_of(const char *word)
{
    return strcmp(word, "boxed") == 0   ? ANSWER_BOXED
           : strcmp(word, "hash") == 0  ? ANSWER_HASH
           : strcmp(word, "whole") == 0 ? ANSWER_WHOLE
                                        : ANSWER_AUTO;
}

static bool is_number(const struct verify_keys *keys, const json_t *value, struct text_slice answer)
{
    char text[64];
    const int len =
        json_is_integer(value)
            ? snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, json_integer_value(value))
            : snprintf(text, sizeof text, "%.17g", json_real_value(value));
    return math_same((struct text_slice){text, (size_t)len}, answer, keys->tolerance);
}

static err_t math_score(const struct verify_keys *keys, const void *state,
                        const struct scorer_sample *sample, double *ret)
{
    (void)state;
    struct text_slice answer, want;
    const json_t *value = json_object_get(sample->row, keys->column);
    if (!json_is_number(value))
        TRY(scorer_column(sample->row, keys->column, &want));
    const bool found = answer_find((struct text_slice){sample->text, sample->text_len},
                                   place_of(keys->extract), &answer);
    *ret =
        found && (json_is_number(value) ? is_number(keys, value, answer)
                                        : math_same(answer_wanted(want), answer, keys->tolerance));
    return OK;
}

const struct check check_math = {.name = "math", .score = math_score};
