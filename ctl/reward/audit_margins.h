/* Margins of pairs by models that were not trained on them: the winner's score above the loser's.
 *
 *     const struct audit_folds folds = {.folds = 4, .repeats = 1};
 *     TRY(audit_margins_folds(recipe, argv, &folds, &audit));     -- trains, in RUN/folds
 *     TRY(audit_margins_model(recipe, "reward", &audit));         -- or a given reward model
 *
 * Prompts are dealt to `folds` folds by their hash: no model knows a prompt that it scores. Each
 * model is trained on the others' rows by the learner's job of `rlhfctl reward train`. One that
 * was ended goes on. Several repeats deal and train anew, and give each pair that many margins.
 * Owner: the main thread. */
#pragma once
#include "ctl/reward/audit_report.h"
#include "svc/recipe/recipe.h"

enum { AUDIT_FOLDS = 64, AUDIT_REPEATS = 16 };

struct audit_folds {
    long folds, repeats;
    bool blind; // to length: models see the longer answer win as often as the shorter
};

/* argv: this command's, whose recipe and --set are handed on. INVALID: a fold without a pair, or
 * the learner refused, and has said why on standard error. */
err_t audit_margins_folds(const struct recipe *recipe, char *const *argv,
                          const struct audit_folds *folds, struct audit *audit);

/* Errors as reward_scorer_open. */
err_t audit_margins_model(const struct recipe *recipe, const char *directory, struct audit *audit);
