/* A source into tokens, as jinja2's lexer has it with trim_blocks and lstrip_blocks. */
#include "base/mem.h"
#include "model/text/template/template_tree.h"
#include "model/text/unicode.h"
#include "model/text/values/value_text.h"
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { NESTING = 400 }; // of brackets

struct lexer {
    const char *name, *text; // the source with \n for each line break
    size_t len, at;
    int line;
    bool line_starting;
    struct room *room;
    struct tokens *tokens;
    char closing[NESTING];
    int open;
};

static const char *const operators[] = {
    "+", "-",  "/",  "//", "*",  "%", "**", "~", "[", "]", "(", ")", "{",
    "}", "==", "!=", ">",  ">=", "<", "<=", "=", ".", ":", "|", ",", ";"};

static err_t wrong(const struct lexer *l, const char *what)
{
    return err_new(ERR_INVALID, "%s:%d: %s", l->name, l->line, what);
}

static struct token *put(struct lexer *l, enum token_kind kind, const char *text, size_t len)
{
    struct tokens *t = l->tokens;
    if (t->count == t->capacity) {
        t->capacity = t->capacity ? t->capacity * 2 : 256;
        t->at = mem_grow(t->at, t->capacity, sizeof *t->at);
    }
    t->at[t->count] = (struct token){.kind = kind, .line = l->line, .text = text, .len = len};
    return &t->at[t->count++];
}

static void pass(struct lexer *l, size_t end)
{
    for (; l->at < end; l->at++)
        l->line += l->text[l->at] == '\n';
    l->line_starting = end && l->text[end - 1] == '\n';
}

static bool begins(const struct lexer *l, size_t at, const char *with)
{
    const size_t n = strlen(with);
    return l->len - at >= n && memcmp(l->text + at, with, n) == 0;
}

static size_t skip_space(const struct lexer *l, size_t at)
{
    return at + text_space_ahead(l->text + at, l->len - at);
}

/* Where the end of a tag at `at` ends: "%}" with its sign and what it takes behind it. 0: it is
 * none. trims: a line break behind goes; plus: "+%}" is one, too. */
static size_t tag_end(const struct lexer *l, size_t at, const char *end, bool trims)
{
    if (begins(l, at, end)) {
        at += strlen(end);
        return trims && at < l->len && l->text[at] == '\n' ? at + 1 : at;
    }
    if (at < l->len && l->text[at] == '-' && begins(l, at + 1, end))
        return skip_space(l, at + 1 + strlen(end));
    if (trims && at < l->len && l->text[at] == '+' && begins(l, at + 1, end))
        return at + 1 + strlen(end);
    return 0;
}

/* ---- text between tags */

/* The text from l->at to end, before a tag with this sign. */
static void data(struct lexer *l, size_t end, char sign, bool lstrip)
{
    const char *text = l->text + l->at;
    size_t len = end - l->at;
    if (sign == '-') {
        len = text_space_behind(text, len);
    } else if (sign != '+' && lstrip) {
        const char *last = memrchr(text, '\n', len);
        const size_t line = last ? (size_t)(last - text) + 1 : 0;
        if ((line || l->line_starting) && text_space_ahead(text + line, len - line) == len - line)
            len = line;
    }
    if (len)
        put(l, TOKEN_DATA, text, len);
    pass(l, end);
}

static char sign_at(const struct lexer *l, size_t at)
{
    return at < l->len && (l->text[at] == '-' || l->text[at] == '+') ? l->text[at] : 0;
}

/* "{% raw %}" at `at`: where it ends; 0: it is none. */
static size_t raw_begin(const struct lexer *l, size_t at)
{
    at += 2;
    at = skip_space(l, at + (sign_at(l, at) != 0));
    if (!begins(l, at, "raw"))
        return 0;
    at = skip_space(l, at + 3);
    return tag_end(l, at, "%}", false);
}

static err_t raw(struct lexer *l, size_t begin)
{
    pass(l, begin);
    for (size_t at = begin; at + 1 < l->len; at++) {
        if (!begins(l, at, "{%"))
            continue;
        const char sign = sign_at(l, at + 2);
        size_t end = skip_space(l, at + 2 + (sign != 0));
        if (!begins(l, end, "endraw"))
            continue;
        end = tag_end(l, skip_space(l, end + 6), "%}", true);
        if (!end)
            continue;
        data(l, at, sign, true);
        pass(l, end);
        return OK;
    }
    return begin == l->len ? OK : wrong(l, "{% raw %} has no end");
}

static err_t comment(struct lexer *l, size_t begin)
{
    for (size_t at = begin; at + 1 < l->len; at++) {
        const size_t end = tag_end(l, at, "#}", true);
        if (end) {
            pass(l, end);
            return OK;
        }
    }
    pass(l, begin);
    return begin == l->len ? OK : wrong(l, "a comment has no end: {# without #}");
}

/* ---- inside tags */

static bool is_digit(char c, int base)
{
    return base == 16 ? isxdigit((unsigned char)c) : c >= '0' && c < '0' + base;
}

/* Digits with single underscores between them; lead: one may come first. */
static size_t digits(const struct lexer *l, size_t at, int base, bool lead)
{
    for (size_t from = at;; lead = true) {
        const bool under = lead && at < l->len && l->text[at] == '_';
        if (at + under >= l->len || !is_digit(l->text[at + under], base))
            return at == from ? from : at;
        at += under + 1;
    }
}

static size_t float_end(const struct lexer *l)
{
    if (l->at && l->text[l->at - 1] == '.')
        return 0;
    size_t at = digits(l, l->at, 10, false);
    bool real = false;
    if (at == l->at)
        return 0;
    if (at < l->len && l->text[at] == '.') {
        const size_t end = digits(l, at + 1, 10, false);
        real = end > at + 1;
        at = real ? end : at;
    }
    if (at < l->len && (l->text[at] | 32) == 'e') {
        const size_t from = at + 1 + (sign_at(l, at + 1) != 0);
        const size_t end = digits(l, from, 10, false);
        real = real || end > from;
        at = end > from ? end : at;
    }
    return real ? at : 0;
}

static size_t int_end(const struct lexer *l, int *ret_base)
{
    const char kind = l->text[l->at] == '0' && l->at + 1 < l->len ? l->text[l->at + 1] | 32 : 0;
    *ret_base = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 10;
    if (*ret_base != 10) {
        const size_t end = digits(l, l->at + 2, *ret_base, true);
        if (end > l->at + 2)
            return end;
        *ret_base = 10;
    }
    return l->text[l->at] == '0' ? digits(l, l->at, 1, false) : digits(l, l->at, 10, false);
}

static err_t number(struct lexer *l)
{
    char plain[128];
    int base = 10;
    const size_t real_end = float_end(l), end = real_end ? real_end : int_end(l, &base);
    size_t n = 0;
    for (size_t at = l->at; at < end; at++) {
        if (l->text[at] != '_' && n < sizeof plain - 1)
            plain[n++] = l->text[at];
    }
    plain[n] = 0;
    errno = 0;
    struct token *token = put(l, real_end ? TOKEN_FLOAT : TOKEN_INT, l->text + l->at, end - l->at);
    if (real_end)
        token->real = strtod(plain, NULL);
    else
        token->number = strtoll(plain + (base == 10 ? 0 : 2), NULL, base);
    if (n == sizeof plain - 1 || (errno && !real_end))
        return wrong(l, "a number beyond 64 bits");
    pass(l, end);
    return OK;
}

static size_t name_end(const struct lexer *l, size_t at)
{
    for (uint32_t code; at < l->len;) {
        const int bytes = unicode_next(l->text + at, l->len - at, &code);
        if (code != '_' &&
            (code < 128 ? !isalnum((int)code) : !unicode_is(UNICODE_IS_RUST_WORD, code)))
            break;
        at += (size_t)bytes;
    }
    return at;
}

/* The code point of \x, \u, \U or an octal escape at `at`, behind the backslash. */
static bool code_escape(const char *text, size_t len, size_t *at, uint32_t *ret)
{
    const char kind = text[*at];
    const bool octal = kind >= '0' && kind <= '7';
    const size_t most = kind == 'x' ? 2 : kind == 'u' ? 4 : kind == 'U' ? 8 : 3;
    uint32_t code = 0;
    size_t i = *at + !octal, n = 0;
    for (; n < most && i < len && is_digit(text[i], octal ? 8 : 16); n++, i++) {
        const int c = text[i] | 32;
        code = code * (octal ? 8 : 16) + (uint32_t)(c >= 'a' ? c - 'a' + 10 : text[i] - '0');
    }
    *at = i;
    *ret = code;
    return (octal || n == most) && code < 0x110000 && (code < 0xD800 || code > 0xDFFF);
}

/* The text of an escape, behind its backslash. False: Python refuses it, or it is no character. */
static bool escape(const char *text, size_t len, size_t *at, struct builder *out)
{
    static const char plain[] = "\\\\''\"\"a\ab\bf\fn\nr\rt\tv\v";
    const unsigned char c = (unsigned char)text[*at];
    char put[16];
    uint32_t code;
    if (c == '\n') {
        ++*at;
        return true;
    }
    for (const char *p = plain; *p; p += 2) {
        if (c == (unsigned char)*p) {
            ++*at;
            builder_add(out, p + 1, 1, 0);
            return true;
        }
    }
    if (c == 'x' || c == 'u' || c == 'U' || (c >= '0' && c <= '7')) {
        if (!code_escape(text, len, at, &code))
            return false;
        builder_add(out, put, (size_t)unicode_put(code, put), 0);
        return true;
    }
    if (c == 'N')
        return false;
    if (c < 128) {
        builder_add(out, "\\", 1, 0);
        return true;
    }
    /* jinja2 writes these as escapes of ASCII first, of which the backslash takes the first sign */
    *at += (size_t)unicode_next(text + *at, len - *at, &code);
    const int n = snprintf(put, sizeof put,
                           code < 0x100     ? "\\x%02x"
                           : code < 0x10000 ? "\\u%04x"
                                            : "\\U%08x",
                           code);
    builder_add(out, put, (size_t)n, 0);
    return true;
}

static err_t string(struct lexer *l)
{
    const char quote = l->text[l->at];
    size_t end = l->at + 1;
    bool escapes = false;
    while (end < l->len && l->text[end] != quote) {
        escapes = escapes || l->text[end] == '\\';
        end += 1 + (l->text[end] == '\\');
    }
    if (end >= l->len)
        return wrong(l, "a string has no end");
    const char *text = l->text + l->at + 1;
    const size_t len = end - l->at - 1;
    struct token *token = put(l, TOKEN_TEXT, text, len);
    if (escapes) {
        struct builder out = {.room = l->room};
        for (size_t at = 0; at < len;) {
            const char *slash = memchr(text + at, '\\', len - at);
            const size_t next = slash ? (size_t)(slash - text) : len;
            builder_add(&out, text + at, next - at, 0);
            at = next + 1;
            if (slash && !escape(text, len, &at, &out))
                return wrong(l,
                             "a string has an escape (\\N, \\x, \\u, \\U) that names no character");
        }
        token->text = out.data ? out.data : "";
        token->len = out.len;
    }
    pass(l, end + 1);
    return OK;
}

static err_t operator(struct lexer *l)
{
    int found = -1;
    for (int i = 0; i < (int)(sizeof operators / sizeof *operators); i++) {
        if (begins(l, l->at, operators[i]) &&
            (found < 0 || strlen(operators[i]) > strlen(operators[found])))
            found = i;
    }
    const char c = l->text[l->at];
    if (found < 0) {
        char what[64];
        snprintf(what, sizeof what, c > ' ' && c < 127 ? "unexpected '%c'" : "unexpected byte %#x",
                 c > ' ' && c < 127 ? c : (unsigned char)c);
        return wrong(l, what);
    }
    if (c == '{' || c == '(' || c == '[') {
        if (l->open == NESTING)
            return wrong(l, "brackets are nested too deeply");
        l->closing[l->open++] = c == '{' ? '}' : c == '(' ? ')' : ']';
    } else if ((c == '}' || c == ')' || c == ']') && (!l->open || l->closing[--l->open] != c)) {
        return wrong(l, c == '}'   ? "unexpected '}'"
                        : c == ')' ? "unexpected ')'"
                                   : "unexpected ']'");
    }
    put(l, (enum token_kind)(TOKEN_ADD + found), l->text + l->at, strlen(operators[found]));
    pass(l, l->at + strlen(operators[found]));
    return OK;
}

static err_t one_token(struct lexer *l)
{
    const char c = l->text[l->at];
    if (c >= '0' && c <= '9')
        return number(l);
    if (c == '\'' || c == '"')
        return string(l);
    const size_t end = name_end(l, l->at);
    if (end == l->at)
        return operator(l);
    put(l, TOKEN_NAME, l->text + l->at, end - l->at);
    pass(l, end);
    return OK;
}

static err_t tag(struct lexer *l, bool block)
{
    const int line = l->line;
    put(l, block ? TOKEN_BLOCK_BEGIN : TOKEN_VARIABLE_BEGIN, NULL, 0);
    pass(l, l->at + 2 + (sign_at(l, l->at + 2) != 0));
    for (l->open = 0; l->at < l->len;) {
        const size_t end = l->open ? 0 : tag_end(l, l->at, block ? "%}" : "}}", block);
        if (end) {
            put(l, block ? TOKEN_BLOCK_END : TOKEN_VARIABLE_END, NULL, 0);
            pass(l, end);
            return OK;
        }
        const size_t space = skip_space(l, l->at);
        if (space > l->at)
            pass(l, space);
        else
            TRY(one_token(l));
    }
    l->line = line;
    return wrong(l, block ? "{% has no end" : "{{ has no end");
}

static err_t lex(struct lexer *l)
{
    while (l->at < l->len) {
        size_t at = l->at;
        while (at < l->len && !(l->text[at] == '{' && at + 1 < l->len &&
                                strchr("%{#", l->text[at + 1]) && l->text[at + 1]))
            at++;
        if (at == l->len) {
            put(l, TOKEN_DATA, l->text + l->at, at - l->at);
            pass(l, at);
            break;
        }
        const char kind = l->text[at + 1];
        data(l, at, sign_at(l, at + 2), kind != '{');
        const size_t raw_end = kind == '%' ? raw_begin(l, at) : 0;
        if (raw_end)
            TRY(raw(l, raw_end));
        else if (kind == '#')
            TRY(comment(l, at + 2 + (sign_at(l, at + 2) != 0)));
        else
            TRY(tag(l, kind == '%'));
    }
    put(l, TOKEN_END, NULL, 0);
    return OK;
}

err_t template_lex(const char *source, size_t len, const char *name, struct room *room,
                   struct tokens *ret)
{
    char *text = room_take(room, len + 1);
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        text[n++] = source[i] == '\r' ? '\n' : source[i];
        i += source[i] == '\r' && i + 1 < len && source[i + 1] == '\n';
    }
    n -= n && text[n - 1] == '\n'; // keep_trailing_newline is off
    struct lexer l = {.name = name,
                      .text = text,
                      .len = n,
                      .line = 1,
                      .line_starting = true,
                      .room = room,
                      .tokens = ret};
    return lex(&l);
}
