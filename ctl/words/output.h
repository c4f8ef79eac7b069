/* The output of commands: tables for people, JSON for programs, figures as people read them.
 *
 *     SCOPED(table) table = table_new("NAME|>VERSION|STATE");       -- > : to the right
 *     table_cell(table, "%s", name);                                -- a row is full after its last column
 *     table_print(table, stdout);
 *
 * Any thread; a table belongs to one. */
#pragma once
#include "base/bytes.h"
#include "base/json.h"
#include "base/scoped.h"
#include <stdio.h>

struct table;
struct table *table_new(const char *columns);
void table_cell(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Header and rows, columns two blanks apart, no blanks at the ends of lines. "-" stands for an
 * empty cell; line breaks are blanks. */
/* limit: columns of the page, 0 for any number: the widest columns but the first are cut, with
 * "..." at the end of what was. */
void table_render(const struct table *table, size_t limit, struct bytes *ret);

/* To fit the terminal, or COLUMNS if that is set; all of it to files and pipes, and with -o
 * wide. */
void table_print(const struct table *table, FILE *to);
void table_free(struct table *table);
DEFINE_SCOPED(table)

/* Whether fd is a terminal that lets a line be written again: not with TERM=dumb, or without
 * TERM. */
bool output_is_terminal(int fd);

/* Indented, with a line break; members in the order in which they were put. */
void output_json(const json_t *value);
void output_json_line(const json_t *value); // compact; flushed

/* Makes all texts of an answer printable for people, but for line breaks and tabs: names and
 * messages come from peers. */
void output_printable(json_t *answer);

/* -o: "table", "wide" (a table of any width) or "json"; NULL is table. INVALID: none of them. */
err_t output_format(const char *text, bool *ret_json);

/* Figures, in a buffer of theirs. */
struct figure {
    char text[32];
};
struct figure figure_count(double value);     // 17, 0.82, 12.3k, 4.1M
struct figure figure_bytes(double bytes);     // 512 B, 1.2 MB (powers of 1000)
struct figure figure_seconds(double seconds); // 3.2 s, 4 m 10 s, 2 h 05 m, 3 d 04 h
struct figure figure_time(int64_t ms);        // since 1970: 2026-11-21 16:20:35, local; 0: -
