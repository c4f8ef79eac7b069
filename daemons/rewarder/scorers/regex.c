/* 1 if the pattern occurs in the completion and, with a column, what it took there is the row's
 * column. */
#include "base/mem.h"
#include "rewarder/scorer.h"
#include "rewarder/scorers/pattern.h"

struct regex_keys {
    char *pattern, *column;
    bool strip;
    struct pattern_limits limits;
};
static const struct recipe_option keys[] = {
    STAGE_KEY(struct regex_keys, text, pattern, "", "regular expression", .min = 1,
              .max = PATTERN_BYTES, .required = true),
    STAGE_KEY(
        struct regex_keys, text, column, "",
        "column of the row that the first group's text must be; without it any occurrence counts",
        .max = 256),
    STAGE_KEY(struct regex_keys, flag, strip, "false",
              "white space at both ends does not count, with a column"),
    PATTERN_KEYS(struct regex_keys),
};

struct regex {
    const struct regex_keys *keys;
    struct pattern *pattern;
};

static err_t regex_open(const struct stage_context *context, void **ret_state)
{
    const struct regex_keys *from = context->keys;
    SCOPED(pattern) pattern = NULL;
    TRY(pattern_new(from->pattern, false, &from->limits, &pattern));
    struct regex *regex = mem_new(sizeof *regex);
    *regex = (struct regex){from, STEAL(pattern)};
    *ret_state = regex;
    return OK;
}

static err_t regex_score(const void *state, const struct scorer_sample *sample, double *ret)
{
    const struct regex *regex = state;
    const bool compares = *regex->keys->column;
    struct text_slice want = {0};
    if (compares)
        TRY(scorer_column(sample->row, regex->keys->column, &want));
    struct pattern_match match;
    TRY(pattern_find(regex->pattern, (struct text_slice){sample->text, sample->text_len},
                     sample->stop, &match));
    if (compares && regex->keys->strip) {
        want = scorer_strip(want);
        match.first = scorer_strip(match.first);
    }
    *ret = match.found && (!compares || scorer_same(match.first, want)) ? 1 : 0;
    return OK;
}

static void regex_start(void *state, struct stage_call *call)
{
    scorer_each(call, regex_score, state);
}

static void regex_close(void *state)
{
    struct regex *regex = state;
    pattern_free(regex->pattern);
    mem_free(regex);
}

const struct stage_class scorer_regex = {
    .name = "regex",
    .help = "1 if the pattern occurs in the completion (with a column: and took its text), else 0.",
    .under = "rewarder.scorers",
    STAGE_KEYS(struct regex_keys, keys),
    .thread = STAGE_IN_POOL,
    .fills = STAGE_SCORES,
    .open = regex_open,
    .start = regex_start,
    .close = regex_close,
};
