/* Scores completions by the recipe's scorers, in the rewarder's program (`rlhfd-rewarder --job
 * score`). So the measured scores are those that training optimises. */
#pragma once
#include "ctl/make/complete.h"

/* Every line is replaced by its scored one ("scores", "reward"). argv: this command's, whose
 * recipe, --run and --set are handed on. INVALID: the rewarder refused; it has said why on standard
 * error. */
err_t score_lines(const struct recipe *recipe, char *const *argv, struct collected *c);

/* Whether the recipe's scorers can be made and score rows of its data (`--job check`). Doubts go to
 * notes, a line each (NULL: nowhere). argv as above. */
err_t scorers_check(const struct recipe *recipe, char *const *argv, FILE *notes);

/* The rewarder's documentation of its stages' keys (`--job document`), as Markdown. UNAVAILABLE:
 * its program is not beside this one. */
struct bytes;
err_t stages_document(struct bytes *ret);

struct score_figures {
    size_t completions, scorers;
    double reward, reward_std, success, tokens, ended; // means over the completions
    /* (scorers) the mean, and the share that reached the recipe's success, of completions that the
     * scorer applies to; NaN: of none. */
    double *score, *reached;
};
void score_figures_done(struct score_figures *figures);

/* Of scored lines; without scorers in the recipe reward and success are 0. */
void score_figures(const struct recipe *recipe, const struct collected *c,
                   struct score_figures *ret);
