#include "base/log.h"
#include "rpc/core.h"
#include <grpc/support/log.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char *capture_text;
static _Thread_local size_t capture_size;

static void on_message(gpr_log_func_args *args)
{
    if (capture_text) {
        snprintf(capture_text, capture_size, "%s", args->message);
        return;
    }
    const char *file = strrchr(args->file, '/');
    log_limited(LOG_WARNING, 10, "grpc core", "at=%s:%d message=\"%s\"",
                file ? file + 1 : args->file, args->line, args->message);
}

static void install(void)
{
    gpr_set_log_function(on_message);
    gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR); // core has no level between this and information
}

void rpc_log_install(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install);
}

void rpc_log_capture(char *text, size_t size)
{
    capture_text = text;
    capture_size = size;
    if (text)
        *text = 0;
}
