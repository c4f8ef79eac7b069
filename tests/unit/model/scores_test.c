/* Scores of reward models against PyTorch's; tests/golden/families.py made the files. */
#include "base/file.h"
#include "base/json.h"
#include "model/scores.h"
#include "tiny.h"
#include <math.h>

enum { LONGEST = 16 };

/* The scores of a directory; returns how many. */
static int compare(struct backend *be, const char *name)
{
    SCOPED_MEM char *directory = mem_printf("%s/scores/%s", TEST_GOLDEN, name);
    SCOPED_MEM char *path = file_join(directory, "input.json");
    SCOPED(model) model = NULL;
    SCOPED(scores) scores = NULL;
    SCOPED_JSON json_t *json = NULL;
    assert_ok(json_read_file(path, 1 << 16, &json));
    assert_ok(model_load_reward(be, directory, &model));
    assert_ok(scores_new(model, LONGEST, &scores));
    const json_t *sequences = json_object_get(json, "tokens"),
                 *wanted = json_object_get(json, "scores");
    const int count = (int)json_array_size(sequences);
    for (int s = 0; s < count; s++) {
        const json_t *sequence = json_array_get(sequences, (size_t)s);
        const double want = json_number_value(json_array_get(wanted, (size_t)s));
        int32_t token[LONGEST];
        const int tokens = (int)json_array_size(sequence);
        float got;
        for (int i = 0; i < tokens; i++)
            token[i] = (int32_t)json_integer_value(json_array_get(sequence, (size_t)i));
        assert_ok(scores_run(scores, token, tokens, &got));
        print_message("%s %d: %.6f, PyTorch %.6f\n", name, s, (double)got, want);
        assert_true(fabs((double)got - want) <= 1e-5 * fmax(1, fabs(want)));
    }
    return count;
}

static void scores_agree_with_pytorch(void **state)
{
    (void)state;
    SCOPED(backend) be = tiny_backend(2);
    SCOPED_VALUE(file_names) names = {0};
    assert_ok(file_names(TEST_GOLDEN "/scores", &names));
    int families = 0;
    while (family_at(families))
        families++;
    assert_int_equal(names.count, families);
    for (size_t i = 0; i < names.count; i++)
        assert_true(compare(be, names.at[i]) > 1);
}

static void the_rightmost_token_that_is_no_pad_is_read(void **state)
{
    (void)state;
    const int32_t token[] = {5, 0, 7, 0, 0};
    assert_int_equal(scores_place(token, 5, 0), 2);
    assert_int_equal(scores_place(token, 2, 0), 0);
    assert_int_equal(scores_place(token + 3, 2, 0), 0); // all are pad
    assert_int_equal(scores_place(token, 5, -1), 4);
    assert_int_equal(scores_place(token, 5, 7), 4);
}

static void other_models_and_lengths_are_refused(void **state)
{
    (void)state;
    SCOPED(backend) be = tiny_backend(1);
    SCOPED(model) model = NULL;
    SCOPED(model) language = NULL;
    SCOPED(scores) scores = NULL;
    const int32_t token[LONGEST + 1] = {1}, beyond[] = {24};
    float score = 7;
    assert_err(ERR_INVALID, "'architectures' does not name 'LlamaForSequenceClassification'",
               model_load_reward(be, TEST_GOLDEN "/llama_tied", &model));
    assert_ok(model_load(be, TEST_GOLDEN "/llama_tied", &language));
    assert_err(ERR_INVALID, "without a value's head", scores_new(language, LONGEST, &scores));
    assert_ok(model_load_reward(be, TEST_GOLDEN "/scores/llama", &model));
    assert_ok(scores_new(model, LONGEST, &scores));
    assert_err(ERR_RANGE, "0 tokens to score", scores_run(scores, token, 0, &score));
    assert_err(ERR_RANGE, "17 tokens to score", scores_run(scores, token, LONGEST + 1, &score));
    assert_err(ERR_INVALID, "token 24 in row 0", scores_run(scores, beyond, 1, &score));
    assert_true(score == 7);
}

TESTS(cmocka_unit_test(scores_agree_with_pytorch),
      cmocka_unit_test(the_rightmost_token_that_is_no_pad_is_read),
      cmocka_unit_test(other_models_and_lengths_are_refused))
