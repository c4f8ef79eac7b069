/* A file of text lines that grows at its end, such as RUN/metrics.jsonl.
 *
 *     SCOPED(lines) lines = NULL;
 *     TRY(lines_open("metrics.jsonl", &lines));        -- made if it is missing; what it holds stays
 *     TRY(lines_put(lines, "{\"round\":1}"));           -- the newline is added
 *     TRY(lines_sync(lines));                          -- durable from here on
 *
 * A line that cannot be written whole is cut off again. A process that dies in between leaves a
 * torn last line, which the reader drops. Owner: one thread. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"

struct lines;
err_t lines_open(const char *path, struct lines **ret);
const char *lines_path(const struct lines *lines);
err_t lines_put(struct lines *lines, const char *text);
err_t lines_sync(struct lines *lines);
void lines_free(struct lines *lines);
DEFINE_SCOPED(lines)
