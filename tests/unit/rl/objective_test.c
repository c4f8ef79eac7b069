#include "base/json.h"
#include "base/rng.h"
#include "base/scoped.h"
#include "rl/objective.h"
#include "testing/testing.h"
#include <math.h>
#include <string.h>

enum { TOKENS_MAX = 64, SEQUENCES_MAX = 8 };

/* A batch with its arrays; masks and weights only where asked for. */
struct fixture {
    struct rl_batch batch;
    struct rl_totals totals;
    int first[SEQUENCES_MAX + 1];
    double logp[TOKENS_MAX], old[TOKENS_MAX], behaviour[TOKENS_MAX], reference[TOKENS_MAX];
    double weight[TOKENS_MAX], advantage[SEQUENCES_MAX];
};

static int tokens_of(const struct fixture *f)
{
    return f->first[f->batch.sequences];
}

static void link_arrays(struct fixture *f)
{
    f->batch.first = f->first;
    f->batch.logp = f->logp;
    f->batch.old = f->old;
    f->batch.behaviour = f->behaviour;
    f->batch.reference = f->reference;
    f->batch.advantage = f->advantage;
    f->totals = (struct rl_totals){0};
    rl_totals_add(&f->totals, &f->batch);
}

static void read_numbers(const json_t *array, double *ret)
{
    size_t i;
    json_t *value;
    json_array_foreach (array, i, value)
        ret[i] = json_number_value(value);
}

static void golden_inputs(const json_t *golden, struct fixture *ret)
{
    const json_t *inputs = json_object_get(golden, "inputs"),
                 *length = json_object_get(inputs, "length");
    *ret = (struct fixture){.batch.sequences = (int)json_array_size(length)};
    for (int i = 0; i < ret->batch.sequences; i++)
        ret->first[i + 1] =
            ret->first[i] + (int)json_integer_value(json_array_get(length, (size_t)i));
    read_numbers(json_object_get(inputs, "logp"), ret->logp);
    read_numbers(json_object_get(inputs, "old"), ret->old);
    read_numbers(json_object_get(inputs, "behaviour"), ret->behaviour);
    read_numbers(json_object_get(inputs, "reference"), ret->reference);
    read_numbers(json_object_get(inputs, "advantage"), ret->advantage);
    link_arrays(ret);
}

/* The settings of each vector, as changes to a row. */
struct vector {
    const char *name, *row;
    struct objective_config config;
    bool behaviour; // ratios to behaviour: no old
    bool kl_only;   // only the KL term, with coefficient 1
};
#define CLIP(low, high)                                                                            \
    {                                                                                              \
        .gate = GATE_CLIP, .epsilon_low = (low), .epsilon_high = (high)                            \
    }
#define CLIPPED(reduction, ...)                                                                    \
    {                                                                                              \
        .advantage = ADVANTAGE_LOO, .gate = CLIP(0.2, 0.2), .reduce = (reduction),                 \
        .reduce_length = 8, __VA_ARGS__                                                            \
    }
static const struct vector vectors[] = {
    {"sft token_mean", "sft", {.gate = {GATE_NONE}}},
    {"reinforce seq_mean_token_sum",
     "rloo",
     {.advantage = ADVANTAGE_LOO, .reduce = REDUCE_SEQ_MEAN_TOKEN_SUM}},
    {"clip token_mean", "grpo", CLIPPED(REDUCE_TOKEN_MEAN)},
    {"clip .2 .28 token_mean", "grpo", {.advantage = ADVANTAGE_LOO, .gate = CLIP(0.2, 0.28)}},
    {"clip dual 1.3 token_mean",
     "grpo",
     {.advantage = ADVANTAGE_LOO, .gate = {GATE_CLIP, 0.2, 0.2, .dual = 1.3}}},
    {"clip seq_mean_token_mean", "grpo", CLIPPED(REDUCE_SEQ_MEAN_TOKEN_MEAN)},
    {"clip seq_mean_token_sum", "rloo", CLIPPED(REDUCE_SEQ_MEAN_TOKEN_SUM)},
    {"clip const_norm", "grpo", CLIPPED(REDUCE_CONST_NORM)},
    {"clip behaviour token_mean", "grpo", CLIPPED(REDUCE_TOKEN_MEAN), .behaviour = true},
    {"clip + .04 k3 seq_mean_token_mean", "grpo",
     CLIPPED(REDUCE_SEQ_MEAN_TOKEN_MEAN, .kl_coef = 0.04, .kl = KL_K3)},
    {"clip sequence", "rloo", CLIPPED(REDUCE_SEQ_MEAN_TOKEN_SUM, .ratio = RATIO_SEQUENCE)},
    {"clip geometric .05 .06",
     "grpo",
     {.advantage = ADVANTAGE_LOO,
      .ratio = RATIO_GEOMETRIC,
      .gate = CLIP(0.05, 0.06),
      .reduce = REDUCE_SEQ_MEAN_TOKEN_MEAN}},
    {"cap 1.28 token_mean", "rloo", {.advantage = ADVANTAGE_LOO, .gate = {GATE_CAP, .cap = 1.28}}},
    {"cap 1.1 behaviour token_mean",
     "rloo",
     {.advantage = ADVANTAGE_LOO, .gate = {GATE_CAP, .cap = 1.1}},
     .behaviour = true},
    {"tis_token 2 clip token_mean", "grpo",
     CLIPPED(REDUCE_TOKEN_MEAN, .correction = {CORRECTION_TIS_TOKEN, 0, 2})},
    {"tis_token 1.02 clip token_mean", "grpo",
     CLIPPED(REDUCE_TOKEN_MEAN, .correction = {CORRECTION_TIS_TOKEN, 0, 1.02})},
    {"tis_token inf clip token_mean", "grpo",
     CLIPPED(REDUCE_TOKEN_MEAN, .correction = {CORRECTION_TIS_TOKEN, 0, INFINITY})},
    {"mis_token .95 1.05 clip token_mean", "grpo",
     CLIPPED(REDUCE_TOKEN_MEAN, .correction = {CORRECTION_MIS_TOKEN, 0.95, 1.05})},
    {"tis_seq 1.02 clip token_mean", "grpo",
     CLIPPED(REDUCE_TOKEN_MEAN, .correction = {CORRECTION_TIS_SEQ, 0, 1.02})},
    {"mis_seq .9 1.1 clip token_mean", "grpo",
     CLIPPED(REDUCE_TOKEN_MEAN, .correction = {CORRECTION_MIS_SEQ, 0.9, 1.1})},
    {"geo_mask .99 1.01 clip token_mean", "grpo",
     CLIPPED(REDUCE_TOKEN_MEAN, .correction = {CORRECTION_GEO_MASK, 0.99, 1.01})},
    {"k1 token_mean", "sft", {.kl = KL_K1}, .kl_only = true},
    {"k2 token_mean", "sft", {.kl = KL_K2}, .kl_only = true},
    {"k3 token_mean", "sft", {.kl = KL_K3}, .kl_only = true},
};
enum { VECTORS = sizeof vectors / sizeof *vectors };

static void prepare(const struct vector *vector, struct fixture *f, struct objective_config *ret)
{
    *ret = vector->config;
    if (vector->behaviour)
        f->batch.old = NULL;
    if (strcmp(vector->row, "sft") == 0)
        f->batch.advantage = NULL;
    if (vector->kl_only) { // advantages of 0 leave the KL term alone
        memset(f->advantage, 0, sizeof f->advantage);
        f->batch.advantage = f->advantage;
        ret->kl_coef = 1;
    }
}

static void every_vector_agrees_with_the_reference(void **state)
{
    (void)state;
    SCOPED_JSON json_t *golden = NULL;
    assert_ok(json_read_file(TEST_GOLDEN "/objectives.json", 1 << 20, &golden));
    const json_t *wanted = json_object_get(golden, "objectives");
    assert_int_equal(json_object_size(wanted), VECTORS);
    for (size_t v = 0; v < VECTORS; v++) {
        struct fixture f;
        struct objective_config config;
        struct rl_tally tally = {0};
        double slope[TOKENS_MAX], want[TOKENS_MAX];
        golden_inputs(golden, &f);
        prepare(&vectors[v], &f, &config);
        const json_t *vector = json_object_get(wanted, vectors[v].name);
        assert_non_null(vector);
        assert_ok(objective_grad(objective_find(vectors[v].row), &config, &f.batch, &f.totals,
                                 slope, &tally));
        assert_near(rl_tally_figures(&tally).loss,
                    json_number_value(json_object_get(vector, "loss")), 1e-12);
        read_numbers(json_object_get(vector, "slope"), want);
        for (int t = 0; t < tokens_of(&f); t++)
            assert_near(slope[t], want[t], 1e-12);
    }
}

static void rows_are_the_vectors_they_are_named_for(void **state)
{
    (void)state;
    static const char *const same[][2] = {{"sft", "sft token_mean"},
                                          {"rloo", "clip seq_mean_token_sum"},
                                          {"grpo", "clip seq_mean_token_mean"}};
    SCOPED_JSON json_t *golden = NULL;
    assert_ok(json_read_file(TEST_GOLDEN "/objectives.json", 1 << 20, &golden));
    for (size_t i = 0; i < 3; i++) {
        struct fixture f;
        struct rl_tally tally = {0};
        double slope[TOKENS_MAX], want[TOKENS_MAX];
        golden_inputs(golden, &f);
        if (i == 0)
            f.batch.advantage = NULL;
        const struct objective *objective = objective_find(same[i][0]);
        assert_ptr_equal(objective, objective_at(i));
        assert_ok(
            objective_grad(objective, &objective->defaults, &f.batch, &f.totals, slope, &tally));
        read_numbers(
            json_object_get(json_object_get(json_object_get(golden, "objectives"), same[i][1]),
                            "slope"),
            want);
        for (int t = 0; t < tokens_of(&f); t++)
            assert_near(slope[t], want[t], 1e-12);
    }
    assert_null(objective_find("rlooo"));
    assert_null(objective_at(4));
}

/* Sequences of 1 to 8 tokens, a quarter of them masked, weights of 1 and 0.3; nothing nearer than 1e-4 to a kink matters,
 * as a draw on one has probability 0. */
static void random_fixture(uint64_t seed, struct fixture *ret)
{
    const struct rng rng = rng_keyed(seed, RNG_TEST, 2, 0);
    uint64_t draw = 0;
    *ret = (struct fixture){.batch.sequences = 2 + (int)rng_below(&rng, draw++, 5)};
    for (int i = 0; i < ret->batch.sequences; i++) {
        ret->first[i + 1] = ret->first[i] + 1 + (int)rng_below(&rng, draw++, 8);
        ret->advantage[i] = rng_normal(&rng, draw++);
    }
    for (int t = 0; t < tokens_of(ret); t++) {
        ret->reference[t] = -3 * rng_uniform(&rng, draw++);
        ret->behaviour[t] = ret->reference[t] + 0.3 * rng_normal(&rng, draw++);
        ret->old[t] = ret->behaviour[t] + 0.1 * rng_normal(&rng, draw++);
        ret->logp[t] = ret->old[t] + 0.2 * rng_normal(&rng, draw++);
        ret->weight[t] = rng_below(&rng, draw++, 4) ? (rng_below(&rng, draw++, 2) ? 1 : 0.3) : 0;
    }
    ret->batch.weight = ret->weight;
    link_arrays(ret);
}

static double loss_at(const struct vector *vector, struct fixture *f,
                      const struct objective_config *config, double *slope)
{
    struct rl_tally tally = {0};
    assert_ok(
        objective_grad(objective_find(vector->row), config, &f->batch, &f->totals, slope, &tally));
    return tally.loss;
}

static void slopes_agree_with_finite_differences(void **state)
{
    (void)state;
    const double h = 1e-6;
    for (uint64_t seed = 0; seed < 20; seed++)
        for (size_t v = 0; v < VECTORS; v++) {
            struct fixture f;
            struct objective_config config;
            double slope[TOKENS_MAX], unused[TOKENS_MAX];
            random_fixture(seed, &f);
            prepare(&vectors[v], &f, &config);
            if (config.gate.gate == GATE_CAP || config.ratio != RATIO_TOKEN)
                continue; // constants that finite differences would move; weights that a whole ratio does not know
            config.kl_coef = 0.3;
            config.kl = (enum kl)(seed % (KL_K3 + 1));
            loss_at(&vectors[v], &f, &config, slope);
            for (int t = 0; t < tokens_of(&f); t++) {
                const double at = f.logp[t];
                f.logp[t] = at + h;
                const double up = loss_at(&vectors[v], &f, &config, unused);
                f.logp[t] = at - h;
                const double down = loss_at(&vectors[v], &f, &config, unused);
                f.logp[t] = at;
                assert_near(slope[t], (up - down) / (2 * h), 1e-8); // O(h^2) and rounding / h
            }
        }
}

/* The same for ratios of whole sequences; a correction of single tokens is no part of that. */
static void sequence_slopes_agree_with_finite_differences(void **state)
{
    (void)state;
    const double h = 1e-6;
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct fixture f;
        double slope[TOKENS_MAX], unused[TOKENS_MAX];
        random_fixture(seed, &f);
        const struct vector vector = {.row = "rloo"};
        const struct objective_config config = {
            .advantage = ADVANTAGE_LOO,
            .ratio = seed & 1 ? RATIO_SEQUENCE : RATIO_GEOMETRIC,
            .gate = CLIP(0.2, 0.28),
            .reduce = (enum reduce)(seed / 2 % 4),
            .reduce_length = 5,
            .correction = {seed % 3 ? CORRECTION_NONE : CORRECTION_TIS_SEQ, 0, 1}};
        loss_at(&vector, &f, &config, slope);
        for (int t = 0; t < tokens_of(&f); t++) {
            const double at = f.logp[t];
            f.logp[t] = at + h;
            const double up = loss_at(&vector, &f, &config, unused);
            f.logp[t] = at - h;
            const double down = loss_at(&vector, &f, &config, unused);
            f.logp[t] = at;
            assert_near(slope[t], (up - down) / (2 * h), 1e-8);
        }
    }
}

static void micro_batches_equal_the_large_batch_bit_for_bit(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++)
        for (size_t v = 0; v < VECTORS; v++) {
            struct fixture f;
            struct objective_config config;
            struct rl_tally whole = {0}, parts = {0};
            double slope[TOKENS_MAX], part[TOKENS_MAX];
            random_fixture(seed, &f);
            prepare(&vectors[v], &f, &config);
            const struct objective *objective = objective_find(vectors[v].row);
            assert_ok(objective_grad(objective, &config, &f.batch, &f.totals, slope, &whole));
            for (int i = 0; i < f.batch.sequences; i++) {
                struct rl_batch one = f.batch;
                one.sequences = 1;
                one.first = f.first + i; // offsets stay those of the whole arrays
                if (one.advantage)
                    one.advantage += i;
                assert_ok(objective_grad(objective, &config, &one, &f.totals, part, &parts));
            }
            assert_memory_equal(slope, part, sizeof *slope * (size_t)tokens_of(&f));
            assert_memory_equal(&whole, &parts, sizeof whole);
        }
}

static void on_policy_the_ratio_is_exactly_one(void **state)
{
    (void)state;
    struct fixture f;
    struct rl_tally tally = {0};
    double slope[TOKENS_MAX], plain[TOKENS_MAX];
    random_fixture(4, &f);
    f.batch.weight = NULL;
    memcpy(f.logp, f.behaviour, sizeof f.logp);
    f.batch.old = NULL;
    link_arrays(&f);
    f.batch.old = NULL;
    const struct objective *objective = objective_find("rloo");
    struct objective_config config = objective->defaults;
    assert_ok(objective_grad(objective, &config, &f.batch, &f.totals, slope, &tally));
    struct rl_figures figures = rl_tally_figures(&tally);
    assert_true(figures.ess == 1 && figures.weight_max == 1 && figures.clip_frac == 0);
    assert_true(figures.kl_behaviour == 0 && figures.kl_behaviour_k3 == 0);
    config.gate.gate = GATE_NONE;
    assert_ok(objective_grad(objective, &config, &f.batch, &f.totals, plain, &tally));
    assert_memory_equal(slope, plain, sizeof *slope * (size_t)tokens_of(&f)); // plain REINFORCE
    for (int i = 0; i < f.batch.sequences; i++)
        for (int t = f.first[i]; t < f.first[i + 1]; t++)
            assert_near(slope[t], -f.advantage[i] / f.batch.sequences, 1e-15);
}

static void masked_tokens_count_nowhere(void **state)
{
    (void)state;
    static const int all_first[] = {0, 3, 5, 6}, kept_first[] = {0, 2, 3};
    static const double all[] = {-1, -2, -3, -4, -5, -6}, weight[] = {1, 0, 1, 0, 0, 1};
    static const double all_old[] = {-1.1, -9, -2.9, -9, -9, -6.1}, advantage[] = {1, 7, -2};
    static const double kept[] = {-1, -3, -6}, kept_old[] = {-1.1, -2.9, -6.1},
                        kept_advantage[] = {1, -2};
    struct rl_batch masked = {3, all_first, all, all_old, NULL, all_old, weight, advantage, NULL};
    struct rl_batch without = {2,        kept_first, kept,           kept_old, NULL,
                               kept_old, NULL,       kept_advantage, NULL};
    struct rl_totals a = {0}, b = {0};
    rl_totals_add(&a, &masked);
    rl_totals_add(&b, &without);
    assert_true(a.tokens == 3 && a.sequences == 2 && b.tokens == 3 && b.sequences == 2);
    for (int ratio = RATIO_TOKEN; ratio <= RATIO_GEOMETRIC; ratio++)
        for (int reduce = REDUCE_TOKEN_MEAN; reduce <= REDUCE_CONST_NORM; reduce++) {
            struct objective_config config = objective_find("grpo")->defaults;
            double got[6], want[3];
            struct rl_tally x = {0}, y = {0};
            config.ratio = (enum ratio)ratio;
            config.reduce = (enum reduce)reduce;
            config.reduce_length = 4;
            config.kl_coef = 0.1;
            assert_ok(objective_grad(objective_find("grpo"), &config, &masked, &a, got, &x));
            assert_ok(objective_grad(objective_find("grpo"), &config, &without, &b, want, &y));
            assert_memory_equal(&x, &y, sizeof x);
            assert_true(got[0] == want[0] && got[2] == want[1] && got[5] == want[2]);
            assert_true(got[1] == 0 && got[3] == 0 && got[4] == 0);
        }
}

static void a_clipped_token_gets_no_slope(void **state)
{
    (void)state;
    const struct gate_config clip = CLIP(0.2, 0.3);
    static const struct {
        double advantage, ratio, loss, slope;
        bool clipped;
    } cases[] = {
        {1, 1.1, -1.1, -1.1, false}, {1, 1.4, -1.3, 0, true}, {1, 0.5, -0.5, -0.5, false},
        {-1, 1.4, 1.4, 1.4, false},  {-1, 0.5, 0.8, 0, true}, {-1, 0.9, 0.9, 0.9, false},
        {0, 2, 0, 0, false},         {-2, 0.7, 1.6, 0, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct gate_value v = gate_at(&clip, cases[i].advantage, log(cases[i].ratio), -1);
        assert_near(v.loss, cases[i].loss, 1e-15);
        assert_near(v.slope, cases[i].slope, 1e-15);
        assert_int_equal(v.clipped, cases[i].clipped);
    }
    struct gate_value far = gate_at(&clip, -1, 500, -1);
    assert_true(isfinite(far.loss) && far.slope == 0);
    far = gate_at(&(struct gate_config){GATE_CAP, .cap = 2}, -1, 500, -3);
    assert_true(far.loss == -6 && far.slope == 2 && far.clipped);
}

static void figures_count_what_is_clipped_and_how_far_it_is(void **state)
{
    (void)state;
    static const int first[] = {0, 2};
    static const double logp[] = {-1, -1}, behaviour[] = {-1.5, -0.9}, advantage[] = {1};
    const struct rl_batch batch = {.sequences = 1,
                                   .first = first,
                                   .logp = logp,
                                   .behaviour = behaviour,
                                   .advantage = advantage};
    const struct rl_totals totals = {2, 1};
    struct rl_tally tally = {0}, twice = {0};
    double slope[2];
    const struct objective *grpo = objective_find("grpo");
    assert_ok(objective_grad(grpo, &grpo->defaults, &batch, &totals, slope, &tally));
    struct rl_figures figures = rl_tally_figures(&tally);
    const double up = exp(0.5), down = exp(-0.1);
    assert_near(figures.clip_frac, 0.5, 0);
    assert_near(figures.kl_behaviour, -0.2, 1e-15);
    assert_near(figures.kl_behaviour_k3, (up - 1 - 0.5 + down - 1 + 0.1) / 2, 1e-15);
    assert_near(figures.ess, (up + down) * (up + down) / (2 * (up * up + down * down)), 1e-15);
    assert_near(figures.weight_max, up, 1e-15);
    assert_true(isnan(figures.kl_reference));
    rl_tally_add(&twice, &tally);
    rl_tally_add(&twice, &tally);
    assert_near(rl_tally_figures(&twice).ess, figures.ess, 1e-15);
    assert_near(rl_tally_figures(&twice).loss, 2 * figures.loss, 1e-15);
    assert_true(isnan(rl_tally_figures(&(struct rl_tally){0}).ess));
}

static void what_is_missing_or_senseless_is_named(void **state)
{
    (void)state;
    struct fixture f;
    struct rl_tally tally = {0}, untouched = {0};
    double slope[TOKENS_MAX] = {5};
    const struct objective *rloo = objective_find("rloo");
    random_fixture(1, &f);
    const struct rl_batch good = f.batch;
#define REFUSED(part)                                                                              \
    assert_err(ERR_INVALID, part, objective_grad(rloo, &config, &f.batch, &f.totals, slope, &tally))
    struct objective_config config = rloo->defaults;
    f.batch.advantage = NULL;
    REFUSED("rloo needs advantages");
    f.batch = good;
    f.batch.old = f.batch.behaviour = NULL;
    REFUSED("rloo needs the logp of the weights that sampled");
    f.batch = good;
    f.batch.old = NULL;
    config.correction = (struct correction_config){CORRECTION_TIS_TOKEN, 0, 2};
    REFUSED("needs both old and behaviour");
    config = rloo->defaults;
    f.batch = good;
    f.batch.reference = NULL;
    config.kl_coef = 0.1;
    REFUSED("needs the reference's logp");
    config.kl_coef = NAN;
    REFUSED("rloo: kl_coef is");
    config = rloo->defaults;
    config.gate.epsilon_low = 1.5;
    REFUSED("epsilon_low is 1.5; 0 to 1 is allowed");
    config = rloo->defaults;
    config.reduce = REDUCE_CONST_NORM;
    REFUSED("reduce_length is 0");
    config = rloo->defaults;
    config.ratio = RATIO_SEQUENCE;
    f.batch.token_advantage = f.logp;
    REFUSED("takes one advantage for each");
    f.batch = good;
    f.totals = (struct rl_totals){0};
    REFUSED("totals are 0");
#undef REFUSED
    assert_true(slope[0] == 5);
    assert_memory_equal(&tally, &untouched, sizeof tally);
}

static void estimators_have_names_and_stay_finite(void **state)
{
    (void)state;
    for (int i = KL_K1; i <= KL_K3_PLUS; i++) {
        enum kl found;
        assert_true(kl_find(kl_name((enum kl)i), &found));
        assert_int_equal(found, i);
        assert_true(isfinite(kl_at(found, -1e9).value) && kl_at(found, -1e9).slope == 0);
        assert_true(kl_at(found, 0).value == 0);
    }
    enum kl none = KL_K2;
    assert_false(kl_find("k4", &none));
    static const double logp[] = {-1, -2, -3}, reference[] = {-1.5, -2.25, 0}, weight[] = {1, 1, 0};
    assert_near(kl_sum(KL_K1, logp, reference, weight, 3), 0.75, 1e-15);
    assert_near(kl_sum(KL_K1, logp, reference, NULL, 3), -2.25, 1e-15);
}

TESTS(cmocka_unit_test(every_vector_agrees_with_the_reference),
      cmocka_unit_test(rows_are_the_vectors_they_are_named_for),
      cmocka_unit_test(slopes_agree_with_finite_differences),
      cmocka_unit_test(sequence_slopes_agree_with_finite_differences),
      cmocka_unit_test(micro_batches_equal_the_large_batch_bit_for_bit),
      cmocka_unit_test(on_policy_the_ratio_is_exactly_one),
      cmocka_unit_test(masked_tokens_count_nowhere),
      cmocka_unit_test(a_clipped_token_gets_no_slope),
      cmocka_unit_test(figures_count_what_is_clipped_and_how_far_it_is),
      cmocka_unit_test(what_is_missing_or_senseless_is_named),
      cmocka_unit_test(estimators_have_names_and_stay_finite))
