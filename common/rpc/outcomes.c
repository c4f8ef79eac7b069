#include "rpc/outcomes.h"
#include "svc/metrics.h"

enum { CODES = ERR_DATA_LOSS + 1 };

/* gRPC's words, which its dashboards look for. */
#define OUTCOME_CODES(X, name, help)                                                               \
    {                                                                                              \
        X(name, help, "OK"), X(name, help, "CANCELLED"), X(name, help, "UNKNOWN"),                 \
            X(name, help, "INVALID_ARGUMENT"), X(name, help, "DEADLINE_EXCEEDED"),                 \
            X(name, help, "NOT_FOUND"), X(name, help, "ALREADY_EXISTS"),                           \
            X(name, help, "PERMISSION_DENIED"), X(name, help, "RESOURCE_EXHAUSTED"),               \
            X(name, help, "FAILED_PRECONDITION"), X(name, help, "ABORTED"),                        \
            X(name, help, "OUT_OF_RANGE"), X(name, help, "UNIMPLEMENTED"),                         \
            X(name, help, "INTERNAL"), X(name, help, "UNAVAILABLE"), X(name, help, "DATA_LOSS")    \
    }
#define OUTCOME(name, help, code)                                                                  \
    METRIC_LABELLED(METRIC_KIND_COUNTER, name, help, "code=\"" code "\"")
static struct metric served_calls[CODES] =
    OUTCOME_CODES(OUTCOME, "rlhfd_rpc_served_total", "calls of peers that ended, by status");
static struct metric made_calls[CODES] =
    OUTCOME_CODES(OUTCOME, "rlhfd_rpc_called_total", "our calls that ended, by status");

void outcomes_register(void)
{
    static struct metric *rows[2 * CODES];
    for (int i = 0; i < CODES; i++) {
        rows[i] = &served_calls[i];
        rows[CODES + i] = &made_calls[i];
    }
    metrics_register(rows, sizeof rows / sizeof *rows);
}

void outcomes_count(bool served, enum err_code code)
{
    const unsigned at = (unsigned)code < CODES ? (unsigned)code : ERR_UNKNOWN;
    metric_add(served ? &served_calls[at] : &made_calls[at], 1);
}
