/* A step of ours against one of TRL's trainers, on the same model and batch, for each objective
 * that both have: the loss, and the change of every tensor. tests/golden/trl_steps.sh made the
 * files. Weights are bfloat16's at the beginning, so both forwards have the same. Losses of single
 * floats and a step in float32 agree to a few 1e-6; LIMIT is the promise to users. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "learner/round/updates.h"
#include "learner/settings.h"
#include "model/files/safetensors.h"
#include "model/likelihood.h"
#include "unit/model/tiny.h"
#include <math.h>

enum { GROUPS_MAX = 16, CHANGES_MAX = 4096 };
#define LIMIT 1e-4

/* Case `name` of a file, and the learner's keys that are the same. TRL's loss `sft` is a mean over
 * all chosen tokens of a batch: rpo_alpha is that here, loss_type sft a mean over each pair's. */
static const struct same {
    const char *file, *name, *learner;
} all[] = {
    {"dpo", "sigmoid", "objective: online_dpo, gate: none, dpo: {beta: 0.3}"},
    {"dpo", "hinge", "objective: online_dpo, gate: none, dpo: {beta: 0.3, loss_type: hinge}"},
    {"dpo", "ipo", "objective: online_dpo, gate: none, dpo: {beta: 0.3, loss_type: ipo}"},
    {"dpo", "exo_pair",
     "objective: dpo, dpo: {beta: 0.3, loss_type: exo_pair, label_smoothing: 0.1}"},
    {"dpo", "robust", "objective: dpo, dpo: {beta: 0.3, loss_type: robust, label_smoothing: 0.1}"},
    {"dpo", "aot", "objective: dpo, dpo: {beta: 0.3, loss_type: aot, label_smoothing: 0.1}"},
    {"dpo", "aot_unpaired",
     "objective: dpo, dpo: {beta: 0.3, loss_type: aot_unpaired, label_smoothing: 0.1}"},
    {"dpo", "nca_pair", "objective: dpo, dpo: {beta: 0.3, loss_type: nca_pair}"},
    {"dpo", "bco_pair", "objective: dpo, dpo: {beta: 0.3, loss_type: bco_pair}"},
    {"dpo", "sppo_hard", "objective: dpo, dpo: {beta: 0.3, loss_type: sppo_hard}"},
    {"dpo", "apo_zero", "objective: dpo, dpo: {beta: 0.3, loss_type: apo_zero}"},
    {"dpo", "apo_down", "objective: dpo, dpo: {beta: 0.3, loss_type: apo_down}"},
    {"dpo", "discopop", "objective: dpo, dpo: {beta: 0.3, loss_type: discopop}"},
    {"dpo", "sigmoid_norm", "objective: dpo, dpo: {beta: 2, loss_type: sigmoid_norm}"},
    {"dpo", "sigmoid, ld_alpha 0.5", "objective: dpo, dpo: {beta: 0.3, ld_alpha: 0.5}"},
    {"dpo", "sigmoid, forward_kl",
     "objective: dpo, dpo: {beta: 0.3, f_divergence_type: forward_kl}"},
    {"dpo", "sigmoid, js_divergence",
     "objective: dpo, dpo: {beta: 0.3, f_divergence_type: js_divergence}"},
    {"dpo", "sigmoid, alpha_divergence 0.5",
     "objective: dpo, dpo: {beta: 0.3, f_divergence_type: alpha_divergence, "
     "f_alpha_divergence_coef: 0.5}"},
    {"dpo", "sigmoid + sft", "objective: rpo, dpo: {beta: 0.3, rpo_alpha: 0.2}"},
    {"kto", "kto", "objective: kto, kto: {beta: 0.3, anchor: mismatched}"},
    {"kto", "kto, weights",
     "objective: kto, kto: {beta: 0.3, anchor: mismatched, desirable_weight: 1.33, "
     "undesirable_weight: 0.75}"},
    {"kto", "apo_zero_unpaired", "objective: apo_zero_unpaired, kto: {beta: 0.3}"},
    {"bco", "bco", "objective: bco, kto: {beta: 0.3}"},
    {"orpo", "orpo", "objective: orpo, dpo: {beta: 0.3}"},
    {"cpo", "sigmoid", "objective: cpo, dpo: {beta: 0.1}"},
    {"cpo", "sigmoid, label_smoothing",
     "objective: cpo, dpo: {beta: 0.1, rpo_alpha: 0.5, label_smoothing: 0.1}"},
    {"cpo", "hinge", "objective: cpo, dpo: {beta: 0.1, rpo_alpha: 0, loss_type: hinge}"},
    {"cpo", "simpo", "objective: simpo, dpo: {beta: 2, simpo_gamma: 0.5}"},
    {"cpo", "simpo + nll", "objective: simpo, dpo: {beta: 2, simpo_gamma: 0.5, rpo_alpha: 0.3}"},
    {"cpo", "alphapo", "objective: alphapo, dpo: {beta: 2.5, simpo_gamma: 0.5, alpha: 0.25}"},
    {"rloo", "rloo", "objective: rloo_sequence"},
    {"grpo", "grpo", "objective: grpo"},
    {"grpo", "grpo, beta", "objective: grpo, kl: {coef: 0.2}"},
    {"grpo", "grpo, beta, unbiased", "objective: grpo, kl: {coef: 0.2, estimator: k3_unbiased}"},
    {"grpo", "grpo, delta", "objective: grpo, delta: 1.25"},
    {"grpo", "dapo", "objective: dapo"},
    {"grpo", "bnpo", "objective: grpo, reduction: token_mean"},
    {"grpo", "dr_grpo", "objective: dr_grpo, reduction_length: 8"},
    {"grpo", "dapo, batch", "objective: lite_ppo"},
    {"grpo", "cispo", "objective: cispo, cap: 1.2"},
    {"grpo", "sapo", "objective: sapo"},
    {"grpo", "gspo", "objective: gspo, epsilon: 0.05, epsilon_high: 0.08"},
    {"grpo", "luspo",
     "objective: gspo, epsilon: 0.2, epsilon_high: 0.2, reduction: const_norm, "
     "reduction_length: 1"},
    {"grpo", "vespo", "objective: vespo"},
    {"reward", "plain", "objective: bradley_terry"},
    {"reward", "margin", "objective: bradley_terry"},
    {"reward", "center",
     "objective: bradley_terry, reward_model: {center_rewards_coefficient: 0.003}"},
    {"reward", "margin, center",
     "objective: bradley_terry, reward_model: {center_rewards_coefficient: 0.003}"},
    {"reward", "ranked", "objective: bradley_terry"},
    {"reward", "labels", "objective: bradley_terry"},
    {"reward", "regression", "objective: reward_regression"},
};

/* ---- the batch */

static uint32_t *tokens_of(const json_t *list, uint32_t *ret_count)
{
    *ret_count = (uint32_t)json_array_size(list);
    uint32_t *token = mem_array(*ret_count, sizeof *token);
    for (uint32_t i = 0; i < *ret_count; i++)
        token[i] = (uint32_t)json_integer_value(json_array_get(list, i));
    return token;
}

static void put_completion(struct group *group, const json_t *tokens)
{
    group->completion =
        mem_grow(group->completion, group->completions + 1, sizeof *group->completion);
    struct completion *c = &group->completion[group->completions++];
    *c = (struct completion){.spans = 1,
                             .span = mem_array(1, sizeof(struct span)),
                             .finish = FINISH_EOS,
                             .text = mem_string("")};
    c->token = tokens_of(tokens, &c->tokens);
    completion_one_turn(c);
}

static bool same_prompt(const struct group *group, const json_t *row)
{
    uint32_t count;
    SCOPED_MEM uint32_t *prompt = tokens_of(json_object_get(row, "prompt"), &count);
    return count == group->prompt_tokens &&
           memcmp(prompt, group->prompt_token, count * sizeof *prompt) == 0;
}

struct batch {
    struct group *group[GROUPS_MAX];
    const json_t *row[GROUPS_MAX][GROUPS_MAX]; // of each completion
    size_t groups;
};

/* The group of the row: its own, or of drawn ones that of its prompt. */
static size_t group_at(struct batch *batch, const json_t *row)
{
    for (size_t g = 0; json_object_get(row, "reward") && g < batch->groups; g++)
        if (same_prompt(batch->group[g], row))
            return g;
    struct group *group = mem_new(sizeof *group);
    group->temperature = 1;
    group->prompt_token = tokens_of(json_object_get(row, "prompt"), &group->prompt_tokens);
    assert_true(batch->groups < GROUPS_MAX);
    batch->group[batch->groups] = group;
    return batch->groups++;
}

static void put_row(struct batch *batch, const json_t *row)
{
    const size_t g = group_at(batch, row);
    struct group *group = batch->group[g];
    const char *const sides[] = {"chosen", "rejected", "completion"};
    for (size_t i = 0; i < 3; i++) {
        const json_t *tokens = json_object_get(row, sides[i]);
        if (!tokens)
            continue;
        assert_true(group->completions < GROUPS_MAX);
        batch->row[g][group->completions] = row;
        put_completion(group, tokens);
    }
    size_t i;
    json_t *tokens;
    json_array_foreach (json_object_get(row, "completions"), i, tokens) {
        batch->row[g][i] = row;
        put_completion(group, tokens);
    }
}

/* Of completion i, by what the row has. */
static double reward_of(const json_t *row, uint32_t i)
{
    const json_t *label = json_object_get(row, "label"), *reward = json_object_get(row, "reward"),
                 *scores = json_object_get(row, "scores");
    if (scores)
        return json_number_value(json_array_get(scores, i));
    return label ? json_is_true(label) : reward ? json_number_value(reward) : i == 0;
}

/* The group's columns for a reward model. */
static void put_ratings(struct batch *batch, size_t g)
{
    struct group *group = batch->group[g];
    const json_t *row = batch->row[g][0], *margin = json_object_get(row, "margin"),
                 *labels = json_object_get(row, "labels");
    double *reward = group_add(group, COLUMN_REWARD, 1), sum = 0;
    double *margins = margin ? group_add(group, COLUMN_MARGIN, 1) : NULL,
           *preferred = labels ? group_add(group, COLUMN_PREFERRED, 1) : NULL;
    for (size_t i = 0; i < json_array_size(labels); i++)
        sum += (double)json_integer_value(json_array_get(labels, i));
    for (uint32_t i = 0; i < group->completions; i++) {
        reward[i] = reward_of(row, i);
        if (margins)
            margins[i] = json_number_value(margin);
        if (preferred)
            preferred[i] = sum / (double)json_array_size(labels);
    }
}

static void put_columns(struct batch *batch, size_t g, struct likelihood *reference)
{
    struct group *group = batch->group[g];
    SCOPED_MEM struct sequence *sequence = mem_array(group->completions, sizeof *sequence);
    double *reward = group_add(group, COLUMN_REWARD, 1);
    float *logp = group_add(group, COLUMN_REFERENCE_LOGP, 1);
    for (uint32_t i = 0; i < group->completions; i++) {
        const struct completion *c = &group->completion[i];
        reward[i] = reward_of(batch->row[g][i], i);
        sequence[i] = (struct sequence){.prompt = group->prompt_token,
                                        .token = c->token,
                                        .prompt_tokens = (int)group->prompt_tokens,
                                        .tokens = (int)c->tokens,
                                        .context = (int)group->prompt_tokens};
    }
    assert_ok(likelihood_run(reference, sequence, group->completions, 1, logp));
    if (!json_object_get(batch->row[g][0], "logp"))
        return;
    logp = group_add(group, COLUMN_BEHAVIOUR_LOGP, 1);
    for (uint32_t i = 0; i < group->completions; i++)
        for (uint32_t t = 0; t < group->completion[i].tokens; t++)
            *logp++ = (float)json_number_value(
                json_array_get(json_object_get(batch->row[g][i], "logp"), t));
}

/* ---- the step */

static struct recipe *recipe_of(const char *learner)
{
    struct recipe *recipe = NULL;
    SCOPED_MEM char *text =
        mem_printf("learner: {%s, groups: 16, micro_tokens: 40,\n"
                   "          optimizer: {lr: 0.1, eps: 1.0, clip_norm: 0}}\n"
                   "generator: {num_generations: 4, max_tokens: 12}\n"
                   "data: {max_prompt_tokens: 8}\n"
                   "rewarder: {reference: frozen, scorers: [{kind: exact, column: completion}]}\n",
                   learner);
    assert_ok(recipe_parse(text, strlen(text), "r.yaml", ".", NULL, &recipe));
    return recipe;
}

static err_t ignore(void *arg, uint32_t u)
{
    (void)arg, (void)u;
    return OK;
}

static char *model_of(const json_t *found, bool reference)
{
    const bool swapped = json_object_get(found, "policy");
    const json_t *start = json_object_get(found, "start"); // of a reward model
    if (start)
        return mem_printf("%s/%s", TEST_GOLDEN, json_string_value(start));
    return mem_printf("%s/%s", TEST_GOLDEN,
                      reference != swapped ? "trl_steps/reference" : "llama_tied");
}

/* The reference, which is asked for mismatched rows, too. */
struct asked {
    struct model *model;
    struct likelihood *reference;
};

static err_t likelihood_again(void *arg, const struct sequence *sequence, size_t count,
                              float inverse_temperature, float *ret)
{
    return likelihood_run(arg, sequence, count, inverse_temperature, ret);
}

static void load_batch(struct backend *be, const json_t *found, struct asked *asked,
                       struct batch *ret)
{
    size_t i;
    json_t *row;
    SCOPED_MEM char *directory = model_of(found, true);
    json_array_foreach (json_object_get(found, "rows"), i, row)
        put_row(ret, row);
    for (size_t g = 0; json_object_get(found, "start") && g < ret->groups; g++)
        put_ratings(ret, g);
    if (json_object_get(found, "start"))
        return;
    assert_ok(model_load_compact(be, directory, &asked->model));
    assert_ok(model_keep_kv(asked->model, KV_F32));
    assert_ok(likelihood_new(asked->model, 64, 32, &asked->reference));
    for (size_t g = 0; g < ret->groups; g++)
        put_columns(ret, g, asked->reference);
}

/* The optimizer's file after the step. */
static struct safetensors *trained(const struct same *same, const json_t *found, double *ret_loss)
{
    SCOPED(recipe) recipe = recipe_of(same->learner);
    SCOPED(backend) be = tiny_backend(1);
    SCOPED_VALUE(trainees) trainees = {0};
    SCOPED(updates) updates = NULL;
    struct model *model;
    bool fresh = false;
    struct asked asked = {0};
    struct batch batch = {0};
    struct round_group place[GROUPS_MAX] = {0};
    struct round_report report = {0};
    struct safetensors *made;
    const struct optimizer_config optimizer = settings_optimizer(&recipe->learner.optimizer);
    SCOPED_MEM char *path = mem_printf("%s/optimizer.safetensors", testing_directory());
    SCOPED_MEM char *directory = model_of(found, false);
    assert_ok(json_object_get(found, "start") ? model_load_critic(be, directory, &model, &fresh)
                                              : model_load(be, directory, &model));
    assert_false(fresh);
    assert_ok(model_keep_kv(model, KV_F32));
    assert_ok(trainees_add(&trainees, "policy", model, &optimizer, NULL));
    load_batch(be, found, &asked, &batch);
    const struct round round = {
        .updates = 1, .first_version = 1, .seed = 1, .groups = batch.groups, .group = place};
    const struct referee referee = {likelihood_again, asked.reference};
    assert_ok(updates_new(recipe, &trainees, &updates));
    updates_set_referee(updates, &referee);
    assert_ok(updates_run(updates, &round, batch.group, ignore, NULL, &report));
    assert_ok(optimizer_save(trainees_first(&trainees)->optimizer, path));
    assert_ok(safetensors_open(path, &made));
    for (size_t g = 0; g < batch.groups; g++)
        group_free(batch.group[g]);
    likelihood_free(asked.reference);
    model_free(asked.model);
    *ret_loss = report.figures.loss;
    return made;
}

/* ---- the comparison */

static float *values_of(const struct safetensors *in, const char *prefix, const char *name,
                        size_t *ret_count)
{
    SCOPED_MEM char *full = mem_printf("%s%s", prefix, name);
    const struct tensor_info *info = safetensors_find(in, full);
    assert_non_null(info);
    float *values = mem_array(info->count, sizeof *values);
    assert_ok(safetensors_read_f32(in, info, values));
    *ret_count = info->count;
    return values;
}

/* Sums of squares over tensors. */
struct apart {
    double samples, change, norms, norm;
};

static void compare_tensor(const struct safetensors *made, const struct safetensors *begin,
                           const char *name, const json_t *want, size_t stride, struct apart *apart)
{
    size_t count, i;
    json_t *sample;
    double squares = 0;
    SCOPED_MEM float *after = values_of(made, "master.", name, &count);
    SCOPED_MEM float *before = values_of(begin, "", name, &count);
    for (size_t j = 0; j < count; j++)
        squares += pow((double)after[j] - before[j], 2);
    json_array_foreach (json_object_get(want, "at"), i, sample) {
        const double moved = (double)after[i * stride] - before[i * stride];
        apart->samples += pow(moved - json_number_value(sample), 2);
        apart->change += pow(json_number_value(sample), 2);
    }
    const double norm = json_number_value(json_object_get(want, "norm"));
    apart->norms += pow(sqrt(squares) - norm, 2);
    apart->norm += norm * norm;
}

static void compare(const struct same *same, const json_t *file, const json_t *found)
{
    double loss;
    struct apart apart = {0};
    const char *name;
    json_t *want;
    SCOPED(safetensors) begin = NULL;
    SCOPED(safetensors) made = trained(same, found, &loss);
    SCOPED_MEM char *directory = model_of(found, false);
    const size_t stride = (size_t)json_integer_value(json_object_get(file, "stride"));
    assert_ok(safetensors_open_model(directory, &begin));
    json_object_foreach (json_object_get(found, "change"), name, want)
        compare_tensor(made, begin, name, want, stride, &apart);
    const double loss_apart = fabs(loss / json_number_value(json_object_get(found, "loss")) - 1),
                 change_apart = sqrt(apart.samples / apart.change),
                 norm_apart = sqrt(apart.norms / apart.norm);
    if (!(loss_apart <= LIMIT && change_apart <= LIMIT && norm_apart <= LIMIT))
        fail_msg("%s, %s: loss %.9g is apart by %.1e, the change by %.1e, its norms by %.1e",
                 same->file, same->name, loss, loss_apart, change_apart, norm_apart);
}

static void steps_are_those_of_trl(void **)
{
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        SCOPED_JSON json_t *file = NULL;
        SCOPED_MEM char *path = mem_printf("%s/trl_steps/%s.json", TEST_GOLDEN, all[i].file);
        assert_ok(json_read_file(path, 1 << 20, &file));
        const json_t *found = json_object_get(json_object_get(file, "cases"), all[i].name);
        assert_non_null(found);
        compare(&all[i], file, found);
    }
}

TESTS(cmocka_unit_test(steps_are_those_of_trl))
