/* A reward model as a scorer: its numbers are the value's head at the last token that is not its
 * pad token, over prompt and completion. Models that do not fit are refused at the start. */
#include "base/file.h"
#include "model/forward.h"
#include "testing/ring.h"
#include "testing/testing.h"
#include "unit/rewarder/score_kit.h"

enum { PROMPT = 3, COMPLETIONS = 3 };

/* The ring's policy with a value's head, drawn; its tokenizer beside it. `more`: rows of the
 * vocabulary that the policy does not have. */
static const char *reward_directory(const struct ring *ring, int pad, int more)
{
    static const char *const files[] = {"tokenizer.json", "tokenizer_config.json"};
    const char *directory = testing_directory();
    SCOPED(backend) be = NULL;
    SCOPED(model) model = NULL;
    struct model_config config;
    assert_ok(backend_open(NULL, &(struct backend_config){.threads = 1}, &be));
    assert_ok(config_read(ring->model, &config));
    config.parts = PARTS_CRITIC;
    config.tied = false;
    config.pad = pad;
    config.V += more;
    assert_ok(model_new(be, &config, 9, &model));
    assert_ok(model_draw_value(model, 11, 0.5));
    assert_ok(model_save(model, directory));
    for (int i = 0; i < 2; i++) {
        SCOPED_MEM char *from = file_join(ring->model, files[i]);
        SCOPED_MEM char *to = file_join(directory, files[i]);
        assert_ok(file_copy(from, to));
    }
    return directory;
}

static err_t open_kit(const struct ring *ring, const char *directory, struct score_kit *ret)
{
    SCOPED_MEM char *set =
        mem_printf("rewarder.scorers=[{kind: reward_model, path: '%s'}]", directory);
    const char *sets[] = {set};
    const struct recipe_source source = {.file = ring->recipe, .sets = sets, .sets_count = 1};
    TRY(recipe_read(&source, &ret->recipe));
    return kit_of(ret->recipe, ret);
}

/* The value of a sequence's row, by a forward of its own over all of it. */
static double value_at(struct model *model, const int32_t *token, int count, int32_t row)
{
    SCOPED(forward) fw = NULL;
    const struct segment segment = {.count = count};
    int32_t position[16];
    float value;
    for (int i = 0; i < count; i++)
        position[i] = i;
    assert_ok(forward_new(model, count, 1, FORWARD_NOTHING, &fw));
    assert_ok(forward_run(fw, token, position, count, &segment, 1));
    assert_ok(forward_value(fw, model, &row, 1, &value));
    return (double)value;
}

static void a_score_is_the_value_at_the_last_token(void **state)
{
    (void)state;
    static const uint32_t prompt[PROMPT] = {5, 6, 7};
    static const uint32_t tokens[COMPLETIONS][4] = {{8, 9, 10, 2}, {8, 9, 2, 2}, {4, 0, 0, 0}};
    static const int counts[COMPLETIONS] = {4, 4, 1};
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 1, .groups = 8});
    for (int pad = -1; pad <= 2; pad += 3) {
        const char *directory = reward_directory(&ring, pad, 0);
        SCOPED_VALUE(score_kit) kit = {0};
        SCOPED(backend) be = NULL;
        SCOPED(model) model = NULL;
        struct completion completion[COMPLETIONS] = {0};
        struct group group = {.row = "{}",
                              .prompt_tokens = PROMPT,
                              .prompt_token = (uint32_t *)prompt,
                              .completions = COMPLETIONS,
                              .completion = completion};
        for (int i = 0; i < COMPLETIONS; i++)
            completion[i] =
                (struct completion){.token = (uint32_t *)tokens[i], .tokens = (uint32_t)counts[i]};
        assert_ok(open_kit(&ring, directory, &kit));
        assert_ok(kit_score(&kit, &group));
        assert_ok(backend_open(NULL, &(struct backend_config){.threads = 2}, &be));
        assert_ok(model_load_reward(be, directory, &model));
        for (int i = 0; i < COMPLETIONS; i++) {
            int32_t token[PROMPT + 4] = {5, 6, 7};
            int last = PROMPT + counts[i] - 1;
            for (int t = 0; t < counts[i]; t++)
                token[PROMPT + t] = (int32_t)tokens[i][t];
            while (pad == 2 && token[last] == 2)
                last--;
            const double want = value_at(model, token, PROMPT + counts[i], last);
            assert_true(*(const double *)group_values(&group, COLUMN_SCORES, (uint32_t)i) == want);
            assert_true(want != 0);
        }
        column_list_done(&group.columns);
        struct cell stop;
        cell_set(&stop, 1);
        kit.stop = &stop;
        assert_err(ERR_DEADLINE, "stopped before completion 0", kit_score(&kit, &group));
    }
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 1, .groups = 8});
    SCOPED_VALUE(score_kit) a = {0};
    SCOPED_VALUE(score_kit) b = {0};
    SCOPED_VALUE(score_kit) c = {0};
    SCOPED_VALUE(score_kit) d = {0};
    assert_err(ERR_INVALID, "does not name 'LlamaForSequenceClassification'",
               open_kit(&ring, ring.model, &a));
    assert_err(ERR_PRECONDITION, "has a vocabulary of",
               open_kit(&ring, reward_directory(&ring, -1, 8), &b));
    assert_err(ERR_INVALID, "path: 'reward' is not absolute", open_kit(&ring, "reward", &c));
    assert_err(ERR_NOT_FOUND, "kind 'reward_model'", open_kit(&ring, testing_directory(), &d));
}

TESTS(cmocka_unit_test(a_score_is_the_value_at_the_last_token),
      cmocka_unit_test(what_does_not_fit_is_refused))
