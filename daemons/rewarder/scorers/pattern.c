#define PCRE2_CODE_UNIT_WIDTH 8
#include "rewarder/scorers/pattern.h"
#include "base/mem.h"
#include "svc/cell.h"
#include "svc/metrics.h"
#include <pcre2.h>
#include <string.h>

enum { STEP_BYTES = 16 };

/* PCRE2's own limit counts from each place anew where a match may begin. Automatic callouts come
 * before every item instead, and count over the whole search. */
enum {
    OPTIONS = PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_AUTO_CALLOUT
};

static struct metric overruns = METRIC_COUNTER(
    "rlhfd_scorer_overruns_total", "searches of patterns that were given up at match_limit or "
                                   "heap_limit_mib, whose groups leave");
static struct metric *const rows[] = {&overruns};

struct pattern {
    char *text;
    pcre2_code *code;
    pcre2_match_context *limits; // a search copies it
    struct pattern_limits most;
    uint64_t step; // of any item: 1, and what a look behind goes back
    /* (bytes of text) Steps that the item there may take without passing a byte: it fails late. */
    uint32_t *late;
};
enum { LATE_AS_GROUPS = UINT32_MAX }; // as many as the longest text that a group has taken

/* One search; the data of its callouts. */
struct search {
    const struct pattern *pattern;
    const struct cell *stop;
    uint64_t steps;
    size_t at; // of the last item
};

/* ---- making one */

static bool begins(const char *item, size_t len, const char *word)
{
    return len >= strlen(word) && memcmp(item, word, strlen(word)) == 0;
}

/* One step of these may take a time that grows faster than what they pass, and PCRE2 counts nothing
 * inside: flags are paired from the text's begin on, scripts are compared from the group's. */
static bool is_unbounded(const char *item, size_t len)
{
    static const char *const words[] = {"\\X",
                                        "(*sr:", "(*script_run:", "(*asr:", "(*atomic_script_run:"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (begins(item, len, words[i]))
            return true;
    return false;
}

/* The larger number of the count that an item ends with, as {300} or {2,300}?; 0: it has none. The
 * braces of \x{2019} are no count. */
static unsigned long count_of(const char *item, size_t len)
{
    if (len && (item[len - 1] == '?' || item[len - 1] == '+'))
        len--;
    const char *brace = memrchr(item, '{', len);
    if (!brace || item[len - 1] != '}' || (item[0] == '\\' && brace == item + 2))
        return 0;
    if (brace + 1 + strspn(brace + 1, "0123456789,") != item + len - 1)
        return 0;
    const char *comma = memchr(brace, ',', len - (size_t)(brace - item));
    const unsigned long least = strtoul(brace + 1, NULL, 10);
    const unsigned long most = comma ? strtoul(comma + 1, NULL, 10) : 0;
    return most > least ? most : least;
}

/* A count is scanned to its end before it fails, and so is what a reference repeats. */
static uint32_t late_steps(const char *item, size_t len)
{
    if (begins(item, len, "(?P=") || (len > 1 && item[0] == '\\' && strchr("123456789gk", item[1])))
        return LATE_AS_GROUPS;
    const unsigned long count = count_of(item, len);
    return (uint32_t)(count < UINT16_MAX ? count : UINT16_MAX) / STEP_BYTES;
}

/* Of a caseless pattern PCRE2 seeks the last letter in either case, to the text's end and from each
 * place anew where a match may begin, and counts nothing. */
static bool is_caseless(const char *text)
{
    for (const char *at = text; (at = strstr(at, "(?")); at += 2)
        if (memchr(at + 2, 'i', strspn(at + 2, "^-aimnrsxDJPSTUW")))
            return true;
    return false;
}

static int note_item(pcre2_callout_enumerate_block *item, void *arg)
{
    struct pattern *pattern = arg;
    const char *at = pattern->text + item->pattern_position;
    if (is_unbounded(at, item->next_item_length))
        return (int)item->pattern_position + 1;
    pattern->late[item->pattern_position] = late_steps(at, item->next_item_length);
    return 0;
}

static err_t note_items(struct pattern *pattern, size_t len)
{
    uint32_t behind = 0;
    pattern->late = mem_array(len + 1, sizeof *pattern->late);
    const int refused = pcre2_callout_enumerate(pattern->code, note_item, pattern);
    if (refused > 0)
        return err_new(ERR_INVALID,
                       "pattern: at byte %d: \\X and script runs are not allowed, as no limit of "
                       "steps holds them",
                       refused - 1);
    if (refused < 0)
        return err_new(ERR_INTERNAL, "pattern: its items cannot be listed (%d)", refused);
    pcre2_pattern_info(pattern->code, PCRE2_INFO_MAXLOOKBEHIND, &behind);
    pattern->step = 1 + behind / STEP_BYTES;
    return OK;
}

static err_t no_pattern(const char *text, size_t place, int number)
{
    char message[160];
    SCOPED_MEM char *shown = mem_string(text);
    pcre2_get_error_message(number, (PCRE2_UCHAR *)message, sizeof message);
    for (char *p = shown; *p; p++) // an error is one line
        *p = (unsigned char)*p < ' ' ? ' ' : *p;
    return err_new(ERR_INVALID, "pattern: '%s': at byte %zu: %s", shown, place, message);
}

/* The steps are the limit; PCRE2's own stand as high, for whatever has no item. */
static err_t set_limits(struct pattern *pattern)
{
    const struct pattern_limits *most = &pattern->most;
    const int64_t steps = most->match_limit;
    pattern->limits = pcre2_match_context_create(NULL);
    if (!pattern->limits)
        return err_new(ERR_EXHAUSTED, "pattern: no memory for a match");
    pcre2_set_match_limit(pattern->limits, steps < UINT32_MAX ? (uint32_t)steps : UINT32_MAX);
    pcre2_set_depth_limit(pattern->limits, UINT32_MAX);
    pcre2_set_heap_limit(pattern->limits, (uint32_t)(most->heap_limit_mib * 1024));
    return OK;
}

err_t pattern_new(const char *text, bool whole, const struct pattern_limits *limits,
                  struct pattern **ret)
{
    const size_t len = strlen(text);
    if (len > PATTERN_BYTES)
        return err_new(ERR_INVALID, "pattern: has %zu bytes; at most %d are allowed", len,
                       PATTERN_BYTES);
    const uint32_t options = OPTIONS | (whole ? PCRE2_ANCHORED | PCRE2_ENDANCHORED : 0) |
                             (is_caseless(text) ? PCRE2_NO_START_OPTIMIZE : 0);
    int number;
    PCRE2_SIZE place;
    SCOPED(pattern) pattern = mem_new(sizeof *pattern);
    pattern->most = *limits;
    pattern->text = mem_string(text);
    pattern->code = pcre2_compile((PCRE2_SPTR)text, len, options, &number, &place, NULL);
    if (!pattern->code)
        return no_pattern(text, place, number);
    TRY(note_items(pattern, len));
    TRY(set_limits(pattern));
    metrics_register(rows, 1);
    *ret = STEAL(pattern);
    return OK;
}

void pattern_free(struct pattern *pattern)
{
    if (!pattern)
        return;
    pcre2_match_context_free(pattern->limits);
    pcre2_code_free(pattern->code);
    mem_free(pattern->late);
    mem_free(pattern->text);
    mem_free(pattern);
}

/* ---- a search */

/* The longest text that a group has taken so far, in steps. */
static uint64_t longest_group(const pcre2_callout_block *block)
{
    size_t most = 0;
    for (uint32_t i = 1; i < block->capture_top; i++) {
        const PCRE2_SIZE begin = block->offset_vector[2 * i], end = block->offset_vector[2 * i + 1];
        if (begin != PCRE2_UNSET && end > begin && end - begin > most)
            most = end - begin;
    }
    return most / STEP_BYTES;
}

/* Before every item. */
static int on_item(pcre2_callout_block *block, void *arg)
{
    struct search *search = arg;
    const struct pattern *pattern = search->pattern;
    const size_t at = block->current_position;
    const uint32_t late = pattern->late[block->pattern_position];
    search->steps += pattern->step + (late == LATE_AS_GROUPS ? longest_group(block) : late);
    search->steps += at > search->at ? (at - search->at) / STEP_BYTES : 0;
    search->at = at;
    const bool over = search->steps > (uint64_t)pattern->most.match_limit;
    return over || (search->stop && cell_get(search->stop) != 0) ? PCRE2_ERROR_CALLOUT : 0;
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

/* Why there is no answer. result: PCRE2's, below 0. */
static err_t given_up(const struct search *search, int result, size_t len)
{
    const struct pattern_limits *most = &search->pattern->most;
    const bool over = search->steps > (uint64_t)most->match_limit;
    char message[160];
    if (result == PCRE2_ERROR_CALLOUT && !over)
        return err_new(ERR_CANCELLED, "the search was stopped");
    if (result == PCRE2_ERROR_NOMEMORY)
        return err_new(ERR_EXHAUSTED, "no memory for a search of %zu bytes", len);
    metric_add(&overruns, 1);
    if (result == PCRE2_ERROR_CALLOUT || result == PCRE2_ERROR_MATCHLIMIT)
        return err_new(ERR_RANGE,
                       "the pattern takes more than %lld steps (match_limit) on %zu bytes of text",
                       (long long)most->match_limit, len);
    if (result == PCRE2_ERROR_HEAPLIMIT)
        return err_new(ERR_RANGE,
                       "the pattern takes more than %lld MiB (heap_limit_mib) on %zu bytes of text",
                       (long long)most->heap_limit_mib, len);
    pcre2_get_error_message(result, (PCRE2_UCHAR *)message, sizeof message);
    return err_new(ERR_RANGE, "the pattern has no end on %zu bytes of text: %s", len, message);
}

err_t pattern_find(const struct pattern *pattern, struct text_slice text, const struct cell *stop,
                   struct pattern_match *ret)
{
    const char *data = text.data ? text.data : "";
    struct search search = {.pattern = pattern, .stop = stop};
    int groups = PCRE2_ERROR_NOMEMORY;
    pcre2_match_data *found = pcre2_match_data_create_from_pattern(pattern->code, NULL);
    pcre2_match_context *context = pcre2_match_context_copy(pattern->limits);
    if (found && context) {
        pcre2_set_callout(context, on_item, &search);
        groups = pcre2_match(pattern->code, (PCRE2_SPTR)data, text.len, 0, 0, found, context);
    }
    if (groups >= 0)
        *ret = match_of(found, data);
    else if (groups == PCRE2_ERROR_NOMATCH)
        *ret = (struct pattern_match){0};
    pcre2_match_context_free(context);
    pcre2_match_data_free(found);
    return groups >= 0 || groups == PCRE2_ERROR_NOMATCH ? OK : given_up(&search, groups, text.len);
}
