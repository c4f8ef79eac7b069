#include "model/text/pretoken.h"
#include "model/text/unicode.h"
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static const struct {
    enum pretoken pattern;
    const char *regex;
} known[] = {
    {PRETOKEN_GPT2,
     "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"},
    {PRETOKEN_QWEN2, "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"
                     " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
    {PRETOKEN_LLAMA3, "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
                      " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
};

int pretoken_find(const char *regex)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(regex, known[i].regex))
            return known[i].pattern;
    return -1;
}

struct text {
    const char *data;
    size_t len;
};

static bool newline(const struct text *text, size_t at)
{
    return at < text->len && (text->data[at] == '\n' || text->data[at] == '\r');
}

/* The class of the code point at `at` and where the next begins; false (OTHER, at) at the end. */
static bool class_at(const struct text *text, size_t at, enum unicode_class *ret, size_t *ret_next)
{
    *ret = UNICODE_OTHER;
    *ret_next = at;
    if (at >= text->len)
        return false;
    uint32_t code;
    *ret_next = at + (size_t)unicode_next(text->data + at, text->len - at, &code);
    *ret = unicode_class(code);
    return true;
}

/* Where the run of `wanted` that begins at `at` ends, after at most max code points. */
static size_t run_end(const struct text *text, size_t at, enum unicode_class wanted, size_t max)
{
    enum unicode_class class;
    size_t next;
    while (max-- && class_at(text, at, &class, &next) && class == wanted)
        at = next;
    return at;
}

/* \s+(?!\S)|\s+ over a run that ends at end: all of it at the text's end, else all but its last
 * code point, if more is left. */
static size_t space_run(const struct text *text, size_t end)
{
    if (end == text->len)
        return end;
    size_t last = 0, next;
    enum unicode_class class;
    for (size_t at = 0; at < end; at = next) {
        last = at;
        class_at(text, at, &class, &next);
    }
    return last ? last : end;
}

/* 's|'t|'re|'ve|'m|'ll|'d; under (?i) also capitals, and U+017F, which folds to s. 0: no match. */
static size_t contraction(const struct text *text, bool fold)
{
    if (text->len < 2 || text->data[0] != '\'')
        return 0;
    char a = text->data[1], b = text->len > 2 ? text->data[2] : 0;
    if (fold) {
        if (text->len > 2 && !memcmp(text->data + 1, "\xc5\xbf", 2))
            return 3;
        a = a >= 'A' && a <= 'Z' ? (char)(a | 0x20) : a;
        b = b >= 'A' && b <= 'Z' ? (char)(b | 0x20) : b;
    }
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return 2;
    return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

static size_t gpt2_next(const struct text *text)
{
    size_t end = contraction(text, false), next;
    if (end)
        return end;
    size_t at = text->data[0] == ' ';
    enum unicode_class class;
    if (class_at(text, at, &class, &next) && class != UNICODE_SPACE)
        return run_end(text, at, class, SIZE_MAX);
    return space_run(text, run_end(text, 0, UNICODE_SPACE, SIZE_MAX));
}

/* \s*[\r\n]+ over a run of white space that ends at end: up to the run's last line break; 0: it has
 * none. */
static size_t line_breaks(const struct text *text, size_t end)
{
    while (end && !newline(text, end - 1))
        end--;
    return end;
}

static size_t llama3_next(const struct text *text, size_t digits)
{
    size_t end = contraction(text, true), next, after;
    if (end)
        return end;
    enum unicode_class class, following;
    class_at(text, 0, &class, &next);
    if (class == UNICODE_LETTER)
        return run_end(text, 0, UNICODE_LETTER, SIZE_MAX);
    if (class == UNICODE_NUMBER)
        return run_end(text, 0, UNICODE_NUMBER, digits);
    if (!newline(text, 0) && class_at(text, next, &following, &after) &&
        following == UNICODE_LETTER)
        return run_end(text, next, UNICODE_LETTER, SIZE_MAX);
    size_t at = text->data[0] == ' ';
    if (class_at(text, at, &following, &after) && following == UNICODE_OTHER) {
        end = run_end(text, at, UNICODE_OTHER, SIZE_MAX);
        while (newline(text, end))
            end++;
        return end;
    }
    size_t run = run_end(text, 0, UNICODE_SPACE, SIZE_MAX);
    end = line_breaks(text, run);
    return end ? end : space_run(text, run);
}

size_t pretoken_next(enum pretoken pattern, const char *text, size_t len)
{
    const struct text all = {text, len};
    switch (pattern) {
    case PRETOKEN_WHOLE:
        return len;
    case PRETOKEN_GPT2:
        return gpt2_next(&all);
    case PRETOKEN_QWEN2:
        return llama3_next(&all, 1);
    case PRETOKEN_LLAMA3:
        return llama3_next(&all, 3);
    }
    return len;
}
