/* Completions whose answer can be checked. */
#include "rewarder/verify/verify.h"
#include "base/mem.h"
#include "rewarder/verify/check.h"
#include <string.h>

static const struct check *const checks[] = {&check_math, &check_code, &check_schema};

static const struct recipe_option keys[] = {
    STAGE_KEY(struct verify_keys, word, check, "", "how", .words = "math|code|json_schema",
              .required = true),
    STAGE_KEY(struct verify_keys, text, column, "",
              "column of the row with the answer, the code's tests, or the schema", .max = 256),
    STAGE_KEY(struct verify_keys, word, extract, "auto",
              "place of a completion's answer; auto: the first that is there of \\boxed{}, ####, "
              "\"answer is\" or \"answer:\", the last formula between dollars, the last number",
              .words = ANSWER_WORDS),
    STAGE_KEY(struct verify_keys, number, tolerance, "1e-6",
              "how far a decimal may be off a value that is written without a point; below 1, in "
              "parts of it",
              .min = 0, .max = 0.1),
    STAGE_KEY(struct verify_keys, text, schema, "", "JSON Schema of every row, for json_schema",
              .max = 1 << 16),
    STAGE_KEY(struct verify_keys, texts, command, "[]",
              "how code runs, {code} is its text; none: python3 -I -c {code}", .min = 1,
              .max = 4000),
    STAGE_KEY(struct verify_keys, choice, sandbox, "auto",
              "the least isolation of code: auto is the highest that this machine gives, "
              "restricted or strong; none: code is as free as the rewarder",
              .words = "auto|strong|restricted|none"),
    STAGE_KEY(struct verify_keys, flag, partial, "false",
              "the score of code is the share of tests that it passes"),
    STAGE_KEY(struct verify_keys, count, timeout_ms, "10000", "of one test of code", .min = 10,
              .max = 3600000),
    STAGE_KEY(struct verify_keys, count, memory_mib, "1024", "of code", .min = 16, .max = 1 << 24),
    PATTERN_KEYS(struct verify_keys),
};

struct verify {
    const struct verify_keys *keys;
    const struct check *check;
    void *state;
};

static err_t verify_open(const struct stage_context *context, void **ret_state)
{
    struct verify verify = {.keys = context->keys};
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        if (strcmp(checks[i]->name, verify.keys->check) == 0)
            verify.check = checks[i];
    if (!*verify.keys->column && verify.check != &check_schema)
        return err_new(ERR_INVALID, "column: check: %s needs one", verify.keys->check);
    if (verify.check->open)
        TRY(verify.check->open(verify.keys, &verify.state));
    *ret_state = mem_copy(&verify, sizeof verify);
    return OK;
}

static err_t verify_score(const void *state, const struct scorer_sample *sample, double *ret)
{
    const struct verify *verify = state;
    return verify->check->score(verify->keys, verify->state, sample, ret);
}

static void verify_start(void *state, struct stage_call *call)
{
    scorer_each(call, verify_score, state);
}

static void verify_close(void *state)
{
    struct verify *verify = state;
    if (verify->check->close)
        verify->check->close(verify->state);
    mem_free(verify);
}

const struct stage_class scorer_verify = {
    .name = "verify",
    .help =
        "1 if the completion's answer is right, else 0: mathematics by value, code by unit tests "
        "in a sandbox, JSON by its schema.",
    .under = "rewarder.scorers",
    STAGE_KEYS(struct verify_keys, keys),
    .thread = STAGE_IN_POOL,
    .fills = STAGE_SCORES,
    .deadline_ms = 600000,
    .open = verify_open,
    .start = verify_start,
    .close = verify_close,
};
