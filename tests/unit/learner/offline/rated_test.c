/* People's judgement of rows: what columns say, and where answers end. ring/reward has the refusals
 * and what training makes of them. */
#include "base/mem.h"
#include "learner/offline/rated.h"
#include "testing/testing.h"
#include <string.h>

enum { END = 9 };

static struct row_sequence sequence_of(const int32_t *id, int tokens, int prompt)
{
    struct row_sequence s = {
        .id = mem_array((size_t)tokens, sizeof *id), .tokens = tokens, .prompt_tokens = prompt};
    memcpy(s.id, id, (size_t)tokens * sizeof *id);
    return s;
}

/* A prompt of two tokens, and an answer behind whose end a template has written more. */
static struct row_tokens pair(void)
{
    static const int32_t chosen[] = {9, 4, 5, 9, 7}, rejected[] = {9, 4, 6, 7};
    return (struct row_tokens){.kind = {.format = ROW_PREFERENCE},
                               .sequences = 2,
                               .at = {sequence_of(chosen, 5, 2), sequence_of(rejected, 4, 2)}};
}

static err_t rate(const char *objective, const char *text, struct row_tokens *tokens,
                  struct rating *ret)
{
    SCOPED_JSON json_t *row = json_loads(text, 0, NULL);
    assert_non_null(row);
    return rated_row(objective_row(objective), row, "a.jsonl:3", END, tokens, ret);
}

static void answers_end_with_their_end_token(void **)
{
    SCOPED_VALUE(row_tokens) tokens = pair();
    struct rating rating;
    assert_ok(rate("bradley_terry", "{}", &tokens, &rating));
    assert_int_equal(tokens.at[0].tokens, 4);
    assert_int_equal(tokens.at[1].tokens, 4); // none: as it is, the prompt's is no end
    assert_true(rating.reward[0] == 1 && rating.reward[1] == 0);
    assert_false(rating.has_margin || rating.has_preferred);
}

static void a_text_has_a_first_token_as_prompt(void **)
{
    static const int32_t text[] = {4, 5, 9};
    SCOPED_VALUE(row_tokens)
    tokens = {.kind = {.format = ROW_LANGUAGE}, .sequences = 1, .at = {sequence_of(text, 3, 0)}};
    struct rating rating;
    assert_ok(rate("reward_regression", "{\"score\": -1.5}", &tokens, &rating));
    assert_int_equal(tokens.at[0].prompt_tokens, 1);
    assert_true(rating.reward[0] == -1.5);
}

static void labels_are_a_share_and_margins_a_number(void **)
{
    SCOPED_VALUE(row_tokens) tokens = pair();
    struct rating rating;
    assert_ok(rate("bradley_terry", "{\"labels\": [1, true, 0, false], \"margin\": -2}", &tokens,
                   &rating));
    assert_true(rating.has_preferred && rating.preferred == 0.5);
    assert_true(rating.has_margin && rating.margin == -2);
    assert_ok(rate("bradley_terry", "{\"labels\": null, \"margin\": null}", &tokens, &rating));
    assert_false(rating.has_preferred || rating.has_margin);
    assert_err(ERR_INVALID, "a.jsonl:3: 'labels' is [1,0.5]; it must be a list",
               rate("bradley_terry", "{\"labels\": [1, 0.5]}", &tokens, &rating));
    assert_err(ERR_INVALID, "'labels' is 1; it must be a list",
               rate("bradley_terry", "{\"labels\": 1}", &tokens, &rating));
    assert_err(ERR_INVALID, "'margin' is 1000001; it must be a number",
               rate("bradley_terry", "{\"margin\": 1000001}", &tokens, &rating));
}

TESTS(cmocka_unit_test(answers_end_with_their_end_token),
      cmocka_unit_test(a_text_has_a_first_token_as_prompt),
      cmocka_unit_test(labels_are_a_share_and_margins_a_number))
