/* The JSON values of a file, one a line, for commands that print a line for each.
 *
 *     TRY(each_row("rows.jsonl", encode_line, &options));
 *
 * One thread. */
#pragma once
#include "base/json.h"

/* name: "FILE:LINE". */
typedef err_t row_line(void *arg, const json_t *row, const char *name);

/* Stops at the first error; standard output is flushed. INVALID: a line that is no JSON. */
err_t each_row(const char *file, row_line *line, void *arg);
