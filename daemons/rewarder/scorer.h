/* Scorers: pure functions from (dataset row, completion) to one raw number; a recipe's list of them
 * makes the reward.
 *
 *     struct scorer_config config[] = {{.kind = "exact", .column = "completion", .weight = 1, .strip = true}};
 *     SCOPED(scorers) scorers = NULL;
 *     TRY(scorers_new(config, 1, &scorers));       -- INVALID: "rewarder.scorers[0]: ..." says what to change
 *     TRY(scorers_group(scorers, group));          -- sets scores and reward of every completion
 *
 * Owner: one thread; a worker has its own set. The same sample gives the same bits on every
 * machine. To add a scorer: a file in scorers/, a row in scorer.c's table, a test. */
#pragma once
#include "base/err.h"
#include "base/json.h"
#include "base/scoped.h"
#include "svc/recipe/recipe.h"
#include "wire/rollout.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SCORERS_MAX = 64, SCORER_PATTERN_MAX = 1 << 14 };

enum length_unit { LENGTH_TOKENS, LENGTH_CHARACTERS };

/* One entry of the recipe's list. Text is borrowed during scorers_new only; NULL or "" means
 * absent. */
struct scorer_config {
    const char *kind;    // a name of the table
    const char *column;  // of the row, whose value must be text: exact, rouge; regex (optional)
    double weight;       // finite; the reward is the sum of weight * score
    const char *pattern; // PCRE2 with UTF: regex, format
    bool strip; // exact, regex: ASCII white space at both ends of both texts does not count
    bool eos;   // format: the completion must have ended by itself
    enum length_unit unit; // length
    int64_t min, max;      // length: 0 <= min <= max
};

/* Which members beside kind and weight a kind reads; others must be absent. */
enum scorer_key {
    SCORER_COLUMN = 1,
    SCORER_PATTERN = 2,
    SCORER_STRIP = 4,
    SCORER_EOS = 8,
    SCORER_UNIT = 16,
    SCORER_RANGE = 32,
};

/* What is scored. text may be any bytes. */
struct scorer_sample {
    const json_t *row; // an object
    const char *text;
    size_t text_len;
    enum finish finish;
    uint32_t tokens; // with the end token
};

struct scorer_result {
    double score;
    bool overrun; // a match was given up; the score is 0
};

/* The vtable. state is what prepare made; *ret and *ret_state are untouched on failure. */
struct scorer_kind {
    const char *name, *help;
    uint32_t keys;     // enum scorer_key: read
    uint32_t required; // of these, which may not be absent
    err_t (*prepare)(const struct scorer_config *config, void **ret_state);
    err_t (*score)(void *state, const struct scorer_sample *sample, struct scorer_result *ret);
    void (*free)(void *state);
};

/* exact   1 if the completion is the row's column, else 0. regex   1 if the pattern occurs in the
 * completion, else 0; with a column: 1 if what its first group (the whole match
 *         where it has none) took at the first match is the row's column.
 * format  1 if the pattern matches the completion from end to end and, with eos, the completion
 * ended by itself. length  1 for min..max tokens (the end token included) or characters; below in a
 * straight line to 0 at length 0, above
 *         to 0 at twice max.
 * rouge   ROUGE-L F1 against the row's column, in [0, 1]: as Google's rouge_score without stemming.
 * A match that needs more than a fixed amount of work scores 0 and is counted in
 * scorers_overruns. */
extern const struct scorer_kind scorer_exact, scorer_regex, scorer_format, scorer_length,
    scorer_rouge;

/* By name; NULL: no such kind. i-th kind of the table; NULL past its end. */
const struct scorer_kind *scorer_find(const char *name);
const struct scorer_kind *scorer_at(size_t i);

struct scorers;

/* INVALID: an entry names no kind, lacks a key, has one that its kind does not read, or a value out
 * of range. */
err_t scorers_new(const struct scorer_config *config, size_t count, struct scorers **ret);

/* The same from rewarder.scorers; errors name file and line. */
err_t scorers_from_recipe(const struct recipe *recipe, struct scorers **ret);
size_t scorers_count(const struct scorers *scorers);

/* count raw scores and their weighted sum. INVALID: the row lacks a column, or it is not text. */
err_t scorers_sample(struct scorers *scorers, const struct scorer_sample *sample, double *ret_score,
                     double *ret_reward);

/* Parses the group's row and scores every completion, replacing older scores; on error the group is
 * as it was. INVALID: the row is no JSON object, or as above. */
err_t scorers_group(struct scorers *scorers, struct group *group);

uint64_t scorers_overruns(const struct scorers *scorers); // matches given up since scorers_new
void scorers_free(struct scorers *scorers);
DEFINE_SCOPED(scorers)

/* For scorers: the row's column as text, borrowed. INVALID names the column and the columns that
 * are there. */
struct text_slice {
    const char *data;
    size_t len;
};
err_t scorer_column(const json_t *row, const char *column, struct text_slice *ret);
struct text_slice scorer_strip(struct text_slice text); // without ASCII white space at its ends
bool scorer_same(struct text_slice a, struct text_slice b);
