/* Logs: one `key=value` line per event, on standard error.
 *
 *     log_info("round recorded", "round=%d groups=%d", round, groups);
 *     -> 2026-01-02T03:04:05.678Z info learner "round recorded" round=7 groups=64
 *
 * Line breaks from outside become blanks, other control characters \x1b: a log may be looked at in a terminal.
 * Libraries never log: a daemon reports an error once, at its edge. Any thread; a line is written with one write(2). */
#pragma once

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };

/* Names this process in its lines, and hides what is below level. Call once, before threads start. */
void log_open(const char *program, enum log_level level);

void log_event(enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define log_debug(event, ...)   log_event(LOG_DEBUG, event, __VA_ARGS__)
#define log_info(event, ...)    log_event(LOG_INFO, event, __VA_ARGS__)
#define log_warning(event, ...) log_event(LOG_WARNING, event, __VA_ARGS__)
#define log_error(event, ...)   log_event(LOG_ERROR, event, __VA_ARGS__)
