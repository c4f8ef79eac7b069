/* Checks of completions: one row for each value of `check`, for verify.c.
 *
 * Any thread; state is shared and does not change. */
#pragma once
#include "rewarder/sandbox/sandbox.h"
#include "rewarder/scorers/pattern.h"
#include "rewarder/verify/answer.h"

struct verify_keys {
    char *check, *column, *extract, *schema;
    double tolerance;
    struct recipe_texts command;
    enum sandbox_choice sandbox;
    bool partial;
    int64_t timeout_ms, memory_mib;
    struct pattern_limits limits;
};

struct check {
    const char *name;
    /* NULL: it needs no state. */
    err_t (*open)(const struct verify_keys *keys, void **ret_state);
    err_t (*score)(const struct verify_keys *keys, const void *state,
                   const struct scorer_sample *sample, double *ret);
    void (*close)(void *state);
};
extern const struct check check_math, check_code, check_schema;
