#define PCRE2_CODE_UNIT_WIDTH 8
#include "rewarder/scorers/pattern.h"
#include "base/mem.h"
#include "svc/metrics.h"
#include <pcre2.h>
#include <string.h>

/* Bounds of one match: about a tenth of a second of backtracking, and memory. */
enum { MATCH_STEPS = 1000000, MATCH_DEPTH = 100000, MATCH_HEAP_KIB = 64 * 1024 };

static struct metric overruns = METRIC_COUNTER(
    "rlhfd_scorer_overruns_total", "matches of patterns that were given up, which scores 0");
static struct metric *const rows[] = {&overruns};

struct pattern {
    pcre2_code *code;
    pcre2_match_context *limits;
};

err_t pattern_new(const char *text, bool whole, struct pattern **ret)
{
    const size_t len = strlen(text);
    if (len > PATTERN_BYTES)
        return err_new(ERR_INVALID, "pattern: has %zu bytes; at most %d are allowed", len,
                       PATTERN_BYTES);
    /* MATCH_INVALID_UTF: completions may be any bytes. The interpreter, not the JIT, which knows
     * fewer limits. */
    uint32_t options = PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C;
    if (whole)
        options |= PCRE2_ANCHORED | PCRE2_ENDANCHORED;
    int number;
    PCRE2_SIZE place;
    SCOPED(pattern) pattern = mem_new(sizeof *pattern);
    pattern->code = pcre2_compile((PCRE2_SPTR)text, len, options, &number, &place, NULL);
    if (!pattern->code) {
        char message[160];
        SCOPED_MEM char *shown = mem_string(text);
        pcre2_get_error_message(number, (PCRE2_UCHAR *)message, sizeof message);
        for (char *p = shown; *p; p++) // an error is one line
            *p = (unsigned char)*p < ' ' ? ' ' : *p;
        return err_new(ERR_INVALID, "pattern: '%s': at byte %zu: %s", shown, place, message);
    }
    pattern->limits = pcre2_match_context_create(NULL);
    if (!pattern->limits)
        return err_new(ERR_EXHAUSTED, "pattern: no memory for a match");
    pcre2_set_match_limit(pattern->limits, MATCH_STEPS);
    pcre2_set_depth_limit(pattern->limits, MATCH_DEPTH);
    pcre2_set_heap_limit(pattern->limits, MATCH_HEAP_KIB);
    metrics_register(rows, 1);
    *ret = STEAL(pattern);
    return OK;
}

static struct pattern_match match_of(pcre2_match_data *found, const char *data)
{
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(found);
    const uint32_t group = pcre2_get_ovector_count(found) > 1 ? 1 : 0;
    struct pattern_match match = {.found = true};
    /* A group that took no part is unset; \K in a look-around may end before it begins. */
    if (at[2 * group] != PCRE2_UNSET && at[2 * group] <= at[2 * group + 1])
        match.first = (struct text_slice){data + at[2 * group], at[2 * group + 1] - at[2 * group]};
    return match;
}

struct pattern_match pattern_find(const struct pattern *pattern, struct text_slice text)
{
    const char *data = text.data ? text.data : "";
    pcre2_match_data *found = pcre2_match_data_create_from_pattern(pattern->code, NULL);
    const int groups =
        found ? pcre2_match(pattern->code, (PCRE2_SPTR)data, text.len, 0, 0, found, pattern->limits)
              : PCRE2_ERROR_NOMEMORY;
    const struct pattern_match match =
        groups < 0 ? (struct pattern_match){0} : match_of(found, data);
    if (groups < 0 && groups != PCRE2_ERROR_NOMATCH)
        metric_add(&overruns, 1);
    pcre2_match_data_free(found);
    return match;
}

void pattern_free(struct pattern *pattern)
{
    if (!pattern)
        return;
    pcre2_match_context_free(pattern->limits);
    pcre2_code_free(pattern->code);
    free(pattern);
}
