#include "svc/svc.h"
#include "base/log.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static enum log_level level_wanted(void)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    const char *wanted = getenv("RLHFD_LOG");
    for (int i = 0; wanted && i < 4; i++)
        if (strcmp(wanted, names[i]) == 0)
            return (enum log_level)i;
    return LOG_INFO;
}

void svc_open(const char *program)
{
    signal(SIGPIPE, SIG_IGN); // a peer that hangs up is an error of write, not the end of us
    log_open(program, level_wanted());
}

int svc_exit(err_t e)
{
    if (!err_failed(e))
        return 0;
    int status = err_code(e) == ERR_INVALID ? 2 : 1;
    log_error("failed", "code=%s error=\"%s\"", err_code_name(err_code(e)), err_message(e));
    err_free(e);
    return status;
}
