/* Every row on preferences trains rounds in process. How a batch is cut changes no bit. Values that
 * are kept from update to update are moved, and decide the next one. The sequences drawn from a
 * group follow from its rewards. */
#include "base/mem.h"
#include "learner/round/roundbatch.h"
#include "rl/preference/label.h"
#include "unit/learner/round_kit.h"
#include <math.h>

enum { ROUNDS = 3 };

static bool is_preference(const struct objective_row *row)
{
    const struct objective_config *d = &row->defaults;
    return row->data != DATA_MIXTURE && (d->pair.loss != PAIR_NONE || d->label.loss != LABEL_NONE ||
                                         d->list.loss != LIST_NONE || d->residual.factor > 0);
}

/* Of the rounds' end. */
struct end {
    struct digest weights;
    struct running running;
    struct round_report report;
};

static struct end train(const char *learner, const char *set)
{
    struct bench b;
    struct end end;
    bench_open(&b, learner, set);
    const struct digest before = bench_weights(&b);
    for (int i = 0; i < ROUNDS; i++, b.round.round++)
        end.report = bench_run(&b);
    end.weights = bench_weights(&b);
    end.running = *updates_running(b.updates);
    assert_false(digest_equal(&before, &end.weights));
    assert_true(isfinite(end.report.figures.loss) && end.report.tokens_trained > 0);
    bench_close(&b);
    return end;
}

static void each_row_trains_and_cuts_change_no_bit(void **)
{
    const struct objective_row *row;
    int rows = 0;
    for (size_t i = 0; (row = objective_row_at(i)); i++) {
        if (!is_preference(row))
            continue;
        SCOPED_MEM char *learner =
            mem_printf("objective: %s, updates_per_round: %d", row->name, 1 + rows % 2);
        const struct end small = train(learner, NULL),
                         large = train(learner, "learner.micro_tokens=16384");
        if (!digest_equal(&small.weights, &large.weights))
            fail_msg("%s: the cut decides its weights", row->name);
        assert_memory_equal(&small.running, &large.running, sizeof small.running);
        assert_memory_equal(&small.report.grad_norm, &large.report.grad_norm, sizeof(double));
        rows++;
    }
    assert_true(rows >= 40);
}

/* ---- values of the whole update */

static void running_values_move_with_the_updates(void **)
{
    const struct end beta = train("objective: beta_dpo, updates_per_round: 2", NULL),
                     bco = train("objective: bco, updates_per_round: 2", NULL),
                     dpo = train("objective: dpo, updates_per_round: 2", NULL);
    assert_true(beta.running.set[RUNNING_pair_gap] && !beta.running.set[RUNNING_rewards_mean]);
    assert_true(bco.running.at[RUNNING_rewards_updates] == 2 * ROUNDS);
    assert_true(bco.running.at[RUNNING_rewards_mean] != 0);
    for (int i = 0; i < RUNNING_COUNT; i++)
        assert_false(dpo.running.set[i]);
}

/* Rounds that begin with another value train other weights: it decides. */
static void a_running_value_decides_the_next_update(void **)
{
    static const struct {
        const char *learner;
        enum running_value value;
    } cases[] = {{"objective: beta_dpo", RUNNING_pair_gap},
                 {"objective: bco_pair", RUNNING_rewards_mean},
                 {"objective: bco", RUNNING_rewards_mean}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct digest end[2];
        for (int moved = 0; moved < 2; moved++) {
            struct bench b;
            struct running running = {0};
            bench_open(&b, cases[i].learner, NULL);
            running_set(&running, RUNNING_rewards_updates, 3);
            running_set(&running, cases[i].value, moved);
            updates_set_running(b.updates, &running);
            bench_run(&b);
            end[moved] = bench_weights(&b);
            bench_close(&b);
        }
        assert_false(digest_equal(&end[0], &end[1]));
    }
}

/* ---- what is drawn from a group */

/* Groups of three completions with the rewards (2, 0, 1), and one of equal ones. */
static struct round_batch *drawn(const char *learner, struct bench *b)
{
    static const double rewards[] = {2, 0, 1};
    const struct objective *objective;
    static struct objective_config settings;
    bench_open(b, learner, NULL);
    for (size_t g = 0; g < GROUPS; g++) {
        double *reward = (double *)group_values(b->group[g], COLUMN_REWARD, 0);
        for (uint32_t i = 0; i < K; i++)
            reward[i] = g == 1 ? 1 : rewards[i];
    }
    assert_ok(settings_objective(b->recipe, &objective, &settings));
    const struct round_config config = {.objective = objective,
                                        .settings = &settings,
                                        .ties_first =
                                            b->recipe->learner.dpo.ties == RECIPE_TIES_FIRST,
                                        .temperature = 0.8f,
                                        .model = b->model};
    return round_batch_new(&b->round, b->group, &config);
}

static void assert_drawn(const char *learner, const size_t *want, size_t count, size_t of_equals)
{
    struct bench b;
    SCOPED(round_batch) batch = drawn(learner, &b);
    if (batch->config.settings->label.loss != LABEL_NONE) {
        double *label = columns_add(batch->columns, COLUMN_LABEL);
        for (size_t g = 0; g < GROUPS; g++)
            label_group(&batch->config.settings->label, batch->columns->at[COLUMN_REWARD] + g * K,
                        K, label + g * K);
    }
    round_batch_choose(batch);
    assert_int_equal(batch->first_chosen[1], count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(batch->chosen[i], want[i]);
    assert_int_equal(batch->first_chosen[2] - batch->first_chosen[1], of_equals);
    bench_close(&b);
}

static void what_is_drawn_follows_from_the_rewards(void **)
{
    static const size_t pair[] = {0, 1}, all[] = {0, 1, 2}, ends[] = {0, 1}, bad[] = {1};
    assert_drawn("objective: dpo", pair, 2, 0);
    assert_drawn("objective: rebel", pair, 2, 0);
    assert_drawn("objective: exo", all, 3, 0);
    assert_drawn("objective: tba", all, 3, 3);
    assert_drawn("objective: kto", ends, 2, 0); // the one at the mean has no label
    assert_drawn("objective: npo", bad, 1, 0);
    assert_drawn("objective: kto, kto: {rule: threshold, threshold: 0.5}", all, 3, 3);
    assert_drawn("objective: dpo, dpo: {ties: first}", pair, 2, 2);
}

TESTS(cmocka_unit_test(each_row_trains_and_cuts_change_no_bit),
      cmocka_unit_test(running_values_move_with_the_updates),
      cmocka_unit_test(a_running_value_decides_the_next_update),
      cmocka_unit_test(what_is_drawn_follows_from_the_rewards))
