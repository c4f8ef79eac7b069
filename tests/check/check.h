/* objective-check FILE.json: the rows of objectives beside numbers that others computed. FILE has
 * inputs (log-probabilities of some sequences, rewards, advantages, pairs, groups) and, by name,
 * the loss and its slopes that an objective has on them.
 *
 * A name carries the settings: "dpo beta=.1". The tables of keys say which row of
 * rl/objective_table.h a name means and where its numbers go; `#` in a pattern is a number, `@` a
 * list of them. So a file may have other inputs, and other numbers in its names.
 *
 *     {"dpo beta=#", "dpo", CHECK_PAIRS, COLUMN_BIT(COLUMN_REFERENCE_LOGP), {ARG(pair.beta, 0)}}
 *
 * objective_grad, which the learner's step calls, computes each. To add a key: a row in
 * keys_policy.c, keys_preference.c or keys_vocabulary.c. */
#pragma once
#include "base/json.h"
#include "rl/objective.h"

#define CHECK_TOLERANCE 1e-6 // of a number, or of its size where that is above 1

struct check_inputs {
    /* Every column that a file has, in its order; each sequence is a unit. */
    struct columns *all;
    size_t pairs, (*pair)[2]; // chosen, rejected
    size_t groups, *group;    // group g: member[group[g]] .. member[group[g + 1] - 1]
    size_t *member;
};
err_t check_inputs_read(const json_t *root, const char *name, struct check_inputs *ret);
void check_inputs_done(struct check_inputs *inputs);

/* The numbers of a key's name, in their order. */
struct check_args {
    double number[8];
    size_t numbers;
    struct {
        double at[64];
        size_t count;
    } list[2];
    size_t lists;
};
/* False: the name is not of this pattern. */
bool check_match(const char *pattern, const char *name, struct check_args *ret);

/* How the sequences become units of an update. */
enum check_units {
    CHECK_SEQUENCES, // each is one
    CHECK_PAIRS,     // the file's pairs, chosen before rejected
    CHECK_GROUPS,    // the file's groups
    CHECK_LIST       // all of them are one group
};

/* A field of the row's settings: add + scale times the name's number. */
struct check_set {
    size_t offset, size;
    double add, scale;
    size_t arg;
};
#define CHECK_FIELD(field)                                                                         \
    offsetof(struct objective_config, field), sizeof(((struct objective_config *)0)->field)
#define SET(field, value)                                                                          \
    {                                                                                              \
        CHECK_FIELD(field), (value), 0, 0                                                          \
    }
#define ARG(field, i)                                                                              \
    {                                                                                              \
        CHECK_FIELD(field), 0, 1, (i)                                                              \
    }
#define SCALED(field, i, scale, add)                                                               \
    {                                                                                              \
        CHECK_FIELD(field), (add), (scale), (i)                                                    \
    }

struct check_case {
    const struct check_inputs *in;
    const struct check_args *args;
    struct objective_config config;
    struct columns *update; // of the sequences `member`, its columns as the key has them
    const size_t *member;
    struct rl_totals totals;
};

enum { CHECK_SETS = 14 };
struct check_key {
    const char *pattern, *row;
    enum check_units units;
    uint64_t columns; // of the update, beside logp
    struct check_set set[CHECK_SETS];
    /* Adds what is no column of the file. NULL: no addition. INVALID: the name's lists do not
     * go with the file. */
    err_t (*prepare)(struct check_case *it);
};

/* NULL: past the last. */
const struct check_key *check_policy_key(size_t i);
const struct check_key *check_preference_key(size_t i);
const struct check_key *check_token_key(size_t i); // keys_vocabulary.c

/* The objective of this name: its loss and slopes (of every token of the file). NOT_FOUND: no key
 * has the name. */
err_t check_evaluate(const struct check_inputs *in, const char *name, double *ret_loss,
                     double *ret_slope);

/* ---- losses of whole rows of the vocabulary */

struct check_rows {
    size_t vocabulary;
    const double *z, *reference, *loser; // logits
};
struct check_rows_key {
    const char *pattern;
    void (*run)(const struct check_rows *rows, const struct check_args *args, double *ret_value,
                double *ret_dz);
    size_t tokens; // so many of the name's first numbers are tokens
};
const struct check_rows_key *check_vocabulary_key(size_t i);

/* ---- the rest of a file */

struct check_score {
    size_t agree, all;
};
bool check_near(double is, double want);

/* INVALID: a part that is there is malformed. */
err_t check_other(const json_t *root, const char *name, struct check_score *ret);

/* `count` finite numbers of a list. */
err_t check_numbers(const json_t *list, const char *name, size_t count, double *ret);
