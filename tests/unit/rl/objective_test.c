#include "base/json.h"
#include "base/scoped.h"
#include "rl/objective.h"
#include "testing/testing.h"
#include "unit/rl/update_kit.h"
#include <math.h>
#include <string.h>

static void read_numbers(const json_t *array, double *ret)
{
    size_t i;
    json_t *value;
    json_array_foreach (array, i, value)
        ret[i] = json_number_value(value);
}

static struct fixture golden_inputs(const json_t *golden)
{
    const json_t *inputs = json_object_get(golden, "inputs"),
                 *length = json_object_get(inputs, "length");
    size_t tokens[SEQUENCES_MAX];
    for (size_t i = 0; i < json_array_size(length); i++)
        tokens[i] = (size_t)json_integer_value(json_array_get(length, i));
    struct fixture f = fixture_new(json_array_size(length), tokens);
    read_numbers(json_object_get(inputs, "logp"), f.logp);
    read_numbers(json_object_get(inputs, "old"), f.old);
    read_numbers(json_object_get(inputs, "behaviour"), f.behaviour);
    read_numbers(json_object_get(inputs, "reference"), f.reference);
    read_numbers(json_object_get(inputs, "advantage"), f.advantage);
    return f;
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
    {"abs token_mean", "sft", {.kl = KL_ABS}, .kl_only = true},
    {"k3+ token_mean", "sft", {.kl = KL_K3_PLUS}, .kl_only = true},
    {"clip sequence const_norm", "rloo", CLIPPED(REDUCE_CONST_NORM, .ratio = RATIO_SEQUENCE)},
    {"clip dual 1.1 sequence",
     "rloo",
     {.advantage = ADVANTAGE_LOO,
      .ratio = RATIO_SEQUENCE,
      .gate = {GATE_CLIP, 0.2, 0.2, .dual = 1.1},
      .reduce = REDUCE_SEQ_MEAN_TOKEN_SUM}},
    {"cap 1.05 sequence",
     "rloo",
     {.advantage = ADVANTAGE_LOO,
      .ratio = RATIO_SEQUENCE,
      .gate = {GATE_CAP, .cap = 1.05},
      .reduce = REDUCE_SEQ_MEAN_TOKEN_SUM}},
    {"cap 1.05 geometric",
     "rloo",
     {.advantage = ADVANTAGE_LOO,
      .ratio = RATIO_GEOMETRIC,
      .gate = {GATE_CAP, .cap = 1.05},
      .reduce = REDUCE_SEQ_MEAN_TOKEN_SUM}},
};
enum { VECTORS = sizeof vectors / sizeof *vectors };

static void prepare(const struct vector *vector, struct fixture *f, struct objective_config *ret)
{
    *ret = vector->config;
    if (vector->behaviour)
        columns_drop(f->columns, COLUMN_PROXIMAL_LOGP);
    if (vector->kl_only) { // advantages of 0 leave the KL term alone
        memset(f->advantage, 0, f->columns->sequences * sizeof *f->advantage);
        ret->kl_coef = 1;
    } else if (strcmp(vector->row, "sft") == 0)
        columns_drop(f->columns, COLUMN_ADVANTAGE);
}

static void every_vector_agrees_with_the_reference(void **state)
{
    (void)state;
    SCOPED_JSON json_t *golden = NULL;
    assert_ok(json_read_file(TEST_GOLDEN "/objectives.json", 1 << 20, &golden));
    const json_t *wanted = json_object_get(golden, "objectives");
    assert_int_equal(json_object_size(wanted), VECTORS);
    for (size_t v = 0; v < VECTORS; v++) {
        SCOPED_VALUE(fixture) f = golden_inputs(golden);
        struct objective_config config;
        struct rl_tally tally = {0};
        double slope[TOKENS_MAX], want[TOKENS_MAX];
        prepare(&vectors[v], &f, &config);
        const json_t *vector = json_object_get(wanted, vectors[v].name);
        assert_non_null(vector);
        assert_ok(grad_of(vectors[v].row, &config, &f, all_of(&f), slope, &tally));
        assert_near(rl_tally_figures(&tally).loss,
                    json_number_value(json_object_get(vector, "loss")), 1e-12);
        read_numbers(json_object_get(vector, "slope"), want);
        for (size_t t = 0; t < tokens_of(&f); t++)
            assert_near(slope[t], want[t], 1e-12);
    }
}

static void rows_are_the_vectors_they_are_named_for(void **state)
{
    (void)state;
    static const char *const same[][2] = {{"rloo", "clip seq_mean_token_sum"},
                                          {"grpo", "clip seq_mean_token_mean"},
                                          {OBJECTIVE_SUPERVISED, "sft token_mean"}};
    SCOPED_JSON json_t *golden = NULL;
    assert_ok(json_read_file(TEST_GOLDEN "/objectives.json", 1 << 20, &golden));
    for (size_t i = 0; i < 3; i++) {
        SCOPED_VALUE(fixture) f = golden_inputs(golden);
        struct rl_tally tally = {0};
        double slope[TOKENS_MAX], want[TOKENS_MAX];
        const struct objective *objective = objective_find(same[i][0]);
        if (!objective_is_policy(&objective->row))
            columns_drop(f.columns, COLUMN_ADVANTAGE);
        assert_ok(grad_of(same[i][0], &objective->row.defaults, &f, all_of(&f), slope, &tally));
        read_numbers(
            json_object_get(json_object_get(json_object_get(golden, "objectives"), same[i][1]),
                            "slope"),
            want);
        for (size_t t = 0; t < tokens_of(&f); t++)
            assert_near(slope[t], want[t], 1e-12);
    }
}

static void slopes_agree_with_finite_differences(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++)
        for (size_t v = 0; v < VECTORS; v++) {
            SCOPED_VALUE(fixture) f = random_fixture(seed);
            struct objective_config config;
            prepare(&vectors[v], &f, &config);
            if (config.ratio != RATIO_TOKEN)
                continue; // weights that a whole ratio does not know
            config.kl_coef = 0.3;
            config.kl = (enum kl)(seed % (KL_K3 + 1));
            assert_slopes(vectors[v].row, &f, &config);
        }
}

/* The same for ratios of whole sequences; a correction of single tokens is no part of that. */
static void sequence_slopes_agree_with_finite_differences(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++) {
        SCOPED_VALUE(fixture) f = random_fixture(seed);
        const struct objective_config config = {
            .advantage = ADVANTAGE_LOO,
            .ratio = seed & 1 ? RATIO_SEQUENCE : RATIO_GEOMETRIC,
            .gate = CLIP(0.2, 0.28),
            .reduce = (enum reduce)(seed / 2 % 4),
            .reduce_length = 5,
            .correction = {seed % 3 ? CORRECTION_NONE : CORRECTION_TIS_SEQ, 0, 1}};
        assert_slopes("rloo", &f, &config);
    }
}

static void ranges_of_an_update_add_up_to_the_same_bits(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++)
        for (size_t v = 0; v < VECTORS; v++) {
            SCOPED_VALUE(fixture) f = random_fixture(seed);
            struct objective_config config;
            prepare(&vectors[v], &f, &config);
            assert_parts_add_up(vectors[v].row, &f, &config, 1);
        }
}

TESTS(cmocka_unit_test(every_vector_agrees_with_the_reference),
      cmocka_unit_test(rows_are_the_vectors_they_are_named_for),
      cmocka_unit_test(slopes_agree_with_finite_differences),
      cmocka_unit_test(sequence_slopes_agree_with_finite_differences),
      cmocka_unit_test(ranges_of_an_update_add_up_to_the_same_bits))
