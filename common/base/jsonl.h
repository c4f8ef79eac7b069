/* A dataset: a file of JSON lines, every line one object, read by row number.
 *
 *     SCOPED(jsonl) rows = NULL;
 *     TRY(jsonl_open("train.jsonl", &rows));          -- INVALID: "train.jsonl:17: ..." the first bad line
 *     SCOPED_VALUE(bytes) row = {0};
 *     TRY(jsonl_row(rows, i, &row));                  -- appends the line's text, without its newline
 *
 * Opening checks every line once; memory is 8 bytes a row. The file must not change afterwards.
 * The first bytes tell a file that zstd has compressed. Its rows stay in memory, compressed in
 * blocks. Its digest is that of the text, so a run goes on with the same rows in either form.
 * Rows: any thread. */
#pragma once
#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/scoped.h"
#include <stddef.h>
#include <stdint.h>

enum { JSONL_LINE_BYTES = 4 << 20, JSONL_ROWS = 50000000 };

struct jsonl;

/* NOT_FOUND, DENIED: as the system says. INVALID: a line that is not one JSON object, is empty or
 * too long; no rows; zstd's bytes damaged, cut short, or followed by others. */
err_t jsonl_open(const char *path, struct jsonl **ret);
/* The same, and strings may hold U+0000, as those of completions do: rows are read by
 * json_parse_nul. */
err_t jsonl_open_nul(const char *path, struct jsonl **ret);
uint64_t jsonl_rows(const struct jsonl *jsonl);
const char *jsonl_path(const struct jsonl *jsonl);
size_t jsonl_longest(const struct jsonl *jsonl);       // bytes of the longest row
struct digest jsonl_digest(const struct jsonl *jsonl); // of all bytes of the text

/* Appends row i < rows. DATA_LOSS: the file has changed since it was opened. */
err_t jsonl_row(const struct jsonl *jsonl, uint64_t i, struct bytes *ret);
/* Tries the first rows: fn returns the error of a row that cannot be used. name: "FILE:LINE". done:
 * a word for their use ("scored"). INVALID: no row can be used; has the first one's error.
 * *ret_note: some cannot, in words; NULL: all can. Owned. */
typedef err_t (*jsonl_look)(void *arg, const json_t *row, const char *name);
err_t jsonl_probe(const struct jsonl *jsonl, const char *done, jsonl_look fn, void *arg,
                  char **ret_note);
void jsonl_free(struct jsonl *jsonl);
DEFINE_SCOPED(jsonl)
