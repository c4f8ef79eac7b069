/* What an objective's row says of the recipe: which keys it can use, and which values its columns
 * need elsewhere. */
#include "svc/recipe/recipe_objective.h"
#include "base/mem.h"
#include "rl/column_table.h"
#include "rl/objective_table.h"
#include "svc/recipe/recipe_default.h"
#include "svc/recipe/recipe_lora.h"
#include "svc/recipe/recipe_options.h"
#include "svc/recipe/recipe_place.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define AS_THE_OBJECTIVE_HAS_IT "default"

/* ---- columns */

static bool has_default(const struct recipe *r, const char *key)
{
    size_t base;
    return recipe_has(r, key, option_at(key, &base)->value);
}

/* Of a number; there are several ways to write one. */
static bool has_default_number(const struct recipe *r, const char *key)
{
    size_t base;
    SCOPED_MEM char *text = NULL;
    err_free(recipe_get(r, key, &text)); // the key is one of the table
    return text && strtod(text, NULL) == strtod(option_at(key, &base)->value, NULL);
}

/* The learner does what that stage of the rewarder would. */
static bool fills_itself(const struct recipe *r, const struct column_row *column)
{
    return strcmp(column->key, "rewarder.reference") == 0 && recipe_refers_itself(r);
}

/* Each column of `needs` that nobody fills without a setting: that key must have that value. `who`,
 * written at key, needs them; otherwise: what else would help. */
static err_t check_columns(const struct recipe *r, const char *key, const char *who, uint64_t needs,
                           const char *otherwise)
{
    for (unsigned id = 0; id < COLUMNS; id++) {
        const struct column_row *column = needs & COLUMN_BIT(id) ? column_row(id) : NULL;
        if (!column || !*column->key || fills_itself(r, column))
            continue;
        if (!recipe_has(r, column->key, column->value))
            return recipe_wrong(r, key, "%s needs %s, the %s; set %s: %s%s", who, column->name,
                                column->help, column->key, column->value, otherwise);
    }
    return OK;
}

static err_t check_needs(const struct recipe *r)
{
    const struct recipe_kl *kl = &r->learner.kl;
    SCOPED_MEM char *coef = mem_printf("%g", kl->coef);
    TRY(check_columns(r, "learner.kl.coef", coef, kl->coef > 0 ? NEEDS_OF_KL : 0,
                      ", or coef to 0"));
    const struct objective_row *row = objective_row(r->learner.objective);
    uint64_t needs = row->needs;
    if (objective_has_critic(row)) // a pass fills it, whatever ratios are taken to
        needs &= ~COLUMN_BIT(COLUMN_PROXIMAL_LOGP);
    return check_columns(r, "learner.objective", row->name, needs, "");
}

static err_t check_completions(const struct recipe *r)
{
    const struct objective_row *objective = objective_row(r->learner.objective);
    enum advantage advantage = objective->defaults.advantage;
    advantage_find(r->learner.advantage, &advantage);
    if (r->generator.num_generations >= 2 || !objective_compares(objective, advantage))
        return OK;
    return recipe_wrong(
        r, "generator.num_generations",
        "%" PRId64
        " is too few; learner.objective %s compares completions of one prompt: at least 2",
        r->generator.num_generations, r->learner.objective);
}

/* ---- keys */

/* The value goes with other objectives: with those that `what` says. */
static err_t goes_with(const struct recipe *r, const char *what, const char *key, const char *value,
                       const char *allowed)
{
    return recipe_wrong(r, key,
                        "%s goes with objectives that %s (rlhfctl objectives list); with %s "
                        "allowed: %s",
                        value, what, r->learner.objective, allowed);
}

static err_t goes_with_policies(const struct recipe *r, const char *key, const char *value,
                                const char *allowed)
{
    return goes_with(r, "have advantages", key, value, allowed);
}

/* Numbers that other objectives do not read. */
static err_t check_policy_numbers(const struct recipe *r)
{
    const struct recipe_learner *learner = &r->learner;
    const struct {
        const char *key;
        double value;
    } numbers[] = {{"learner.delta", learner->delta},
                   {"learner.behaviour_coef", learner->behaviour_coef},
                   {"learner.nll.coef", learner->nll.coef}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (numbers[i].value > 0) {
            SCOPED_MEM char *value = mem_printf("%g", numbers[i].value);
            return goes_with_policies(r, numbers[i].key, value, "0");
        }
    return OK;
}

/* Of an objective that is no policy gradient: its own words and no limit. A gate alone goes with
 * pairs, too. */
static err_t check_policy_keys(const struct recipe *r)
{
    const struct recipe_learner *learner = &r->learner;
    const struct objective_row *row = objective_row(learner->objective);
    const struct {
        const char *key, *value;
    } words[] = {{"learner.advantage", learner->advantage},
                 {"learner.importance_sampling_level", learner->importance_sampling_level},
                 {"learner.normalize_advantages", learner->normalize_advantages},
                 {"learner.mask.kind", learner->mask.kind},
                 {"learner.ess_step.rule", learner->ess_step.rule}};
    if (!objective_takes_gate(row) && strcmp(learner->gate, AS_THE_OBJECTIVE_HAS_IT) != 0)
        return goes_with(r, "have advantages or pairs", "learner.gate", learner->gate,
                         AS_THE_OBJECTIVE_HAS_IT);
    if (objective_is_policy(row))
        return OK;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i].value, AS_THE_OBJECTIVE_HAS_IT) != 0)
            return goes_with_policies(r, words[i].key, words[i].value, AS_THE_OBJECTIVE_HAS_IT);
    return check_policy_numbers(r);
}

/* Where ratios never are to the round's first weights, and nothing else needs these. */
static err_t check_ratio_to(const struct recipe *r)
{
    const struct objective_row *row = objective_row(r->learner.objective);
    if (r->learner.ratio_to != RECIPE_TO_PROXIMAL || row->defaults.gate.base != BASE_BEHAVIOUR ||
        row->needs & COLUMN_BIT(COLUMN_PROXIMAL_LOGP))
        return OK;
    return recipe_wrong(r, "learner.ratio_to",
                        "proximal has no effect: %s takes ratios to those that drew the token; "
                        "allowed: behaviour",
                        row->name);
}

/* The completions of a group that are trained, and with which terms. */
static err_t check_completions_trained(const struct recipe *r)
{
    const struct recipe_learner *learner = &r->learner;
    const struct objective_row *row = objective_row(learner->objective);
    enum mask mask = MASK_NONE;
    enum advantage advantage = row->defaults.advantage;
    advantage_find(learner->advantage, &advantage);
    mask_find(learner->mask.kind, &mask);
    if (strcmp(learner->select.kind, AS_THE_OBJECTIVE_HAS_IT) != 0 && row->data != DATA_REWARDS)
        return goes_with(r, "train completions by their rewards", "learner.select.kind",
                         learner->select.kind, AS_THE_OBJECTIVE_HAS_IT);
    if (mask == MASK_M2)
        TRY(check_columns(r, "learner.mask.kind", learner->mask.kind, NEEDS_OF_CORRECTION,
                          ", or kind to another"));
    if (advantage == ADVANTAGE_ESS)
        TRY(check_columns(r, "learner.advantage", advantage_name(advantage), NEEDS_OF_CORRECTION,
                          ""));
    return OK;
}

static err_t check_drawable(const struct recipe *r)
{
    const struct objective_row *row = objective_row(r->learner.objective);
    if (row->data != DATA_MIXTURE)
        return OK;
    return recipe_wrong(r, "learner.objective",
                        "%s trains %s; allowed: any other (rlhfctl objectives list)", row->name,
                        objective_data_help(row->data));
}

static err_t check_gate(const struct recipe *r)
{
    const struct recipe_learner *learner = &r->learner;
    const struct objective_config *defaults = &objective_row(learner->objective)->defaults;
    enum gate gate = defaults->gate.gate;
    enum ratio ratio = defaults->ratio;
    gate_find(learner->gate, &gate);
    ratio_find(learner->importance_sampling_level, &ratio);
    if (learner->delta > 0 && gate != GATE_CLIP)
        return recipe_wrong(r, "learner.delta",
                            "%g goes with learner.gate: clip; with %s allowed: 0", learner->delta,
                            gate_name(gate));
    if (learner->delta > 0 && learner->delta < 1)
        return recipe_wrong(r, "learner.delta", "%g is below 1; allowed: 0, no limit, or from 1 on",
                            learner->delta);
    if (gate == GATE_NONE && ratio != RATIO_TOKEN)
        return recipe_wrong(r, "learner.importance_sampling_level",
                            "%s is of a ratio, and learner.gate: %s has none; allowed: token",
                            ratio_name(ratio), gate_name(gate));
    return OK;
}

/* Advantages of tokens are the critic's; one that looks at whole completions cannot use them. */
static err_t check_advantage(const struct recipe *r)
{
    const struct recipe_learner *learner = &r->learner;
    const struct objective_row *row = objective_row(learner->objective);
    const bool critic = objective_has_critic(row);
    enum advantage advantage = row->defaults.advantage;
    advantage_find(learner->advantage, &advantage);
    if (critic == (advantage == ADVANTAGE_GAE))
        return OK;
    return recipe_wrong(
        r, "learner.advantage", "%s goes with an objective that has %s critic; with %s allowed: %s",
        learner->advantage, critic ? "no" : "a", learner->objective, critic ? "gae" : "any other");
}

/* Recipes of runs that older builds began have every key, and these values were the defaults. */
static bool was_default(const char *word)
{
    return strcmp(word, "tis_token") == 0;
}

/* A token that older weights drew is weighed once, by V-trace's weight. */
static err_t check_one_correction(const struct recipe *r)
{
    const struct recipe_correction *written = &r->learner.correction;
    const bool kind = has_default(r, "learner.correction.kind") || was_default(written->kind),
               low = has_default_number(r, "learner.correction.low") || written->low == 0,
               high = has_default_number(r, "learner.correction.high") || written->high == 2;
    if (kind && low && high)
        return OK;
    return recipe_wrong(r,
                        !kind  ? "learner.correction.kind"
                        : !low ? "learner.correction.low"
                               : "learner.correction.high",
                        "%s weighs a token once, by learner.ppo.rho_bar; leave this key out",
                        r->learner.objective);
}

/* Where tokens have to be drawn from the model's whole distribution: their weight is that of it, or
 * another completion is its likeliest. */
static err_t check_drawn(const struct recipe *r)
{
    static const char *const keys[] = {"generator.top_p", "generator.top_k", "generator.min_p",
                                       "generator.repetition_penalty"};
    size_t base;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!has_default_number(r, keys[i]))
            return recipe_wrong(r, keys[i],
                                "%s weighs a token by its probability in the model's whole "
                                "distribution, which it must be drawn from; allowed: %s",
                                r->learner.objective, option_at(keys[i], &base)->value);
    return OK;
}

/* A completion that is greedy is no sample, and one that is compared with has to be there. */
static err_t check_greedy(const struct recipe *r)
{
    const struct objective_row *row = objective_row(r->learner.objective);
    enum advantage advantage = row->defaults.advantage;
    advantage_find(r->learner.advantage, &advantage);
    if (advantage == ADVANTAGE_GREEDY && !r->generator.greedy_baseline)
        return recipe_wrong(r, "generator.greedy_baseline",
                            "false; %s compares completions with a greedy one: true is allowed",
                            row->name);
    if (advantage != ADVANTAGE_GREEDY && r->generator.greedy_baseline)
        return recipe_wrong(r, "generator.greedy_baseline",
                            "true goes with learner.advantage: greedy; with %s allowed: false",
                            advantage_name(advantage));
    return r->generator.greedy_baseline ? check_drawn(r) : OK;
}

/* A head on the policy's trunk has no directory of its own. */
static err_t check_critic_model(const struct recipe *r)
{
    const struct recipe_critic *critic = &r->learner.critic;
    if (*critic->path && critic->model == RECIPE_CRITIC_SHARED)
        return recipe_wrong(r, "learner.critic.path",
                            "'%s' goes with learner.critic.model: separate; with shared leave it "
                            "out",
                            critic->path);
    if (!r->run.rounds || critic->warmup_rounds < r->run.rounds)
        return OK;
    return recipe_wrong(r, "learner.critic.warmup_rounds",
                        "%" PRId64 " of run.rounds %" PRId64
                        " leave none that trains the policy; allowed: fewer",
                        critic->warmup_rounds, r->run.rounds);
}

static err_t check_critic(const struct recipe *r)
{
    enum ratio ratio = RATIO_TOKEN;
    if (!objective_has_critic(objective_row(r->learner.objective)))
        return OK;
    TRY(check_critic_model(r));
    TRY(check_one_correction(r));
    TRY(check_drawn(r));
    ratio_find(r->learner.importance_sampling_level, &ratio);
    if (ratio == RATIO_TOKEN)
        return OK;
    return recipe_wrong(
        r, "learner.importance_sampling_level",
        "%s is of whole completions, and %s has an advantage for each token; allowed: token",
        ratio_name(ratio), r->learner.objective);
}

static err_t check_reduction(const struct recipe *r)
{
    enum reduce reduce = objective_row(r->learner.objective)->defaults.reduce;
    reduce_find(r->learner.reduction, &reduce);
    if (!r->learner.reduction_length || reduce == REDUCE_CONST_NORM)
        return OK;
    return recipe_wrong(r, "learner.reduction_length",
                        "%" PRId64 " goes with learner.reduction: const_norm; with %s allowed: 0",
                        r->learner.reduction_length, reduce_name(reduce));
}

static err_t check_pairs(const struct recipe *r)
{
    const struct recipe_dpo *dpo = &r->learner.dpo;
    enum pair_loss loss = objective_row(r->learner.objective)->defaults.pair.loss;
    if (loss == PAIR_NONE)
        loss = PAIR_SIGMOID;
    pair_loss_find(dpo->loss_type, &loss);
    if (dpo->label_smoothing > 0 && !pair_loss_smooths(loss))
        return recipe_wrong(r, "learner.dpo.label_smoothing",
                            "%g goes with learner.dpo.loss_type: sigmoid, sigmoid_norm, robust, "
                            "exo_pair, aot, aot_unpaired; %s has none",
                            dpo->label_smoothing, pair_loss_name(loss));
    return OK;
}

/* A kind that stands there by default is left alone where it has no meaning. */
static err_t check_correction(const struct recipe *r)
{
    const struct correction_config correction = recipe_correction_kind(r);
    enum correction kind = CORRECTION_NONE;
    correction_find(r->learner.correction.kind, &kind);
    if (correction.low > correction.high)
        return recipe_wrong(r, "learner.correction.low",
                            "%g is above learner.correction.high = %g: no weight would count",
                            correction.low, correction.high);
    if (kind == CORRECTION_NONE || was_default(r->learner.correction.kind))
        return OK;
    if (!objective_is_policy(objective_row(r->learner.objective)))
        return goes_with_policies(r, "learner.correction.kind", correction_name(kind), "none");
    return check_columns(r, "learner.correction.kind", correction_name(kind), NEEDS_OF_CORRECTION,
                         ", or kind to none");
}

/* ---- the KL term */

/* What has no effect at its place: a slope that is the same for all tokens, and a slope where there
 * is none. */
static err_t check_estimator(const struct recipe *r)
{
    const bool reward = r->learner.kl.place == RECIPE_KL_IN_REWARD;
    enum kl kl = KL_K3;
    kl_find(recipe_kl_estimator(r), &kl);
    if (r->learner.kl.coef > 0 && kl == KL_K1 && !reward)
        return recipe_wrong(
            r, "learner.kl.estimator",
            "k1 in the loss has the same slope for each token, whatever the "
            "reference says: on average it pulls nowhere; with learner.kl.place: "
            "loss allowed: abs, k2, k3, k3+, k1+, score, k3_unbiased (k1 goes with place: reward)");
    if (r->learner.kl.coef > 0 && kl >= KL_K3_PLUS && reward)
        return recipe_wrong(r, "learner.kl.estimator",
                            "%s differs by its slope alone, and a reward has none; with "
                            "learner.kl.place: reward allowed: k1, abs, k2, k3",
                            kl_name(kl));
    return OK;
}

/* coef is steered by multiplying it. */
static err_t check_kl(const struct recipe *r)
{
    TRY(check_estimator(r));
    if (r->learner.kl.logp == RECIPE_KL_OF_PROXIMAL)
        TRY(check_columns(r, "learner.kl.logp", "proximal", COLUMN_BIT(COLUMN_PROXIMAL_LOGP), ""));
    if (!(r->learner.kl.target > 0) || r->learner.kl.coef > 0)
        return OK;
    return recipe_wrong(r, "learner.kl.target",
                        "%g steers learner.kl.coef, which is 0 and would stay so; set coef above 0",
                        r->learner.kl.target);
}

/* ---- whole rows, and the reference that the learner keeps */

static err_t check_reference(const struct recipe *r)
{
    const struct recipe_reference *reference = &r->learner.reference;
    static const char *const words[] = {"none", "frozen", "ema", "reset"};
    const char *kind = words[reference->kind];
    if (reference->kind == RECIPE_REFERENCE_NONE)
        return *reference->path
                   ? recipe_wrong(r, "learner.reference.path",
                                  "'%s' goes with learner.reference.kind: frozen, ema or reset",
                                  reference->path)
                   : OK;
    if (recipe_has_reference(r))
        return recipe_wrong(r, "learner.reference.kind",
                            "%s is a second reference beside rewarder.reference: %s; set that to "
                            "none, or this one",
                            kind, r->rewarder.reference.kind);
    return recipe_has_lora(r)
               ? recipe_wrong(r, "learner.reference.kind",
                              "%s: with an adapter the reference is model.path; allowed: none",
                              kind)
               : OK;
}

static unsigned terms_of(const struct recipe *r)
{
    const struct objective_row *row = objective_row(r->learner.objective);
    struct row_config rows = row->defaults.rows;
    distance_find(r->learner.rows.distance, &rows.distance);
    rows.coef = r->learner.rows.coef == RECIPE_NUMBER_DEFAULT ? 1 : r->learner.rows.coef;
    return OUTPUT_TERMS(row->outputs) | row_config_terms(&rows);
}

static err_t check_rows(const struct recipe *r)
{
    const struct recipe_rows *rows = &r->learner.rows;
    if (rows->beta == 0)
        return recipe_wrong(r, "learner.rows.beta",
                            "0 leaves no distance; between 0 and 1 is allowed");
    if (!(terms_of(r) & ROW_TERMS_OF_REFERENCE) || recipe_refers_itself(r))
        return OK;
    const bool written = strcmp(rows->distance, AS_THE_OBJECTIVE_HAS_IT) != 0;
    return recipe_wrong(r, written ? "learner.rows.distance" : "learner.objective",
                        "%s compares whole distributions with the reference's, which is in the "
                        "learner then; set learner.reference.kind: frozen, and rewarder.reference: "
                        "none",
                        written ? rows->distance : r->learner.objective);
}

err_t recipe_check_objective(const struct recipe *recipe)
{
    static err_t (*const checks[])(const struct recipe *recipe) = {
        check_drawable,    check_completions, check_needs,     check_kl,
        check_policy_keys, check_gate,        check_reduction, check_pairs,
        check_correction,  check_advantage,   check_critic,    check_reference,
        check_rows,        check_ratio_to,    check_greedy,    check_completions_trained,
    };
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        TRY(checks[i](recipe));
    return OK;
}

/* Shaping may put the rewards of a group in another order, or closer than the margin. */
bool recipe_shapes_rewards(const struct recipe *recipe)
{
    const struct recipe_reward *reward = &recipe->learner.reward;
    return reward->bias != 0 || reward->squash != RECIPE_SQUASH_NONE ||
           reward->length_penalty > 0 || reward->overlong_buffer > 0 || reward->repeat_ngram > 0 ||
           reward->missing_eos != RECIPE_EOS_KEEP || reward->normalize != RECIPE_NORMALIZE_NONE ||
           reward->clip > 0;
}

bool recipe_refers_to_pairs(const struct recipe *recipe)
{
    return objective_row(recipe->learner.objective)->unit == OBJECTIVE_PAIR &&
           !(recipe->learner.kl.coef > 0) && !recipe_shapes_rewards(recipe);
}
