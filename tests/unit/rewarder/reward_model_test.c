/* A reward model as a scorer: its numbers are the value's head at the last token that is not its
 * pad token, over prompt and completion. Models that do not fit are refused at the start. */
#include "model/forward.h"
#include "svc/metrics.h"
#include "testing/reward_model.h"
#include "testing/ring.h"
#include "testing/testing.h"
#include "unit/rewarder/score_kit.h"
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

enum { PROMPT = 3, COMPLETIONS = 3 };

static const char *reward_directory(const struct ring *ring, int pad, int more)
{
    return reward_model_drawn(ring->model, &(struct drawn){.pad = pad, .more = more, .seed = 9});
}

/* Takes scorers. */
static err_t open_scorers(const struct ring *ring, char *scorers, struct score_kit *ret)
{
    SCOPED_MEM char *owned = scorers;
    SCOPED_MEM char *set = mem_printf("rewarder.scorers=%s", owned);
    const char *sets[] = {set};
    const struct recipe_source source = {.file = ring->recipe, .sets = sets, .sets_count = 1};
    TRY(recipe_read(&source, &ret->recipe));
    return kit_of(ret->recipe, ret);
}

static err_t open_kit(const struct ring *ring, const char *directory, struct score_kit *ret)
{
    return open_scorers(ring, mem_printf("[{kind: reward_model, path: '%s'}]", directory), ret);
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
        kit.stop = NULL;
        kit.patience_s = 1e-9;
        assert_err(ERR_DEADLINE, "late before completion 0", kit_score(&kit, &group));
    }
}

/* ---- ensembles */

static double shown(const char *name)
{
    SCOPED_VALUE(bytes) text = {0};
    SCOPED_MEM char *start = mem_printf("\n%s ", name);
    metrics_render(&text);
    const char *at = strstr((const char *)text.data, start);
    if (!at)
        fail_msg("no metric %s", name);
    return at ? strtod(at + strlen(start), NULL) : 0;
}

static void three_tokens(struct group *group)
{
    static uint32_t prompt[PROMPT] = {5, 6, 7}, token[COMPLETIONS][2] = {{8, 2}, {9, 2}, {10, 2}};
    static struct completion completion[COMPLETIONS];
    for (int i = 0; i < COMPLETIONS; i++)
        completion[i] = (struct completion){.token = token[i], .tokens = 2};
    *group = (struct group){.row = "{}",
                            .prompt_tokens = PROMPT,
                            .prompt_token = prompt,
                            .completions = COMPLETIONS,
                            .completion = completion};
}

/* Three models one by one, then as ensembles in one process: also by a second name, a link. */
static void ensembles_join_what_each_model_says(void **state)
{
    enum { MODELS = 3, SCORERS = MODELS + 4 };
    (void)state;
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 1, .groups = 8});
    const char *at[MODELS], *home = testing_directory(), *link = testing_path(home, "link");
    struct group group;
    for (int m = 0; m < MODELS; m++)
        at[m] =
            reward_model_drawn(ring.model, &(struct drawn){.pad = -1, .seed = 20 + (uint64_t)m});
    assert_int_equal(symlink(at[0], link), 0);
    SCOPED_MEM char *paths = mem_printf("['%s', '%s', '%s']", link, at[1], at[2]);
    SCOPED_MEM char *alone =
        mem_printf("{kind: reward_model, path: '%s'}, {kind: reward_model, path: '%s'}, {kind: "
                   "reward_model, path: '%s'}",
                   at[0], at[1], at[2]);
    SCOPED_VALUE(score_kit) kit = {0};
    assert_ok(open_scorers(
        &ring,
        mem_printf(
            "[%s, {kind: reward_model, paths: %s}, {kind: reward_model, aggregate: min, "
            "paths: %s}, {kind: reward_model, aggregate: lower_bound, coef: 0.5, paths: %s}, "
            "{kind: reward_model, aggregate: uwo, coef: 2, means: [1, -0.5, 0], stds: [2, "
            "4, 0.5], paths: %s}]",
            alone, paths, paths, paths, paths),
        &kit));
    assert_true(shown("rlhfd_reward_models") == MODELS);
    three_tokens(&group);
    assert_ok(kit_score(&kit, &group));
    for (uint32_t i = 0; i < COMPLETIONS; i++) {
        const double *s = group_values(&group, COLUMN_SCORES, i);
        const double mean = (s[0] + s[1] + s[2]) / 3;
        const double z[] = {(s[0] - 1) / 2, (s[1] + 0.5) / 4, s[2] / 0.5};
        const double z_mean = (z[0] + z[1] + z[2]) / 3;
        double square = 0, z_square = 0;
        for (int m = 0; m < MODELS; m++) {
            square += (s[m] - mean) * (s[m] - mean);
            z_square += (z[m] - z_mean) * (z[m] - z_mean);
        }
        assert_true(s[0] != s[1] && s[1] != s[2]);
        assert_near(s[3], mean, 1e-12);
        assert_true(s[4] == fmin(s[0], fmin(s[1], s[2])));
        assert_near(s[5], mean - 0.5 * sqrt(square / 3), 1e-12);
        assert_near(s[6], z_mean - 2 * z_square / 3, 1e-12);
        assert_near(group_value(&group, COLUMN_ENSEMBLE_STD, i),
                    fmax(sqrt(square / 3), sqrt(z_square / 3)), 1e-12);
    }
    column_list_done(&group.columns);
    assert_true(shown("rlhfd_reward_ensemble_std_count") == 4 * COMPLETIONS);
    assert_true(shown("rlhfd_reward_model_seconds_count") >= MODELS + 4 * MODELS);
    struct cell stop;
    cell_set(&stop, 1);
    kit.stop = &stop;
    assert_err(ERR_DEADLINE, "rewarder.scorers[0]: kind 'reward_model': stopped before",
               kit_score(&kit, &group));
    group.completion[1].token = NULL;
    assert_err(ERR_INVALID, "completion 1: its 2 tokens are not there", kit_score(&kit, &group));
}

/* The score of a group's completion by a model of a directory, alone. */
static double alone(struct backend *be, const char *directory, const struct group *group,
                    uint32_t i)
{
    SCOPED(model) model = NULL;
    int32_t token[PROMPT + 2];
    assert_ok(adapter_open_reward(be, directory, &model));
    for (int t = 0; t < PROMPT; t++)
        token[t] = (int32_t)group->prompt_token[t];
    for (int t = 0; t < 2; t++)
        token[PROMPT + t] = (int32_t)group->completion[i].token[t];
    return value_at(model, token, PROMPT + 2, PROMPT + 1);
}

static double bytes_of(struct backend *be, const char *directory)
{
    SCOPED(model) model = NULL;
    assert_ok(adapter_open_reward(be, directory, &model));
    return (double)model_bytes(model);
}

/* Two beside the policy, one beside a reward model, and that one itself: two bases in memory. */
static void adapters_share_their_base(void **state)
{
    enum { MODELS = 4 };
    (void)state;
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 1, .groups = 8});
    const char *whole = reward_model_drawn(ring.model, &(struct drawn){.pad = -1, .seed = 60});
    const char *at[MODELS] = {reward_adapter_drawn(ring.model, 61), reward_adapter_drawn(whole, 62),
                              whole, reward_adapter_drawn(ring.model, 63)};
    struct group group;
    SCOPED_VALUE(score_kit) kit = {0};
    SCOPED(backend) be = NULL;
    SCOPED(model) base = NULL;
    assert_ok(backend_open(NULL, &(struct backend_config){.threads = 1}, &be));
    assert_ok(model_load_reward(be, whole, &base));
    assert_ok(open_scorers(
        &ring,
        mem_printf("[{kind: reward_model, path: '%s'}, {kind: reward_model, path: '%s'}, {kind: "
                   "reward_model, path: '%s'}, {kind: reward_model, paths: ['%s', '%s', '%s']}]",
                   at[0], at[1], at[2], at[0], at[3], at[1]),
        &kit));
    assert_true(shown("rlhfd_reward_models") == MODELS);
    double want_bytes = 2 * (double)model_bytes(base); // the policy's shapes are the same
    for (int m = 0; m < MODELS; m++)
        want_bytes += bytes_of(be, at[m]) - (double)model_bytes(base);
    assert_true(shown("rlhfd_reward_model_bytes") == want_bytes);
    three_tokens(&group);
    for (int again = 0; again < 2; again++) { // no adapter is left behind
        assert_ok(kit_score(&kit, &group));
        for (uint32_t i = 0; i < COMPLETIONS; i++) {
            const double *s = group_values(&group, COLUMN_SCORES, i);
            const double want[] = {alone(be, at[0], &group, i), alone(be, at[1], &group, i),
                                   alone(be, at[2], &group, i), alone(be, at[3], &group, i)};
            for (int m = 0; m < 3; m++)
                assert_true(s[m] == want[m]);
            assert_near(s[3], (want[0] + want[3] + want[1]) / 3, 1e-12);
            assert_true(want[0] != want[1] && want[1] != want[2] && want[2] != want[3]);
        }
        column_list_done(&group.columns);
    }
}

/* The language model under them is no reward model by itself. */
static void a_base_alone_is_refused(void **state)
{
    (void)state;
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 1, .groups = 8});
    const char *adapter = reward_adapter_drawn(ring.model, 61);
    SCOPED_VALUE(score_kit) kit = {0};
    assert_err(
        ERR_INVALID, "paths[1]: ",
        open_scorers(&ring,
                     mem_printf("[{kind: reward_model, paths: ['%s', '%s']}]", adapter, ring.model),
                     &kit));
}

static void keys_of_ensembles_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *keys, *says;
    } wrong[] = {
        {"", "needs path or paths, one of them"},
        {"path: /a, paths: [/b]", "needs path or paths, one of them"},
        {"path: /a, aggregate: min", "aggregate: is of an ensemble; path names one model"},
        {"path: /a, means: [1]", "means: has 1 numbers; paths has 0 models"},
        {"paths: [/a, /b], stds: [1]", "stds: has 1 numbers; paths has 2 models"},
        {"paths: [/a], means: [x]", "means[0]: 'x' is no number from -1e6 to 1e6"},
        {"paths: [/a], means: [1e7]", "means[0]: '1e7' is no number"},
        {"paths: [/a], means: [nan]", "means[0]: 'nan' is no number"},
        {"paths: [/a], stds: [0]", "stds[0]: is 0; 1e-6 or more is allowed"},
        {"paths: [/a], stds: [-1]", "stds[0]: is -1; 1e-6 or more is allowed"},
        {"paths: [reward]", "paths[0]: 'reward' is not absolute"},
        {"paths: [/a], coef: -1", "coef: '-1' is out of range"},
        {"paths: [/a], aggregate: max",
         "'max' is not known, did you mean 'mean'?; allowed: mean, min, lower_bound"},
    };
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 1, .groups = 8});
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        SCOPED_VALUE(score_kit) kit = {0};
        const char *comma = *wrong[i].keys ? ", " : "";
        assert_err(ERR_INVALID, wrong[i].says,
                   open_scorers(&ring,
                                mem_printf("[{kind: reward_model%s%s}]", comma, wrong[i].keys),
                                &kit));
    }
    const char *one = reward_directory(&ring, -1, 0);
    SCOPED_VALUE(score_kit) twice = {0};
    SCOPED_VALUE(score_kit) second = {0};
    assert_err(ERR_INVALID, "is the model of paths[0]",
               open_scorers(&ring,
                            mem_printf("[{kind: reward_model, paths: ['%s', '%s/.']}]", one, one),
                            &twice));
    assert_err(ERR_NOT_FOUND, "kind 'reward_model': paths[1]: ",
               open_scorers(&ring,
                            mem_printf("[{kind: reward_model, paths: ['%s', '%s']}]", one,
                                       testing_directory()),
                            &second));
}

/* A limit that one model fits into and two do not. */
static void models_together_must_fit_into_memory(void **state)
{
    (void)state;
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 1, .groups = 8});
    const char *a = reward_model_drawn(ring.model, &(struct drawn){.pad = -1, .seed = 1}),
               *b = reward_model_drawn(ring.model, &(struct drawn){.pad = -1, .seed = 2});
    SCOPED_VALUE(score_kit) one = {0};
    SCOPED_VALUE(score_kit) two = {0};
    SCOPED(backend) be = NULL;
    SCOPED(model) model = NULL;
    assert_ok(backend_open(NULL, &(struct backend_config){.threads = 1}, &be));
    assert_ok(model_load_reward(be, a, &model));
    const char *root = testing_directory();
    SCOPED_MEM char *limit = mem_printf("%zu\n", model_bytes(model) * 3 / 2);
    SCOPED_MEM char *file = file_join(root, "memory.max");
    SCOPED_MEM char *kinds = file_join(root, "cgroup.controllers");
    assert_ok(file_write(file, limit, strlen(limit)));
    assert_ok(file_write(kinds, "memory\n", 7));
    setenv("RLHFD_CGROUP_ROOT", root, 1);
    err_t first = open_kit(&ring, a, &one);
    err_t both =
        open_scorers(&ring, mem_printf("[{kind: reward_model, paths: ['%s', '%s']}]", a, b), &two);
    unsetenv("RLHFD_CGROUP_ROOT");
    assert_ok(first);
    assert_err(ERR_EXHAUSTED, "paths[1]: the weights of reward models", both);
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
      cmocka_unit_test(ensembles_join_what_each_model_says),
      cmocka_unit_test(adapters_share_their_base), cmocka_unit_test(a_base_alone_is_refused),
      cmocka_unit_test(keys_of_ensembles_are_checked),
      cmocka_unit_test(models_together_must_fit_into_memory),
      cmocka_unit_test(what_does_not_fit_is_refused))
