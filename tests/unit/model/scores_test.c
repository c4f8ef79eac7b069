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

/* ---- many at once */

enum { PAD = 3, TOKENS = 24, PROMPTS = 4, SEQUENCES = 60, LONG = 64 };

/* Groups of one prompt each, of sizes around a block's; ends of pad tokens that reach into the
 * prompt; sequences without a prompt or without a completion. */
struct many {
    uint32_t prompt[PROMPTS][LONG], token[SEQUENCES][LONG];
    struct sequence sequence[SEQUENCES];
};

static void draw_tokens(struct rng *rng, uint64_t at, int count, uint32_t *ret)
{
    for (int i = 0; i < count; i++)
        ret[i] = (uint32_t)rng_below(rng, at + 2 * (uint64_t)i, TOKENS);
}

static void draw_many(struct many *many)
{
    static const int of_prompt[PROMPTS] = {33, 2, 20, 5}, prompts[PROMPTS] = {30, 9, 1, 17};
    for (int p = 0, s = 0; p < PROMPTS; p++) {
        struct rng rng = rng_keyed(7, RNG_TEST, (uint64_t)p, 0);
        draw_tokens(&rng, 0, prompts[p], many->prompt[p]);
        many->prompt[p][0] = p ? many->prompt[p][0] : PAD; // pad alone: its first is read
        for (int i = 0; i < of_prompt[p]; i++, s++) {
            struct rng own = rng_keyed(8, RNG_TEST, (uint64_t)s, 0);
            const int tokens = s % 11 == 5 ? 0 : 1 + (int)rng_below(&own, 0, LONG - 30);
            const int pads = s % 3 ? 0 : (int)rng_below(&own, 1, (uint64_t)tokens + 1);
            const bool bare = s % 13 == 7 && tokens;
            draw_tokens(&own, 2, tokens, many->token[s]);
            for (int t = tokens - pads; t < tokens; t++)
                many->token[s][t] = PAD;
            many->sequence[s] = (struct sequence){.prompt = bare ? NULL : many->prompt[p],
                                                  .prompt_tokens = bare ? 0 : prompts[p],
                                                  .token = many->token[s],
                                                  .tokens = tokens};
        }
    }
    for (int i = 10; i < 17; i++) // a prompt that ends with pads, and what is behind it, too
        many->prompt[3][i] = PAD;
    for (int t = 0; t < many->sequence[SEQUENCES - 2].tokens; t++)
        many->token[SEQUENCES - 2][t] = PAD;
}

/* A drawn reward model whose pad token is PAD. */
static void pad_model(struct backend *be, struct model **ret)
{
    struct model_config config = tiny_config(false);
    config.parts = PARTS_CRITIC;
    config.pad = PAD;
    assert_ok(model_new(be, &config, 5, ret));
    assert_ok(model_draw_value(*ret, 6, 0.5));
}

static void one_by_one(struct scores *scores, const struct many *many, float *ret)
{
    for (int s = 0; s < SEQUENCES; s++) {
        const struct sequence *of = &many->sequence[s];
        int32_t token[2 * LONG];
        for (int i = 0; i < of->prompt_tokens; i++)
            token[i] = (int32_t)of->prompt[i];
        for (int i = 0; i < of->tokens; i++)
            token[of->prompt_tokens + i] = (int32_t)of->token[i];
        assert_ok(scores_run(scores, token, of->prompt_tokens + of->tokens, &ret[s]));
    }
}

static void many_have_the_bits_of_one(void **state)
{
    (void)state;
    static const int micro[] = {1, 100, 4096};
    struct many many = {0};
    float want[SEQUENCES], got[SEQUENCES];
    draw_many(&many);
    SCOPED(backend) be = tiny_backend(2);
    SCOPED(model) model = NULL;
    pad_model(be, &model);
    for (int m = 0; m < 3; m++) {
        SCOPED(scores) scores = NULL;
        assert_ok(scores_new_micro(model, micro[m], LONG, &scores));
        if (!m)
            one_by_one(scores, &many, want);
        memset(got, 0, sizeof got);
        assert_ok(scores_run_all(scores, many.sequence, SEQUENCES, NULL, got));
        assert_memory_equal(got, want, sizeof got);
        assert_ok(scores_run_all(scores, many.sequence + 20, 9, NULL, got));
        assert_memory_equal(got, want + 20, 9 * sizeof *got);
    }
    int different = 0;
    for (int s = 1; s < SEQUENCES; s++)
        different += want[s] != want[s - 1];
    assert_true(different > SEQUENCES * 3 / 4); // so equal bits say something
}

static err_t look(void *context, size_t done)
{
    int *left = context;
    if ((*left)-- == 0)
        return err_new(ERR_DEADLINE, "stopped after %zu", done);
    return OK;
}

static void a_watch_ends_it_between_forwards(void **state)
{
    (void)state;
    SCOPED(backend) be = tiny_backend(1);
    SCOPED(model) model = NULL;
    SCOPED(scores) scores = NULL;
    struct many many = {0};
    float got[SEQUENCES] = {0};
    int left = 1000;
    const struct scores_watch watch = {look, &left};
    draw_many(&many);
    pad_model(be, &model);
    assert_ok(scores_new_micro(model, 1, LONG, &scores));
    assert_ok(scores_run_all(scores, many.sequence, SEQUENCES, &watch, got));
    const int forwards = 1000 - left;
    print_message("%d sequences in %d forwards\n", SEQUENCES, forwards);
    assert_true(forwards > 4 && forwards < SEQUENCES / 2);
    left = 0;
    assert_err(ERR_DEADLINE, "stopped after 0",
               scores_run_all(scores, many.sequence, SEQUENCES, &watch, got));
    left = 1; // one block is through: the eighth has no prompt
    assert_err(ERR_DEADLINE, "stopped after 7",
               scores_run_all(scores, many.sequence, SEQUENCES, &watch, got));
}

static void one_bad_sequence_is_named(void **state)
{
    (void)state;
    SCOPED(backend) be = tiny_backend(1);
    SCOPED(model) model = NULL;
    SCOPED(scores) scores = NULL;
    struct many many = {0};
    float got[SEQUENCES];
    draw_many(&many);
    pad_model(be, &model);
    assert_err(ERR_INVALID, "must be positive", scores_new_micro(model, 0, LONG, &scores));
    assert_ok(scores_new(model, LONG, &scores));
    assert_ok(scores_run_all(scores, many.sequence, 0, NULL, got));
    many.sequence[4].tokens = LONG;
    assert_err(ERR_RANGE, "sequence 4: 94 tokens to score; 1 to 64 fit",
               scores_run_all(scores, many.sequence, SEQUENCES, NULL, got));
    many.sequence[4].tokens = many.sequence[4].prompt_tokens = 0;
    assert_err(ERR_RANGE, "sequence 4: 0 tokens to score",
               scores_run_all(scores, many.sequence, SEQUENCES, NULL, got));
    many.sequence[4].tokens = 1;
    many.token[4][0] = UINT32_MAX; // also where the model has no pad token, -1
    for (model->config.pad = -1; model->config.pad <= PAD; model->config.pad += PAD + 1)
        assert_err(ERR_INVALID, "token -1 in row",
                   scores_run_all(scores, many.sequence, SEQUENCES, NULL, got));
}

TESTS(cmocka_unit_test(many_have_the_bits_of_one),
      cmocka_unit_test(a_watch_ends_it_between_forwards),
      cmocka_unit_test(one_bad_sequence_is_named), cmocka_unit_test(scores_agree_with_pytorch),
      cmocka_unit_test(the_rightmost_token_that_is_no_pad_is_read),
      cmocka_unit_test(other_models_and_lengths_are_refused))
