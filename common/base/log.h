/* Logs: one `key=value` line per event, on standard error, or one JSON object.
 *
 *     log_info("round recorded", "round=%d groups=%d", round, groups);
 *     -> 2026-01-02T03:04:05.678Z info learner "round recorded" round=7 groups=64
 *
 * Line breaks from outside become blanks, other control characters \x1b: a log may be looked at in
 * a terminal. Libraries never log: a daemon reports an error once, at its edge. Any thread; a line
 * is written with one write(2). */
#pragma once
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };

/* Names this process in its lines, and hides lines below level. Call once, before threads start. */
void log_open(const char *program, enum log_level level);

/* Lines are `key=value`, or a JSON object each (base/log_json.h). They go to standard error, or to
 * standard output; then all else of standard error goes there, too. Call likewise. */
enum log_form { LOG_TEXT, LOG_JSON };
void log_as(enum log_form form);
err_t log_to_output(void);

/* From here on standard error, and standard output if it was the same file, are appended to path. A
 * line that would make the file longer than max_bytes begins a new one. The full file becomes
 * path.1, an older path.1 becomes path.2, and so on up to path.KEPT. No line is lost or cut. Call
 * once, before threads start. path is borrowed for the process's life. */
enum { LOG_MAX_BYTES = 16 << 20, LOG_KEPT = 4 };
err_t log_to(const char *path, size_t max_bytes, int kept);

void log_event(enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define log_debug(event, ...)   log_event(LOG_DEBUG, event, __VA_ARGS__)
#define log_info(event, ...)    log_event(LOG_INFO, event, __VA_ARGS__)
#define log_warning(event, ...) log_event(LOG_WARNING, event, __VA_ARGS__)
#define log_error(event, ...)   log_event(LOG_ERROR, event, __VA_ARGS__)

/* For a line that a peer or a row of data can cause once per item. At most `burst` a minute are
 * written from this place. The first line of the next minute ends with left_out=N, the number of
 * lines that were not written.
 *
 *     log_limited(LOG_WARNING, 1, "group rejected", "slot=%llu why=\"%s\"", slot, why);
 */
#define log_limited(level, burst, event, ...)                                                      \
    do {                                                                                           \
        static struct log_limit limit_of_this_line;                                                \
        log_event_limited(&limit_of_this_line, burst, level, event, __VA_ARGS__);                  \
    } while (0)

struct log_limit {
    _Atomic int64_t minute; // begun; 0: none yet
    _Atomic uint64_t lines; // wanted since then
};
void log_event_limited(struct log_limit *limit, uint64_t burst, enum log_level level,
                       const char *event, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Whether a line may be written at now_ms, and how many before it were not. */
bool log_limit_admits(struct log_limit *limit, uint64_t burst, int64_t now_ms,
                      uint64_t *ret_left_out);
