/* How far long work is, for a person who waits: a line on standard error every few seconds; nothing
 * for short work.
 *
 *     struct progress progress = progress_begin("completions", 512);
 *     progress_add(&progress, 1); */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct progress {
    const char *what; // borrowed
    size_t done, all;
    int64_t begun_ms, shown_ms;
};
struct progress progress_begin(const char *what, size_t all);
void progress_add(struct progress *progress, size_t done);

/* The present state of another process's work, on standard error. A terminal has one line that is
 * written over, other outputs have a line when the text is new. progress_end: later output begins
 * on a line of its own. */
void progress_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
void progress_end(void);
