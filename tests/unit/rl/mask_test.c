/* Losses of which tokens are masked after the divisors were counted: against NumPy
 * (tests/golden/masks.py), finite differences, and ranges of units. */
#include "base/json.h"
#include "base/scoped.h"
#include "unit/rl/update_kit.h"

static void read_numbers(const json_t *array, double *ret)
{
    size_t i;
    json_t *value;
    json_array_foreach (array, i, value)
        ret[i] = json_number_value(value);
}

static struct fixture inputs_of(const json_t *golden, const char *mask)
{
    const json_t *inputs = json_object_get(golden, "inputs"),
                 *length = json_object_get(inputs, "length");
    size_t tokens[SEQUENCES_MAX], count = json_array_size(length);
    for (size_t i = 0; i < count; i++)
        tokens[i] = (size_t)json_integer_value(json_array_get(length, i));
    struct fixture f = fixture_new(count, tokens);
    read_numbers(json_object_get(inputs, "logp"), f.logp);
    read_numbers(json_object_get(inputs, "old"), f.old);
    read_numbers(json_object_get(inputs, "old"), f.behaviour);
    read_numbers(json_object_get(inputs, "reference"), f.reference);
    read_numbers(json_object_get(inputs, "advantage"), f.advantage);
    f.weight = columns_add_weights(f.columns);
    read_numbers(json_object_get(inputs, "trained"), f.weight);
    double *masked = columns_add(f.columns, COLUMN_MASKED);
    read_numbers(json_object_get(json_object_get(golden, "masks"), mask), masked);
    for (size_t at = 0; at < tokens_of(&f); at++)
        masked[at] = masked[at] == 0; // the golden ones say what is left
    columns_mask(f.columns);
    f.totals = columns_totals(f.columns);
    return f;
}

#define CLIPPED(reduction, ...)                                                                    \
    {                                                                                              \
        .advantage = ADVANTAGE_LOO, .gate = {GATE_CLIP, 0.2, 0.2}, .reduce = (reduction),          \
        .reduce_length = 8, __VA_ARGS__                                                            \
    }
static const struct {
    const char *name, *row;
    struct objective_config config;
} vectors[] = {
    {"clip token_mean", "grpo", CLIPPED(REDUCE_TOKEN_MEAN)},
    {"clip seq_mean_token_mean", "grpo", CLIPPED(REDUCE_SEQ_MEAN_TOKEN_MEAN)},
    {"clip seq_mean_token_sum", "rloo", CLIPPED(REDUCE_SEQ_MEAN_TOKEN_SUM)},
    {"clip const_norm", "grpo", CLIPPED(REDUCE_CONST_NORM)},
    {"clip + .04 k3 token_mean", "grpo", CLIPPED(REDUCE_TOKEN_MEAN, .kl_coef = 0.04, .kl = KL_K3)},
    {"clip + .04 k3 seq_mean_token_mean", "grpo",
     CLIPPED(REDUCE_SEQ_MEAN_TOKEN_MEAN, .kl_coef = 0.04, .kl = KL_K3)},
    {"clip sequence", "rloo", CLIPPED(REDUCE_SEQ_MEAN_TOKEN_SUM, .ratio = RATIO_SEQUENCE)},
    {"clip sequence const_norm", "rloo", CLIPPED(REDUCE_CONST_NORM, .ratio = RATIO_SEQUENCE)},
    {"clip geometric", "rloo", CLIPPED(REDUCE_SEQ_MEAN_TOKEN_SUM, .ratio = RATIO_GEOMETRIC)},
    {"pairs",
     "online_dpo",
     {.reduce = REDUCE_SEQ_MEAN_TOKEN_SUM, .pair = {PAIR_SIGMOID, .beta = 0.1}}},
};
enum { VECTORS = sizeof vectors / sizeof *vectors };

static size_t vector_at(const char *name)
{
    size_t v = 0;
    while (v < VECTORS && strcmp(vectors[v].name, name) != 0)
        v++;
    assert_true(v < VECTORS);
    return v;
}

static void masked_losses_are_numpys(void **)
{
    SCOPED_JSON json_t *golden = NULL;
    assert_ok(json_read_file(TEST_GOLDEN "/masks.json", 1 << 20, &golden));
    const json_t *losses = json_object_get(golden, "losses");
    json_t *want;
    size_t i;
    assert_int_equal(json_array_size(losses), VECTORS * 3);
    json_array_foreach (losses, i, want) {
        const size_t v = vector_at(json_string_value(json_object_get(want, "name")));
        const char *mask = json_string_value(json_object_get(want, "mask"));
        SCOPED_VALUE(fixture) f = inputs_of(golden, mask);
        double slope[TOKENS_MAX], expected[TOKENS_MAX];
        const bool pairs = v == VECTORS - 1;
        if (pairs)
            fixture_units(&f, 2);
        read_numbers(json_object_get(want, "slope"), expected);
        // the same sums of some twenty doubles in another order
        assert_near(loss_at(vectors[v].row, &f, &vectors[v].config, slope),
                    json_number_value(json_object_get(want, "loss")), 1e-14);
        for (size_t t = 0; t < tokens_of(&f); t++) {
            assert_near(slope[t], expected[t], 1e-14);
            assert_true(f.weight[t] != 0 || slope[t] == 0);
        }
        assert_slopes(vectors[v].row, &f, &vectors[v].config);
        assert_parts_add_up(vectors[v].row, &f, &vectors[v].config, 1);
    }
}

/* What is masked changes no slope of what is left, where each token is a loss of its own. */
static void what_is_left_keeps_its_slopes(void **)
{
    static const enum reduce reduce[] = {REDUCE_TOKEN_MEAN, REDUCE_SEQ_MEAN_TOKEN_MEAN,
                                         REDUCE_SEQ_MEAN_TOKEN_SUM, REDUCE_CONST_NORM};
    for (size_t r = 0; r < 4; r++) {
        const struct objective_config config = CLIPPED(reduce[r]);
        SCOPED_VALUE(fixture) f = random_fixture(7 + r);
        double whole[TOKENS_MAX], masked[TOKENS_MAX];
        loss_at("grpo", &f, &config, whole);
        const struct rl_totals before = columns_totals(f.columns);
        columns_mask(f.columns); // without the column nothing happens
        assert_null(f.columns->at[COLUMN_COUNTED]);
        double *mask = columns_add(f.columns, COLUMN_MASKED);
        for (size_t t = 0; t < tokens_of(&f); t += 3)
            mask[t] = 1;
        columns_mask(f.columns);
        f.totals = columns_totals(f.columns);
        assert_true(f.totals.tokens == before.tokens && f.totals.sequences == before.sequences);
        loss_at("grpo", &f, &config, masked);
        for (size_t t = 0; t < tokens_of(&f); t++)
            assert_true(masked[t] == (t % 3 ? whole[t] : 0));
    }
}

TESTS(cmocka_unit_test(masked_losses_are_numpys), cmocka_unit_test(what_is_left_keeps_its_slopes))
