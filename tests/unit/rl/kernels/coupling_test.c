/* Values of a whole update, each against a sum of its own: anchors, ranks, and the beta and the
 * pairs of beta-DPO. */
#include "base/mem.h"
#include "rl/kernels/coupling.h"
#include "unit/rl/update_kit.h"

/* Pairs of one token each, whose u are given: chosen, rejected, chosen ... */
static struct fixture pairs_of(const double *u, size_t sequences)
{
    size_t tokens[SEQUENCES_MAX];
    for (size_t i = 0; i < sequences; i++)
        tokens[i] = 1;
    struct fixture f = fixture_new(sequences, tokens);
    fixture_units(&f, 2);
    f.weight = columns_add_weights(f.columns);
    for (size_t i = 0; i < sequences; i++) {
        f.reference[i] = -3 - 0.5 * (double)i;
        f.logp[i] = f.reference[i] + u[i];
        f.behaviour[i] = f.logp[i];
    }
    f.totals = columns_totals(f.columns);
    return f;
}

static struct objective_config config_of(const char *row)
{
    return objective_find(row)->row.defaults;
}

static void anchors_are_means_of_the_update(void **)
{
    static const double u[] = {1, -2, 4, 3};
    SCOPED_VALUE(fixture) f = pairs_of(u, 4);
    struct objective_config kto = config_of("kto"), bco = config_of("bco");
    double *other = columns_add(f.columns, COLUMN_MISMATCHED);
    memcpy(other, (double[]){0.5, 0.25, -1, 1.25}, 4 * sizeof *other);
    SCOPED(coupling) batch = coupling_new(&kto, f.columns, NULL);
    assert_near(batch->anchor, 0.1 * 1.5, 1e-15);
    kto.label.anchor = ANCHOR_MISMATCHED;
    SCOPED(coupling) mismatched = coupling_new(&kto, f.columns, NULL);
    assert_near(mismatched->anchor, 0.1 * 0.25, 1e-15);
    f.weight[2] = 0; // no sequence any more
    kto.label.anchor = ANCHOR_BATCH;
    SCOPED(coupling) masked = coupling_new(&kto, f.columns, NULL);
    assert_near(masked->anchor, 0.1 * 2 / 3, 1e-15);
    f.weight[0] = f.weight[3] = 0; // -2 alone: a KL is not below 0
    SCOPED(coupling) floor = coupling_new(&kto, f.columns, NULL);
    assert_true(floor->anchor == 0);
    SCOPED(coupling) below = coupling_new(&bco, f.columns, NULL);
    assert_near(below->anchor, -0.2, 1e-15); // a mean of rewards may be
}

/* As TRL's running moments: the mean over updates of their means, this one's too. */
static void a_running_mean_takes_each_update_once(void **)
{
    static const double u[3][2] = {{1, 3}, {-2, 0}, {5, 6}};
    const struct objective_config bco = config_of("bco_pair");
    struct running running = {0};
    double sum = 0;
    for (int i = 0; i < 3; i++) {
        SCOPED_VALUE(fixture) f = pairs_of(u[i], 2);
        SCOPED(coupling) coupling = coupling_new(&bco, f.columns, &running);
        sum += 0.1 * (u[i][0] + u[i][1]) / 2;
        assert_near(coupling->anchor, sum / (i + 1), 1e-15);
        SCOPED(coupling) again = coupling_new(&bco, f.columns, &running); // asking moves nothing
        assert_true(again->anchor == coupling->anchor);
        coupling_keep(coupling, &bco, &running);
    }
    assert_true(running.at[RUNNING_rewards_updates] == 3);
}

/* Unpaired: the sorted chosen against the sorted rejected. Paired: gaps of logp against those of
 * the reference. */
static void ranks_meet_one_another(void **)
{
    static const double u[] = {1, -2, 4, 3, 2, -1};
    SCOPED_VALUE(fixture) f = pairs_of(u, 6);
    const struct objective_config unpaired = config_of("aot_unpaired"), paired = config_of("aot");
    SCOPED(coupling) apart = coupling_new(&unpaired, f.columns, NULL);
    static const double others[] = {-2, 1, 3, 4, -1, 2}; // 1 2 4 against -2 -1 3
    for (size_t i = 0; i < 6; i++)
        assert_near(apart->other[i], others[i], 1e-12);
    // gaps of the reference are 0.5 for each pair; of logp 3.5, 1.5, 3.5: ties by their place
    SCOPED(coupling) gaps = coupling_new(&paired, f.columns, NULL);
    for (size_t i = 0; i < 6; i += 2) {
        assert_near(gaps->gap[i], u[i] - u[i + 1] + 0.5, 1e-12);
        assert_near(gaps->other[i], 0.5, 1e-12);
    }
    f.weight[1] = 0; // the first pair is none
    SCOPED(coupling) fewer = coupling_new(&unpaired, f.columns, NULL);
    assert_near(fewer->other[2], 3, 1e-12);
    assert_near(fewer->other[4], -1, 1e-12);
}

static void beta_follows_the_gap_and_outliers_are_dropped(void **)
{
    static const double u[] = {1, -2, 4, 3, 2, -1, 9, -8, 0, 0};
    SCOPED_VALUE(fixture) f = pairs_of(u, 10);
    const struct objective_config config = config_of("beta_dpo");
    struct running running = {0};
    const double gap = 0.1 * (3 + 1 + 3 + 17 + 0) / 5;
    SCOPED(coupling) first = coupling_new(&config, f.columns, &running);
    assert_near(first->beta, 0.1, 1e-15); // the first gap is the running one
    coupling_keep(first, &config, &running);
    assert_near(running.at[RUNNING_pair_gap], gap, 1e-15);
    running_set(&running, RUNNING_pair_gap, 0.2);
    SCOPED(coupling) second = coupling_new(&config, f.columns, &running);
    assert_near(second->beta, 0.1 * (1 + 0.6 * (gap - 0.2)), 1e-15);
    assert_true(second->kept == 4 && second->dropped[6] == 1 && second->dropped[0] == 0);
    coupling_keep(second, &config, &running);
    assert_near(running.at[RUNNING_pair_gap], 0.9 * 0.2 + 0.1 * gap, 1e-15);
    // dropped pairs train nothing, and the mean is over what is left
    double slope[TOKENS_MAX];
    struct rl_tally tally = {0};
    f.totals.coupling = second;
    assert_ok(grad_of("beta_dpo", &config, &f, all_of(&f), slope, &tally));
    assert_true(slope[6] == 0 && slope[7] == 0 && tally.pairs == 4);
    const double z = second->beta * 3, want = -second->beta / (1 + exp(z)) / 4;
    assert_near(slope[0], want, 1e-15);
    assert_near(slope[1], -want, 1e-15);
}

TESTS(cmocka_unit_test(anchors_are_means_of_the_update),
      cmocka_unit_test(a_running_mean_takes_each_update_once),
      cmocka_unit_test(ranks_meet_one_another),
      cmocka_unit_test(beta_follows_the_gap_and_outliers_are_dropped))
