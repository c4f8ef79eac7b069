/* reward score: the lines of a file with the scores that a reward model gives their answers. */
#include "base/mem.h"
#include "ctl/reward/reward_scorer.h"
#include "ctl/words/command.h"
#include "svc/recipe/recipe_cli.h"
#include <stdio.h>
#include <string.h>

struct score_flags {
    const char *model, *data, *column;
    bool replace, text;
};

static err_t check_line(void *arg, json_t *line, const char *name, const struct answers *answers,
                        const double *score)
{
    const struct score_flags *flags = arg;
    (void)score;
    return flags->replace ? OK : answers_vacant(answers, flags->column, line, name);
}

static err_t print_line(void *arg, json_t *line, const char *name, const struct answers *answers,
                        const double *score)
{
    const struct score_flags *flags = arg;
    (void)name;
    answers_put(answers, flags->column, score, line);
    SCOPED_MEM char *text = json_to_text(line);
    return text && printf("%s\n", text) > 0
               ? OK
               : err_new(ERR_UNAVAILABLE, "standard output cannot be written");
}

static err_t check_flags(const struct score_flags *flags)
{
    const char *column = flags->column;
    if (!flags->model)
        return err_new(ERR_INVALID, "--model DIR is missing: scores of which reward model?");
    if (!flags->data)
        return err_new(ERR_INVALID, "--data FILE is missing: scores of which answers?");
    if (!*column || strlen(column) > ANSWERS_COLUMN_MAX)
        return err_new(ERR_INVALID, "--as '%.80s': allowed is a name of 1 to %d bytes", column,
                       ANSWERS_COLUMN_MAX);
    return OK;
}

static err_t score_file(const struct recipe *recipe, struct score_flags *flags)
{
    SCOPED(jsonl) rows = NULL;
    SCOPED_VALUE(reward_scorer) scorer = {0};
    TRY(jsonl_open_nul(flags->data, &rows));
    TRY(reward_scorer_open(recipe, flags->model, &scorer));
    scorer.text = flags->text;
    TRY(reward_scorer_check(&scorer, rows, check_line, flags));
    if (scorer.too_long)
        fprintf(stderr,
                "%zu of %zu sequences are longer than the model's %d positions: their scores are "
                "null\n",
                scorer.too_long, scorer.sequences, scorer.model->config.max_positions);
    TRY(reward_scorer_run(&scorer, rows, print_line, flags));
    return fflush(stdout) ? err_new(ERR_UNAVAILABLE, "standard output cannot be written") : OK;
}

err_t command_reward_score(int argc, char **argv)
{
    struct score_flags own = {.column = "score"};
    struct recipe_flag flags[] = {
        {"model", "DIR", "the reward model: a directory of ForSequenceClassification",
         .text = &own.model},
        {"data", "FILE",
         "JSON lines: rows of any format with answers, or completions as generate "
         "and eval --out write them",
         .text = &own.data},
        {"as", "NAME",
         "the scores' columns: NAME, NAME_chosen and NAME_rejected, NAMEs; else score",
         .text = &own.column},
        {"text", NULL, "completions by their text, tokenized again, and not by their ids",
         .flag = &own.text},
        {"replace", NULL, "columns of these names in the data are replaced", .flag = &own.replace},
    };
    struct recipe_cli cli = {
        .program = "rlhfctl reward score",
        .purpose =
            "Shows each line of a file with a reward model's scores of its answers: \"score_chosen\" and\n"
            "\"score_rejected\" of a preference, \"scores\" of completions, else \"score\". The scores are the numbers\n"
            "that scorer reward_model gives; null: longer than the model's positions.",
        .flags = flags,
        .flags_count = sizeof flags / sizeof *flags,
        .recipe_optional = true};
    SCOPED(recipe) recipe = NULL;
    TRY(recipe_load(&cli, argc, argv, &recipe));
    if (!recipe)
        return OK;
    TRY(check_flags(&own));
    return score_file(recipe, &own);
}
