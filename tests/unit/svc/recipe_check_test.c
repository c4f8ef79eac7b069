/* Values, and pairs of values, that begin a run which cannot work: refused where they are
 * written. */
#include "base/mem.h"
#include "svc/recipe/recipe.h"
#include "svc/recipe/recipe_place.h"
#include "testing/testing.h"
#include <string.h>

static err_t parse(const char *text, struct recipe **ret)
{
    return recipe_parse(text, strlen(text), "ring.yaml", ".", NULL, ret);
}

static err_t refuse(const char *text)
{
    SCOPED(recipe) recipe = NULL;
    err_t e = parse(text, &recipe);
    if (!err_failed(e))
        print_error("accepted: %s\n", text);
    return e;
}

static err_t refuse_set(const char *set)
{
    SCOPED(recipe) recipe = NULL;
    struct recipe_source source = {.sets = &set, .sets_count = 1};
    err_t e = recipe_parse("", 0, "ring.yaml", ".", &source, &recipe);
    if (!err_failed(e))
        print_error("accepted: --set %s\n", set);
    return e;
}

struct bad {
    const char *text, *message;
};

static void assert_all_refused(const struct bad *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_err(ERR_INVALID, cases[i].message, refuse(cases[i].text));
}

static void whole_numbers_are_exact_decimal_and_plain(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        {"run: {seed: 9007199254740993}", "run.seed: '9007199254740993' is out of range"},
        {"run: {seed: 9223372036854775807}", "is out of range"},
        {"run: {seed: 18446744073709551617}", "is out of range"}, // 2^64 + 1
        {"run: {seed: -9223372036854775809}", "is out of range"},
        {"replay: {min_free_bytes: 1125899906842625}", "is out of range"}, // 2^50 + 1
        {"run: {rounds: 007}", "'007' begins with 0: octal to some readers of YAML"},
        {"run: {rounds: 010}", "'010' begins with 0"},
        {"run: {rounds: -07}", "'-07' begins with 0"},
        {"run: {rounds: 0o17}", "is not a whole number"},
        {"run: {rounds: 0x10}", "is not a whole number"},
        {"run: {rounds: 1_000}", "is not a whole number"},
        {"run: {rounds: 1e3}", "is not a whole number"},
        {"run: {rounds: 5.0}", "is not a whole number"},
        {"run: {rounds: +5}", "is not a whole number"},
        {"run: {rounds: 1:30}", "is not a whole number"},
        {"learner: {epsilon: 00.2}", "'00.2' begins with 0"},
    };
    assert_all_refused(cases, sizeof cases / sizeof *cases);
    SCOPED(recipe) r = NULL;
    assert_ok(parse("run: {seed: 9007199254740991, rounds: 0}\ndata: {epochs: 1}", &r));
    assert_true(r->run.seed == INT64_C(9007199254740991));
}

static void numbers_are_finite_and_not_too_near_to_0(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        {"learner: {epsilon: nan}", "is not a number"},
        {"learner: {epsilon: .nan}", "is not a number"},
        {"learner: {epsilon_high: .inf}", "is not a number"},
        {"learner: {epsilon_high: -.INF}", "is not a number"},
        {"learner: {epsilon_high: 1e999}", "is not a number"},
        {"learner: {optimizer: {betas: [0.9, .nan]}}", "'.nan' is not a number"},
        {"rewarder: {scorers: [{kind: length, max: 1, weight: nan}]}",
         "rewarder.scorers[0].weight: 'nan' is not a number"},
        {"rewarder: {scorers: [{kind: length, max: 1, success: -inf}]}", "is not a number"},
        {"learner: {optimizer: {lr: 1e-310}}", "'1e-310' is too near to 0"},
        {"learner: {optimizer: {lr: 1e-999}}", "'1e-999' is too near to 0"},
        {"learner: {optimizer: {eps: 1e-40}}", "'1e-40' is too near to 0"},
        {"learner: {optimizer: {betas: [0.9, 0.9999999999]}}",
         "'0.9999999999' is the upper limit in single precision"},
        {"generator: {top_p: 1e-50}", "'1e-50' is too near to 0"},
        {"generator: {temperature: 1e-6}", "allowed: a number from 0.001 to 100"},
        {"generator: {temperature: 0.0009}", "allowed: a number from 0.001 to 100"},
        {"generator: {repetition_penalty: 1e-30}", "allowed: a number from 0.01 to 100"},
        {"\neval: {temperature: 0.0001}",
         "ring.yaml:2: eval.temperature: 0.0001 is too low; allowed: 0"},
    };
    assert_all_refused(cases, sizeof cases / sizeof *cases);
    assert_err(ERR_INVALID, "--set: learner.epsilon: 'nan'", refuse_set("learner.epsilon=nan"));
    assert_err(ERR_INVALID, "--set: rewarder.scorers[0].weight: 'inf'",
               refuse_set("rewarder.scorers=[{kind: length, max: 1, weight: inf}]"));
    assert_err(ERR_INVALID, "--set: eval.temperature", refuse_set("eval.temperature=1e-9"));
    SCOPED(recipe) r = NULL;
    assert_ok(parse("learner: {optimizer: {weight_decay: 0e-400, lr: 1e-30}}\n"
                    "generator: {temperature: 0.001}\neval: {temperature: 0.001}",
                    &r));
}

static void words_that_are_no_values(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        {"net: {insecure: yes}", "'yes' is not a flag; allowed: true, false"},
        {"net: {insecure: on}", "'on' is not a flag"},
        {"net: {insecure: True}", "'True' is not a flag"},
        {"net: {insecure: 1}", "'1' is not a flag"},
        {"net: {insecure: \"true\"}", "is quoted, and so is text"},
        {"lag: {max: ~}", "lag.max: has no value"},
        {"generator: {stop: null}", "generator.stop: has no value; allowed: a list"},
        {"rewarder: {scorers: ~}", "rewarder.scorers: has no value; allowed: a list"},
        {"learner: {optimizer: {betas: }}", "learner.optimizer.betas: has no value"},
        {"rewarder: {scorers: {kind: exact}}", "rewarder.scorers: is a map; allowed: a list"},
        {"generator: {stop: [a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a]}", "'a list of 17' is too long"},
        {"lag: {<<: {max: 1}}", "ring.yaml:1: merge keys (<<) are not allowed"},
        {"run:\n\tseed: 1\n", "ring.yaml:2: not YAML: a tab indents the line"},
        {"run:\n  name: x\n \tseed: 1\n", "ring.yaml:3: not YAML: a tab indents the line"},
        {"\xff\xfer\0u\0n\0", "ring.yaml: is UTF-16; allowed: UTF-8"},
    };
    assert_all_refused(cases, sizeof cases / sizeof *cases);
    assert_err(ERR_INVALID,
               "--set: learner.optimizer.betas:", refuse_set("learner.optimizer.betas=[0.9"));
}

static void a_byte_order_mark_and_windows_line_ends_are_nothing(void **state)
{
    (void)state;
    SCOPED(recipe) r = NULL, *empty = NULL;
    assert_ok(parse("\xef\xbb\xbfrun: {name: x}\r\nlag:\r\n  max: 3\r\n", &r));
    assert_string_equal(r->run.name, "x");
    assert_int_equal(r->lag.max, 3);
    assert_ok(parse("\xef\xbb\xbf", &empty));
    assert_err(ERR_INVALID, "ring.yaml:2: lag.mx: no such key",
               refuse("\xef\xbb\xbf\nlag: {mx: 1}"));
}

static void values_that_do_not_go_together(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        {"generator:\n  num_generations: 4\n  slots: 2\n",
         "ring.yaml:3: generator.slots: 2 is too few; one group needs generator.num_generations = 4"},
        {"generator: {max_tokens: 8}\nlearner: {reward: {overlong_buffer: 9}}",
         "learner.reward.overlong_buffer: 9 is too many; it ends at generator.max_tokens = 8 "},
        {"learner: {reward: {overlong_buffer: 9, overlong_length: 7}}",
         "it ends at learner.reward.overlong_length = 7 tokens, and is no longer than that"},
        {"learner:\n  kl: {target: 5}\n",
         "ring.yaml:2: learner.kl.target: 5 steers learner.kl.coef, which is 0"},
        {"learner: {correction: {low: 3, high: 2}}",
         "learner.correction.low: 3 is above learner.correction.high = 2"},
        {"learner: {dpo: {loss_type: ipo, label_smoothing: 0.1}}",
         "learner.dpo.label_smoothing: 0.1 goes with learner.dpo.loss_type: sigmoid, "},
        {"rewarder: {scorers: [{kind: exact, weight: 0}, {kind: exact, weight: -0.0}]}",
         "rewarder.scorers: every weight is 0"},
        {"generator: {learner: 'host:0'}", "generator.learner: 'host:0' has port 0"},
        {"generator: {rewarder: '127.0.0.1:0'}", "generator.rewarder: '127.0.0.1:0' has port 0"},
        {"rewarder: {learner: '127.0.0.1:0'}", "rewarder.learner: '127.0.0.1:0' has port 0"},
        {"\ngenerator: {address: nowhere}", "ring.yaml:2: generator.address: 'nowhere': no port"},
    };
    assert_all_refused(cases, sizeof cases / sizeof *cases);
    SCOPED(recipe) r = NULL;
    assert_ok(parse("learner: {kl: {target: 5, coef: 0.1}}\nrewarder: {reference: frozen}", &r));
}

/* At the key, with what is allowed: by the rows of rl's tables. */
static void keys_that_the_objective_cannot_use(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        {"learner:\n  objective: sft\n  gate: clip\n",
         "ring.yaml:3: learner.gate: clip goes with objectives that have advantages or pairs (rlhfctl objectives list); with "
         "sft allowed: default"},
        {"learner: {objective: ppo, critic: {model: shared, path: rm}}",
         "learner.critic.path: 'rm' goes with learner.critic.model: separate; with shared leave it out"},
        {"run: {rounds: 8}\nlearner: {objective: ppo, critic: {warmup_rounds: 8}}",
         "learner.critic.warmup_rounds: 8 of run.rounds 8 leave none that trains the policy; allowed: fewer"},
        {"learner: {advantage: gae}",
         "learner.advantage: gae goes with an objective that has a critic; with rloo allowed: any other"},
        {"learner:\n  objective: ppo\n  ratio_to: proximal\n  advantage: loo\n",
         "ring.yaml:4: learner.advantage: loo goes with an objective that has no critic; with ppo allowed: gae"},
        {"learner: {objective: ppo, ratio_to: proximal, correction: {kind: mis_seq}}",
         "learner.correction.kind: ppo weighs a token once, by learner.ppo.rho_bar"},
        {"learner: {objective: ppo, ratio_to: proximal, correction: {high: 3}}",
         "learner.correction.high: ppo weighs a token once, by learner.ppo.rho_bar"},
        {"learner: {objective: ppo, ratio_to: proximal}\ngenerator: {top_p: 0.9}",
         "generator.top_p: ppo weighs a token by its probability in the model's whole distribution, which it must be "
         "drawn from; allowed: 1.0"},
        {"learner: {objective: ppo, ratio_to: proximal}\ngenerator: {top_k: 50}",
         "generator.top_k: ppo weighs"},
        {"learner: {objective: ppo, ratio_to: proximal, importance_sampling_level: sequence}",
         "learner.importance_sampling_level: sequence is of whole completions, and ppo has an advantage for each token"},
        {"learner: {kl: {coef: 0.1, place: reward, logp: proximal}}\nrewarder: {reference: frozen}",
         "learner.kl.logp: proximal needs proximal_logp"},
        {"learner: {objective: online_dpo, advantage: loo}\nrewarder: {reference: frozen}",
         "learner.advantage: loo goes with objectives that have advantages (rlhfctl objectives list); with online_dpo "
         "allowed: default"},
        {"learner: {objective: online_dpo, gate: clip, importance_sampling_level: sequence}\nrewarder: {reference: "
         "frozen}",
         "learner.importance_sampling_level: sequence goes with objectives that have advantages"},
        {"learner: {objective: online_dpo, gate: clip, delta: 2}\nrewarder: {reference: frozen}",
         "learner.delta: 2 goes with objectives that have advantages (rlhfctl objectives list); with online_dpo allowed: 0"},
        {"learner: {objective: sft, importance_sampling_level: token}",
         "learner.importance_sampling_level: token goes with"},
        {"learner: {objective: sft, delta: 3}", "learner.delta: 3 goes with"},
        {"learner: {objective: sft, ratio_to: proximal, correction: {kind: geo_mask}}",
         "learner.correction.kind: geo_mask goes with"},
        {"learner: {gate: cap, delta: 3}",
         "learner.delta: 3 goes with learner.gate: clip; with cap allowed: 0"},
        {"learner: {delta: 0.5}", "learner.delta: 0.5 is below 1; allowed: 0, no limit, or from 1"},
        {"learner: {gate: none, importance_sampling_level: geometric}",
         "learner.importance_sampling_level: geometric is of a ratio, and learner.gate: none has none"},
        {"learner: {reduction_length: 9}",
         "learner.reduction_length: 9 goes with learner.reduction: const_norm; with "
         "seq_mean_token_sum allowed: 0"},
        {"learner: {correction: {kind: mis_seq}}",
         "learner.correction.kind: mis_seq needs proximal_logp, the log-probability of the token under "
         "the weights that the round began with; set learner.ratio_to: proximal, or kind to none"},
        {"learner: {objective: online_dpo}",
         "learner.objective: online_dpo needs reference_logp, the log-probability of the token under "
         "the frozen reference model; set rewarder.reference: frozen"},
        {"learner: {objective: nash_md}\nrewarder: {reference: frozen}",
         "learner.objective: nash_md trains completions and their opponents, which the reference draws, or a mixture "
         "with it: no generator does; allowed: any other"},
        {"learner: {objective: aipo, ratio_to: proximal}",
         "learner.ratio_to: proximal has no effect: aipo takes ratios to those that drew the token; allowed: behaviour"},
        {"learner: {objective: remax}",
         "generator.greedy_baseline: false; remax compares completions with a greedy one: true is allowed"},
        {"generator: {greedy_baseline: true}",
         "generator.greedy_baseline: true goes with learner.advantage: greedy; with loo allowed: false"},
        {"learner: {objective: m2po}", "learner.objective: m2po needs proximal_logp"},
        {"learner: {mask: {kind: m2}}", "learner.mask.kind: m2 needs proximal_logp"},
        {"learner: {advantage: ess}", "learner.advantage: ess needs proximal_logp"},
        {"learner: {objective: sft, mask: {kind: geo}}", "learner.mask.kind: geo goes with"},
        {"learner: {objective: sft, nll: {coef: 1}}", "learner.nll.coef: 1 goes with"},
        {"learner: {objective: sft, select: {kind: best}}",
         "learner.select.kind: best goes with objectives that train completions by their rewards"},
        {"learner: {gate: clips}", "'clips' is not known, did you mean 'clip'?"},
        {"learner: {advantage: none}",
         "allowed: default, gae, raw, ema, to_go, loo, group_mean, group_z, batch_z, opo"},
        {"generator: {num_generations: 1}",
         "generator.num_generations: 1 is too few; learner.objective rloo compares"},
        {"generator: {num_generations: 1}\nlearner: {objective: grpo, advantage: batch_z}",
         "learner.objective grpo compares completions"},
        {"learner:\n  kl: {coef: 0.1,\n       estimator: k1}\nrewarder: {reference: frozen}",
         "ring.yaml:3: learner.kl.estimator: k1 in the loss has the same slope for each token, whatever "
         "the reference says: on average it pulls nowhere; with learner.kl.place: loss allowed: abs, k2, "
         "k3, k3+, k1+, score, k3_unbiased (k1 goes with place: reward)"},
        {"learner: {kl: {coef: 0.1, place: reward, estimator: k3+}}\nrewarder: {reference: frozen}",
         "learner.kl.estimator: k3+ differs by its slope alone, and a reward has none; with "
         "learner.kl.place: reward allowed: k1, abs, k2, k3"},
    };
    assert_all_refused(cases, sizeof cases / sizeof *cases);
    static const char *const good[] = {
        "learner: {kl: {coef: 0.1, place: reward, estimator: k1}}\nrewarder: {reference: frozen}",
        "learner: {kl: {estimator: k1}}", // without a coef it is no term
        "generator: {num_generations: 1}\nlearner: {objective: sft}",
        "generator: {num_generations: 1}\nlearner: {advantage: raw}",
        "learner: {ratio_to: proximal, correction: {kind: mis_seq}}",
        "learner: {correction: {kind: none}}",
        "learner: {objective: grpo, advantage: group_mean, reduction: const_norm, reduction_length: 9}",
        "learner: {objective: online_dpo, gate: cap, cap: 1}\nrewarder: {reference: frozen}",
        "learner: {gate: cap, cap: 5, importance_sampling_level: sequence}",
        "learner: {delta: 1.5, importance_sampling_level: geometric, kl: {estimator: k3+}}",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        SCOPED(recipe) r = NULL;
        assert_ok(parse(good[i], &r));
    }
}

static void what_an_adapter_cannot_have(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        {"lora: {r: 8, dropout: 0.05}",
         "ring.yaml:1: lora.dropout: 0.05 would give the learner other "
         "log-probabilities than the generator has"},
        {"lora: {r: 2000}", "lora.r: '2000' is out of range"},
        {"lora: {r: 8, alpha: 0}", "lora.alpha: '0' is out of range"},
        {"lora: {path: a, target_modules: [q_proj]}",
         "lora.target_modules: goes with a new adapter"},
        {"sft: {lora: true}", "sft.lora: true needs lora.r above 0, or lora.path"},
        {"lora: {r: 8}\nmodel: {path: m}\nsft: {lora: true}",
         "sft.output: 'm' is model.path, and sft.lora writes an adapter"},
        {"lora: {lora_alpha: 8}", "lora.alpha"},
    };
    SCOPED(recipe) recipe = NULL;
    assert_all_refused(cases, sizeof cases / sizeof *cases);
    assert_ok(
        parse("lora: {r: 8, target_modules: all-linear}\nlearner: {kl: {coef: 0.1}}", &recipe));
}

static void places_are_where_a_value_was_written(void **state)
{
    (void)state;
    static const char text[] = "rewarder:\n  scorers:\n    - kind: exact\n      column: a\n"
                               "    - kind: regex\n      pattern: x\nlag: {max: 1}\n";
    const char *sets[] = {"learner.kl={coef: 0}", "run.rounds=3"};
    struct recipe_source source = {.sets = sets, .sets_count = 2};
    SCOPED(recipe) r = NULL;
    assert_ok(recipe_parse(text, strlen(text), "ring.yaml", ".", &source, &r));
    static const struct {
        const char *key, *place;
    } cases[] = {
        {"rewarder.scorers[1].pattern", "ring.yaml:6: rewarder.scorers[1].pattern: no"},
        {"rewarder.scorers[1]", "ring.yaml:5: rewarder.scorers[1]: no"},
        {"rewarder.scorers[1].column", "ring.yaml:5: "},
        {"rewarder.scorers[7].column", "ring.yaml:1: "},
        {"lag.max", "ring.yaml:7: lag.max: no"},
        {"learner.kl.coef", "--set: learner.kl.coef: no"},
        {"run.rounds", "--set: run.rounds: no"},
        {"model.path", "ring.yaml: model.path: no"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_err(ERR_RANGE, cases[i].place,
                   recipe_place(r, cases[i].key, err_new(ERR_RANGE, "no")));
    assert_true(recipe_is_set_on_line(r, "learner.kl.target"));
    assert_false(recipe_is_set_on_line(r, "learner.klx"));
    assert_ok(recipe_place(r, "lag.max", OK));
}

static void gpus_are_numbers(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        {"\ngenerator: {device: auto}", "ring.yaml:2: generator.device: 'auto' is no list of GPUs"},
        {"generator: {device: '0, 1'}",
         "allowed: at most 64 numbers from 0 to 1023 between commas"},
        {"generator: {device: 1024}", "'1024' is no list of GPUs"},
        {"learner: {device: '0,1'}", "learner.device: '0,1'"}};
    assert_all_refused(cases, sizeof cases / sizeof *cases);
    SCOPED(recipe) one = NULL;
    SCOPED(recipe) two = NULL;
    assert_ok(parse("generator: {device: 3}", &one));
    assert_string_equal(one->generator.device, "3");
    assert_ok(parse("generator: {count: 2, device: '0,1'}", &two));
    assert_string_equal(two->generator.device, "0,1");
}

/* The rewarder sees raw rewards, and must choose the learner's pair or all. */
static void rewards_that_are_shaped_may_make_another_pair(void **)
{
    static const struct {
        const char *text;
        bool pairs;
    } cases[] = {{"learner: {objective: online_dpo}", true},
                 {"learner: {objective: rloo}", false},
                 {"learner: {objective: online_dpo, reward: {bias: 1}}", false},
                 {"learner: {objective: online_dpo, reward: {clip: 1}}", false},
                 {"learner: {objective: online_dpo, reward: {normalize: std}}", false},
                 {"learner: {objective: online_dpo, reward: {missing_eos: replace}}", false},
                 {"learner: {objective: online_dpo, reward: {squash: sigmoid}}", false},
                 {"learner: {objective: online_dpo, reward: {length_penalty: 0.1}}", false},
                 {"learner: {objective: online_dpo, reward: {overlong_buffer: 4}}", false},
                 {"learner: {objective: online_dpo, reward: {repeat_ngram: 3}}", false},
                 {"learner: {objective: online_dpo, reward: {repeat_penalty: 3}}", true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        SCOPED(recipe) recipe = NULL;
        SCOPED_MEM char *text = mem_printf("rewarder: {reference: frozen}\n%s", cases[i].text);
        assert_ok(parse(text, &recipe));
        assert_int_equal(recipe_refers_to_pairs(recipe), cases[i].pairs);
    }
}

TESTS(cmocka_unit_test(gpus_are_numbers),
      cmocka_unit_test(rewards_that_are_shaped_may_make_another_pair),
      cmocka_unit_test(whole_numbers_are_exact_decimal_and_plain),
      cmocka_unit_test(numbers_are_finite_and_not_too_near_to_0),
      cmocka_unit_test(words_that_are_no_values),
      cmocka_unit_test(a_byte_order_mark_and_windows_line_ends_are_nothing),
      cmocka_unit_test(values_that_do_not_go_together),
      cmocka_unit_test(keys_that_the_objective_cannot_use),
      cmocka_unit_test(what_an_adapter_cannot_have),
      cmocka_unit_test(places_are_where_a_value_was_written))
