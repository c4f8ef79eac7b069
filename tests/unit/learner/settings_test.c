/* Every key of an objective reaches its field, and without keys an objective is what its row
 * says. */
#include "base/mem.h"
#include "base/scoped.h"
#include "learner/settings.h"
#include "svc/recipe/recipe_live.h"
#include "testing/testing.h"
#include <string.h>

static struct objective_config config_of(const char *text)
{
    SCOPED(recipe) recipe = NULL;
    const struct objective *objective = NULL;
    struct objective_config config = {0};
    assert_ok(recipe_parse(text, strlen(text), "ring.yaml", ".", NULL, &recipe));
    assert_ok(settings_objective(recipe, &objective, &config));
    assert_string_equal(objective->row.name, recipe->learner.objective);
    return config;
}

/* Numbers that a row leaves at 0, as nothing reads them, are the recipe's; the rest is the
 * row's. */
static void without_keys_an_objective_is_its_row(void **state)
{
    (void)state;
    const struct objective *objective;
    for (size_t i = 0; (objective = objective_at(i)); i++) {
        const bool proximal = objective->row.needs & COLUMN_BIT(COLUMN_PROXIMAL_LOGP);
        const bool rows = objective_terms(&objective->row, &objective->row.defaults) &
                          ROW_TERMS_OF_REFERENCE; // the reference is in the learner then
        SCOPED_MEM char *text =
            mem_printf("learner: {objective: %s, ratio_to: %s, reference: {kind: %s}}\n"
                       "rewarder: {reference: %s}\ngenerator: {greedy_baseline: %s}",
                       objective->row.name, proximal ? "proximal" : "behaviour",
                       rows ? "frozen" : "none", rows ? "none" : "frozen",
                       objective->row.defaults.advantage == ADVANTAGE_GREEDY ? "true" : "false");
        if (objective->row.data == DATA_MIXTURE)
            continue; // the recipe refuses it
        struct objective_config got = config_of(text);
        const struct objective_config *want = &objective->row.defaults;
        got.reduce_length = want->reduce_length;
        if (want->advantage_epsilon == 0)
            got.advantage_epsilon = 0;
        assert_memory_equal(&got, want, sizeof got);
    }
}

static void each_key_reaches_its_field(void **state)
{
    (void)state;
    struct objective_config c =
        config_of("learner:\n  advantage: batch_z\n  advantage_epsilon: 0.01\n  gate: clip\n"
                  "  epsilon: 0.1\n  epsilon_high: 0.3\n  delta: 4\n"
                  "  importance_sampling_level: geometric\n  reduction: const_norm\n"
                  "  reduction_length: 99\n  ratio_to: proximal\n"
                  "  correction: {kind: mis_seq, low: 0.5, high: 3}\n"
                  "  kl: {coef: 0.2, estimator: k3+}\nrewarder: {reference: frozen}\n");
    assert_true(c.advantage == ADVANTAGE_BATCH_Z && c.advantage_epsilon == 0.01);
    assert_true(c.gate.gate == GATE_CLIP && c.gate.epsilon_low == 0.1);
    assert_true(c.gate.epsilon_high == 0.3 && c.gate.dual == 4 && c.ratio == RATIO_GEOMETRIC);
    assert_true(c.reduce == REDUCE_CONST_NORM && c.reduce_length == 99);
    assert_true(c.correction.correction == CORRECTION_MIS_SEQ);
    assert_true(c.correction.low == 0.5 && c.correction.high == 3);
    assert_true(c.kl_coef == 0.2 && c.kl == KL_K3_PLUS);
    c = config_of("learner: {mask: {kind: outlier, high: 50}, behaviour_coef: 0.01, "
                  "nll: {coef: 0.1, above: 0.5}, ess_step: {rule: sqrt, base: 0.8}, "
                  "select: {kind: power, power: 3}, normalize_advantages: true}");
    assert_true(c.mask.mask == MASK_OUTLIER && c.mask.low == 1e-4 && c.mask.high == 50);
    assert_true(c.behaviour_coef == 0.01 && c.nll.coef == 0.1 && c.nll.above == 0.5);
    assert_true(c.step.rule == STEP_ROOT && c.step.base == 0.8 && c.whiten);
    assert_true(c.select.kind == SELECT_POWER && c.select.power == 3);
    c = config_of("learner: {objective: sapo, sapo: {temperature_pos: 2}}");
    assert_true(c.gate.temperature.pos == 2 && c.gate.temperature.neg == 1.05);
    c = config_of("learner: {gate: taper, importance_sampling_level: sequence, topr: {high: 2}}");
    assert_true(c.gate.gate == GATE_TAPER && c.gate.positive == 1 && c.gate.high == 2);
    c = config_of("learner: {objective: gspo}");
    assert_true(c.gate.epsilon_low == 3e-4 && c.gate.epsilon_high == 4e-4);
    c = config_of("learner: {objective: gspo, epsilon: 0.1}");
    assert_true(c.gate.epsilon_low == 0.1 && c.gate.epsilon_high == 0.1);
    c = config_of(
        "learner: {objective: ppo, ratio_to: proximal, ppo: {macro: 3, lambda_alpha: 0.1}}");
    assert_true(c.gae.macro == 3 && c.gae.lambda_alpha == 0.1 && c.gae.lambda == 0.95);
    c = config_of("learner: {gate: cap, cap: 5, importance_sampling_level: sequence, "
                  "reduction: const_norm}\ngenerator: {max_tokens: 77}");
    assert_true(c.gate.gate == GATE_CAP && c.gate.cap == 5 && c.ratio == RATIO_SEQUENCE);
    assert_true(c.reduce_length == 77); // TRL's: the longest completion
    c = config_of("learner: {objective: online_dpo, dpo: {beta: 0.3, loss_type: ipo}}\n"
                  "rewarder: {reference: frozen}");
    assert_true(c.pair.loss == PAIR_IPO && c.pair.beta == 0.3);
}

/* One that is set stays, whatever it followed. */
static void a_default_follows_its_key(void **)
{
    struct gate_config gate = config_of("learner: {epsilon: 0.3}").gate;
    assert_true(gate.epsilon_low == 0.3 && gate.epsilon_high == 0.3);
    gate = config_of("learner: {epsilon: 0.3, epsilon_high: 0.2}").gate;
    assert_true(gate.epsilon_low == 0.3 && gate.epsilon_high == 0.2);
    gate = config_of("learner: {epsilon: 0.1, epsilon_high: default}").gate;
    assert_true(gate.epsilon_high == 0.1);
    assert_int_equal(config_of("learner: {kl: {place: loss}}").kl, KL_K3);
    assert_int_equal(config_of("learner: {kl: {place: reward}}").kl, KL_K1);
    assert_int_equal(config_of("learner: {kl: {place: reward, estimator: k2}}").kl, KL_K2);
}

/* As `rlhfctl set` changes it. */
static struct gate_config gate_after(const struct recipe *from, const char *key, const char *value,
                                     struct recipe **ret)
{
    const struct objective *objective;
    struct objective_config config;
    assert_ok(recipe_change(from, &(struct recipe_assignment){key, value}, 1, ret));
    assert_ok(settings_objective(*ret, &objective, &config));
    return config.gate;
}

static void a_live_change_takes_the_default_along(void **)
{
    SCOPED(recipe) a = NULL, *b = NULL, *c = NULL, *d = NULL, *k1 = NULL, *none = NULL;
    static const char text[] = "learner: {kl: {estimator: k1}}\nrewarder: {reference: frozen}";
    assert_ok(recipe_parse("", 0, "ring.yaml", ".", NULL, &a));
    struct gate_config gate = gate_after(a, "learner.epsilon", "0.3", &b);
    assert_true(gate.epsilon_low == 0.3 && gate.epsilon_high == 0.3);
    gate = gate_after(b, "learner.epsilon_high", "0.28", &c);
    assert_true(gate.epsilon_low == 0.3 && gate.epsilon_high == 0.28);
    gate = gate_after(c, "learner.epsilon_high", "default", &d);
    assert_true(gate.epsilon_high == 0.3);
    assert_ok(recipe_parse(text, sizeof text - 1, "ring.yaml", ".", NULL, &k1));
    err_t e = recipe_change(k1, &(struct recipe_assignment){"learner.kl.coef", "0.1"}, 1, &none);
    assert_string_equal(err_field_name(e), "learner.kl.estimator");
    assert_err(ERR_INVALID, "with learner.kl.place: loss allowed: abs, k2, k3, k3+", e);
}

/* Ratios to behaviour correct by themselves; those to the round's first weights take the kind that
 * the recipe has by default. */
static void a_correction_goes_with_proximal_ratios(void **state)
{
    (void)state;
    assert_int_equal(config_of("").correction.correction, CORRECTION_NONE);
    const struct objective_config c = config_of("learner: {ratio_to: proximal}");
    assert_true(c.correction.correction == CORRECTION_TIS_TOKEN && c.correction.high == 2);
    assert_int_equal(
        config_of("learner: {ratio_to: proximal, objective: sft}").correction.correction,
        CORRECTION_NONE);
    assert_true(
        config_of("learner: {ratio_to: proximal, objective: decoupled_ppo}").correction.high == 5);
}

/* Recorded rounds hold the text: a round is trained again only where it is the same. */
static void a_learner_trains_repeatably(void **)
{
    const struct model_config config = config_default(37, 64, 48, 2, 4, 2, 96, true);
    SCOPED(backend) be = NULL;
    SCOPED(model) model = NULL;
    assert_ok(backend_open(NULL, &(struct backend_config){.threads = 1}, &be));
    assert_ok(settings_repeatable(be));
    assert_ok(model_new(be, &config, 3, &model));
    SCOPED_MEM char *recorded = settings_fingerprint(model, NULL);
    const struct digest layout = layout_digest(model->params->layout);
    char text[DIGEST_TEXT];
    SCOPED_MEM char *wanted =
        mem_printf("backend=cpu kernels=2 kv=fp32 layout=%s ranks=1", digest_text(&layout, text));
    assert_string_equal(recorded, wanted);
    model_free(STEAL(model));
    be->training = (struct numerics){NUMERICS_NONE, "backend=fast"};
    assert_err(ERR_INVALID, "(backend=fast) is not repeatable", settings_repeatable(be));
    be->training = (struct numerics){NUMERICS_INVARIANT, "backend=cuda arch=sm_90 devices=1"};
    assert_ok(settings_repeatable(be));
}

/* Words and numbers of preferences; LIVE ones are in live_test.c, too. */
static void keys_of_preferences_reach_their_fields(void **)
{
    struct objective_config c =
        config_of("learner: {objective: dpo, dpo: {loss_type: bco_pair, beta: 0.3, anchor: batch, "
                  "f_divergence_type: alpha_divergence, f_alpha_divergence_coef: 0.4}}\n"
                  "rewarder: {reference: frozen}");
    assert_true(c.pair.loss == PAIR_BCO && c.pair.beta == 0.3 && c.pair.anchor == ANCHOR_BATCH);
    assert_true(c.pair.score == SCORE_ALPHA_DIVERGENCE && c.pair.alpha == 0.4);
    c = config_of(
        "learner: {objective: dpo, dpo: {ld_alpha: 0.25}}\nrewarder: {reference: frozen}");
    assert_true(c.pair.score == SCORE_LENGTH && c.pair.alpha == 0.25);
    c = config_of("learner: {objective: cdpo, dpo: {loss_type: hinge}}\n"
                  "rewarder: {reference: frozen}");
    assert_true(c.pair.loss == PAIR_HINGE && c.pair.label_smoothing == 0);
    c = config_of("learner: {objective: kto, kto: {rule: threshold, threshold: -0.5, anchor: zero, "
                  "beta: 0.2, desirable_weight: 1.5, undesirable_weight: 0.5}}\n"
                  "rewarder: {reference: frozen}");
    assert_true(c.label.rule == LABELS_THRESHOLD && c.label.threshold == -0.5);
    assert_true(c.label.anchor == ANCHOR_ZERO && c.label.beta == 0.2);
    assert_true(c.label.desirable == 1.5 && c.label.undesirable == 0.5);
    c = config_of("learner: {objective: exo, listwise: {beta: 0.2, reward_beta: 3}}\n"
                  "rewarder: {reference: frozen}");
    assert_true(c.list.beta == 0.2 && c.list.reward_beta == 3);
    c = config_of("learner: {objective: rebel, residual: {beta: 0.5}}");
    assert_true(c.residual.beta == 0.5);
}

static void keys_without_a_score_for_them_are_refused(void **)
{
    static const struct {
        const char *learner, *want;
    } cases[] = {
        {"objective: dpo, dpo: {alpha: 0.3}",
         "learner.dpo.alpha: 0.3 goes with pairs whose score is alpha; here it is reverse_kl"},
        {"objective: simpo, dpo: {ld_alpha: 0.3}", "learner.dpo.ld_alpha: 0.3 goes with"},
        {"objective: simpo, dpo: {f_divergence_type: js_divergence}",
         "learner.dpo.f_divergence_type: 'js_divergence' goes with"},
        {"objective: f_dpo, dpo: {loss_type: ipo}", "the ipo loss is of reverse_kl alone"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        SCOPED(recipe) recipe = NULL;
        const struct objective *objective;
        struct objective_config config;
        SCOPED_MEM char *text =
            mem_printf("learner: {%s}\nrewarder: {reference: frozen}", cases[i].learner);
        assert_ok(recipe_parse(text, strlen(text), "ring.yaml", ".", NULL, &recipe));
        assert_err(ERR_INVALID, cases[i].want, settings_objective(recipe, &objective, &config));
    }
}

TESTS(cmocka_unit_test(keys_of_preferences_reach_their_fields),
      cmocka_unit_test(keys_without_a_score_for_them_are_refused),
      cmocka_unit_test(a_learner_trains_repeatably),
      cmocka_unit_test(without_keys_an_objective_is_its_row),
      cmocka_unit_test(each_key_reaches_its_field), cmocka_unit_test(a_default_follows_its_key),
      cmocka_unit_test(a_live_change_takes_the_default_along),
      cmocka_unit_test(a_correction_goes_with_proximal_ratios))
