/* The recipe: one YAML file read by every program, with overrides from the command line.
 * recipe_table.h holds its options.
 *
 *     SCOPED(recipe) recipe = NULL;
 *     TRY(recipe_load(&cli, argc, argv, &recipe));      -- INVALID: "ring.yaml:7: lag.mx: no such key; did you mean ..."
 *     if (!recipe)
 *         return OK;                                    -- --help or --version: said
 *     trainer.lr = recipe->learner.optimizer.lr;
 *
 * Every value is in range, all cross-checks hold; text is never NULL ("" = not set), paths are
 * resolved. Any thread may read; nothing changes it after loading. */
#pragma once
#include "base/bytes.h"
#include "base/err.h"
#include "base/scoped.h"
#include "svc/recipe/recipe_choice.h"
#include "svc/recipe/recipe_lists.h"
#include "svc/recipe/recipe_stage.h"
#include "svc/recipe/recipe_table.h"
#include <stdbool.h>
#include <stdint.h>

enum { RECIPE_SCORERS = 16, RECIPE_COUNT_AUTO = -1, RECIPE_NUMBER_DEFAULT = -1 };

/* The fields: recipe->SECTION.KEY, typed by the table's rows. */
#define RECIPE_TYPE_text              char *
#define RECIPE_TYPE_name              char *
#define RECIPE_TYPE_word              char *
#define RECIPE_TYPE_path              char *
#define RECIPE_TYPE_output            char *
#define RECIPE_TYPE_address           char *
#define RECIPE_TYPE_count             int64_t
#define RECIPE_TYPE_count_or_auto     int64_t
#define RECIPE_TYPE_number            double
#define RECIPE_TYPE_number_or_default double
#define RECIPE_TYPE_flag              bool
#define RECIPE_TYPE_pair              struct recipe_pair
#define RECIPE_TYPE_texts             struct recipe_texts
#define RECIPE_TYPE_stage             struct recipe_stage
#define RECIPE_TYPE_scorers           struct recipe_scorers
#define RECIPE_TYPE_files             struct recipe_files

#define RECIPE_FIELD(kind, key, value, live, limits, help) RECIPE_TYPE_##kind key;
#define RECIPE_CHOICE(key, type, value, live, words, help) enum type key;
#define RECIPE_GROUP(key, help)                            struct recipe_##key key;
#define RECIPE_STRUCT(name, rows)                                                                  \
    struct recipe_##name {                                                                         \
        rows(RECIPE_FIELD, RECIPE_CHOICE, RECIPE_GROUP)                                            \
    };
RECIPE_GROUPS(RECIPE_STRUCT)
struct recipe_scorer {
    RECIPE_SCORER(RECIPE_FIELD, RECIPE_CHOICE, RECIPE_GROUP)
    struct yaml_tree *entry; // the whole map
};
RECIPE_STRUCT(run, RECIPE_RUN)
RECIPE_STRUCT(model, RECIPE_MODEL)
RECIPE_STRUCT(lora, RECIPE_LORA)
RECIPE_STRUCT(data, RECIPE_DATA)
RECIPE_STRUCT(generator, RECIPE_GENERATOR)
RECIPE_STRUCT(rewarder, RECIPE_REWARDER)
RECIPE_STRUCT(learner, RECIPE_LEARNER)
RECIPE_STRUCT(lag, RECIPE_LAG)
RECIPE_STRUCT(publish, RECIPE_PUBLISH)
RECIPE_STRUCT(replay, RECIPE_REPLAY)
RECIPE_STRUCT(checkpoint, RECIPE_CHECKPOINT)
RECIPE_STRUCT(eval, RECIPE_EVAL)
RECIPE_STRUCT(sft, RECIPE_SFT)
RECIPE_STRUCT(train, RECIPE_TRAIN)
RECIPE_STRUCT(metrics, RECIPE_METRICS)
RECIPE_STRUCT(log, RECIPE_LOG)
RECIPE_STRUCT(net, RECIPE_NET)

struct recipe {
    RECIPE_ROOT(RECIPE_FIELD, RECIPE_CHOICE, RECIPE_GROUP)
    struct recipe_places *places; // svc/recipe/recipe_place.h; NULL: nobody wrote it
    char *file;                   // as it was given; "" without one
    char *directory;              // of the run (--run), absolute; "" if not given
    const char *daemon;           // as recipe_source has it
};

/* Whether learner.reward changes any reward. Then a group's best completion may be another one. */
bool recipe_shapes_rewards(const struct recipe *recipe);

/* Whether only a group's best and worst completion need reference log-probabilities. */
bool recipe_refers_to_pairs(const struct recipe *recipe);

/* The lag that pacing aims at; the most it becomes without an operator's change. */
int64_t recipe_lag_target(const struct recipe *recipe);
int64_t recipe_lag_most(const struct recipe *recipe);

/* Where a recipe comes from. All borrowed during the call. */
struct recipe_source {
    const char *file;        // NULL: defaults and sets alone
    const char *descriptor;  // number of an open file that holds file's text; NULL: file itself
    const char *run;         // directory of the run, made by nobody here; NULL: none
    const char *const *sets; // "section.key=value", the later wins
    size_t sets_count;
    const char *daemon; // "learner": other daemons' addresses are not checked; a literal, or NULL
};
err_t recipe_read(const struct recipe_source *source, struct recipe **ret);
/* The same from text in memory. name: of the text in errors. directory: base of relative paths. */
err_t recipe_parse(const char *text, size_t len, const char *name, const char *directory,
                   const struct recipe_source *source, struct recipe **ret);

/* INVALID unless the key is set: "recipe.yaml: model.path is not set: Hugging Face directory ..." */
err_t recipe_require(const struct recipe *recipe, const char *key);

/* INVALID: the objective trains no policy, which a ring's does. */
err_t recipe_require_policy(const struct recipe *recipe);

/* A complete recipe as YAML, every key with its value, paths absolute: reading it gives the same
 * recipe anywhere. */
void recipe_render(const struct recipe *recipe, struct bytes *ret);

/* One key's value as in a recipe ("lag.max" -> "1"), the caller's. NOT_FOUND: with did you mean. */
err_t recipe_get(const struct recipe *recipe, const char *key, char **ret);
/* Whether a key of the table has this value, which is written as in the table: texts without
 * quotes, stages by their kind. */
bool recipe_has(const struct recipe *recipe, const char *key, const char *value);

/* Calls fn for every key whose values differ, as the recipe would have them. */
typedef void (*recipe_look)(void *arg, const char *key, const char *in_a, const char *in_b);
void recipe_differences(const struct recipe *a, const struct recipe *b, recipe_look fn, void *arg);

void recipe_free(struct recipe *recipe);
DEFINE_SCOPED(recipe)
