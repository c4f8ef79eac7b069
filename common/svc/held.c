#include "svc/held.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/printable.h"
#include "svc/metrics.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LOG_AFTER_S = 5, LOG_EVERY_S = 60 };

struct held {
    struct held_now now;
    double since_s, done;
    double said_s;               // 0: never
    double logged_s[HOLD_COUNT]; // 0: never
    bool logged;                 // the cause that stands now was
};

static const char *const words[HOLD_COUNT] = {
#define HOLD_WORD(name, word, ready, calm) [HOLD_##name] = (word),
    HOLD_CAUSES(HOLD_WORD)
#undef HOLD_WORD
};
static const bool ready[HOLD_COUNT] = {
#define HOLD_READY(name, word, ready, calm) [HOLD_##name] = (ready),
    HOLD_CAUSES(HOLD_READY)
#undef HOLD_READY
};
static const bool calms[HOLD_COUNT] = {
#define HOLD_CALM(name, word, ready, calm) [HOLD_##name] = (calm),
    HOLD_CAUSES(HOLD_CALM)
#undef HOLD_CALM
};
static struct metric standing[HOLD_COUNT] = {
#define HOLD_METRIC(name, word, ready, calm)                                                       \
    [HOLD_##name] = METRIC_LABELLED(METRIC_KIND_GAUGE, "rlhfd_held_up",                            \
                                    "1: this is the one cause that holds the daemon up now",       \
                                    "cause=\"" word "\""),
    HOLD_CAUSES(HOLD_METRIC)
#undef HOLD_METRIC
};

static struct metric spent[HOLD_COUNT] = {
#define HOLD_METRIC(name, word, ready, calm)                                                       \
    [HOLD_##name] = METRIC_LABELLED(METRIC_KIND_COUNTER, "rlhfd_held_up_seconds_total",            \
                                    "seconds for which each cause has held the daemon up",         \
                                    "cause=\"" word "\""),
    HOLD_CAUSES(HOLD_METRIC)
#undef HOLD_METRIC
};

const char *hold_word(enum hold_cause cause)
{
    return words[cause];
}

bool hold_ready(enum hold_cause cause)
{
    return ready[cause];
}

bool hold_calm(enum hold_cause cause)
{
    return calms[cause];
}

struct hold hold_make(enum hold_cause cause, const char *format, ...)
{
    struct hold hold = {.cause = cause};
    char text[HOLD_TEXT];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    SCOPED_MEM char *shown = printable_text(text, ""); // names and reasons come from peers and data
    snprintf(hold.text, sizeof hold.text, "%s", shown);
    for (size_t len = strlen(hold.text); len && !utf8_is(hold.text);)
        hold.text[--len] = 0; // it was cut in the middle of a character
    return hold;
}

struct held *held_new(void)
{
    static struct metric *rows[2 * (HOLD_COUNT - 1)];
    for (int cause = HOLD_NONE + 1; cause < HOLD_COUNT; cause++) {
        rows[cause - 1] = &standing[cause];
        rows[HOLD_COUNT - 1 + cause - 1] = &spent[cause];
    }
    metrics_register(rows, sizeof rows / sizeof *rows);
    return mem_new(sizeof(struct held));
}

static void begin(struct held *held, enum hold_cause cause, double now_s)
{
    enum hold_cause was = held->now.hold.cause;
    if (held->logged && (cause == HOLD_NONE || cause == was))
        log_limited(LOG_INFO, 4, "goes on", "was=%s", hold_word(was));
    metric_set(&standing[was], 0);
    metric_set(&standing[cause], 1);
    held->since_s = now_s;
    held->logged = false;
}

/* At most one line a minute for each cause, also where it comes and goes. */
static void tell(struct held *held, double now_s)
{
    const struct hold *hold = &held->now.hold;
    double *last = &held->logged_s[hold->cause];
    if (hold->cause == HOLD_NONE || held->now.seconds < LOG_AFTER_S ||
        (*last > 0 && now_s - *last < LOG_EVERY_S))
        return;
    *last = now_s;
    held->logged = true;
    log_event(hold_calm(hold->cause) ? LOG_INFO : LOG_WARNING, "held up",
              "cause=%s for_s=%.0f text=\"%s\"", hold_word(hold->cause), held->now.seconds,
              hold->text);
}

void held_say(struct held *held, const struct hold *hold, double done, double now_s)
{
    const bool moves = done != held->done;
    held->done = done;
    if (held->said_s > 0)
        metric_add(&spent[held->now.hold.cause], now_s - held->said_s);
    held->said_s = now_s;
    if (hold->cause != held->now.hold.cause || (moves && hold_calm(hold->cause)))
        begin(held, hold->cause, now_s);
    held->now.hold = *hold;
    held->now.seconds = now_s - held->since_s;
    tell(held, now_s);
}

const struct held_now *held_now(const struct held *held)
{
    return &held->now;
}

void held_free(struct held *held)
{
    mem_free(held);
}
