#include "base/json.h"
#include "base/rng.h"
#include "rl/objective.h"
#include "testing/testing.h"
#include <math.h>
#include <string.h>

enum { TOKENS_MAX = 128, SEQUENCES_MAX = 12 };

struct fixture {
    struct rl_batch batch;
    struct rl_totals totals;
    int first[SEQUENCES_MAX + 1];
    double logp[TOKENS_MAX], behaviour[TOKENS_MAX], reference[TOKENS_MAX], weight[TOKENS_MAX];
};

static int tokens_of(const struct fixture *f)
{
    return f->first[f->batch.sequences];
}

/* No advantages; the behaviour only for the record. */
static void link_arrays(struct fixture *f)
{
    f->batch.first = f->first;
    f->batch.logp = f->logp;
    f->batch.behaviour = f->behaviour;
    f->batch.reference = f->reference;
    f->batch.weight = f->weight;
    f->totals = (struct rl_totals){0};
    rl_totals_add(&f->totals, &f->batch);
}

static struct objective_config dpo(enum pair_loss loss, double beta, double smoothing)
{
    struct objective_config ret = objective_find("online_dpo")->defaults;
    ret.pair = (struct pair_config){loss, beta, smoothing};
    return ret;
}

static struct rl_tally grad(const struct objective_config *config, const struct fixture *f,
                            double *slope)
{
    struct rl_tally tally = {0};
    assert_ok(
        objective_grad(objective_find("online_dpo"), config, &f->batch, &f->totals, slope, &tally));
    return tally;
}

/* The golden arrays, sequences in the pairs' order. */
static void golden_inputs(const json_t *golden, struct fixture *ret)
{
    const json_t *inputs = json_object_get(golden, "inputs"),
                 *length = json_object_get(inputs, "length"),
                 *order = json_object_get(json_object_get(golden, "pairs"), "order");
    *ret = (struct fixture){.batch.sequences = (int)json_array_size(order)};
    for (int i = 0, to = 0; i < ret->batch.sequences; i++) {
        const size_t place = (size_t)json_integer_value(json_array_get(order, (size_t)i));
        size_t from = 0;
        for (size_t j = 0; j < place; j++)
            from += (size_t)json_integer_value(json_array_get(length, j));
        ret->first[i + 1] = to + (int)json_integer_value(json_array_get(length, place));
        for (; to < ret->first[i + 1]; to++, from++) {
            ret->logp[to] =
                json_number_value(json_array_get(json_object_get(inputs, "logp"), from));
            ret->reference[to] =
                json_number_value(json_array_get(json_object_get(inputs, "reference"), from));
        }
    }
}

static double number(const json_t *vector, const char *key)
{
    assert_non_null(json_object_get(vector, key));
    return json_number_value(json_object_get(vector, key));
}

/* Sums of a dozen doubles: 1e-12 of what they come to. */
static void assert_close(double got, double want)
{
    assert_near(got, want, 1e-12 * fmax(1, fabs(want)));
}

static void every_vector_agrees_with_pytorch(void **state)
{
    (void)state;
    SCOPED_JSON json_t *golden = NULL;
    assert_ok(json_read_file(TEST_GOLDEN "/objectives.json", 1 << 20, &golden));
    size_t v;
    json_t *vector;
    json_array_foreach (json_object_get(json_object_get(golden, "pairs"), "vectors"), v, vector) {
        struct fixture f;
        double slope[TOKENS_MAX];
        enum pair_loss loss;
        golden_inputs(golden, &f);
        for (int t = 0; t < tokens_of(&f); t++)
            f.weight[t] =
                json_number_value(json_array_get(json_object_get(vector, "weight"), (size_t)t));
        link_arrays(&f);
        f.batch.behaviour = NULL;
        assert_true(pair_loss_find(json_string_value(json_object_get(vector, "pair_loss")), &loss));
        struct objective_config config =
            dpo(loss, number(vector, "beta"), number(vector, "label_smoothing"));
        config.kl_coef = number(vector, "kl_coef");
        const struct rl_tally tally = grad(&config, &f, slope);
        const struct rl_figures figures = rl_tally_figures(&tally);
        assert_close(figures.loss, number(vector, "loss"));
        assert_close(figures.rewards_chosen, number(vector, "rewards_chosen"));
        assert_close(figures.rewards_rejected, number(vector, "rewards_rejected"));
        assert_close(figures.rewards_margin, number(vector, "rewards_margin"));
        assert_true(figures.rewards_accuracy == number(vector, "rewards_accuracy"));
        assert_true(figures.pairs == 2);
        assert_int_equal(json_array_size(json_object_get(vector, "slope")), tokens_of(&f));
        for (int t = 0; t < tokens_of(&f); t++)
            assert_close(slope[t], json_number_value(json_array_get(
                                       json_object_get(vector, "slope"), (size_t)t)));
    }
    assert_int_equal(v, 15);
}

/* One to six pairs of 1 to 8 tokens, a quarter of the tokens masked; of some, a whole side. */
static void random_fixture(uint64_t seed, struct fixture *ret)
{
    const struct rng rng = rng_keyed(seed, RNG_TEST, 4, 0);
    uint64_t draw = 0;
    *ret = (struct fixture){.batch.sequences = 2 + 2 * (int)rng_below(&rng, draw++, 5)};
    for (int i = 0; i < ret->batch.sequences; i++)
        ret->first[i + 1] = ret->first[i] + 1 + (int)rng_below(&rng, draw++, 8);
    for (int t = 0; t < tokens_of(ret); t++) {
        ret->reference[t] = -3 * rng_uniform(&rng, draw++);
        ret->behaviour[t] = ret->reference[t] + 0.3 * rng_normal(&rng, draw++);
        ret->logp[t] = ret->behaviour[t] + 0.3 * rng_normal(&rng, draw++);
        ret->weight[t] = rng_below(&rng, draw++, 4) ? 1 : 0;
    }
    link_arrays(ret);
}

static const struct pair_config losses[] = {
    {PAIR_SIGMOID, 0.1, 0}, {PAIR_SIGMOID, 2, 0}, {PAIR_SIGMOID, 1, 0.2}, {PAIR_HINGE, 0.1},
    {PAIR_HINGE, 2},        {PAIR_IPO, 0.1},      {PAIR_IPO, 1},
};
enum { LOSSES = sizeof losses / sizeof *losses };

static struct objective_config config_of(size_t l, uint64_t seed)
{
    struct objective_config ret = objective_find("online_dpo")->defaults;
    ret.pair = losses[l];
    ret.kl_coef = seed % 2 ? 0.3 : 0;
    ret.kl = (enum kl)(seed % (KL_K3 + 1));
    ret.reduce = (enum reduce)(seed / 2 % 4);
    ret.reduce_length = 5;
    return ret;
}

static void slopes_agree_with_finite_differences(void **state)
{
    (void)state;
    const double h = 1e-5; // O(h^2) and the rounding of a loss of some 25 (IPO) over h: below 1e-8
    int held = 0, live = 0;
    for (uint64_t seed = 0; seed < 40; seed++)
        for (size_t l = 0; l < LOSSES; l++) {
            struct fixture f;
            double slope[TOKENS_MAX], unused[TOKENS_MAX];
            random_fixture(seed, &f);
            const struct objective_config config = config_of(l, seed);
            grad(&config, &f, slope);
            for (int t = 0; t < tokens_of(&f); t++) {
                const double at = f.logp[t];
                f.logp[t] = at + h;
                const double up = grad(&config, &f, unused).loss;
                f.logp[t] = at - h;
                const double down = grad(&config, &f, unused).loss;
                f.logp[t] = at;
                assert_near(slope[t], (up - down) / (2 * h), 1e-8);
                if (config.pair.loss == PAIR_HINGE && config.kl_coef == 0)
                    *(slope[t] == 0 ? &held : &live) += f.weight[t] != 0;
            }
        }
    assert_true(held > 50 && live > 50); // both sides of the hinge were seen
}

static void micro_batches_equal_the_large_batch_bit_for_bit(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++)
        for (size_t l = 0; l < LOSSES; l++)
            for (int cut = 2; cut <= 4; cut += 2) {
                struct fixture f;
                struct rl_tally parts = {0};
                double slope[TOKENS_MAX], part[TOKENS_MAX];
                random_fixture(seed, &f);
                const struct objective_config config = config_of(l, seed);
                const struct rl_tally whole = grad(&config, &f, slope);
                for (int i = 0; i < f.batch.sequences; i += cut) {
                    struct rl_batch micro = f.batch;
                    micro.sequences = i + cut < f.batch.sequences ? cut : f.batch.sequences - i;
                    micro.first = f.first + i; // offsets stay those of the whole arrays
                    assert_ok(objective_grad(objective_find("online_dpo"), &config, &micro,
                                             &f.totals, part, &parts));
                }
                assert_memory_equal(slope, part, sizeof *slope * (size_t)tokens_of(&f));
                assert_memory_equal(&whole, &parts, sizeof whole);
            }
}

/* Far apart, where exp overflows and 1 + exp(-z) is 1: the loss is linear or 0 and the slope beta or a tiny number, not 0. */
static void a_sigmoid_stays_exact_far_out(void **state)
{
    (void)state;
    const struct pair_config plain = {PAIR_SIGMOID, .beta = 1}, smoothed = {PAIR_SIGMOID, 1, 0.1};
    struct pair_value v = pair_at(&plain, (struct pair_side){-1000, 1}, (struct pair_side){0, 1});
    assert_true(v.loss == 1000 && v.chosen == -1 && v.rejected == 1);
    v = pair_at(&plain, (struct pair_side){50, 1}, (struct pair_side){0, 1});
    assert_true(v.loss == exp(-50) && v.chosen == -exp(-50)); // log1p(x) is x there
    v = pair_at(&plain, (struct pair_side){1e6, 1}, (struct pair_side){0, 1});
    assert_true(v.loss == 0 && v.chosen == 0);
    v = pair_at(&smoothed, (struct pair_side){1e6, 1}, (struct pair_side){0, 1});
    assert_near(v.loss, 1e5, 1e-9);
    assert_near(v.chosen, 0.1, 1e-15); // too far: pulled back
    v = pair_at(&smoothed, (struct pair_side){log(9), 1}, (struct pair_side){0, 1});
    assert_near(v.chosen, 0, 1e-15); // cDPO's minimum: sigma(z) = 1 - label_smoothing
    const struct pair_config hinge = {PAIR_HINGE, .beta = 1};
    v = pair_at(&hinge, (struct pair_side){NAN, 1}, (struct pair_side){0, 1});
    assert_true(isnan(v.loss)); // is not taken for a pair that is far enough ahead
    v = pair_at(&hinge, (struct pair_side){1, 1}, (struct pair_side){0, 1});
    assert_true(v.loss == 0 && v.chosen == 0 && !signbit(v.loss));
}

/* At the reference itself nothing is ahead: log 2, slopes of beta/2 over the pairs, and no accuracy. */
static void at_the_reference_a_pair_is_even(void **state)
{
    (void)state;
    struct fixture f;
    double slope[TOKENS_MAX];
    random_fixture(3, &f);
    memcpy(f.logp, f.reference, sizeof f.logp);
    f.batch.weight = NULL;
    f.totals = (struct rl_totals){0};
    rl_totals_add(&f.totals, &f.batch);
    const int pairs = f.batch.sequences / 2;
    const struct objective_config config = dpo(PAIR_SIGMOID, 0.5, 0);
    const struct rl_tally tally = grad(&config, &f, slope);
    const struct rl_figures figures = rl_tally_figures(&tally);
    assert_near(figures.loss, log(2), 1e-15);
    assert_true(figures.pairs == pairs && figures.rewards_accuracy == 0);
    assert_true(figures.rewards_chosen == 0 && figures.rewards_margin == 0);
    assert_true(figures.kl_reference == 0 && isnan(figures.clip_frac) && figures.ess < 1);
    for (int i = 0; i < f.batch.sequences; i++)
        for (int t = f.first[i]; t < f.first[i + 1]; t++)
            assert_near(slope[t], (i % 2 ? 1 : -1) * 0.25 / pairs, 1e-16);
}

static void figures_are_means_over_the_pairs(void **state)
{
    (void)state;
    static const int first[] = {0, 2, 3, 4, 5};
    static const double logp[] = {-1, -2, -3, -1, -1}, reference[] = {-2, -4, -2, -1.5, -3};
    const struct rl_batch batch = {
        .sequences = 4, .first = first, .logp = logp, .reference = reference};
    const struct rl_totals totals = {5, 4};
    struct rl_tally tally = {0}, twice = {0};
    double slope[5];
    const struct objective *row = objective_find("online_dpo"); // u: 3 against -1, 0.5 against 2
    assert_ok(objective_grad(row, &row->defaults, &batch, &totals, slope, &tally));
    rl_tally_add(&twice, &tally);
    rl_tally_add(&twice, &tally);
    const struct rl_figures figures = rl_tally_figures(&twice);
    assert_near(figures.rewards_chosen, 0.1 * 3.5 / 2, 1e-15);
    assert_near(figures.rewards_rejected, 0.1 * 1 / 2, 1e-15);
    assert_near(figures.rewards_margin, 0.1 * 2.5 / 2, 1e-15);
    assert_true(figures.rewards_accuracy == 0.5 && figures.pairs == 4);
    const struct rl_figures none = rl_tally_figures(&(struct rl_tally){0});
    assert_true(none.pairs == 0 && isnan(none.rewards_chosen) && isnan(none.rewards_rejected));
    assert_true(isnan(none.rewards_margin) && isnan(none.rewards_accuracy));
}

/* What is left of a pair with nothing on one side teaches nothing, but for the KL term. */
static void half_a_pair_teaches_nothing(void **state)
{
    (void)state;
    static const int first[] = {0, 2, 3, 4, 5};
    static const double logp[] = {-1, -2, -3, -1, -1}, reference[] = {-2, -4, -2, -1.5, -3};
    for (int masked = 0; masked < 2; masked++) {
        const double weight[] = {masked, masked, 1 - masked, 1, 1};
        const struct rl_batch batch = {
            .sequences = 4, .first = first, .logp = logp, .reference = reference, .weight = weight};
        struct rl_totals totals = {0};
        struct rl_tally tally = {0};
        double slope[5];
        rl_totals_add(&totals, &batch);
        assert_true(totals.sequences == 3);
        struct objective_config config = dpo(PAIR_IPO, 0.1, 0);
        assert_ok(
            objective_grad(objective_find("online_dpo"), &config, &batch, &totals, slope, &tally));
        assert_true(tally.pairs == 1 && slope[0] == 0 && slope[1] == 0 && slope[2] == 0);
        assert_near(tally.loss, (0.5 - 2 - 5) * (0.5 - 2 - 5) * 2 / 3, 1e-13);
        assert_true(slope[3] == -slope[4] && slope[3] < 0);
        config.kl_coef = 1;
        assert_ok(
            objective_grad(objective_find("online_dpo"), &config, &batch, &totals, slope, &tally));
        assert_true((slope[0] != 0) == masked && (slope[2] != 0) == !masked);
    }
}

static void what_is_missing_or_senseless_is_named(void **state)
{
    (void)state;
    struct fixture f;
    struct rl_tally tally = {0}, untouched = {0};
    double slope[TOKENS_MAX] = {5};
    const struct objective *row = objective_find("online_dpo");
    struct objective_config config = row->defaults;
    random_fixture(1, &f);
    assert_true(objective_pairs(&config) && !objective_needs_behaviour(&config));
    assert_false(objective_pairs(&objective_find("rloo")->defaults));
    const struct rl_batch good = f.batch;
#define REFUSED(part)                                                                              \
    assert_err(ERR_INVALID, part, objective_grad(row, &config, &f.batch, &f.totals, slope, &tally))
    f.batch.reference = NULL;
    REFUSED("online_dpo needs the reference's logp");
    f.batch = good;
    f.batch.sequences = 3;
    REFUSED("online_dpo has 3 sequences; pairs of them are allowed");
    f.batch = good;
    config = dpo(PAIR_SIGMOID, 0, 0);
    REFUSED("online_dpo: beta is 0; more than 0 is allowed");
    config = dpo(PAIR_IPO, NAN, 0);
    REFUSED("beta is nan");
    config = dpo(PAIR_IPO, INFINITY, 0);
    REFUSED("beta is inf");
    config = dpo(PAIR_SIGMOID, 0.1, 0.5);
    REFUSED("label_smoothing is 0.5; 0 to less than 0.5 is allowed");
    config = dpo(PAIR_SIGMOID, 0.1, -0.1);
    REFUSED("label_smoothing is -0.1");
    config = dpo(PAIR_SIGMOID, 0.1, NAN);
    REFUSED("label_smoothing is nan");
    config = dpo(PAIR_HINGE, 0.1, 0.1);
    REFUSED("label_smoothing is 0.1; the hinge loss has none");
    config = dpo(PAIR_HINGE, 0.1, 0);
    config.gate = (struct gate_config){GATE_CLIP, 0.2, 0.2};
    REFUSED("no gate and no correction");
    config = row->defaults;
    f.totals = (struct rl_totals){0};
    REFUSED("totals are 0");
#undef REFUSED
    assert_true(slope[0] == 5);
    assert_memory_equal(&tally, &untouched, sizeof tally);
}

static void losses_have_the_names_of_the_recipe(void **state)
{
    (void)state;
    static const char *const names[] = {"none", "sigmoid", "hinge", "ipo"};
    for (int i = PAIR_SIGMOID; i <= PAIR_IPO; i++) {
        enum pair_loss found;
        assert_string_equal(pair_loss_name((enum pair_loss)i), names[i]);
        assert_true(pair_loss_find(names[i], &found));
        assert_int_equal(found, i);
    }
    enum pair_loss untouched = PAIR_IPO;
    assert_false(pair_loss_find("none", &untouched));
    assert_false(pair_loss_find("sigmoid_norm", &untouched));
    assert_int_equal(untouched, PAIR_IPO);
}

TESTS(cmocka_unit_test(every_vector_agrees_with_pytorch),
      cmocka_unit_test(slopes_agree_with_finite_differences),
      cmocka_unit_test(micro_batches_equal_the_large_batch_bit_for_bit),
      cmocka_unit_test(a_sigmoid_stays_exact_far_out),
      cmocka_unit_test(at_the_reference_a_pair_is_even),
      cmocka_unit_test(figures_are_means_over_the_pairs),
      cmocka_unit_test(half_a_pair_teaches_nothing),
      cmocka_unit_test(what_is_missing_or_senseless_is_named),
      cmocka_unit_test(losses_have_the_names_of_the_recipe))
