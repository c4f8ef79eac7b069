/* reward eval: how good a reward model is, from lines with its scores and people's choices or
 * ratings; and the curve of over-optimisation. */
#include "base/mem.h"
#include "ctl/reward/eval/curve.h"
#include "ctl/reward/eval/eval_output.h"
#include "ctl/reward/reward_scorer.h"
#include "ctl/words/command.h"
#include "ctl/words/output.h"
#include "svc/recipe/recipe_cli.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { DRAWS = 1000, DRAWS_MAX = 100000 };

struct eval_flags {
    const char *model, *data, *score, *gold, *by, *curve, *base, *law, *draws, *seed;
    bool json, csv, text;
};

/* ---- lines */

static err_t add_scored(void *arg, json_t *line, const char *name, const struct answers *answers,
                        const double *score)
{
    struct eval_data *data = arg;
    answers_put(answers, data->columns.score, score, line);
    return eval_data_add(data, line, name);
}

static err_t score_data(const struct recipe *recipe, const struct eval_flags *flags,
                        const struct jsonl *rows, struct eval_data *data)
{
    SCOPED_VALUE(reward_scorer) scorer = {0};
    TRY(reward_scorer_open(recipe, flags->model, &scorer));
    scorer.text = flags->text;
    TRY(reward_scorer_check(&scorer, rows, NULL, NULL));
    return reward_scorer_run(&scorer, rows, add_scored, data);
}

static err_t read_data(const struct jsonl *rows, struct eval_data *data)
{
    for (uint64_t i = 0; i < jsonl_rows(rows); i++) {
        SCOPED_VALUE(bytes) text = {0};
        SCOPED_JSON json_t *line = NULL;
        SCOPED_MEM char *name = mem_printf("%s:%" PRIu64, jsonl_path(rows), i + 1);
        TRY(jsonl_row(rows, i, &text));
        TRY(json_parse_nul((const char *)text.data, text.len, name, &line));
        TRY(eval_data_add(data, line, name));
    }
    return OK;
}

static err_t eval_lines(const struct recipe *recipe, const struct eval_flags *flags,
                        const struct bootstrap *bootstrap)
{
    SCOPED(jsonl) rows = NULL;
    SCOPED_VALUE(eval_data)
    data = {.columns = {.score = flags->score   ? flags->score
                                 : flags->model ? "reward_model" // not the ratings of ranked rows
                                                : "score",
                        .gold = flags->gold,
                        .by = flags->by,
                        .prompt = recipe->data.prompt_column,
                        .completion = recipe->data.completion_column}};
    SCOPED_VALUE(eval_figures) figures = {0};
    TRY(jsonl_open_nul(flags->data, &rows));
    TRY(flags->model ? score_data(recipe, flags, rows, &data) : read_data(rows, &data));
    if (!data.pairs && !data.answers)
        return err_new(ERR_INVALID,
                       "'%s': no pair and no answer with a gold score (lines %zu, without a score "
                       "%zu, without a gold score %zu); --gold names its column",
                       flags->data, data.lines, data.unscored, data.without_gold);
    eval_data_end(&data);
    eval_figures_of(&data, bootstrap, &figures);
    if (flags->csv)
        eval_print_csv(&figures);
    else if (flags->json) {
        SCOPED_JSON json_t *json = eval_json(&data, &figures);
        output_json(json);
    } else
        eval_print(&data, &figures);
    return OK;
}

/* ---- the curve */

static err_t eval_curve(const struct recipe *recipe, const struct eval_flags *flags,
                        const struct bootstrap *bootstrap)
{
    SCOPED_VALUE(curve)
    curve = {.score = flags->score ? flags->score : "reward",
             .gold = flags->gold ? flags->gold : "gold",
             .prompt = recipe->data.prompt_column,
             .law = flags->law && strcmp(flags->law, "best_of") == 0 ? DRIFT_BEST_OF : DRIFT_RL};
    TRY(curve_read(&curve, flags->curve));
    TRY(curve_measure(&curve, flags->base, bootstrap));
    if (flags->csv)
        curve_print_csv(&curve);
    else if (flags->json) {
        SCOPED_JSON json_t *json = curve_json(&curve);
        output_json(json);
    } else
        curve_print(&curve);
    return OK;
}

/* ---- the command */

static err_t check_flags(const struct eval_flags *f)
{
    if (!f->data == !f->curve)
        return err_new(ERR_INVALID, f->data ? "--data and --curve: one of them"
                                            : "--data FILE is missing, or --curve DIR");
    if (f->curve && (f->model || f->by || f->text))
        return err_new(ERR_INVALID, "--curve reads files that are scored: --model, --text and --by "
                                    "do not go with it");
    if (f->data && (f->base || f->law))
        return err_new(ERR_INVALID, "--base and --law go with --curve");
    if (f->law && strcmp(f->law, "rl") != 0 && strcmp(f->law, "best_of") != 0)
        return err_new(ERR_INVALID, "--law '%s': allowed are rl and best_of", f->law);
    if (f->json && f->csv)
        return err_new(ERR_INVALID, "--json and --csv: one of them");
    for (int i = 0; i < 3; i++) {
        const char *column = (const char *[]){f->score, f->gold, f->by}[i];
        if (column && (!*column || strlen(column) > ANSWERS_COLUMN_MAX))
            return err_new(ERR_INVALID, "column '%.80s': allowed is a name of 1 to %d bytes",
                           column, ANSWERS_COLUMN_MAX);
    }
    return OK;
}

static err_t read_bootstrap(const struct eval_flags *flags, struct bootstrap *ret)
{
    long draws = DRAWS, seed = 1;
    if (flags->draws)
        TRY(flag_int("--draws", flags->draws, 0, DRAWS_MAX, &draws));
    if (flags->seed)
        TRY(flag_int("--seed", flags->seed, 0, INT32_MAX, &seed));
    *ret = (struct bootstrap){.draws = (size_t)draws, .seed = (uint64_t)seed};
    return OK;
}

err_t command_reward_eval(int argc, char **argv)
{
    struct eval_flags own = {0};
    struct recipe_flag flags[] = {
        {"data", "FILE",
         "JSON lines with scores: rows, or completions as generate and eval write "
         "them",
         .text = &own.data},
        {"model", "DIR", "a reward model that scores the lines first, as reward score does",
         .text = &own.model},
        {"text", NULL, "it scores completions by their text, tokenized again", .flag = &own.text},
        {"score", "NAME",
         "the scores' columns: NAME, NAME_chosen and NAME_rejected, NAMEs; else "
         "score; of a curve reward",
         .text = &own.score},
        {"gold", "NAME",
         "columns of people's ratings, or of a better model's scores; else gold, "
         "or the label of a row",
         .text = &own.gold},
        {"by", "COLUMN", "accuracy for each value of this column, too", .text = &own.by},
        {"curve", "DIR",
         "the curve of over-optimisation: a point for each .jsonl in DIR, or "
         "FILE,FILE",
         .text = &own.curve},
        {"base", "POINT", "the point where training began; else the one with the least KL",
         .text = &own.base},
        {"law", "WORD", "rl or best_of: which curve is fitted; else rl", .text = &own.law},
        {"draws", "N", "draws of the bootstrap, 0: no intervals; else 1000", .text = &own.draws},
        {"seed", "N", "its seed; else 1", .text = &own.seed},
        {"json", NULL, "print one JSON object", .flag = &own.json},
        {"csv", NULL, "print the curve as CSV; of --data that of best of k", .flag = &own.csv},
    };
    struct recipe_cli cli = {
        .program = "rlhfctl reward eval",
        .purpose =
            "Measures a reward model: accuracy on people's choices and its calibration, correlation with ratings,\n"
            "ROC AUC, best of k, and how it ranks models; or the gold score by the KL from where training began.\n"
            "Intervals of 95 % by the bootstrap over prompts.",
        .flags = flags,
        .flags_count = sizeof flags / sizeof *flags,
        .recipe_optional = true};
    struct bootstrap bootstrap;
    SCOPED(recipe) recipe = NULL;
    TRY(recipe_load(&cli, argc, argv, &recipe));
    if (!recipe)
        return OK;
    TRY(check_flags(&own));
    TRY(read_bootstrap(&own, &bootstrap));
    return own.curve ? eval_curve(recipe, &own, &bootstrap) : eval_lines(recipe, &own, &bootstrap);
}
