#include "ctl/make/progress.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "ctl/words/output.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { EVERY_MS = 5000 };

struct progress progress_begin(const char *what, size_t all)
{
    int64_t now = clock_ms();
    return (struct progress){.what = what, .all = all, .begun_ms = now, .shown_ms = now};
}

void progress_add(struct progress *progress, size_t done)
{
    int64_t now = clock_ms();
    progress->done += done;
    if (now - progress->shown_ms < EVERY_MS || progress->done == progress->all)
        return;
    progress->shown_ms = now;
    double seconds = (double)(now - progress->begun_ms) / 1000;
    double left = seconds / (double)progress->done * (double)(progress->all - progress->done);
    fprintf(stderr, "%s: %zu of %zu, %.0f s, about %.0f s left\n", progress->what, progress->done,
            progress->all, seconds, left);
}

/* What the last line said; the process has one standard error. */
static char *said;

void progress_line(const char *format, ...)
{
    char *text;
    va_list args;
    va_start(args, format);
    const int len = vasprintf(&text, format, args);
    va_end(args);
    if (len < 0)
        return;
    if (!said || strcmp(said, text) != 0)
        fprintf(stderr, output_is_terminal(STDERR_FILENO) ? "\r%s\033[K" : "%s\n", text);
    mem_free(said);
    said = text;
}

void progress_end(void)
{
    if (said && output_is_terminal(STDERR_FILENO))
        fputc('\n', stderr);
    mem_free(said);
    said = NULL;
}
