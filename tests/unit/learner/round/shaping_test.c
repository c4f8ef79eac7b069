/* Rewards of completions on their way to the objective: learner.reward. */
#include "unit/learner/stages_kit.h"
#include <math.h>
#include <stdlib.h>

static void shape(struct staged *s, const char *reward)
{
    SCOPED_MEM char *text = mem_printf("reward: %s", reward);
    *s = (struct staged){0};
    bench_open(&s->bench, text, NULL);
    stage_objective(s, "rloo");
    stage_ready(s);
    for (size_t i = 0; i < GROUPS * K; i++) {
        s->bench.group[i / K]->completion[i % K].finish = i % 2 ? FINISH_LENGTH : FINISH_EOS;
        set_reward(s, i / K, i % K, 0.5 * (double)i);
    }
    run_before(s, "shape");
}

static void a_reward_is_shaped_in_order(void **)
{
    static const struct {
        const char *reward;
        double eos[2], length[2]; // rewards 0 and 1, then 0.5 and 1.5
    } cases[] = {
        {"{bias: 0.25}", {-0.25, 0.75}, {0.25, 1.25}},
        {"{missing_eos: subtract, missing_eos_penalty: 2}", {0, 1}, {-1.5, -0.5}},
        {"{bias: 3, missing_eos: replace}", {-3, -2}, {-1, -1}},
        {"{bias: 0.5, missing_eos: subtract, clip: 0.4}", {-0.4, 0.4}, {-0.4, 0}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct staged s;
        shape(&s, cases[c].reward);
        assert_ok(run_stage(&s, "shape"));
        const double *reward = s.run.batch->columns->at[COLUMN_REWARD];
        for (size_t i = 0; i < 2; i++) {
            assert_near(reward[2 * i], cases[c].eos[i], 1e-15);
            assert_near(reward[2 * i + 1], cases[c].length[i], 1e-15);
        }
        assert_true(reward_of(&s, 3) == 1.5); // as it was scored
        stage_close(&s);
    }
}

/* Rewards 0, 0.5, ... 8.5, and the same once more: a mean of 4.25, then the standard deviation of
 * 18 and of 36. */
static void rewards_are_divided_by_what_the_run_has_seen(void **)
{
    for (int mean = 0; mean < 2; mean++) {
        struct staged s;
        shape(&s, mean ? "{normalize: mean_std}" : "{normalize: std, clip: 2}");
        for (int round = 1; round <= 2; round++) {
            double *reward = s.run.batch->columns->at[COLUMN_REWARD];
            for (size_t i = 0; i < GROUPS * K; i++)
                reward[i] = 0.5 * (double)i;
            assert_ok(run_stage(&s, "shape"));
            const double std = sqrt(0.25 * round * 18 * (18.0 * 18 - 1) / 12 / (round * 18 - 1));
            for (size_t i = 0; i < GROUPS * K; i++)
                assert_near(reward[i],
                            mean ? (0.5 * (double)i - 4.25) / std : fmin(2, 0.5 * (double)i / std),
                            1e-14);
        }
        stage_close(&s);
    }
}

/* A first round of equal rewards has no deviation. */
static void equal_rewards_are_divided_by_nothing(void **)
{
    struct staged s;
    shape(&s, "{normalize: mean_std}");
    double *reward = s.run.batch->columns->at[COLUMN_REWARD];
    for (size_t i = 0; i < GROUPS * K; i++)
        reward[i] = 3;
    assert_ok(run_stage(&s, "shape"));
    for (size_t i = 0; i < GROUPS * K; i++)
        assert_true(reward[i] == 0);
    stage_close(&s);
}

static void without_a_setting_a_reward_stays(void **)
{
    struct staged s;
    shape(&s, "{missing_eos: keep, missing_eos_penalty: 3}");
    assert_false(stage_runs(find("shape"), &s.run));
    stage_close(&s);
}

/* ---- by the completion */

/* The first tokens of a completion are these letters. */
static void put_tokens(struct staged *s, size_t i, const char *letters)
{
    for (uint32_t t = 0; letters[t]; t++)
        s->bench.group[i / K]->completion[i % K].token[t] = (uint32_t)letters[t];
}

/* The policy did not draw the tokens from `from` up to `to`. */
static void put_tool(struct staged *s, size_t i, uint32_t from, uint32_t to)
{
    struct completion *c = &s->bench.group[i / K]->completion[i % K];
    free(c->turn);
    c->turns = 3;
    c->turn = mem_array(3, sizeof *c->turn);
    c->turn[0] = (struct turn){ROLE_ASSISTANT, 0, true, true};
    c->turn[1] = (struct turn){ROLE_TOOL, from, false, false};
    c->turn[2] = (struct turn){ROLE_ASSISTANT, to, true, true};
}

/* The n-th completion of so many tokens and more. */
static size_t of_length(const struct staged *s, uint32_t tokens, size_t n)
{
    for (size_t i = 0; i < GROUPS * K; i++)
        if (completion_of(s, i)->tokens >= tokens && !n--)
            return i;
    fail_msg("no completion of %u tokens", tokens);
    return 0;
}

static const double *shaped_rewards(struct staged *s)
{
    assert_ok(run_stage(s, "shape"));
    return s->run.batch->columns->at[COLUMN_REWARD];
}

static void length_is_taken_off(void **)
{
    struct staged s;
    shape(&s, "{length_penalty: 0.125, overlong_buffer: 8, overlong_penalty: 2}");
    const double *reward = shaped_rewards(&s);
    double sum = 0, over = 0;
    for (size_t i = 0; i < GROUPS * K; i++) {
        const double tokens = completion_of(&s, i)->tokens; // generator.max_tokens is 12
        assert_near(reward[i], reward_of(&s, i) - 0.125 * tokens - 2 * fmax(0, tokens - 4) / 8,
                    1e-14);
        sum += reward[i];
        over += tokens > 4;
    }
    assert_true(over > 0 && over < GROUPS * K);
    assert_near(s.report.reward_shaped_mean, sum / (GROUPS * K), 1e-14);
    assert_near(s.report.overlong_share, over / (GROUPS * K), 1e-15);
    assert_true(isnan(s.report.repeated_share) && isnan(s.report.reward_clipped_share));
    stage_close(&s);
}

static void overlong_is_where_the_recipe_says(void **)
{
    struct staged s;
    shape(&s, "{overlong_length: 6, overlong_buffer: 2}");
    const double *reward = shaped_rewards(&s);
    for (size_t i = 0; i < GROUPS * K; i++)
        assert_near(reward_of(&s, i) - reward[i],
                    fmin(1, fmax(0, (completion_of(&s, i)->tokens - 4.0) / 2)), 1e-14);
    stage_close(&s);
}

/* In aaaa there is aa twice again. In ab|ab|ab the tool's turn and what lies across is not looked
 * at: ab occurs once again. */
static void repetitions_of_drawn_turns_are_taken_off(void **)
{
    struct staged s;
    shape(&s, "{repeat_ngram: 2, repeat_penalty: 3}");
    const size_t one = of_length(&s, 7, 0), two = of_length(&s, 7, 1);
    for (size_t i = 0; i < GROUPS * K; i++)
        for (uint32_t t = 0; t < completion_of(&s, i)->tokens; t++)
            completion_of(&s, i)->token[t] = t; // nothing is repeated
    put_tokens(&s, one, "aaaa");
    put_tokens(&s, two, "ababab");
    put_tool(&s, two, 2, 4);
    const double *reward = shaped_rewards(&s);
    const double first = 2.0 / (completion_of(&s, one)->tokens - 1),
                 second = 1.0 / (completion_of(&s, two)->tokens - 4);
    for (size_t i = 0; i < GROUPS * K; i++)
        assert_near(reward_of(&s, i) - reward[i],
                    3 * (i == one   ? first
                         : i == two ? second
                                    : 0),
                    1e-14);
    assert_near(s.report.repeated_share, (first + second) / (GROUPS * K), 1e-15);
    stage_close(&s);
}

/* Squashing takes the scorers' number less bias; penalties come off what that gave. One that
 * replaces the reward is all there is. */
static void parts_come_in_their_order(void **)
{
    static const struct {
        const char *squash;
        bool tanh, replace;
    } cases[] = {{"sigmoid, missing_eos: subtract", false, false},
                 {"sigmoid, missing_eos: replace", false, true},
                 {"tanh, missing_eos: subtract", true, false}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct staged s;
        SCOPED_MEM char *keys =
            mem_printf("{bias: 4, squash_scale: 2, length_penalty: 0.01, missing_eos_penalty: 0.5, "
                       "clip: 0.6, squash: %s}",
                       cases[c].squash);
        shape(&s, keys);
        const double *reward = shaped_rewards(&s);
        double held = 0;
        for (size_t i = 0; i < GROUPS * K; i++) {
            const double x = (reward_of(&s, i) - 4) / 2, lost = 0.01 * completion_of(&s, i)->tokens;
            double want = (cases[c].tanh ? tanh(x) : 0.5 * (1 + tanh(x / 2))) - lost;
            if (completion_of(&s, i)->finish == FINISH_LENGTH)
                want = (cases[c].replace ? 0 : want) - 0.5;
            held += fabs(want) > 0.6;
            assert_near(reward[i], fmax(-0.6, fmin(0.6, want)), 1e-14);
        }
        assert_true(held > 0);
        assert_near(s.report.reward_clipped_share, held / (GROUPS * K), 1e-15);
        stage_close(&s);
    }
}

/* Numbers without an end become the ends of what they are squashed to. */
static void a_squashed_reward_is_bounded(void **)
{
    struct staged s;
    shape(&s, "{squash: sigmoid}");
    double *reward = s.run.batch->columns->at[COLUMN_REWARD];
    reward[0] = 1e6;
    reward[1] = -1e6;
    shaped_rewards(&s);
    assert_true(reward[0] == 1 && reward[1] == 0);
    stage_close(&s);
}

static void without_shaping_there_are_no_figures(void **)
{
    struct staged s;
    shape(&s, "{repeat_penalty: 3, overlong_penalty: 4, squash_scale: 5, overlong_length: 6}");
    assert_false(stage_runs(find("shape"), &s.run));
    assert_true(isnan(s.report.reward_shaped_mean) && isnan(s.report.overlong_share));
    stage_close(&s);
}

TESTS(cmocka_unit_test(a_reward_is_shaped_in_order),
      cmocka_unit_test(rewards_are_divided_by_what_the_run_has_seen),
      cmocka_unit_test(equal_rewards_are_divided_by_nothing),
      cmocka_unit_test(without_a_setting_a_reward_stays), cmocka_unit_test(length_is_taken_off),
      cmocka_unit_test(overlong_is_where_the_recipe_says),
      cmocka_unit_test(repetitions_of_drawn_turns_are_taken_off),
      cmocka_unit_test(parts_come_in_their_order), cmocka_unit_test(a_squashed_reward_is_bounded),
      cmocka_unit_test(without_shaping_there_are_no_figures))
