#include "rewarder/verify/math_lex.h"
#include <ctype.h>
#include <math.h>
#include <string.h>

bool math_begins(const char *at, const char *end, const char *word)
{
    const size_t len = strlen(word);
    return (size_t)(end - at) >= len && memcmp(at, word, len) == 0;
}

uint64_t math_power(uint64_t base, uint64_t exponent)
{
    uint64_t value = 1;
    for (; exponent; exponent >>= 1) {
        if (exponent & 1)
            value = math_times(value, base);
        base = math_times(base, base);
    }
    return value;
}

/* ---- what is skipped */

/* Of these the longest come first; a letter behind one makes it another command. */
static const char *const typesetting[] = {"\\displaystyle",
                                          "\\textstyle",
                                          "\\limits",
                                          "\\qquad",
                                          "\\quad",
                                          "\\right",
                                          "\\left",
                                          "\\Bigg",
                                          "\\bigg",
                                          "\\Big",
                                          "\\big",
                                          "\\,",
                                          "\\;",
                                          "\\:",
                                          "\\!",
                                          "\\ ",
                                          "\\(",
                                          "\\)",
                                          "\\[",
                                          "\\]",
                                          "\\$",
                                          "$",
                                          "~",
                                          "\xc2\xa0"};

/* Python's **, which is also how Markdown sets bold type. */
static bool is_power(const char *at, const char *end)
{
    return at < end && (isalnum((unsigned char)*at) || *at == '(' || *at == '-');
}

static size_t skipped(const char *at, const char *end)
{
    if (isspace((unsigned char)*at))
        return 1;
    for (size_t i = 0; i < sizeof typesetting / sizeof *typesetting; i++) {
        const size_t len = strlen(typesetting[i]);
        if (!math_begins(at, end, typesetting[i]))
            continue;
        if (isalpha((unsigned char)at[len - 1]) && at + len < end &&
            isalpha((unsigned char)at[len]))
            continue;
        return len;
    }
    if (*at == '.' && at + 1 == end)
        return 1; // of a sentence, or of \right.
    return math_begins(at, end, "**") && !is_power(at + 2, end) ? 2 : 0;
}

static void skip(struct math_lex *lex)
{
    size_t len;
    while (lex->at < lex->end && (len = skipped(lex->at, lex->end)))
        lex->at += len;
}

char math_peek(struct math_lex *lex)
{
    skip(lex);
    return lex->at < lex->end ? *lex->at : 0;
}

/* ---- numbers */

static bool digits(const char *at, const char *end, int count)
{
    for (int i = 0; i < count; i++)
        if (at + i >= end || !isdigit((unsigned char)at[i]))
            return false;
    return at + count == end || !isdigit((unsigned char)at[count]);
}

/* All of the digits and commas at hand are one number: 1,234,567 and not 25,100,55. */
static bool is_grouped(const char *at, const char *end)
{
    size_t first = 0;
    if (at < end && *at == '0')
        return false;
    while (at + first < end && isdigit((unsigned char)at[first]))
        first++;
    if (!first || first > 3)
        return false;
    for (at += first; at < end && *at == ','; at += 4)
        if (!digits(at + 1, end, 3)) // a comma of the sentence has no digit behind it
            return at + 1 == end || !isdigit((unsigned char)at[1]);
    return true;
}

/* Bytes of the separator of thousands here; 0: there is none. */
static size_t separator(const struct math_lex *lex, const char *at, bool grouped)
{
    static const char *const always[] = {"{,}", ",\\!", "\\,", "{\\,}"};
    for (size_t i = 0; i < sizeof always / sizeof *always; i++) {
        const size_t len = strlen(always[i]);
        if (math_begins(at, lex->end, always[i]) && digits(at + len, lex->end, 3))
            return len;
    }
    return at < lex->end && *at == ',' && grouped && digits(at + 1, lex->end, 3) ? 1 : 0;
}

struct digits_read {
    double value;
    uint64_t residue;
    int count;
};

static void one_digit(struct digits_read *to, char c)
{
    to->value = to->value * 10 + (c - '0');
    to->residue = (math_times(to->residue, 10) + (uint64_t)(c - '0')) % MATH_PRIME;
    to->count++;
}

static const char *list_end(const struct math_lex *lex)
{
    const char *at = lex->at;
    while (at < lex->end && (isdigit((unsigned char)*at) || *at == ','))
        at++;
    return at;
}

static void whole_part(struct math_lex *lex, struct digits_read *to)
{
    size_t len;
    const bool grouped = !lex->brackets && lex->at >= lex->listed && is_grouped(lex->at, lex->end);
    if (!grouped && lex->at >= lex->listed)
        lex->listed = list_end(lex);
    while (lex->at < lex->end) {
        if (isdigit((unsigned char)*lex->at))
            one_digit(to, *lex->at++);
        else if (to->count && (len = separator(lex, lex->at, grouped)))
            lex->at += len;
        else
            break;
    }
}

/* Digits behind the point, then those that repeat for ever: 0.1\overline{6} = (16 - 1) / 90. */
static void fraction_part(struct math_lex *lex, struct digits_read *all)
{
    const int whole = all->count;
    struct digits_read fixed, repeated;
    while (lex->at < lex->end && isdigit((unsigned char)*lex->at))
        one_digit(all, *lex->at++);
    fixed = *all;
    double value = pow(10, all->count - whole);
    uint64_t residue = math_power(10, (uint64_t)(all->count - whole));
    lex->number.decimal = true;
    if (math_begins(lex->at, lex->end, "\\overline{")) {
        const char *at = lex->at + strlen("\\overline{");
        for (repeated = fixed; at < lex->end && isdigit((unsigned char)*at); at++)
            one_digit(&repeated, *at);
        const int count = repeated.count - fixed.count;
        if (count && at < lex->end && *at == '}') {
            lex->at = at + 1;
            lex->number.decimal = false;
            all->value = repeated.value - fixed.value;
            all->residue = (repeated.residue + MATH_PRIME - fixed.residue) % MATH_PRIME;
            value *= pow(10, count) - 1;
            residue = math_times(residue,
                                 (math_power(10, (uint64_t)count) + MATH_PRIME - 1) % MATH_PRIME);
        }
    }
    all->value /= value;
    all->residue = math_times(all->residue, math_inverse(residue));
}

/* As in 1.5e-3. */
static void power_of_ten(struct math_lex *lex, struct digits_read *all)
{
    const char *at = lex->at;
    if (at == lex->end || (*at != 'e' && *at != 'E'))
        return;
    at++;
    const bool minus = at < lex->end && *at == '-';
    at += at < lex->end && (*at == '-' || *at == '+');
    int exponent = 0;
    const char *begin = at;
    for (; at < lex->end && isdigit((unsigned char)*at) && at < begin + 4; at++)
        exponent = exponent * 10 + (*at - '0');
    if (at == begin)
        return;
    lex->at = at;
    const uint64_t ten = math_power(10, (uint64_t)exponent);
    all->value *= pow(10, minus ? -exponent : exponent);
    all->residue = math_times(all->residue, minus ? math_inverse(ten) : ten);
}

static void take_number(struct math_lex *lex)
{
    struct digits_read all = {0};
    const char *begin = lex->at;
    lex->number = (struct math_node){.kind = MATH_NUMBER};
    whole_part(lex, &all);
    const char *point = lex->at;
    if (point + 1 < lex->end && *point == '.' &&
        (isdigit((unsigned char)point[1]) || math_begins(point + 1, lex->end, "\\overline{"))) {
        lex->at++;
        fraction_part(lex, &all);
    }
    power_of_ten(lex, &all);
    lex->kind = TOKEN_NUMBER;
    lex->number.value = all.value;
    lex->number.residue = all.residue;
    lex->number.name = (struct text_slice){begin, (size_t)(lex->at - begin)};
}

bool math_digit(struct math_lex *lex)
{
    if (!isdigit((unsigned char)math_peek(lex)))
        return false;
    const int digit = *lex->at - '0';
    lex->kind = TOKEN_NUMBER;
    lex->number = (struct math_node){
        .kind = MATH_NUMBER, .value = digit, .residue = (uint64_t)digit, .name = {lex->at, 1}};
    lex->at++;
    return true;
}

/* ---- words and signs */

static void sign(struct math_lex *lex, char sign, size_t len)
{
    lex->kind = TOKEN_SIGN;
    lex->sign = sign;
    lex->at += len;
}

/* One byte that is nothing here, at `at`. */
static void unknown(struct math_lex *lex, const char *at)
{
    lex->kind = TOKEN_UNKNOWN;
    lex->text = (struct text_slice){at, 1};
}

struct spelling {
    const char *text;
    char sign;        // or
    const char *name; // of the command that means the same
};
static const struct spelling beyond_ascii[] = {
    {"\xc3\x97", '*', NULL},           {"\xc2\xb7", '*', NULL},
    {"\xe2\x8b\x85", '*', NULL},       {"\xc3\xb7", '/', NULL},
    {"\xe2\x88\x92", '-', NULL},       {"\xe2\x80\x93", '-', NULL},
    {"\xe2\x89\xa4", SIGN_MOST, NULL}, {"\xe2\x89\xa5", SIGN_LEAST, NULL},
    {"\xe2\x89\xa0", SIGN_NOT, NULL},  {"\xe2\x88\xaa", SIGN_UNION, NULL},
    {"\xc2\xb1", SIGN_EITHER, NULL},   {"\xc2\xb0", SIGN_DEGREE, NULL},
    {"\xe2\x88\x88", SIGN_IN, NULL},   {"\xcf\x80", 0, "pi"},
    {"\xe2\x88\x9a", 0, "sqrt"},       {"\xe2\x88\x9e", 0, "infty"},
    {"\xe2\x88\x85", 0, "emptyset"},   {"<=", SIGN_MOST, NULL},
    {">=", SIGN_LEAST, NULL},          {"!=", SIGN_NOT, NULL},
    {"+-", SIGN_EITHER, NULL},         {"**", '^', NULL},
};
static const struct spelling commands[] = {
    {"cdot", '*', NULL},
    {"times", '*', NULL},
    {"ast", '*', NULL},
    {"div", '/', NULL},
    {"le", SIGN_MOST, NULL},
    {"leq", SIGN_MOST, NULL},
    {"leqslant", SIGN_MOST, NULL},
    {"ge", SIGN_LEAST, NULL},
    {"geq", SIGN_LEAST, NULL},
    {"geqslant", SIGN_LEAST, NULL},
    {"lt", '<', NULL},
    {"gt", '>', NULL},
    {"ne", SIGN_NOT, NULL},
    {"neq", SIGN_NOT, NULL},
    {"cup", SIGN_UNION, NULL},
    {"pm", SIGN_EITHER, NULL},
    {"in", SIGN_IN, NULL},
    {"degree", SIGN_DEGREE, NULL},
    {"lbrace", SIGN_SET, NULL},
    {"rbrace", SIGN_SET_END, NULL},
    {"langle", '(', NULL},
    {"rangle", ')', NULL},
    {"lvert", '|', NULL},
    {"rvert", '|', NULL},
    {"vert", '|', NULL},
    {"mid", '|', NULL},
    {"lparen", '(', NULL},
    {"rparen", ')', NULL},
    {"approx", '=', NULL},
    {"equiv", '=', NULL},
};

static bool is(struct text_slice text, const char *word)
{
    return text.len == strlen(word) && memcmp(text.data, word, text.len) == 0;
}

/* The text in braces, which the place stands before; false: no braces that end. */
static bool braces(struct math_lex *lex, struct text_slice *ret)
{
    if (math_peek(lex) != '{')
        return false;
    int depth = 0;
    for (const char *at = lex->at; at < lex->end; at++) {
        depth += *at == '{' ? 1 : *at == '}' ? -1 : 0;
        if (depth == 0) {
            *ret = (struct text_slice){lex->at + 1, (size_t)(at - lex->at - 1)};
            lex->at = at + 1;
            return true;
        }
    }
    return false;
}

static void take_command(struct math_lex *lex)
{
    static const char *const texts[] = {"text",       "textbf", "textit", "textrm",  "mathrm",
                                        "mbox",       "mathbb", "mathbf", "mathcal", "operatorname",
                                        "textnormal", "hbox",   "mathit"};
    const char *begin = ++lex->at;
    while (lex->at < lex->end && isalpha((unsigned char)*lex->at))
        lex->at++;
    lex->text = (struct text_slice){begin, (size_t)(lex->at - begin)};
    if (!lex->text.len) {
        const char c = lex->at < lex->end ? *lex->at : 0;
        if (c == '{' || c == '}' || c == '\\')
            sign(lex, c == '{' ? SIGN_SET : c == '}' ? SIGN_SET_END : SIGN_ROW, 1);
        else if (c == '%')
            sign(lex, c, 1);
        else
            unknown(lex, lex->at - 1);
        return;
    }
    lex->kind = TOKEN_COMMAND;
    if (is(lex->text, "dfrac") || is(lex->text, "tfrac") || is(lex->text, "cfrac") ||
        is(lex->text, "dbinom") || is(lex->text, "tbinom")) { // the same in another size
        lex->text.data++;
        lex->text.len--;
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (is(lex->text, commands[i].text)) {
            sign(lex, commands[i].sign, 0);
            return;
        }
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (is(lex->text, texts[i]) && braces(lex, &lex->text))
            lex->kind = TOKEN_TEXT;
}

static bool take_spelled(struct math_lex *lex)
{
    for (size_t i = 0; i < sizeof beyond_ascii / sizeof *beyond_ascii; i++) {
        const struct spelling *s = &beyond_ascii[i];
        if (!math_begins(lex->at, lex->end, s->text))
            continue;
        if (s->name) {
            lex->kind = TOKEN_COMMAND;
            lex->text = (struct text_slice){s->name, strlen(s->name)};
            lex->at += strlen(s->text);
        } else
            sign(lex, s->sign, strlen(s->text));
        return true;
    }
    return false;
}

void math_next(struct math_lex *lex)
{
    skip(lex);
    if (lex->at == lex->end) {
        lex->kind = TOKEN_END;
        return;
    }
    const unsigned char c = (unsigned char)*lex->at;
    const char *begin = lex->at;
    if (isdigit(c) || (c == '.' && lex->at + 1 < lex->end && isdigit((unsigned char)lex->at[1]))) {
        take_number(lex);
    } else if (isalpha(c)) {
        while (lex->at < lex->end && isalpha((unsigned char)*lex->at))
            lex->at++;
        lex->kind = TOKEN_WORD;
        lex->text = (struct text_slice){begin, (size_t)(lex->at - begin)};
    } else if (c == '\\') {
        take_command(lex);
    } else if (!take_spelled(lex)) {
        if (strchr("+-*/^_!%=<>(){}[],;|&", c))
            sign(lex, (char)c, 1);
        else
            unknown(lex, lex->at++);
    }
}
