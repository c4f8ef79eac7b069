#include "rewarder/verify/answer.h"
#include <ctype.h>
#include <string.h>
#include <strings.h>

static struct text_slice slice(const char *begin, const char *end)
{
    return (struct text_slice){begin, (size_t)(end - begin)};
}

static const char *end_of(struct text_slice text)
{
    return text.data + text.len;
}

/* The last place of word, in any case; NULL: none. */
static const char *last(struct text_slice text, const char *word)
{
    const size_t len = strlen(word);
    for (size_t i = text.len < len ? 0 : text.len - len + 1; i > 0; i--)
        if (strncasecmp(text.data + i - 1, word, len) == 0)
            return text.data + i - 1;
    return NULL;
}

static const char *first(struct text_slice text, const char *word)
{
    return text.len ? memmem(text.data, text.len, word, strlen(word)) : NULL;
}

static const char *line_end(const char *at, const char *end)
{
    const char *line = memchr(at, '\n', (size_t)(end - at));
    return line ? line : end;
}

/* ---- places */

/* At \boxed: its braces, or one word. False: the braces have no end. */
static bool inside(const char *at, const char *end, struct text_slice *ret)
{
    while (at < end && *at == ' ')
        at++;
    if (at == end)
        return false;
    if (*at != '{') {
        const char *begin = at;
        while (at < end && !isspace((unsigned char)*at) && *at != '$')
            at++;
        *ret = slice(begin, at);
        return at > begin;
    }
    int depth = 0;
    for (const char *begin = at + 1; at < end; at++) {
        if (*at == '\\' && at + 1 < end)
            at++; // \{ is no group
        else if (*at == '{')
            depth++;
        else if (*at == '}' && --depth == 0) {
            *ret = slice(begin, at);
            return true;
        }
    }
    return false;
}

/* Text between boxes that makes a list of them. */
static bool is_between(struct text_slice text)
{
    static const char *const words[] = {"\\text{", "\\quad", "\\(", "\\)", "\\[", "\\]", "\\,",
                                        "and",     "or",     "$",   ",",   ";",   "}",   "{"};
    text = scorer_strip(text);
    while (text.len) {
        size_t taken = 0;
        for (size_t i = 0; i < sizeof words / sizeof *words && !taken; i++)
            if (text.len >= strlen(words[i]) && memcmp(text.data, words[i], strlen(words[i])) == 0)
                taken = strlen(words[i]);
        if (!taken)
            return false;
        text = scorer_strip(slice(text.data + taken, end_of(text)));
    }
    return true;
}

/* "\boxed{1} and \boxed{2}" is one answer: from the first of them on. */
static const char *first_of_boxes(struct text_slice text, const char *box)
{
    struct text_slice in;
    for (const char *before; (before = last(slice(text.data, box), "\\boxed{")); box = before) {
        if (!inside(before + strlen("\\boxed"), box, &in) || box <= end_of(in) ||
            !is_between(slice(end_of(in) + 1, box)))
            break;
    }
    return box;
}

static bool boxed(struct text_slice text, struct text_slice *ret)
{
    const char *box = last(text, "\\boxed"), *frame = last(text, "\\fbox");
    if (box) {
        const char *begin = first_of_boxes(text, box);
        if (!inside(box + strlen("\\boxed"), end_of(text), ret))
            return false;
        if (begin < box)
            *ret = slice(begin, end_of(*ret) + 1);
        return true;
    }
    return frame && inside(frame + strlen("\\fbox"), end_of(text), ret);
}

static bool behind_hash(struct text_slice text, struct text_slice *ret)
{
    const char *at = last(text, "####");
    if (!at)
        return false;
    *ret = scorer_strip(slice(at + 4, line_end(at, end_of(text))));
    return ret->len > 0;
}

/* Inside the marks; from the text's first ones, or from its last. */
static bool formula(struct text_slice text, bool from_end, struct text_slice *ret)
{
    static const char *const marks[][2] = {
        {"\\[", "\\]"}, {"\\(", "\\)"}, {"$$", "$$"}, {"$", "$"}};
    const char *found = NULL;
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        const char *open = marks[i][0], *close = marks[i][1];
        const char *end = from_end ? last(text, close) : NULL, *begin = NULL;
        if (from_end && end)
            begin = last(slice(text.data, end), open);
        else if (!from_end && (begin = first(text, open)))
            end = first(slice(begin + strlen(open), end_of(text)), close);
        if (!begin || !end || end < begin + strlen(open) || begin + strlen(open) == end)
            continue;
        if (found && (from_end ? begin <= found : begin >= found))
            continue;
        found = begin;
        *ret = scorer_strip(slice(begin + strlen(open), end));
    }
    return found != NULL;
}

/* A sentence without its full stop and without marks of bold type. */
static struct text_slice sentence(struct text_slice text)
{
    const char *stop = first(text, ". ");
    if (stop)
        text.len = (size_t)(stop - text.data);
    text = scorer_strip(text);
    while (text.len && strchr("*:. ", text.data[0])) {
        if (text.data[0] == '.' && text.len > 1 && isdigit((unsigned char)text.data[1]))
            break;
        text.data++;
        text.len--;
    }
    while (text.len && strchr("*. ", text.data[text.len - 1]))
        text.len--;
    return text;
}

static bool behind_words(struct text_slice text, struct text_slice *ret)
{
    enum { NEAR = 80 };
    const char *at = last(text, "answer");
    if (!at)
        return false;
    const char *end = line_end(at, end_of(text));
    struct text_slice rest = slice(at + strlen("answer"), end);
    const struct text_slice near = slice(rest.data, rest.len < NEAR ? end : rest.data + NEAR);
    const char *is = first(near, " is "), *colon = first(near, ":");
    const char *begin = is ? is + 4 : NULL;
    if (colon && (!begin || colon < begin || colon == begin))
        begin = colon + 1;
    if (!begin)
        return false;
    rest = scorer_strip(slice(begin, end));
    if (!rest.len && end < end_of(text)) // "Answer:", and the line after
        rest = scorer_strip(slice(end + 1, line_end(end + 1, end_of(text))));
    const char *stop = first(rest, ". ");
    if ((is = last(slice(rest.data, stop ? stop : end_of(rest)), " is ")))
        rest = scorer_strip(slice(is + 4, end_of(rest))); // "The largest $n$ is 34."
    if (!formula(rest, false, ret))
        *ret = sentence(rest);
    return ret->len > 0;
}

static bool is_of_number(char c)
{
    return isdigit((unsigned char)c) || c == '.' || c == ',' || c == '/' || c == '-';
}

static bool last_number(struct text_slice text, struct text_slice *ret)
{
    size_t end = text.len;
    while (end && !isdigit((unsigned char)text.data[end - 1]))
        end--;
    if (!end)
        return false;
    size_t begin = end;
    while (begin && is_of_number(text.data[begin - 1]))
        begin--;
    while (begin < end && strchr(",/", text.data[begin]))
        begin++;
    /* The minus of "7-3" takes from the number before it. */
    for (size_t i = begin + 1; i < end; i++)
        if (text.data[i] == '-')
            begin = i + 1;
    end += end < text.len && text.data[end] == '%';
    *ret = slice(text.data + begin, text.data + end);
    return true;
}

bool answer_find(struct text_slice text, enum answer_place place, struct text_slice *ret)
{
    switch (place) {
    case ANSWER_BOXED:
        return boxed(text, ret);
    case ANSWER_HASH:
        return behind_hash(text, ret);
    case ANSWER_WHOLE:
        *ret = scorer_strip(text);
        return ret->len > 0;
    default:
        return boxed(text, ret) || behind_hash(text, ret) || behind_words(text, ret) ||
               formula(text, true, ret) || last_number(text, ret);
    }
}

struct text_slice answer_wanted(struct text_slice text)
{
    struct text_slice found = scorer_strip(text);
    if (!boxed(text, &found))
        behind_hash(text, &found);
    return found;
}

struct text_slice answer_block(struct text_slice text)
{
    const char *close = last(text, "\n```"), *open;
    if (!close)
        return text;
    open = last(slice(text.data, close), "```");
    const char *begin = open ? line_end(open, close) : NULL;
    return begin && begin < close ? slice(begin + 1, close) : text;
}
