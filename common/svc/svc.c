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

#define SVC_REFUSED "REFUSED_BY_PEER"

static enum log_level level_wanted(void)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    const char *wanted = getenv("RLHFD_LOG");
    for (int i = 0; wanted && i < 4; i++)
        if (strcmp(wanted, names[i]) == 0)
            return (enum log_level)i;
    return LOG_INFO;
}

err_t svc_refused(err_t e, const char *peer)
{
    return err_reason(err_wrap(e, "refused by the %s", peer), SVC_REFUSED);
}

void svc_open(const char *program)
{
    descriptors_raise();
    signal(SIGPIPE, SIG_IGN); // a peer that hangs up is an error of write, not the end of us
    signal(SIGXFSZ, SIG_IGN); // so is a file that has reached its limit
    log_open(program, level_wanted());
    run_lock_inherit();
}

static int status_of(err_t e)
{
    if (!err_failed(e))
        return 0;
    log_error("failed", "code=%s error=\"%s\"", err_code_name(err_code(e)), err_message(e));
    const char *reason = err_reason_word(e);
    if (reason && strcmp(reason, SVC_REFUSED) == 0)
        return EXIT_STATUS_REFUSED;
    return err_code(e) == ERR_INVALID ? EXIT_STATUS_USAGE : EXIT_FAILURE;
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
