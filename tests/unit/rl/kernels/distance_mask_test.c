/* Masks of completions by their distance from those who drew them: which are left out, and that the
 * divisors count them all the same. */
#include "unit/rl/update_kit.h"

/* Three completions of two tokens, whose logp is so far from behaviour. */
static const double gap[3][2] = {{0.02, -0.02}, {0.3, 0.1}, {-1.5, 0.5}};

static struct fixture three(const double *advantage)
{
    struct fixture f = fixture_new(3, (size_t[]){2, 2, 2});
    columns_drop(f.columns, COLUMN_PROXIMAL_LOGP);
    for (size_t t = 0; t < 6; t++) {
        f.behaviour[t] = -2;
        f.logp[t] = -2 + gap[t / 2][t % 2];
    }
    memcpy(f.advantage, advantage, 3 * sizeof *advantage);
    return f;
}

/* kept: a bit for each completion that has a slope. */
static void assert_kept(struct mask_config mask, const double *advantage, unsigned kept)
{
    SCOPED_VALUE(fixture) f = three(advantage);
    struct objective_config config = objective_find("grpo")->row.defaults;
    struct rl_tally tally = {0}, whole = {0};
    double slope[6], all[6];
    config.gate.gate = GATE_CAP;
    assert_ok(grad_of("grpo", &config, &f, all_of(&f), all, &whole));
    config.mask = mask;
    assert_ok(grad_of("grpo", &config, &f, all_of(&f), slope, &tally));
    size_t left_out = 0;
    for (size_t t = 0; t < 6; t++) {
        const bool in = kept >> t / 2 & 1;
        assert_near(slope[t], in ? all[t] : 0, 0); // divided by three completions, whatever is left
        left_out += !in;
    }
    assert_near(rl_tally_figures(&tally).mask_frac, (double)left_out / 6, 1e-15);
    assert_near(rl_tally_figures(&whole).mask_frac, 0, 0);
}

static void completions_are_left_out_by_their_distance(void **)
{
    static const double up[] = {1, 1, 1}, down[] = {-1, -1, -1};
    assert_kept((struct mask_config){MASK_NONE}, up, 7);
    assert_kept((struct mask_config){MASK_GEO, 0.9, 1.1}, up, 1); // exp of 0, 0.2, -0.5
    assert_kept((struct mask_config){MASK_GEO, 0.6, 1.3}, up, 7);
    assert_kept((struct mask_config){MASK_K3, 0, 0.01}, up, 1); // of 0.3: 0.05 - 0.005 halved
    assert_kept((struct mask_config){MASK_K3, 0, 0.1}, up, 3);
    assert_kept((struct mask_config){MASK_OUTLIER, 0.5, 1.5}, up, 3); // exp(-1.5) = 0.22
    assert_kept((struct mask_config){MASK_OUTLIER, 0.2, 1.2}, up, 1);
    assert_kept((struct mask_config){MASK_OPSM, 0, 0.3}, down, 3); // 0.5 nats less likely now
    assert_kept((struct mask_config){MASK_OPSM, 0, 0.3}, up, 7);
}

/* With the round's first weights the distance is theirs, and OPSM's that of the weights trained. */
static void the_rounds_first_weights_decide_where_they_are_known(void **)
{
    static const double advantage[] = {-1, -1, -1};
    SCOPED_VALUE(fixture) f = three(advantage);
    double *proximal = columns_add(f.columns, COLUMN_PROXIMAL_LOGP), slope[6];
    for (size_t t = 0; t < 6; t++)
        proximal[t] = f.behaviour[t];
    struct objective_config config = objective_find("grpo")->row.defaults;
    struct rl_tally tally = {0}, other = {0};
    config.gate.gate = GATE_CAP;
    config.mask = (struct mask_config){MASK_GEO, 0.99, 1.01};
    assert_ok(grad_of("grpo", &config, &f, all_of(&f), slope, &tally));
    assert_near(rl_tally_figures(&tally).mask_frac, 0, 0);
    config.mask = (struct mask_config){MASK_OPSM, 0, 0.3};
    assert_ok(grad_of("grpo", &config, &f, all_of(&f), slope, &other));
    assert_near(rl_tally_figures(&other).mask_frac, 1.0 / 3, 1e-15);
}

TESTS(cmocka_unit_test(completions_are_left_out_by_their_distance),
      cmocka_unit_test(the_rounds_first_weights_decide_where_they_are_known))
