/* The curve of over-optimisation: the score that training raises and the gold score, by the KL from
 * where training began (Gao 2022). A point is a file of completions as `rlhfctl eval --out` writes
 * it, with gold scores by `rlhfctl reward score --as gold`.
 *
 *     struct curve curve = {.score = "reward", .gold = "gold", .prompt = "prompt"};
 *     TRY(curve_read(&curve, "points"));                  -- a directory, or FILE,FILE
 *     TRY(curve_measure(&curve, NULL, &bootstrap));
 *     curve.point[0].gold.value, .low, .high
 *     curve_done(&curve);
 *
 * The bootstrap draws prompts, the same ones for all points. Owner: one thread. */
#pragma once
#include "base/err.h"
#include "base/json.h"
#include "ctl/reward/eval/bootstrap.h"
#include "ctl/reward/eval/drift.h"
#include <stdbool.h>

enum { CURVE_POINTS = 256, CURVE_LINES = 20000000, CURVE_CELLS = 10000000 };

/* A completion; NaN: the line does not say it. own: the gold score of its row's own answer. */
struct curve_line {
    size_t prompt;
    double kl, score, gold, own, tokens;
};

struct curve_point {
    char *name; // the file's, without directory and ending
    struct curve_line *line;
    size_t lines, room, unscored;
    struct estimate kl, score, gold, tokens;
    struct estimate score_gain, gold_gain; // above the base's
    /* Shares of prompts where the gold score is above the base's, and above the row's own answer's;
     * ties half. */
    struct estimate win_base, win_own;
    bool over; // more KL than the best point has, and a gold score whose interval lies below
};

struct curve {
    const char *score, *gold, *prompt; // columns; prompt: of rows
    enum drift_law law;
    struct curve_point *point; // (points) by KL
    size_t points, prompts, base, best;
    struct drift drift; // of gold_gain by kl, of all points but the base
    json_t *known;      // prompts by their digests
};

/* INVALID: no file, too many, a line without one of the numbers. */
err_t curve_read(struct curve *curve, const char *where);

/* base: a point's name; NULL: the one with the least KL. INVALID: there is no such point. */
err_t curve_measure(struct curve *curve, const char *base, const struct bootstrap *bootstrap);
void curve_done(struct curve *curve);
