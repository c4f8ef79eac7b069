/* Terms of whole rows of the vocabulary: one row against finite differences in its logits, and each
 * objective's slopes of terms against finite differences in their columns. */
#include "base/mem.h"
#include "rl/row_value.h"
#include "unit/rl/update_kit.h"

enum { V = 7 };

static struct row_ask random_ask(uint64_t seed, double *z, double *reference)
{
    const struct rng rng = rng_keyed(seed, RNG_TEST, 9, 0);
    for (size_t v = 0; v < V; v++) {
        z[v] = 2 * rng_normal(&rng, v);
        reference[v] = 2 * rng_normal(&rng, 100 + v);
    }
    if (seed % 3 == 0)
        z[4] = reference[4] = -INFINITY;
    return (struct row_ask){.z = z,
                            .reference = reference,
                            .width = V,
                            .token = seed % 4,
                            .rival = -1,
                            .scale = 0.7,
                            .beta = 0.3};
}

static double quantity(const struct row_ask *ask, int term)
{
    struct row_value value;
    row_value(ask, &value);
    return term < 0 ? value.logp : value.at[term];
}

/* term -1: the token's log-probability. */
static void check_row(struct row_ask ask, double *z, int term)
{
    const double h = 1e-6;
    double slope[ROW_TERMS] = {0}, dz[V];
    struct row_value value;
    row_value(&ask, &value);
    ask.rival = (int64_t)value.rival; // the same for both sides
    if (term >= 0)
        slope[term] = 1;
    row_slope(&ask, &value, term < 0, slope, dz);
    for (size_t v = 0; v < V; v++) {
        const double z0 = z[v];
        z[v] = z0 + h;
        const double up = quantity(&ask, term);
        z[v] = z0 - h;
        const double down = quantity(&ask, term);
        z[v] = z0;
        assert_near(dz[v], (up - down) / (2 * h), 1e-8);
    }
}

static void slopes_of_a_row_agree_with_finite_differences(void **)
{
    double z[V], reference[V];
    for (uint64_t seed = 0; seed < 12; seed++)
        for (int term = -1; term < ROW_TERMS; term++)
            check_row(random_ask(seed, z, reference), z, term);
}

static void equal_rows_have_no_distance(void **)
{
    double z[V], reference[V];
    struct row_value value;
    struct row_ask ask = random_ask(1, z, reference);
    ask.reference = z;
    row_value(&ask, &value);
    assert_near(value.at[ROW_FORWARD_KL], 0, 1e-15);
    assert_near(value.at[ROW_REVERSE_KL], 0, 1e-15);
    assert_near(value.at[ROW_JSD], 0, 1e-15);
}

/* A token that one of the two never draws is as far away as the limit says, not further. */
static void distances_are_finite(void **)
{
    double z[] = {0, 0, -INFINITY}, q[] = {0, -INFINITY, 0}, dz[3], slope[ROW_TERMS];
    struct row_ask ask = {
        .z = z, .reference = q, .width = 3, .token = 0, .rival = -1, .scale = 1, .beta = 0.5};
    struct row_value value;
    row_value(&ask, &value);
    assert_near(value.at[ROW_FORWARD_KL], 0.5 * ROW_DISTANCE_MAX, 1e-12);
    assert_near(value.at[ROW_REVERSE_KL], 0.5 * ROW_DISTANCE_MAX, 1e-12);
    assert_near(value.at[ROW_JSD], 0.5 * log(2), 1e-12); // half of each is shared
    for (int k = 0; k < ROW_TERMS; k++)
        slope[k] = 1;
    row_slope(&ask, &value, 1, slope, dz);
    for (size_t v = 0; v < 3; v++)
        assert_true(isfinite(dz[v]));
}

static void a_row_of_one_token_has_no_rival(void **)
{
    double z[] = {-INFINITY, 1}, dz[2];
    const double slope[ROW_TERMS] = {[ROW_RIVAL_LOGP] = 1};
    struct row_ask ask = {.z = z, .width = 1, .token = 0, .rival = -1, .scale = 1};
    struct row_value value;
    ask.z = z + 1;
    row_value(&ask, &value);
    assert_int_equal(value.rival, 1);
    row_slope(&ask, &value, 1, slope, dz);
    assert_true(dz[0] == 0);
}

/* ---- objectives */

static struct fixture update_of(const struct objective *objective, uint64_t needs, uint64_t seed)
{
    static const size_t tokens[] = {3, 5, 4, 2};
    const struct rng rng = rng_keyed(seed, RNG_TEST, 8, 0);
    struct fixture f = {.columns = columns_new(4, tokens)};
    uint64_t draw = 0;
    if (objective->row.unit == OBJECTIVE_PAIR)
        fixture_units(&f, 2);
    if (objective->row.unit == OBJECTIVE_GROUP)
        fixture_units(&f, 4);
    for (unsigned id = 0; id < COLUMNS; id++) {
        if (!(needs & COLUMN_BIT(id)))
            continue;
        double *at = columns_add(f.columns, id);
        const size_t count = column_row(id)->unit == UNIT_TOKEN ? 14 : 4;
        for (size_t i = 0; i < count; i++)
            at[i] = column_row(id)->unit == UNIT_TOKEN ? -1 - rng_uniform(&rng, draw++)
                                                       : (double)(i % 2) * 2 - 1;
    }
    f.totals = columns_totals(f.columns);
    return f;
}

/* Every slope of a term that is there is the loss's. A difference of losses has their rounding,
 * over h: some 1e-11 of a loss. */
static void check_terms(const struct objective *objective, const struct objective_config *config)
{
    const char *name = objective->row.name;
    const double h = 1e-5;
    double slope[TOKENS_MAX], unused[TOKENS_MAX], kept[TOKENS_MAX];
    const unsigned terms = objective_terms(&objective->row, config);
    const uint64_t needs = objective_needs(objective, config) | COLUMN_BIT(COLUMN_LOGP) |
                           objective_term_columns(terms);
    for (int k = 0; k < ROW_TERMS; k++) {
        SCOPED_VALUE(fixture) f = update_of(objective, needs, (uint64_t)k);
        double *at = f.columns->at[row_term_column((enum row_term)k)];
        loss_at(name, &f, config, slope);
        memcpy(kept, row_slopes[k], sizeof kept);
        for (size_t t = 0; terms >> k & 1 && t < tokens_of(&f); t++) {
            at[t] += h;
            const double up = loss_at(name, &f, config, unused);
            at[t] -= 2 * h;
            const double down = loss_at(name, &f, config, unused);
            at[t] += h;
            const bool chosen = t < 3 || (t >= 8 && t < 12),
                       constant = k == ROW_FORWARD_KL && config->tdpo.beta > 0 &&
                                  !config->tdpo.through_chosen && chosen;
            if (!constant) // TDPO2's chosen one
                assert_near(kept[t], (up - down) / (2 * h), 1e-8 + 1e-10 * fabs(up));
        }
    }
}

static void slopes_of_terms_agree_with_finite_differences(void **)
{
    const struct objective *objective;
    for (size_t i = 0; (objective = objective_at(i)); i++)
        for (int distance = -1; distance <= DISTANCE_JSD; distance++) {
            struct objective_config config = objective->row.defaults;
            if (objective_is_reward(&objective->row))
                continue; // has no rows
            if (distance >= 0)
                config.rows = (struct row_config){.entropy_coef = 0.2,
                                                  .distance = (enum distance)distance,
                                                  .coef = 0.4,
                                                  .beta = 0.3};
            check_terms(objective, &config);
        }
}

static void what_an_entropy_bonus_adds(void **)
{
    const struct objective *sft = objective_find("sft");
    struct objective_config config = sft->row.defaults;
    double slope[TOKENS_MAX];
    SCOPED_VALUE(fixture)
    f = update_of(sft, COLUMN_BIT(COLUMN_LOGP) | COLUMN_BIT(COLUMN_ENTROPY), 1);
    const double without = loss_at("sft", &f, &config, slope);
    config.rows.entropy_coef = 0.5;
    const double with = loss_at("sft", &f, &config, slope);
    double mean = 0;
    for (size_t t = 0; t < 14; t++) {
        mean += f.columns->at[COLUMN_ENTROPY][t] / 14;
        assert_near(row_slopes[ROW_ENTROPY][t], -0.5 / 14, 1e-15);
    }
    assert_near(with - without, -0.5 * mean, 1e-14);
}

static void slopes_without_a_place_are_refused(void **)
{
    const struct objective *sft = objective_find("sft");
    struct objective_config config = sft->row.defaults;
    struct rl_tally tally = {0};
    double slope[TOKENS_MAX];
    config.rows.entropy_coef = 0.5;
    SCOPED_VALUE(fixture)
    f = update_of(sft, COLUMN_BIT(COLUMN_LOGP) | COLUMN_BIT(COLUMN_ENTROPY), 1);
    assert_err(ERR_INVALID, "slopes of entropy have no place",
               objective_grad(sft, &config, f.columns, all_of(&f), &f.totals,
                              &(struct rl_slopes){.logp = slope}, &tally));
    config.rows = (struct row_config){.distance = DISTANCE_JSD, .coef = 1, .beta = 1};
    assert_err(ERR_INVALID, "between 0 and 1", objective_check(sft, &config));
}

TESTS(cmocka_unit_test(slopes_of_a_row_agree_with_finite_differences),
      cmocka_unit_test(equal_rows_have_no_distance), cmocka_unit_test(distances_are_finite),
      cmocka_unit_test(a_row_of_one_token_has_no_rival),
      cmocka_unit_test(slopes_of_terms_agree_with_finite_differences),
      cmocka_unit_test(what_an_entropy_bonus_adds),
      cmocka_unit_test(slopes_without_a_place_are_refused))
