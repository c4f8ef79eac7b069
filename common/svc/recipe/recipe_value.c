/* One value of a recipe: from text, to text, what is allowed. */
#include "base/mem.h"
#include "base/printable.h"
#include "svc/address.h"
#include "svc/recipe/recipe_options.h"
#include "svc/recipe/suggest.h"
#include <ctype.h>
#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *field(const struct recipe_option *row, const void *group)
{
    return (char *)group + row->offset;
}

bool option_is_text(const struct recipe_option *row)
{
    return row->kind <= OPTION_address;
}

const char *option_kind_name(const struct recipe_option *row)
{
    static const char *const names[] = {
        [OPTION_text] = "text",
        [OPTION_name] = "name",
        [OPTION_word] = "word",
        [OPTION_path] = "path",
        [OPTION_output] = "path",
        [OPTION_address] = "address",
        [OPTION_count] = "count",
        [OPTION_number] = "number",
        [OPTION_flag] = "flag",
        [OPTION_pair] = "pair",
        [OPTION_texts] = "texts",
        [OPTION_scorers] = "scorers",
        [OPTION_choice] = "word",
        [OPTION_group] = "map",
        [OPTION_count_or_auto] = "count or auto",
    };
    return names[row->kind];
}

static void put_words(const struct recipe_option *row, struct bytes *ret)
{
    for (const char *p = row->words; *p; p++) {
        if (*p == '|')
            bytes_text(ret, ", ");
        else
            bytes_u8(ret, (uint8_t)*p);
    }
}

/* "above 0, up to 1", "from 0 to 1" */
static void put_range(const struct recipe_option *row, struct bytes *ret)
{
    bool whole = row->kind == OPTION_count || row->kind == OPTION_count_or_auto;
    const char *format = whole ? "%s %.0f%s %.0f" : "%s %g%s %g";
    bytes_printf(ret, format, row->above ? "above" : "from", row->min,
                 row->below   ? ", below"
                 : row->above ? ", up to"
                              : " to",
                 row->max);
}

void option_allowed(const struct recipe_option *row, struct bytes *ret)
{
    switch (row->kind) {
    case OPTION_text:
        bytes_printf(ret, "text of %.0f to %.0f bytes", row->min, row->max);
        return;
    case OPTION_name:
        bytes_printf(ret, "%.0f to %.0f letters, digits, '.', '_', '-', a letter or digit first",
                     row->min, row->max);
        return;
    case OPTION_word:
    case OPTION_choice:
        put_words(row, ret);
        return;
    case OPTION_address:
        bytes_text(ret, "host:port");
        return;
    case OPTION_count:
    case OPTION_number:
        bytes_text(ret, row->kind == OPTION_count ? "a whole number " : "a number ");
        put_range(row, ret);
        return;
    case OPTION_count_or_auto:
        bytes_text(ret, "a whole number ");
        put_range(row, ret);
        bytes_text(ret, ", or auto");
        return;
    case OPTION_flag:
        bytes_text(ret, "true, false");
        return;
    case OPTION_pair:
        bytes_text(ret, "a list of two numbers ");
        put_range(row, ret);
        return;
    case OPTION_texts:
        bytes_printf(ret, "a list of up to %d texts of %.0f to %.0f bytes", RECIPE_TEXTS, row->min,
                     row->max);
        return;
    case OPTION_scorers:
        bytes_printf(ret, "a list of up to %d maps", RECIPE_SCORERS);
        return;
    case OPTION_group:
        bytes_text(ret, "a map");
        return;
    default:
        bytes_text(ret, "a path");
    }
}

static err_t wrong(const struct recipe_option *row, const char *text, const char *what)
{
    SCOPED_VALUE(bytes) allowed = {0};
    option_allowed(row, &allowed);
    return err_new(ERR_INVALID, "'%.100s' %s; allowed: %s", text, what, (char *)allowed.data);
}

/* A decimal number: -1, 0.5, .5, 3e-4; not hexadecimal, inf or nan. */
static bool parse_number(const char *text, double *ret)
{
    const char *p = text + (*text == '-' || *text == '+');
    size_t digits = strspn(p, "0123456789");
    p += digits;
    if (*p == '.') {
        size_t more = strspn(++p, "0123456789");
        digits += more;
        p += more;
    }
    if (!digits)
        return false;
    if (*p == 'e' || *p == 'E') {
        p += 1 + (p[1] == '-' || p[1] == '+');
        size_t exponent = strspn(p, "0123456789");
        if (!exponent)
            return false;
        p += exponent;
    }
    if (*p)
        return false;
    *ret = strtod(text, NULL); // programs stay in the C locale's numbers
    return isfinite(*ret);
}

static bool in_range(const struct recipe_option *row, double x)
{
    return (row->above ? x > row->min : x >= row->min) &&
           (row->below ? x < row->max : x <= row->max);
}

/* YAML 1.1 reads 010 as 8, YAML 1.2 as 10. */
static bool may_be_octal(const char *text)
{
    text += *text == '-' || *text == '+';
    return text[0] == '0' && isdigit((unsigned char)text[1]);
}

/* Whole numbers never pass through a double, which rounds those above 2^53. */
static err_t set_count(const struct recipe_option *row, int64_t *ret, const char *text)
{
    size_t sign = *text == '-', digits = strspn(text + sign, "0123456789");
    if (!digits || text[sign + digits])
        return wrong(row, text, "is not a whole number");
    if (may_be_octal(text))
        return wrong(row, text, "begins with 0: octal to some readers of YAML");
    errno = 0;
    const long long value = strtoll(text, NULL, 10);
    if (errno || value < (long long)row->min || value > (long long)row->max)
        return wrong(row, text, "is out of range");
    *ret = value;
    return OK;
}

static err_t set_count_or_auto(const struct recipe_option *row, int64_t *ret, const char *text)
{
    if (strcmp(text, "auto") != 0)
        return set_count(row, ret, text);
    *ret = RECIPE_COUNT_AUTO;
    return OK;
}

/* Kernels compute in single precision, where such a number is 0 or has lost digits. */
static bool is_tiny(const char *text, double value)
{
    return fabs(value) < FLT_MIN && strcspn(text, "123456789") < strcspn(text, "eE");
}

static err_t set_number(const struct recipe_option *row, double *ret, const char *text)
{
    double value;
    if (!parse_number(text, &value))
        return wrong(row, text, "is not a number");
    if (may_be_octal(text))
        return wrong(row, text, "begins with 0: octal to some readers of YAML");
    if (is_tiny(text, value))
        return wrong(row, text, "is too near to 0: single precision has nothing so small");
    if (!in_range(row, value))
        return wrong(row, text, "is out of range");
    if (row->below && (float)value >= (float)row->max)
        return wrong(row, text, "is the upper limit in single precision");
    *ret = value;
    return OK;
}

static err_t set_flag(const struct recipe_option *row, bool *ret, const char *text)
{
    if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
        return wrong(row, text, "is not a flag");
    *ret = *text == 't';
    return OK;
}

/* The text's position in row's words; INVALID with did you mean. */
static err_t find_word(const struct recipe_option *row, const char *text, int *ret)
{
    SCOPED_MEM char *copy = mem_string(row->words);
    const char *words[16];
    int count = 0;
    for (char *rest = copy; rest && count < 16;)
        words[count++] = strsep(&rest, "|");
    for (int i = 0; i < count; i++)
        if (strcmp(words[i], text) == 0) {
            *ret = i;
            return OK;
        }
    const char *meant = suggest(text, words, (size_t)count);
    SCOPED_MEM char *what = meant ? mem_printf("is not known, did you mean '%s'?", meant) : NULL;
    return wrong(row, text, what ? what : "is not known");
}

static err_t check_text(const struct recipe_option *row, const char *text)
{
    int unused;
    if (row->kind == OPTION_word)
        return find_word(row, text, &unused);
    if (row->kind == OPTION_address) {
        struct address address;
        return address_parse(text, &address);
    }
    if (!utf8_is(text))
        return err_new(ERR_INVALID, "the text is not UTF-8");
    bool is_path = row->kind == OPTION_path || row->kind == OPTION_output;
    double len = (double)strlen(text);
    if (is_path ? len >= PATH_MAX : !in_range(row, len))
        return wrong(row, text, "is too long or too short");
    if (row->kind == OPTION_name && *text && !isalnum((unsigned char)*text))
        return wrong(row, text, "is not a name"); // "..", or a flag
    for (const char *p = text; *p; p++) {
        if (row->kind == OPTION_name && !isalnum((unsigned char)*p) && !strchr("._-", *p))
            return wrong(row, text, "is not a name");
        if (iscntrl((unsigned char)*p) && (is_path || !strchr("\t\n", *p)))
            return wrong(row, text, "has a control character");
    }
    return OK;
}

static err_t set_text(const struct recipe_option *row, char **ret, const char *text)
{
    TRY(check_text(row, text));
    free(*ret);
    *ret = mem_string(text);
    return OK;
}

static err_t set_choice(const struct recipe_option *row, void *ret, const char *text)
{
    int choice;
    TRY(find_word(row, text, &choice));
    memcpy(ret, &choice, sizeof choice); // every enum of recipe.h has an int's size
    return OK;
}

err_t option_set_text(const struct recipe_option *row, void *group, const char *text, bool quoted)
{
    void *to = field(row, group);
    if (option_is_text(row))
        return set_text(row, to, text);
    if (row->kind == OPTION_choice)
        return set_choice(row, to, text);
    if (quoted)
        return wrong(row, text, "is quoted, and so is text");
    switch (row->kind) {
    case OPTION_count:
        return set_count(row, to, text);
    case OPTION_count_or_auto:
        return set_count_or_auto(row, to, text);
    case OPTION_number:
        return set_number(row, to, text);
    case OPTION_flag:
        return set_flag(row, to, text);
    default:
        return wrong(row, text, "is not that");
    }
}

err_t option_set_pair(const struct recipe_option *row, void *group, const struct yaml_tree *value)
{
    if (value->kind != YAML_LIST || value->count != 2)
        return wrong(row, yaml_tree_kind_name(value), "is not a pair");
    struct recipe_pair pair;
    for (size_t i = 0; i < 2; i++) {
        const struct yaml_tree *at = value->at[i];
        if (at->kind != YAML_SCALAR || at->quoted)
            return wrong(row, yaml_tree_kind_name(at), "is not a number");
        TRY(set_number(row, &pair.at[i], at->text));
    }
    *(struct recipe_pair *)field(row, group) = pair;
    return OK;
}

/* One text stands for a list of one. */
err_t option_set_texts(const struct recipe_option *row, void *group, const struct yaml_tree *value)
{
    const bool list = value->kind == YAML_LIST;
    const size_t count = list ? value->count : 1;
    if (count > RECIPE_TEXTS) {
        SCOPED_MEM char *many = mem_printf("a list of %zu", count);
        return wrong(row, many, "is too long");
    }
    if (value->kind == YAML_MAP || yaml_tree_is_null(value))
        return wrong(row, yaml_tree_kind_name(value), "is not such a list");
    struct recipe_texts *texts = field(row, group);
    option_free(row, group); // a later value replaces the list; on error the whole recipe goes
    texts->at = mem_array(count, sizeof *texts->at);
    for (size_t i = 0; i < count; i++) {
        const struct yaml_tree *at = list ? value->at[i] : value;
        if (at->kind != YAML_SCALAR || yaml_tree_is_null(at))
            return wrong(row, yaml_tree_kind_name(at), "is not a text");
        TRY(set_text(row, &texts->at[texts->count++], at->text));
    }
    return OK;
}

/* Double-quoted; what YAML takes for a line break or refuses to read (its production "printable")
 * is escaped. */
static void put_quoted(struct bytes *ret, const char *text)
{
    bytes_u8(ret, '"');
    while (*text) {
        uint32_t point;
        size_t len = utf8_point(text, 4, &point);
        if (!len)
            break; // no setter lets it in
        bool plain =
            (point >= ' ' && point < 0x7f) || (point >= 0xa0 && point < 0xfffe) || point > 0xffff;
        if (point == '"' || point == '\\')
            bytes_printf(ret, "\\%c", *text);
        else if (!plain || point == 0x2028 || point == 0x2029 || point == 0xfeff)
            bytes_printf(ret, "\\u%04x", point);
        else
            bytes_put(ret, text, len);
        text += len;
    }
    bytes_u8(ret, '"');
}

static void put_number(struct bytes *ret, double x)
{
    char text[40];
    snprintf(text, sizeof text, "%.15g", x);
    if (strtod(text, NULL) != x)
        snprintf(text, sizeof text, "%.17g", x);
    bytes_text(ret, text);
}

static void put_choice(const struct recipe_option *row, const void *from, struct bytes *ret)
{
    int choice;
    memcpy(&choice, from, sizeof choice);
    const char *word = row->words;
    for (; choice > 0; choice--)
        word = strchr(word, '|') + 1;
    bytes_put(ret, word, strcspn(word, "|"));
}

static void put_scorers(const struct recipe_scorers *scorers, struct bytes *ret)
{
    struct option_rows rows = option_scorer();
    bytes_u8(ret, '[');
    for (size_t i = 0; i < scorers->count; i++) {
        bytes_text(ret, i ? ", {" : "{");
        for (size_t j = 0; j < rows.count; j++) {
            bytes_printf(ret, "%s%s: ", j ? ", " : "", rows.row[j].key);
            option_put(&rows.row[j], &scorers->at[i], ret);
        }
        bytes_u8(ret, '}');
    }
    bytes_u8(ret, ']');
}

static void put_texts(const struct recipe_texts *texts, struct bytes *ret)
{
    bytes_u8(ret, '[');
    for (size_t i = 0; i < texts->count; i++) {
        bytes_text(ret, i ? ", " : "");
        put_quoted(ret, texts->at[i]);
    }
    bytes_u8(ret, ']');
}

void option_put(const struct recipe_option *row, const void *group, struct bytes *ret)
{
    const void *from = field(row, group);
    switch (row->kind) {
    case OPTION_count:
        bytes_printf(ret, "%" PRId64, *(const int64_t *)from);
        return;
    case OPTION_count_or_auto:
        if (*(const int64_t *)from == RECIPE_COUNT_AUTO)
            bytes_text(ret, "auto");
        else
            bytes_printf(ret, "%" PRId64, *(const int64_t *)from);
        return;
    case OPTION_number:
        put_number(ret, *(const double *)from);
        return;
    case OPTION_flag:
        bytes_text(ret, *(const bool *)from ? "true" : "false");
        return;
    case OPTION_choice:
        put_choice(row, from, ret);
        return;
    case OPTION_pair: {
        const struct recipe_pair *pair = from;
        bytes_u8(ret, '[');
        put_number(ret, pair->at[0]);
        bytes_text(ret, ", ");
        put_number(ret, pair->at[1]);
        bytes_u8(ret, ']');
        return;
    }
    case OPTION_texts:
        put_texts(from, ret);
        return;
    case OPTION_scorers:
        put_scorers(from, ret);
        return;
    default:
        put_quoted(ret, *(char *const *)from);
    }
}

void option_free(const struct recipe_option *row, void *group)
{
    void *from = field(row, group);
    if (option_is_text(row)) {
        free(*(char **)from);
        *(char **)from = NULL;
    } else if (row->kind == OPTION_texts) {
        struct recipe_texts *texts = from;
        for (size_t i = 0; i < texts->count; i++)
            free(texts->at[i]);
        free(texts->at);
        *texts = (struct recipe_texts){0};
    } else if (row->kind == OPTION_scorers) {
        struct recipe_scorers *scorers = from;
        struct option_rows rows = option_scorer();
        for (size_t i = 0; i < scorers->count; i++)
            for (size_t j = 0; j < rows.count; j++)
                option_free(&rows.row[j], &scorers->at[i]);
        free(scorers->at);
        *scorers = (struct recipe_scorers){0};
    }
}
