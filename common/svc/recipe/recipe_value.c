/* One value of a recipe: what is allowed, and from text. */
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

/* Of a stage's map, so that a recipe of many can be rendered and read again. */
enum { ENTRY_BYTES = 48 << 10, ENTRY_DEPTH = 8 };

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
        [OPTION_stage] = "stage",
        [OPTION_scorers] = "scorers",
        [OPTION_files] = "files",
        [OPTION_choice] = "word",
        [OPTION_group] = "map",
        [OPTION_count_or_auto] = "count or auto",
        [OPTION_number_or_default] = "number or default",
    };
    return names[row->kind];
}

/* Of very many words the first, as nobody reads a line of them all; docs/recipe.md has the rest. */
static void put_words(const struct recipe_option *row, struct bytes *ret)
{
    enum { MANY = 40, FIRST = 8 };
    size_t count = 1, said = 0;
    for (const char *p = row->words; *p; p++)
        count += *p == '|';
    for (const char *p = row->words; *p; p++) {
        if (*p != '|')
            bytes_u8(ret, (uint8_t)*p);
        else if (count > MANY && ++said == FIRST)
            break;
        else
            bytes_text(ret, ", ");
    }
    if (count > MANY)
        bytes_printf(ret, " and %zu more", count - FIRST);
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

static void put_others(const struct recipe_option *row, struct bytes *ret)
{
    if (row->kind == OPTION_files)
        bytes_printf(ret, "a path, or a list of up to %d: paths, maps {path, weight}",
                     RECIPE_FILES);
    else
        bytes_text(ret, row->kind == OPTION_group ? "a map" : "a path");
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
    case OPTION_count_or_auto:
        bytes_text(ret, "a whole number ");
        put_range(row, ret);
        bytes_text(ret, row->kind == OPTION_count ? "" : ", or auto");
        return;
    case OPTION_number:
    case OPTION_number_or_default:
        bytes_text(ret, "a number ");
        put_range(row, ret);
        bytes_text(ret, row->kind == OPTION_number ? "" : ", or default");
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
    case OPTION_stage:
        put_words(row, ret);
        bytes_text(ret, ", or a map with kind");
        return;
    case OPTION_scorers:
        bytes_printf(ret, "a list of up to %d maps", RECIPE_SCORERS);
        return;
    default:
        put_others(row, ret);
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

static err_t set_number_or_default(const struct recipe_option *row, double *ret, const char *text)
{
    if (strcmp(text, "default") != 0)
        return set_number(row, ret, text);
    *ret = RECIPE_NUMBER_DEFAULT;
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
    int count = 0, most = 1;
    for (const char *p = copy; *p; p++)
        most += *p == '|';
    SCOPED_MEM const char **words = mem_array((size_t)most, sizeof *words);
    for (char *rest = copy; rest;)
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
    void *to = option_field(row, group);
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
    case OPTION_number_or_default:
        return set_number_or_default(row, to, text);
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
    *(struct recipe_pair *)option_field(row, group) = pair;
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
    struct recipe_texts *texts = option_field(row, group);
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

err_t option_copy_entry(const struct yaml_tree *value, struct yaml_tree **ret)
{
    SCOPED_VALUE(bytes) text = {0};
    if (yaml_tree_depth(value) > ENTRY_DEPTH)
        return err_new(ERR_INVALID, "a map nested more than %d deep", ENTRY_DEPTH);
    yaml_tree_put(value, &text);
    if (text.len > ENTRY_BYTES)
        return err_new(ERR_INVALID, "a map of %zu bytes; at most %d are allowed", text.len,
                       ENTRY_BYTES);
    *ret = yaml_tree_copy(value);
    return OK;
}

err_t option_set_stage(const struct recipe_option *row, void *group, const struct yaml_tree *value)
{
    struct recipe_stage *stage = option_field(row, group);
    const bool map = value->kind == YAML_MAP;
    const struct yaml_tree *kind = map ? yaml_tree_member(value, "kind") : value;
    int unused;
    if (!kind || kind->kind != YAML_SCALAR)
        return wrong(row, yaml_tree_kind_name(value), map ? "has no kind" : "is no stage");
    TRY(find_word(row, kind->text, &unused));
    SCOPED(yaml_tree) entry = NULL;
    if (map)
        TRY(option_copy_entry(value, &entry));
    option_free(row, group);
    *stage = (struct recipe_stage){mem_string(kind->text), STEAL(entry)};
    return OK;
}

err_t option_set(const struct recipe_option *row, void *group, const struct yaml_tree *value)
{
    SCOPED_VALUE(bytes) allowed = {0};
    option_allowed(row, &allowed);
    if (yaml_tree_is_null(value))
        return err_new(ERR_INVALID, "has no value; allowed: %s", (char *)allowed.data);
    if (row->kind == OPTION_pair)
        return option_set_pair(row, group, value);
    if (row->kind == OPTION_texts)
        return option_set_texts(row, group, value);
    if (row->kind == OPTION_stage)
        return option_set_stage(row, group, value);
    if (value->kind != YAML_SCALAR)
        return err_new(ERR_INVALID, "is %s; allowed: %s", yaml_tree_kind_name(value),
                       (char *)allowed.data);
    return option_set_text(row, group, value->text, value->quoted);
}

/* A default is written as in a recipe; it is our own bug if it cannot be read. */
void option_set_default(const struct recipe_option *row, void *group)
{
    if (row->kind == OPTION_scorers || row->kind == OPTION_texts || row->kind == OPTION_files)
        return;                                // no entries
    if (option_is_text(row) && !*row->value) { // not set, which no recipe can write for every kind
        *(char **)option_field(row, group) = mem_string("");
        return;
    }
    if (row->kind != OPTION_pair && row->kind != OPTION_stage) {
        if (err_failed(option_set_text(row, group, row->value, false)))
            abort();
        return;
    }
    SCOPED(yaml_tree) value = NULL;
    err_t failed = yaml_tree_parse(row->value, strlen(row->value), "default", &value);
    if (!err_failed(failed))
        failed = option_set(row, group, value);
    if (err_failed(failed))
        abort();
}
