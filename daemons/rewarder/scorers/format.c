/* 1 if the completion has the form asked for: the pattern from end to end, an end of its own, or
 * both. */
#include "base/mem.h"
#include "rewarder/scorer.h"
#include "rewarder/scorers/pattern.h"

struct format {
    struct pattern *pattern; // NULL: any text
    bool eos;
};

static err_t format_prepare(const struct scorer_config *config, void **ret_state)
{
    const bool has_pattern = config->pattern && *config->pattern;
    if (!has_pattern && !config->eos)
        return err_new(ERR_INVALID, "needs a pattern, or eos: true");
    SCOPED(pattern) pattern = NULL;
    if (has_pattern)
        TRY(pattern_new(config->pattern, true, &pattern));
    struct format *format = mem_new(sizeof *format);
    format->pattern = STEAL(pattern);
    format->eos = config->eos;
    *ret_state = format;
    return OK;
}

static err_t format_score(void *state, const struct scorer_sample *sample,
                          struct scorer_result *ret)
{
    const struct format *format = state;
    struct pattern_match match = {.found = true};
    if (format->pattern)
        match = pattern_find(format->pattern, (struct text_slice){sample->text, sample->text_len});
    const bool ended = !format->eos || sample->finish != FINISH_LENGTH;
    *ret = (struct scorer_result){.score = match.found && ended ? 1 : 0, .overrun = match.overrun};
    return OK;
}

static void format_free(void *state)
{
    struct format *format = state;
    pattern_free(format->pattern);
    free(format);
}

const struct scorer_kind scorer_format = {
    .name = "format",
    .help =
        "1 if the pattern matches the whole completion and, with eos, it ended by itself, else 0",
    .keys = SCORER_PATTERN | SCORER_EOS,
    .prepare = format_prepare,
    .score = format_score,
    .free = format_free,
};
