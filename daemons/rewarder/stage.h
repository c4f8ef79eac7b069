/* A stage: one step of a group's way through the rewarder, over all completions of the group at
 * once. A scorer is a stage, and so is the reference model.
 *
 *     static void exact_start(void *state, struct stage_call *call)
 *     {
 *         *(double *)group_add(call->added, COLUMN_SCORES, 1) = 0.5;
 *         call->done(call, OK);      -- once for each start: then or later, from any thread
 *     }
 *     const struct stage_class scorer_exact = {.name = "exact", .start = exact_start, ...};
 *
 * A process has one instance of each stage of its recipe. stage_list.h reads and opens them,
 * pipeline.h runs them. To add a stage: its file, a row in stage_list.c, a test. */
#pragma once
#include "base/err.h"
#include "base/json.h"
#include "svc/recipe/recipe_options.h"
#include "wire/rollout.h"
#include <stddef.h>

struct cell;
struct loop;

/* One group at one stage. The stage keeps neither group, row nor added beyond done. */
struct stage_call {
    /* Prompt, tokens and texts; columns of the generator, and those that the stage needs. */
    const struct group *group;
    const json_t *row; // of the dataset, an object
    /* The same group without a column: group_add gives the stage's own. A call that fails adds
     * nothing. */
    struct group *added;
    double deadline_s; // clock_s(): later nobody waits for an answer
    /* Other than 0: nobody waits any more, so work that may take long looks now and then and ends.
     * NULL: never. */
    const struct cell *stop;
    size_t thread; // STAGE_ALONE: which of its threads this is
    /* Takes failed. UNAVAILABLE, EXHAUSTED and DEADLINE are tried again, other errors are final. */
    void (*done)(struct stage_call *call, err_t failed);
};

/* Where start runs. */
enum stage_thread {
    STAGE_IN_POOL, // in one of rewarder.threads, several groups at a time: state is shared
    STAGE_ALONE,   // in threads of its own, each a group at a time
    /* In one thread for all stages of the class: what they share has one owner */
    STAGE_TOGETHER,
    STAGE_ON_LOOP, // in the loop's thread: start must not wait, and done comes later
};

struct stage_context {
    const struct recipe *recipe; // borrowed as long as the stage
    const char *key;             // where its entry stands: "rewarder.scorers[0]"
    const void *keys;            // the class' struct, filled; borrowed as long as the stage
    struct loop *loop;           // NULL: the recipe is only checked
    /* A place that the stages of this class in one list share. They put something there and free
     * it; NULL at first. */
    void **shared;
};

/* Every scorer fills its share of these, and no other column: a score of each completion. Where the
 * scorer does not apply to some, it says to which (COLUMN_INAPPLICABLE). An ensemble adds how far
 * its models are apart (COLUMN_ENSEMBLE_STD). The pipeline joins the shares in the recipe's order,
 * once all scorers are done: no scorer can need them. */
#define STAGE_SCORES                                                                               \
    (COLUMN_BIT(COLUMN_SCORES) | COLUMN_BIT(COLUMN_REWARD) | COLUMN_BIT(COLUMN_INAPPLICABLE) |     \
     COLUMN_BIT(COLUMN_ENSEMBLE_STD))

struct stage_class {
    const char *name, *help; // name: the value of kind in the recipe
    const char *under;       // the key of the recipe where entries of this class stand
    const struct recipe_option *keys;
    size_t keys_count, keys_size;
    enum stage_thread thread;
    size_t (*threads)(const void *keys); // STAGE_ALONE: how many; NULL: one
    bool outside;  // other processes score: a check of the recipe opens it and asks nothing
    bool forwards; // a model scores: a check opens it and leaves out the forwards, one for each row
    uint64_t fills;                                 // a set of COLUMN_BIT
    uint64_t (*needs)(const struct recipe *recipe); // of earlier stages; NULL: none
    int64_t deadline_ms;                            // where the entry says nothing; 0: a minute
    /* NULL: the state is keys. INVALID, NOT_FOUND, PRECONDITION: not with these keys. */
    err_t (*open)(const struct stage_context *context, void **ret_state);
    void (*start)(void *state, struct stage_call *call);
    /* In the loop's thread: nobody waits for this call any more, and done is to come soon. NULL:
     * the call ends by itself. */
    void (*cancel)(void *state, struct stage_call *call);
    /* In the loop's thread, at the end, after cancel of all calls: the stage's own threads end, and
     * every call is done when it returns. NULL: it has none. */
    void (*stop)(void *state);
    void (*close)(void *state); // with no call under way; NULL: nothing to do
    /* The forward id of its numerics (model/numerics.h), the caller's; NULL: it computes no
     * log-probabilities. */
    char *(*forward_id)(const void *state);
};

/* A row of a class' keys: field and key have one name. The rest as in struct recipe_option. */
#define STAGE_KEY(type_, kind_, key_, value_, help_, ...)                                          \
    {                                                                                              \
        .key = #key_, .kind = OPTION_##kind_, .offset = offsetof(type_, key_), .value = (value_),  \
        .help = (help_), __VA_ARGS__                                                               \
    }
#define STAGE_KEYS(type_, rows_)                                                                   \
    .keys = (rows_), .keys_count = sizeof(rows_) / sizeof *(rows_), .keys_size = sizeof(type_)
