/* objectives: the rows of the table of objectives (rl/objective_table.h), for people and
 * programs. */
#include "base/mem.h"
#include "ctl/words/arguments.h"
#include "ctl/words/command.h"
#include "ctl/words/output.h"
#include "rl/objective_table.h"
#include <stdio.h>

/* "kernel_policy" as "policy". */
static const char *kernel_of(const struct objective_row *row)
{
    return row->kernel + sizeof "kernel_" - 1;
}

/* ---- what a row says, as JSON */

static void put(json_t *object, const char *key, json_t *value)
{
    json_object_set_new(object, key, value);
}

static void put_word(json_t *object, const char *key, const char *word)
{
    put(object, key, json_string(word));
}

/* A number that is 0 where nothing reads it is left out. */
static void put_number(json_t *object, const char *key, double value)
{
    if (value != 0)
        put(object, key, json_real(value));
}

static json_t *columns_of(uint64_t columns)
{
    json_t *list = json_array();
    for (unsigned id = 0; id < COLUMNS; id++)
        if (columns & COLUMN_BIT(id))
            json_array_append_new(list, json_string(column_name(id)));
    return list;
}

static void put_gate(json_t *ret, const struct objective_config *config)
{
    const struct gate_config *gate = &config->gate;
    put_word(ret, "learner.gate", gate_name(gate->gate));
    if (objective_has_ratio(config)) {
        put_word(ret, "learner.importance_sampling_level", ratio_name(config->ratio));
        if (gate->base != BASE_OLDER)
            put_word(ret, "ratio to", ratio_base_name(gate->base));
    }
    if (gate->gate == GATE_CLIP || gate->gate == GATE_GEO_CLIP) {
        put_number(ret, "learner.epsilon", gate->epsilon_low);
        put_number(ret, "learner.epsilon_high", gate->epsilon_high);
        put_number(ret, "learner.delta", gate->dual);
    }
    if (gate->gate == GATE_CAP)
        put_number(ret, "learner.cap", gate->cap);
    if (gate->gate == GATE_SOFT) {
        put_number(ret, "learner.sapo.temperature_pos", gate->temperature.pos);
        put_number(ret, "learner.sapo.temperature_neg", gate->temperature.neg);
    }
    if (gate->gate == GATE_TAPER || gate->gate == GATE_BAND) {
        put_number(ret, "positive", gate->positive);
        put(ret, "low", json_real(gate->low));
        put_number(ret, "high", gate->high);
    }
    if (gate->gate == GATE_BELL) {
        put_number(ret, "learner.vespo.k_pos", gate->k.pos);
        put_number(ret, "learner.vespo.lambda_pos", gate->lambda.pos);
        put_number(ret, "learner.vespo.k_neg", gate->k.neg);
        put_number(ret, "learner.vespo.lambda_neg", gate->lambda.neg);
    }
    put_number(ret, "learner.dppo.delta", gate->delta);
    put_number(ret, "learner.crpg.kl_max", gate->kl_max);
}

static void put_policy(json_t *ret, const struct objective_config *config)
{
    put_word(ret, "learner.advantage", advantage_name(config->advantage));
    put_number(ret, "learner.asymre.delta_v", config->advantage_shift);
    put_number(ret, "learner.advantage_beta", config->advantage_beta);
    if (config->whiten)
        put_word(ret, "learner.normalize_advantages", "true");
    put_gate(ret, config);
    if (config->correction.correction != CORRECTION_NONE) {
        put_word(ret, "learner.correction.kind", correction_name(config->correction.correction));
        put_number(ret, "learner.correction.high", config->correction.high);
    }
    if (config->mask.mask != MASK_NONE) {
        put_word(ret, "learner.mask.kind", mask_name(config->mask.mask));
        put_number(ret, "learner.mask.high", config->mask.high);
    }
    if (config->select.kind != SELECT_ALL)
        put_word(ret, "learner.select.kind", selection_name(config->select.kind));
    if (config->step.rule != STEP_FULL)
        put_word(ret, "learner.ess_step.rule", step_rule_name(config->step.rule));
    put_number(ret, "learner.behaviour_coef", config->behaviour_coef);
    put_number(ret, "learner.nll.coef", config->nll.coef);
    put_number(ret, "learner.ppo.gamma", config->gae.gamma);
    put_number(ret, "learner.ppo.lambda", config->gae.lambda);
    put_number(ret, "learner.ppo.lambda_alpha", config->gae.lambda_alpha);
    put_number(ret, "learner.ppo.macro", config->gae.macro);
    put_number(ret, "learner.ppo.vf_coef", config->value.coef);
}

/* The key that the score's constant has. */
static const char *alpha_key(enum score score)
{
    return score == SCORE_LENGTH             ? "learner.dpo.ld_alpha"
           : score == SCORE_ALPHA            ? "learner.dpo.alpha"
           : score == SCORE_ALPHA_DIVERGENCE ? "learner.dpo.f_alpha_divergence_coef"
                                             : NULL;
}

static void put_pair(json_t *ret, const struct pair_config *pair)
{
    put_word(ret, "learner.dpo.loss_type", pair_loss_name(pair->loss));
    if (pair->score <= SCORE_ALPHA_DIVERGENCE)
        put_word(ret, "learner.dpo.f_divergence_type", score_name(pair->score));
    else
        put_word(ret, "score", score_name(pair->score));
    put_number(ret, "learner.dpo.beta", pair->beta);
    put_number(ret, "learner.dpo.label_smoothing", pair->label_smoothing);
    if (alpha_key(pair->score))
        put_number(ret, alpha_key(pair->score), pair->alpha);
    put_number(ret, "learner.dpo.simpo_gamma", pair->gamma);
    put_number(ret, "learner.dpo.length_alpha", pair->length);
    put_number(ret, "learner.dpo.dpop_lambda", pair->penalty);
    if (pair->loss == PAIR_DISCOPOP)
        put_number(ret, "learner.dpo.discopop_tau", pair->discopop_tau);
    put_number(ret, "learner.dpo.rpo_alpha", pair->nll);
    if (pair->nll > 0)
        put_word(ret, "likelihood", nll_name(pair->nll_mean));
    put_number(ret, "learner.dpo.xpo_alpha", pair->optimism);
    put_number(ret, "learner.dpo.beta_adapt", pair->adapt);
    put_number(ret, "learner.dpo.beta_drop", pair->drop);
    if (pair->loss == PAIR_BCO)
        put_word(ret, "learner.dpo.anchor", anchor_name(pair->anchor));
}

static void put_label(json_t *ret, const struct label_config *label)
{
    put_word(ret, "loss", label_loss_name(label->loss));
    put_number(ret, "learner.kto.beta", label->beta);
    put_number(ret, "learner.kto.desirable_weight", label->desirable);
    put_number(ret, "learner.kto.undesirable_weight", label->undesirable);
    put_word(ret, "learner.kto.anchor", anchor_name(label->anchor));
    put_word(ret, "learner.kto.rule", label_rule_name(label->rule));
}

static void put_list(json_t *ret, const struct list_config *list)
{
    put_word(ret, "loss", list_loss_name(list->loss));
    put_number(ret, "learner.listwise.beta", list->beta);
    put_number(ret, "learner.listwise.reward_beta", list->reward_beta);
    put_number(ret, "learner.listwise.sft_coef", list->sft);
    put_number(ret, "learner.listwise.alpha", list->alpha);
}

static void put_preference(json_t *ret, const struct objective_config *config)
{
    if (config->pair.loss != PAIR_NONE)
        put_pair(ret, &config->pair);
    if (config->label.loss != LABEL_NONE)
        put_label(ret, &config->label);
    if (config->list.loss != LIST_NONE)
        put_list(ret, &config->list);
    if (config->residual.factor > 0) {
        put_word(ret, "residual", residual_name(config->residual.residual));
        put_word(ret, "log-ratio to", residual_base_name(config->residual.base));
        put_number(ret, "learner.residual.beta", config->residual.beta);
        put_number(ret, "factor", config->residual.factor);
    }
}

/* Of whole rows of the vocabulary, and of what weighs the tokens of one answer. */
static void put_rows(json_t *ret, const struct objective_config *config)
{
    if (config->tdpo.beta > 0) {
        put_number(ret, "learner.dpo.beta", config->tdpo.beta);
        put_number(ret, "learner.tdpo.alpha", config->tdpo.alpha);
        put_word(ret, "learner.reference.kind", "frozen, ema or reset");
    }
    if (config->rows.distance != DISTANCE_NONE) {
        put_word(ret, "learner.rows.distance", distance_name(config->rows.distance));
        put_number(ret, "learner.rows.coef", config->rows.coef);
        put_number(ret, "learner.rows.beta", config->rows.beta);
        put_word(ret, "learner.reference.kind", "frozen, ema or reset");
    }
    if (config->contrast.coef > 0)
        put_number(ret, "learner.contrast.coef", config->contrast.coef);
    if (config->ift.gamma > 0)
        put_number(ret, "learner.ift.gamma", config->ift.gamma);
}

static json_t *defaults_of(const struct objective_config *config)
{
    json_t *ret = json_object();
    put_policy(ret, config);
    put_preference(ret, config);
    put_rows(ret, config);
    put_word(ret, "learner.reduction", reduce_name(config->reduce));
    put_word(ret, "learner.kl.estimator", kl_name(config->kl));
    return ret;
}

static json_t *row_json(const struct objective_row *row)
{
    json_t *ret = json_object();
    const uint64_t ratio = objective_has_ratio(&row->defaults) ? NEEDS_OF_RATIO : 0;
    put_word(ret, "name", row->name);
    put_word(ret, "help", row->help);
    put_word(ret, "kernel", kernel_of(row));
    put_word(ret, "data", objective_data_name(row->data));
    put_word(ret, "data_help", objective_data_help(row->data));
    put_word(ret, "unit", objective_unit_name(row->unit));
    put_word(ret, "source", row->source);
    put_word(ret, "lag", row->lag);
    put(ret, "needs", columns_of(row->needs | ratio));
    put(ret, "defaults", defaults_of(&row->defaults));
    return ret;
}

/* ---- for people */

static void print_value(const json_t *value)
{
    if (json_is_string(value))
        fputs(json_string_value(value), stdout);
    else
        printf("%g", json_number_value(value));
}

static void print_row(json_t *row)
{
    static const char *const keys[] = {"kernel", "data", "unit", "source", "lag"};
    const char *key;
    json_t *value;
    size_t i;
    printf("%s: %s\n\n", json_string_value(json_object_get(row, "name")),
           json_string_value(json_object_get(row, "help")));
    for (i = 0; i < sizeof keys / sizeof *keys; i++)
        printf("  %-9s %s%s%s\n", keys[i], json_string_value(json_object_get(row, keys[i])),
               i == 1 ? ": " : "",
               i == 1 ? json_string_value(json_object_get(row, "data_help")) : "");
    fputs("  needs    ", stdout);
    json_array_foreach (json_object_get(row, "needs"), i, value)
        printf(" %s", json_string_value(value));
    fputs("\n\nDefaults:\n", stdout);
    json_object_foreach (json_object_get(row, "defaults"), key, value) {
        printf("  %-36s ", key);
        print_value(value);
        putchar('\n');
    }
}

static void print_all(void)
{
    SCOPED(table) table = table_new("NAME|KERNEL|DATA|WHAT IT IS");
    const struct objective_row *row;
    for (size_t i = 0; (row = objective_row_at(i)); i++) {
        table_cell(table, "%s", row->name);
        table_cell(table, "%s", kernel_of(row));
        table_cell(table, "%s", objective_data_name(row->data));
        table_cell(table, "%s", row->help);
    }
    table_print(table, stdout);
}

/* ---- the commands */

err_t command_objectives_list(int argc, char **argv)
{
    bool helped, as_json;
    const char *format = NULL;
    const struct argument_flag flags[] = {{"o", "FORMAT", "table, wide or json", .text = &format}};
    const struct arguments arguments = {.usage = "objectives list",
                                        .purpose = "Lists the values of learner.objective.",
                                        .examples = "  rlhfctl objectives list -o wide\n",
                                        .flags = flags,
                                        .flags_count = sizeof flags / sizeof *flags};
    TRY(arguments_read(&arguments, argc, argv, &helped));
    if (helped)
        return OK;
    TRY(output_format(format, &as_json));
    if (!as_json) {
        print_all();
        return OK;
    }
    SCOPED_JSON json_t *all = json_array();
    const struct objective_row *row;
    for (size_t i = 0; (row = objective_row_at(i)); i++)
        json_array_append_new(all, row_json(row));
    output_json(all);
    return OK;
}

err_t command_objectives_show(int argc, char **argv)
{
    bool helped, as_json;
    const char *format = NULL, *name;
    size_t count = 0;
    const struct argument_flag flags[] = {{"o", "FORMAT", "table or json", .text = &format}};
    const struct arguments arguments = {
        .usage = "objectives show NAME",
        .purpose =
            "Shows an objective: its kernel, what it trains from, defaults, source, and its\n"
            "behaviour where older weights drew the completions.",
        .examples = "  rlhfctl objectives show grpo\n",
        .flags = flags,
        .flags_count = sizeof flags / sizeof *flags,
        .words = &name,
        .words_min = 1,
        .words_max = 1,
        .words_count = &count};
    TRY(arguments_read(&arguments, argc, argv, &helped));
    if (helped)
        return OK;
    TRY(output_format(format, &as_json));
    const struct objective_row *row = objective_row(name);
    if (!row)
        return err_new(ERR_NOT_FOUND, "'%s' is no objective; rlhfctl objectives list shows them",
                       name);
    SCOPED_JSON json_t *shown = row_json(row);
    if (as_json)
        output_json(shown);
    else
        print_row(shown);
    return OK;
}
