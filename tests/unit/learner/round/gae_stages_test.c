/* The stages before an objective with a critic: rewards of tokens, advantages and targets. */
#include "rl/advantages/gae.h"
#include "unit/learner/stages_kit.h"
#include <math.h>

/* Older weights drew the tokens: behaviour logps are not those of the model that trains. */
static void critic_open(struct staged *s)
{
    stage_open(s, "rloo");
    stage_objective(s, "ppo"); // no step trains it here
    s->run.config.proximal = true;
    s->run.config.kl_in_reward = true;
    s->run.config.kl = (struct kl_cost){0.1, KL_K1, COLUMN_BEHAVIOUR_LOGP};
    assert_ok(run_stage(s, "gather"));
    assert_ok(run_stage(s, "proximal")); // of one update as well
}

static void put_values(struct columns *columns)
{
    double *value = columns_add(columns, COLUMN_VALUE);
    for (size_t t = 0; t < columns->first[columns->sequences]; t++)
        value[t] = sin((double)t);
}

static void the_distance_is_taken_off_where_it_is(void **)
{
    struct staged s;
    critic_open(&s);
    assert_ok(run_stage(&s, "reward"));
    assert_ok(run_stage(&s, "token_reward"));
    const struct columns *columns = s.run.batch->columns;
    for (size_t i = 0; i < columns->sequences; i++) {
        const size_t first = columns->first[i], last = columns->first[i + 1] - 1;
        assert_true(columns->at[COLUMN_REWARD][i] == reward_of(&s, i)); // tokens pay, not it
        for (size_t t = first; t <= last; t++) {
            const double d = (double)values_of(&s, COLUMN_BEHAVIOUR_LOGP, i)[t - first] -
                             (double)values_of(&s, COLUMN_REFERENCE_LOGP, i)[t - first];
            assert_near(columns->at[COLUMN_TOKEN_REWARD][t],
                        -0.1 * d + (t == last ? reward_of(&s, i) : 0), 1e-15);
        }
    }
    stage_close(&s);
}

static void a_distance_in_the_loss_costs_no_token(void **)
{
    struct staged s;
    critic_open(&s);
    s.run.config.kl_in_reward = false;
    assert_false(stage_runs(find("reward"), &s.run));
    assert_ok(run_stage(&s, "token_reward"));
    const struct columns *columns = s.run.batch->columns;
    for (size_t i = 0; i < columns->sequences; i++)
        for (size_t t = columns->first[i]; t < columns->first[i + 1]; t++)
            assert_true(columns->at[COLUMN_TOKEN_REWARD][t] ==
                        (t + 1 == columns->first[i + 1] ? reward_of(&s, i) : 0));
    stage_close(&s);
}

static void advantages_are_of_the_whole_round(void **)
{
    struct staged s;
    critic_open(&s);
    struct columns *columns = s.run.batch->columns;
    assert_ok(run_stage(&s, "token_reward"));
    put_values(columns);
    assert_ok(run_stage(&s, "gae"));
    double sum = 0;
    const size_t tokens = columns->first[columns->sequences];
    for (size_t t = 0; t < tokens; t++)
        sum += columns->at[COLUMN_TOKEN_ADVANTAGE][t];
    assert_near(sum / (double)tokens, 0, 1e-14);
    SCOPED_MEM double *returns = mem_copy(columns->at[COLUMN_RETURNS], tokens * sizeof *returns);
    gae_fill(&s.settings.gae, columns); // once more: the same
    assert_memory_equal(returns, columns->at[COLUMN_RETURNS], tokens * sizeof *returns);
    stage_close(&s);
}

static void a_critic_that_is_not_there_is_an_error(void **)
{
    struct staged s;
    critic_open(&s);
    assert_ok(run_stage(&s, "token_reward"));
    assert_err(ERR_INVALID, "a group has no value", run_stage(&s, "gae"));
    put_values(s.run.batch->columns);
    s.settings.gae.bootstrap = true;
    assert_err(ERR_INVALID, "a group has no bootstrap_value", run_stage(&s, "gae"));
    stage_close(&s);
}

static void without_a_critic_there_are_no_rewards_of_tokens(void **)
{
    struct staged s;
    stage_open(&s, "rloo");
    assert_false(stage_runs(find("token_reward"), &s.run));
    assert_false(stage_runs(find("gae"), &s.run));
    stage_close(&s);
}

TESTS(cmocka_unit_test(the_distance_is_taken_off_where_it_is),
      cmocka_unit_test(a_distance_in_the_loss_costs_no_token),
      cmocka_unit_test(advantages_are_of_the_whole_round),
      cmocka_unit_test(a_critic_that_is_not_there_is_an_error),
      cmocka_unit_test(without_a_critic_there_are_no_rewards_of_tokens))
