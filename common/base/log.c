#include "base/log.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/env.h"
#include "base/log_json.h"
#include "base/mem.h"
#include "base/printable.h"
#include "base/scoped.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ROOM_BYTES = 64 << 10 };

static const char *program_name = "rlhfd";
static enum log_level lowest = LOG_INFO;
static enum log_form shape = LOG_TEXT;

void log_open(const char *program, enum log_level level)
{
    program_name = program;
    lowest = level;
}

void log_as(enum log_form form)
{
    shape = form;
}

err_t log_to_output(void)
{
    if (dup2(STDOUT_FILENO, STDERR_FILENO) < 0)
        return err_errno(errno, "cannot log to standard output");
    return OK;
}

/* ---- a file that is begun anew now and then */

static struct {
    pthread_mutex_t lock; // of the size that is looked at and the line that is written
    const char *path;     // NULL: none, and no lock is needed
    size_t max_bytes;
    int kept;
} file = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Standard output follows where it is the same file. */
static void put_in_place(int fd)
{
    struct stat out, error;
    const bool both = fstat(STDOUT_FILENO, &out) == 0 && fstat(STDERR_FILENO, &error) == 0 &&
                      out.st_dev == error.st_dev && out.st_ino == error.st_ino;
    dup2(fd, STDERR_FILENO);
    if (both)
        dup2(fd, STDOUT_FILENO);
    close(fd);
}

/* Whether the next newer one may take its place. */
static bool shift(int from)
{
    SCOPED_MEM char *older = mem_printf("%s.%d", file.path, from + 1);
    SCOPED_MEM char *newer = from ? mem_printf("%s.%d", file.path, from) : mem_string(file.path);
    return env()->rename(newer, older) == 0 || errno == ENOENT; // the oldest is written over
}

/* The new file is opened first. Without it, without room for lines in it, or where a name cannot be
 * changed, lines go on into the old one. */
static void begin_anew(void)
{
    SCOPED_MEM char *aside = mem_printf("%s.new", file.path);
    const int fd = env()->open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0)
        return;
    bool ready = env()->reserve(fd, 0, ROOM_BYTES) == 0 || errno == EOPNOTSUPP;
    for (int i = file.kept - 1; i >= 0 && ready; i--)
        ready = shift(i);
    if (ready && env()->rename(aside, file.path) == 0) {
        put_in_place(fd);
        return;
    }
    close(fd);
    env()->remove(aside);
}

err_t log_to(const char *path, size_t max_bytes, int kept)
{
    const int fd = env()->open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0)
        return err_errno(errno, "cannot write the log '%s'", path);
    put_in_place(fd);
    file.path = path;
    file.max_bytes = max_bytes;
    file.kept = kept;
    return OK;
}

static void put_line(const struct bytes *line)
{
    struct stat status;
    if (file.path) {
        pthread_mutex_lock(&file.lock);
        if (fstat(STDERR_FILENO, &status) == 0 && status.st_size > 0 &&
            (size_t)status.st_size + line->len > file.max_bytes)
            begin_anew();
    }
    ssize_t written = env()->write(STDERR_FILENO, line->data, line->len);
    (void)written; // nobody is left to tell
    if (file.path)
        pthread_mutex_unlock(&file.lock);
}

/* ---- lines */

static void put_time(struct bytes *line)
{
    const int64_t now_ms = clock_wall_ms();
    const time_t seconds = (time_t)(now_ms / 1000);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    char text[32];
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    bytes_printf(line, "%s.%03dZ", text, (int)(now_ms % 1000));
}

/* Blocks of the disk behind the end of a log file, taken ahead: when the disk is full, the line
 * that says so still fits. */
static void keep_room(void)
{
    enum { LEAST = 8 << 10 };
    static atomic_llong reserved; // up to this length, of this file
    static atomic_ullong of;
    struct stat file;
    if (fstat(STDERR_FILENO, &file) || !S_ISREG(file.st_mode))
        return;
    if (file.st_ino == atomic_load(&of) && file.st_size + LEAST <= atomic_load(&reserved))
        return;
    atomic_store(&of, file.st_ino);
    /* Also where the file system cannot: it is asked once. */
    atomic_store(&reserved, file.st_size + ROOM_BYTES);
    (void)env()->reserve(STDERR_FILENO, file.st_size, ROOM_BYTES);
}

static const char *const names[] = {"debug", "info", "warning", "error"};

static void put_text(struct bytes *line, enum log_level level, const char *event,
                     const char *format, va_list args)
{
    char *rest = NULL;
    if (vasprintf(&rest, format, args) < 0)
        abort();
    for (char *p = rest; *p; p++)
        if (*p == '\n')
            *p = ' '; // one event, one line, whatever came from outside
    put_time(line);
    bytes_printf(line, " %s %s \"%s\"%s", names[level], program_name, event, *rest ? " " : "");
    printable(line, rest, strlen(rest), "");
    free(rest);
}

static void put_json(struct bytes *line, enum log_level level, const char *event,
                     const char *format, va_list args)
{
    bytes_text(line, "{\"time\":\"");
    put_time(line);
    bytes_printf(line, "\",\"level\":\"%s\",\"program\":", names[level]);
    log_json_string(line, program_name, strlen(program_name));
    bytes_text(line, ",\"event\":");
    log_json_string(line, event, strlen(event));
    log_json_fields(line, format, args);
}

static void format_event(enum log_level level, const char *event, const char *format, va_list args,
                         uint64_t left_out)
{
    struct bytes line = {0};
    const bool json = shape == LOG_JSON;
    (json ? put_json : put_text)(&line, level, event, format, args);
    if (left_out)
        bytes_printf(&line, json ? ",\"left_out\":%" PRIu64 : " left_out=%" PRIu64, left_out);
    bytes_text(&line, json ? "}\n" : "\n");
    put_line(&line);
    keep_room();
    bytes_done(&line);
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
    va_list args;
    if (level < lowest)
        return;
    va_start(args, format);
    format_event(level, event, format, args, 0);
    va_end(args);
}

bool log_limit_admits(struct log_limit *limit, uint64_t burst, int64_t now_ms,
                      uint64_t *ret_left_out)
{
    enum { MINUTE_MS = 60000 };
    int64_t minute = limit->minute;
    *ret_left_out = 0;
    if ((!minute || now_ms - minute >= MINUTE_MS) &&
        atomic_compare_exchange_strong(&limit->minute, &minute, now_ms)) {
        uint64_t lines = atomic_exchange(&limit->lines, 1);
        *ret_left_out = lines > burst ? lines - burst : 0;
        return true;
    }
    return atomic_fetch_add(&limit->lines, 1) < burst;
}

void log_event_limited(struct log_limit *limit, uint64_t burst, enum log_level level,
                       const char *event, const char *format, ...)
{
    uint64_t left_out;
    va_list args;
    if (level < lowest || !log_limit_admits(limit, burst, clock_ms(), &left_out))
        return;
    va_start(args, format);
    format_event(level, event, format, args, left_out);
    va_end(args);
}
