/* Sets of code points in a pattern. */
#include "base/mem.h"
#include "model/text/regex/regex_tree.h"
#include <string.h>

enum { LETTERS = 0x1f, MARKS = 0xe0, LONG_S = 0x17f, KELVIN = 0x212a };

static const struct {
    const char *name;
    uint32_t mask;
} categories[] = {
    {"L", LETTERS},
    {"M", MARKS},
    {"N", 0x700},
    {"P", 0x3f800},
    {"S", 0x3c0000},
    {"Z", 0x1c00000},
    {"C", 0x3e000000},
    {"Lu", 1u << UNICODE_LU},
    {"Ll", 1u << UNICODE_LL},
    {"Lt", 1u << UNICODE_LT},
    {"Lm", 1u << UNICODE_LM},
    {"Lo", 1u << UNICODE_LO},
    {"Mn", 1u << UNICODE_MN},
    {"Mc", 1u << UNICODE_MC},
    {"Me", 1u << UNICODE_ME},
    {"Nd", 1u << UNICODE_ND},
    {"Nl", 1u << UNICODE_NL},
    {"No", 1u << UNICODE_NO},
    {"Pc", 1u << UNICODE_PC},
    {"Pd", 1u << UNICODE_PD},
    {"Ps", 1u << UNICODE_PS},
    {"Pe", 1u << UNICODE_PE},
    {"Pi", 1u << UNICODE_PI},
    {"Pf", 1u << UNICODE_PF},
    {"Po", 1u << UNICODE_PO},
    {"Sm", 1u << UNICODE_SM},
    {"Sc", 1u << UNICODE_SC},
    {"Sk", 1u << UNICODE_SK},
    {"So", 1u << UNICODE_SO},
    {"Zs", 1u << UNICODE_ZS},
    {"Zl", 1u << UNICODE_ZL},
    {"Zp", 1u << UNICODE_ZP},
    {"Cc", 1u << UNICODE_CC},
    {"Cf", 1u << UNICODE_CF},
    {"Co", 1u << UNICODE_CO},
    {"Cn", 1u << UNICODE_CN},
};

/* Items of the set that is read; sets inside it are finished before their own item. */
struct items {
    struct regex_item at[256];
    int count;
};

static err_t add(const struct parse *p, struct items *items, struct regex_item item)
{
    if (items->count == sizeof items->at / sizeof *items->at)
        return regex_refuse(p, "a set of more than 256 parts");
    items->at[items->count++] = item;
    return OK;
}

static err_t finish(struct parse *p, const struct items *items, bool negated, int *ret)
{
    struct regex *regex = p->regex;
    if (regex->sets == REGEX_SETS || regex->items + items->count > REGEX_ITEMS)
        return regex_refuse(p, "too many sets");
    regex->item =
        mem_grow(regex->item, (size_t)regex->items + (size_t)items->count, sizeof *regex->item);
    memcpy(regex->item + regex->items, items->at, (size_t)items->count * sizeof *items->at);
    struct regex_set set = {.first = regex->items, .items = items->count, .negated = negated};
    regex->items += items->count;
    for (uint32_t code = 0; code < 128; code++)
        if (regex_set_has(regex, &set, code))
            set.ascii[code >> 6] |= UINT64_C(1) << (code & 63);
    regex->set = mem_grow(regex->set, (size_t)regex->sets + 1, sizeof *regex->set);
    regex->set[regex->sets] = set;
    *ret = regex->sets++;
    return OK;
}

/* A range; under (?i) also its letters' other case, as far as they are ASCII. */
static err_t add_range(const struct parse *p, struct items *items, uint32_t a, uint32_t b)
{
    TRY(add(p, items, (struct regex_item){.kind = ITEM_RANGE, .a = a, .b = b}));
    for (uint32_t code = a; p->fold && code <= b; code++) {
        if (code > 0x7f && unicode_category(code) <= UNICODE_LO)
            return regex_refuse(p, "under (?i) only ASCII letters are known");
        const uint32_t low = code | 0x20;
        if (code > 0x7f || low < 'a' || low > 'z')
            continue;
        TRY(add(p, items,
                (struct regex_item){.kind = ITEM_RANGE, .a = code ^ 0x20, .b = code ^ 0x20}));
        const uint32_t third = low == 's' ? LONG_S : low == 'k' ? KELVIN : 0;
        if (third)
            TRY(add(p, items, (struct regex_item){.kind = ITEM_RANGE, .a = third, .b = third}));
    }
    return OK;
}

/* After \p or \P. */
static err_t add_named(struct parse *p, struct items *items, bool negated)
{
    char name[16] = "";
    const char *end = p->text[p->at] == '{' ? strchr(p->text + p->at, '}') : NULL;
    const char *begin = p->text + p->at + 1;
    if (!end)
        return regex_refuse(p, "\\p must be followed by {name}");
    if (*begin == '^')
        negated = !negated, begin++;
    if ((size_t)(end - begin) < sizeof name)
        memcpy(name, begin, (size_t)(end - begin));
    struct regex_item item = {.kind = ITEM_CATEGORIES, .negated = negated};
    for (size_t i = 0; i < sizeof categories / sizeof *categories; i++)
        if (!strcmp(name, categories[i].name))
            item.a = categories[i].mask;
    if (!strcmp(name, "Han"))
        item = (struct regex_item){.kind = ITEM_PROPERTY, .a = UNICODE_IS_HAN, .negated = negated};
    else if (!item.a)
        return regex_refuse(p, "\\p{} knows general categories and Han");
    if (p->fold && item.kind == ITEM_CATEGORIES && item.a & LETTERS &&
        (item.a & LETTERS) != LETTERS)
        return regex_refuse(p, "a kind of letters under (?i)");
    p->at = (size_t)(end - p->text) + 1;
    return add(p, items, item);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'                     ? c - '0'
           : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                    : -1;
}

/* Up to `most` digits, or those in braces. */
static err_t parse_hex(struct parse *p, int most, uint32_t *ret)
{
    const bool braces = p->text[p->at] == '{';
    uint32_t code = 0;
    int digits = 0;
    p->at += braces;
    for (; digits < (braces ? 6 : most) && hex_digit(p->text[p->at]) >= 0; digits++)
        code = code * 16 + (uint32_t)hex_digit(p->text[p->at++]);
    if (!digits || (most == 4 && !braces && digits < 4) || (braces && p->text[p->at++] != '}') ||
        code > 0x10ffff || (!braces && most == 2 && code > 0x7f))
        return regex_refuse(
            p, "a code point in hexadecimal must be \\xHH below 80, \\x{H} or \\uHHHH");
    *ret = code;
    return OK;
}

/* One code point, after a backslash if escaped; *ret UNICODE_INVALID: items were added instead. */
static err_t parse_escape(struct parse *p, struct items *items, uint32_t *ret)
{
    static const char from[] = "nrtfvae", to[] = "\n\r\t\f\v\a\x1b";
    const char c = p->text[p->at++];
    const bool upper = c >= 'A' && c <= 'Z';
    *ret = UNICODE_INVALID;
    switch (c | 0x20) {
    case 'p':
        return add_named(p, items, upper);
    case 's':
        return add(
            p, items,
            (struct regex_item){.kind = ITEM_PROPERTY, .negated = upper, .a = UNICODE_IS_SPACE});
    case 'w':
        return add(
            p, items,
            (struct regex_item){.kind = ITEM_PROPERTY, .negated = upper, .a = UNICODE_IS_WORD});
    case 'd':
        return add(
            p, items,
            (struct regex_item){.kind = ITEM_CATEGORIES, .negated = upper, .a = 1u << UNICODE_ND});
    default:
        break;
    }
    if (c == 'x' || c == 'u')
        return parse_hex(p, c == 'x' ? 2 : 4, ret);
    const char *known = c ? strchr(from, c) : NULL;
    if (known)
        *ret = (uint32_t)to[known - from];
    else if (c > ' ' && c < 0x7f && !upper && !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9'))
        *ret = (uint32_t)c;
    else
        return regex_refuse(p, "an escape that is not known");
    return OK;
}

static err_t parse_one(struct parse *p, struct items *items, uint32_t *ret)
{
    if (p->text[p->at] == '\\') {
        p->at++;
        return parse_escape(p, items, ret);
    }
    const size_t left = strnlen(p->text + p->at, 4);
    if (!left)
        return regex_refuse(p, "a set is not closed");
    p->at += (size_t)unicode_next(p->text + p->at, left, ret);
    return *ret == UNICODE_INVALID ? regex_refuse(p, "bytes that are not UTF-8") : OK;
}

static err_t parse_brackets(struct parse *p, int *ret_set);

/* A code point, a range, an escape or a set in brackets. */
static err_t parse_part(struct parse *p, struct items *items)
{
    uint32_t a, b;
    int inner;
    if (!strncmp(p->text + p->at, "[:", 2) || !strncmp(p->text + p->at, "&&", 2))
        return regex_refuse(p, "of sets [:names:] and && are not known");
    if (p->text[p->at] == '[') {
        p->at++;
        TRY(parse_brackets(p, &inner));
        return add(p, items, (struct regex_item){.kind = ITEM_SET, .a = (uint32_t)inner});
    }
    TRY(parse_one(p, items, &a));
    if (a == UNICODE_INVALID)
        return OK;
    b = a;
    if (p->text[p->at] == '-' && p->text[p->at + 1] && p->text[p->at + 1] != ']') {
        p->at++;
        TRY(parse_one(p, items, &b));
        if (b == UNICODE_INVALID || b < a)
            return regex_refuse(p, "a range that ends before it begins");
    }
    return add_range(p, items, a, b);
}

/* After "[". */
static err_t parse_brackets(struct parse *p, int *ret_set)
{
    struct items items = {.count = 0};
    const bool negated = p->text[p->at] == '^';
    if (++p->depth > REGEX_NESTING)
        return regex_refuse(p, "sets are nested too deeply");
    p->at += negated;
    if (p->text[p->at] == ']')
        return regex_refuse(p, "an empty set");
    while (p->text[p->at] != ']')
        TRY(parse_part(p, &items));
    p->at++;
    p->depth--;
    return finish(p, &items, negated, ret_set);
}

err_t regex_parse_set(struct parse *p, int *ret_set)
{
    struct items items = {.count = 0};
    uint32_t code;
    if (p->text[p->at] == '[') {
        p->at++;
        return parse_brackets(p, ret_set);
    }
    if (p->text[p->at] == '.') {
        p->at++;
        TRY(add(p, &items, (struct regex_item){.kind = ITEM_RANGE, .a = '\n', .b = '\n'}));
        return finish(p, &items, true, ret_set);
    }
    TRY(parse_one(p, &items, &code));
    if (code != UNICODE_INVALID)
        TRY(add_range(p, &items, code, code));
    return finish(p, &items, false, ret_set);
}
