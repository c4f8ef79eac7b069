#include "ctl/progress.h"
#include "base/clock.h"
#include <stdio.h>

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
