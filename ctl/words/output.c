#include "ctl/words/output.h"
#include "base/mem.h"
#include "base/printable.h"
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { COLUMNS_MAX = 16, CUT_LEAST = 6 };

static bool wide; // -o wide; the process has one standard output

struct table {
    size_t columns;
    bool right[COLUMNS_MAX];
    char **cell; // (cells): the header first
    size_t cells;
};

static void add_cell(struct table *table, char *text)
{
    for (char *c = text; *c; c++)
        if (*c == '\n' || *c == '\t')
            *c = ' ';
    table->cell = mem_grow(table->cell, table->cells + 1, sizeof *table->cell);
    table->cell[table->cells++] = printable_text(text, "");
    mem_free(text);
}

struct table *table_new(const char *columns)
{
    struct table *table = mem_new(sizeof *table);
    while (columns && table->columns < COLUMNS_MAX) {
        const char *end = strchrnul(columns, '|');
        const bool right = *columns == '>';
        columns += right;
        table->right[table->columns++] = right;
        add_cell(table, mem_printf("%.*s", (int)(end - columns), columns));
        columns = *end ? end + 1 : NULL;
    }
    return table;
}

void table_cell(struct table *table, const char *format, ...)
{
    char *text;
    va_list args;
    va_start(args, format);
    const int len = vasprintf(&text, format, args);
    va_end(args);
    if (len <= 0) {
        if (len == 0)
            free(text);
        text = mem_string("-");
    }
    add_cell(table, text);
}

/* Characters, not bytes of UTF-8. */
static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

/* Bytes of the first `columns` characters. */
static size_t prefix_of(const char *text, size_t columns)
{
    size_t i = 0;
    for (; text[i]; i++)
        if (((unsigned char)text[i] & 0xc0) != 0x80 && columns-- == 0)
            break;
    return i;
}

/* Takes a column from the widest, again and again; the first, by which rows are known, comes
 * last. */
static void fit(const struct table *table, size_t limit, size_t width[COLUMNS_MAX])
{
    size_t all = 2 * (table->columns - 1);
    for (size_t i = 0; i < table->columns; i++)
        all += width[i];
    while (all > limit) {
        size_t widest = 0;
        for (size_t i = 1; i < table->columns; i++)
            if (width[i] > CUT_LEAST && (!widest || width[i] > width[widest]))
                widest = i;
        if (width[widest] <= CUT_LEAST)
            return;
        width[widest]--;
        all--;
    }
}

static void put_cut(struct bytes *ret, const char *text, size_t columns)
{
    if (width_of(text) <= columns)
        bytes_text(ret, text);
    else
        bytes_printf(ret, "%.*s...", (int)prefix_of(text, columns - 3), text);
}

void table_render(const struct table *table, size_t limit, struct bytes *ret)
{
    size_t width[COLUMNS_MAX] = {0};
    for (size_t i = 0; i < table->cells; i++) {
        const size_t len = width_of(table->cell[i]), column = i % table->columns;
        width[column] = len > width[column] ? len : width[column];
    }
    if (limit)
        fit(table, limit, width);
    for (size_t i = 0; i < table->cells; i++) {
        const size_t column = i % table->columns, len = width_of(table->cell[i]);
        const bool last = column + 1 == table->columns || i + 1 == table->cells;
        const int fill = len < width[column] ? (int)(width[column] - len) : 0;
        bytes_printf(ret, "%*s", table->right[column] ? fill : 0, "");
        put_cut(ret, table->cell[i], width[column]);
        bytes_printf(ret, "%*s%s", last || table->right[column] ? 0 : fill, "", last ? "\n" : "  ");
    }
}

static size_t columns_of(FILE *to)
{
    const char *text = getenv("COLUMNS");
    struct winsize size;
    if (wide)
        return 0;
    if (text && *text && strspn(text, "0123456789") == strlen(text))
        return strtoul(text, NULL, 10);
    return isatty(fileno(to)) && ioctl(fileno(to), TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

void table_print(const struct table *table, FILE *to)
{
    SCOPED_VALUE(bytes) text = {0};
    table_render(table, columns_of(to), &text);
    fwrite(text.data, 1, text.len, to);
}

void table_free(struct table *table)
{
    if (!table)
        return;
    for (size_t i = 0; i < table->cells; i++)
        mem_free(table->cell[i]);
    mem_free(table->cell);
    mem_free(table);
}

bool output_is_terminal(int fd)
{
    const char *term = getenv("TERM");
    return isatty(fd) && term && *term && strcmp(term, "dumb") != 0;
}

void output_json(const json_t *value)
{
    json_dumpf(value, stdout, JSON_INDENT(2));
    putchar('\n');
}

void output_json_line(const json_t *value)
{
    json_dumpf(value, stdout, JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
}

static bool make_printable(json_t *text)
{
    if (!json_is_string(text))
        return false;
    SCOPED_VALUE(bytes) shown = {0};
    printable(&shown, json_string_value(text), json_string_length(text), "\n\t");
    json_string_setn_nocheck(text, (const char *)shown.data, shown.len);
    return true;
}

void output_printable(json_t *answer)
{
    size_t i;
    const char *key;
    json_t *one;
    if (make_printable(answer))
        return;
    json_array_foreach (answer, i, one)
        output_printable(one);
    json_object_foreach (answer, key, one)
        output_printable(one);
}

err_t output_format(const char *text, bool *ret_json)
{
    wide = text && strcmp(text, "wide") == 0;
    if (text && !wide && strcmp(text, "table") != 0 && strcmp(text, "json") != 0)
        return err_new(ERR_INVALID, "-o: '%s' is none of table, wide, json", text);
    *ret_json = text && strcmp(text, "json") == 0;
    return OK;
}

static struct figure with_unit(double value, const char *const *units, size_t count, double step)
{
    struct figure figure;
    size_t unit = 0;
    if (!isfinite(value)) {
        snprintf(figure.text, sizeof figure.text, "-");
        return figure;
    }
    for (; unit + 1 < count && fabs(value) >= step * 0.9995; unit++)
        value /= step;
    const bool whole = value == rint(value) && unit == 0;
    snprintf(figure.text, sizeof figure.text, "%.*f%s",
             whole                      ? 0
             : fabs(value) < 10 - 0.005 ? 2
             : fabs(value) < 100 - 0.05 ? 1
                                        : 0,
             value, units[unit]);
    return figure;
}

struct figure figure_count(double value)
{
    static const char *const units[] = {"", "k", "M", "G", "T"};
    return with_unit(value, units, 5, 1000);
}

struct figure figure_bytes(double bytes)
{
    static const char *const units[] = {" B", " kB", " MB", " GB", " TB"};
    return with_unit(bytes, units, 5, 1000);
}

struct figure figure_seconds(double seconds)
{
    struct figure figure;
    const long s = isfinite(seconds) && fabs(seconds) < 1e15 ? lround(seconds) : 0;
    if (!isfinite(seconds))
        snprintf(figure.text, sizeof figure.text, "-");
    else if (seconds < 59.95)
        snprintf(figure.text, sizeof figure.text, "%.1f s", seconds);
    else if (s < 3600)
        snprintf(figure.text, sizeof figure.text, "%ld m %02ld s", s / 60, s % 60);
    else if (s < 86400)
        snprintf(figure.text, sizeof figure.text, "%ld h %02ld m", s / 3600, s / 60 % 60);
    else
        snprintf(figure.text, sizeof figure.text, "%ld d %02ld h", s / 86400, s / 3600 % 24);
    return figure;
}

struct figure figure_time(int64_t ms)
{
    struct figure figure = {"-"};
    struct tm local;
    const time_t seconds = (time_t)(ms / 1000);
    if (ms > 0 && localtime_r(&seconds, &local))
        strftime(figure.text, sizeof figure.text, "%Y-%m-%d %H:%M:%S", &local);
    return figure;
}
