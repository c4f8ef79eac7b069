/* 1 if the completion has the form asked for: the pattern from end to end, an end of its own, or
 * both. */
#include "base/mem.h"
#include "rewarder/scorer.h"
#include "rewarder/scorers/pattern.h"

struct format_keys {
    char *pattern;
    bool eos;
    struct pattern_limits limits;
};
static const struct recipe_option keys[] = {
    STAGE_KEY(struct format_keys, text, pattern, "",
              "regular expression for the whole completion; any text matches without it",
              .max = PATTERN_BYTES),
    STAGE_KEY(struct format_keys, flag, eos, "false", "the completion must have ended by itself"),
    PATTERN_KEYS(struct format_keys),
};

struct format {
    struct pattern *pattern; // NULL: any text
    bool eos;
};

static err_t format_open(const struct stage_context *context, void **ret_state)
{
    const struct format_keys *from = context->keys;
    if (!*from->pattern && !from->eos)
        return err_new(ERR_INVALID, "needs a pattern, or eos: true");
    SCOPED(pattern) pattern = NULL;
    if (*from->pattern)
        TRY(pattern_new(from->pattern, true, &from->limits, &pattern));
    struct format *format = mem_new(sizeof *format);
    format->pattern = STEAL(pattern);
    format->eos = from->eos;
    *ret_state = format;
    return OK;
}

static err_t format_score(const void *state, const struct scorer_sample *sample, double *ret)
{
    const struct format *format = state;
    struct pattern_match match = {.found = true};
    if (format->pattern)
        TRY(pattern_find(format->pattern, (struct text_slice){sample->text, sample->text_len},
                         sample->stop, &match));
    const bool ended = !format->eos || sample->finish != FINISH_LENGTH;
    *ret = match.found && ended ? 1 : 0;
    return OK;
}

static void format_start(void *state, struct stage_call *call)
{
    scorer_each(call, format_score, state);
}

static void format_close(void *state)
{
    struct format *format = state;
    pattern_free(format->pattern);
    mem_free(format);
}

const struct stage_class scorer_format = {
    .name = "format",
    .help =
        "1 if the pattern matches the whole completion and, with eos, it ended by itself, else 0.",
    .under = "rewarder.scorers",
    STAGE_KEYS(struct format_keys, keys),
    .thread = STAGE_IN_POOL,
    .fills = STAGE_SCORES,
    .open = format_open,
    .start = format_start,
    .close = format_close,
};
