/* The recipe's stages: entries under rewarder.scorers, then rewarder.reference.
 *
 *     SCOPED(stage_list) stages = NULL;
 *     TRY(stage_list_open(&(struct stage_list_options){.recipe = recipe, .loop = loop}, &stages));
 *     -- INVALID: "recipe.yaml:7: rewarder.scorers[0].pattern: '(' ..." names file, line, key, value and what is allowed
 *
 * Owner: the thread that opens them, then the pipeline. */
#pragma once
#include "rewarder/stage.h"
#include "svc/recipe/recipe.h"

enum { STAGES_MAX = RECIPE_SCORERS + 1 };

/* The keys that every stage has. */
struct stage_limits {
    int64_t deadline_ms, attempts, breaker;
    bool gate;
    double gated;
};

struct stage {
    const struct stage_class *class;
    char *key;                                           // "rewarder.scorers[0]"
    void *keys;                                          // the class' struct
    void *state;                                         // NULL: not opened
    void (*start)(void *state, struct stage_call *call); // the class', but in a check
    double weight;  // of its score in the reward; 0: it is no scorer
    double success; // of a gate: least score that passes
    struct stage_limits limits;
    uint64_t needs; // columns that earlier stages fill
};

struct stage_list {
    const struct recipe *recipe;
    size_t count, scorers; // scorers come first
    struct stage at[STAGES_MAX];
    void *shared[STAGES_MAX]; // by the first stage of a class
};

struct stage_list_options {
    const struct recipe *recipe;
    struct loop *loop; // NULL: stages are opened, but not run
    bool scorers_only; // without the reference model, whose keys are checked all the same
    bool check;        // stages that ask others or a model are opened, and score 0 instead
    /* The classes there are, NULL at the end; NULL: those of this program. For tests. */
    const struct stage_class *const *classes;
};

/* INVALID: an entry names no class, lacks a key, has one that its class does not read, or a value
 * out of range. Else the error of a stage's open. */
err_t stage_list_open(const struct stage_list_options *options, struct stage_list **ret);

/* The forward id of the stage that has one, the caller's; NULL: none. */
char *stage_list_forward_id(const struct stage_list *stages);

/* Descriptors that the stages hold at most: of an entry whose class has a key `concurrency` its
 * value, as each of so many requests has a connection. */
int stage_list_descriptors(const struct recipe *recipe);

/* Ends the threads of stages that have their own, after the cancel of their calls. */
void stage_list_stop(struct stage_list *stages);

/* Every class with its keys, as Markdown: the part of docs/recipe.md on stages. */
void stage_list_document(struct bytes *ret);
void stage_list_free(struct stage_list *stages);
DEFINE_SCOPED(stage_list)
