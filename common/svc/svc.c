#include "svc/svc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/streams.h"
#include "svc/descriptors.h"
#include "svc/run_lock.h"
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SVC_REFUSED     "REFUSED_BY_PEER"
#define SVC_UNREACHABLE "PEER_UNREACHABLE"
#define SVC_MISMATCH    "RUN_MISMATCH"
#define SVC_IN_USE      "IN_USE"

/* Words that are not known are passed over, as they always were. */
static void open_log(const char *program)
{
    static const char *const levels[] = {"debug", "info", "warning", "error"};
    const char *wanted = getenv("RLHFD_LOG");
    enum log_level level = LOG_INFO;
    for (size_t len; wanted && *wanted; wanted += len + (wanted[len] == ',')) {
        len = strcspn(wanted, ",");
        for (int i = 0; i < 4; i++)
            if (strlen(levels[i]) == len && strncmp(wanted, levels[i], len) == 0)
                level = (enum log_level)i;
        if (len == 4 && strncmp(wanted, "json", len) == 0)
            log_as(LOG_JSON);
        if (len == 6 && strncmp(wanted, "stdout", len) == 0)
            err_free(log_to_output()); // then they stay where they are
    }
    log_open(program, level);
}

err_t svc_refused(err_t e, const char *peer)
{
    return err_reason(err_wrap(e, "refused by the %s", peer), SVC_REFUSED);
}

err_t svc_unreachable(err_t e)
{
    return err_reason(e, SVC_UNREACHABLE);
}

err_t svc_mismatch(err_t e)
{
    return err_reason(e, SVC_MISMATCH);
}

err_t svc_in_use(err_t e)
{
    return err_reason(e, SVC_IN_USE);
}

/* The kernel keeps a default action from PID 1: then the second line is reached. */
static void end_by_signal(int number)
{
    (void)raise(number);
    _exit(128 + number);
}

void svc_end_by_signals(void)
{
    const struct sigaction action = {.sa_handler = end_by_signal,
                                     .sa_flags = SA_RESETHAND | SA_NODEFER};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
}

void svc_open(const char *program)
{
    svc_end_by_signals();
    descriptors_raise();
    signal(SIGPIPE, SIG_IGN); // a peer that hangs up is an error of write, not the end of us
    signal(SIGXFSZ, SIG_IGN); // so is a file that has reached its limit
    open_log(program);
    run_lock_inherit();
}

static bool serves;

void svc_serves(void)
{
    serves = true;
}

void svc_told_backend(const char *id, const char *why)
{
    if (why)
        log_info("backend", "numerics=\"%s\" why=\"%s\"", id, why);
    else
        log_info("backend", "numerics=\"%s\"", id);
}

static int status_at_start(enum err_code code)
{
    switch (code) {
    case ERR_INVALID:
    case ERR_DENIED:
    case ERR_NOT_FOUND:
    case ERR_UNIMPLEMENTED:
        return EXIT_STATUS_USAGE;
    case ERR_DATA_LOSS:
        return EXIT_STATUS_DAMAGED;
    case ERR_PRECONDITION:
        return EXIT_STATUS_MISMATCH;
    case ERR_EXISTS:
        return EXIT_STATUS_BUSY;
    default:
        return EXIT_STATUS_FAILED;
    }
}

static int status_of(err_t e)
{
    static const struct {
        const char *word;
        int status;
    } reasons[] = {{SVC_REFUSED, EXIT_STATUS_REFUSED},
                   {SVC_UNREACHABLE, EXIT_STATUS_UNREACHABLE},
                   {SVC_MISMATCH, EXIT_STATUS_MISMATCH},
                   {SVC_IN_USE, EXIT_STATUS_BUSY}};
    if (!err_failed(e))
        return EXIT_STATUS_DONE;
    log_error("failed", "code=%s error=\"%s\"", err_code_name(err_code(e)), err_message(e));
    const char *reason = err_reason_word(e);
    for (size_t i = 0; reason && i < sizeof reasons / sizeof *reasons; i++)
        if (strcmp(reason, reasons[i].word) == 0)
            return reasons[i].status;
    if (err_code(e) == ERR_EXHAUSTED)
        return EXIT_STATUS_RESOURCES;
    return serves ? EXIT_STATUS_FAILED : status_at_start(err_code(e));
}

int svc_exit(err_t e)
{
    if (!err_failed(e))
        e = streams_flush();
    int status = status_of(e);
    err_free(e);
    return status;
}

struct ending {
    err_t why;
    int64_t ms;
};

static void *cut_off(void *arg)
{
    const struct ending *ending = arg;
    pthread_setname_np(pthread_self(), "ending");
    clock_sleep_ms(ending->ms);
    _exit(status_of(ending->why));
}

void svc_end_within(err_t why, int64_t ms)
{
    static struct ending ending;
    pthread_t thread;
    err_t copy = err_failed(why) ? err_new(err_code(why), "%s", err_message(why)) : OK;
    const char *reason = err_reason_word(why);
    if (reason)
        copy = err_reason(copy, reason);
    ending = (struct ending){copy, ms};
    if (pthread_create(&thread, NULL, cut_off, &ending) == 0)
        pthread_detach(thread); // without it the teardown has all the time it wants
}
