#include "base/log.h"
#include "base/bytes.h"
#include "base/printable.h"
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *program_name = "rlhfd";
static enum log_level lowest = LOG_INFO;

void log_open(const char *program, enum log_level level)
{
    program_name = program;
    lowest = level;
}

static void put_time(struct bytes *line)
{
    struct timespec now;
    struct tm parts;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    char text[32];
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    bytes_printf(line, "%s.%03ldZ", text, now.tv_nsec / 1000000);
}

/* Blocks of the disk behind the end of a log file, taken ahead: when the disk is full, the line that says so still fits. */
static void keep_room(void)
{
    enum { ROOM = 64 << 10, LEAST = 8 << 10 };
    static atomic_llong reserved; // up to this length, of this file
    static atomic_ullong of;
    struct stat file;
    if (fstat(STDERR_FILENO, &file) || !S_ISREG(file.st_mode))
        return;
    if (file.st_ino == atomic_load(&of) && file.st_size + LEAST <= atomic_load(&reserved))
        return;
    atomic_store(&of, file.st_ino);
    atomic_store(&reserved, file.st_size + ROOM); // also where the file system cannot: asked once
    (void)fallocate(STDERR_FILENO, FALLOC_FL_KEEP_SIZE, file.st_size, ROOM);
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    if (level < lowest)
        return;
    struct bytes line = {0};
    put_time(&line);
    bytes_printf(&line, " %s %s \"%s\"", names[level], program_name, event);
    char *rest = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&rest, format, args) < 0)
        abort();
    va_end(args);
    for (char *p = rest; *p; p++)
        if (*p == '\n')
            *p = ' '; // one event, one line, whatever came from outside
    bytes_text(&line, *rest ? " " : "");
    printable(&line, rest, strlen(rest), "");
    bytes_text(&line, "\n");
    free(rest);
    ssize_t written = write(STDERR_FILENO, line.data, line.len);
    (void)written; // nobody is left to tell
    keep_room();
    bytes_done(&line);
}
