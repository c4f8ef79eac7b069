/* 1 if the pattern occurs in the completion and, with a column, what it took there is the row's
 * column. */
#include "base/mem.h"
#include "rewarder/scorer.h"
#include "rewarder/scorers/pattern.h"

struct regex {
    struct pattern *pattern;
    char *column; // NULL: any occurrence counts
    bool strip;
};

static err_t regex_prepare(const struct scorer_config *config, void **ret_state)
{
    SCOPED(pattern) pattern = NULL;
    TRY(pattern_new(config->pattern, false, &pattern));
    struct regex *regex = mem_new(sizeof *regex);
    regex->pattern = STEAL(pattern);
    regex->column = config->column && *config->column ? mem_string(config->column) : NULL;
    regex->strip = config->strip;
    *ret_state = regex;
    return OK;
}

static err_t regex_score(void *state, const struct scorer_sample *sample, struct scorer_result *ret)
{
    const struct regex *regex = state;
    struct text_slice want = {0};
    if (regex->column)
        TRY(scorer_column(sample->row, regex->column, &want));
    struct pattern_match match =
        pattern_find(regex->pattern, (struct text_slice){sample->text, sample->text_len});
    if (regex->column && regex->strip) {
        want = scorer_strip(want);
        match.first = scorer_strip(match.first);
    }
    const bool right = match.found && (!regex->column || scorer_same(match.first, want));
    *ret = (struct scorer_result){.score = right ? 1 : 0, .overrun = match.overrun};
    return OK;
}

static void regex_free(void *state)
{
    struct regex *regex = state;
    pattern_free(regex->pattern);
    free(regex->column);
    free(regex);
}

const struct scorer_kind scorer_regex = {
    .name = "regex",
    .help = "1 if the pattern occurs in the completion (with a column: and took its text), else 0",
    .keys = SCORER_PATTERN | SCORER_COLUMN | SCORER_STRIP,
    .required = SCORER_PATTERN,
    .prepare = regex_prepare,
    .score = regex_score,
    .free = regex_free,
};
