#include "rewarder/answer_fault.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "svc/metrics.h"
#include <stdarg.h>
#include <stdio.h>

#define FAULT(id_, name_, code_)                                                                   \
    [id_] = {.name = (name_),                                                                      \
             .code = (code_),                                                                      \
             .count =                                                                              \
                 METRIC_LABELLED(METRIC_KIND_COUNTER, "rlhfd_answer_faults_total",                 \
                                 "answers from outside that were no score, by what was wrong",     \
                                 "fault=\"" name_ "\"")}

static struct {
    const char *name;
    enum err_code code;
    struct metric count;
} faults[ANSWER_FAULTS] = {
    FAULT(ANSWER_UNREACHABLE, "unreachable", ERR_UNAVAILABLE),
    FAULT(ANSWER_UNTRUSTED, "untrusted", ERR_UNAVAILABLE),
    FAULT(ANSWER_NO_KEY, "no_key", ERR_UNAVAILABLE),
    FAULT(ANSWER_LATE, "late", ERR_DEADLINE),
    FAULT(ANSWER_CUT, "cut", ERR_UNAVAILABLE),
    FAULT(ANSWER_NOT_HTTP, "not_http", ERR_UNAVAILABLE),
    FAULT(ANSWER_TOO_LONG, "too_long", ERR_UNAVAILABLE),
    FAULT(ANSWER_DENIED, "denied", ERR_UNAVAILABLE),
    FAULT(ANSWER_REDIRECTED, "redirected", ERR_UNAVAILABLE),
    FAULT(ANSWER_NOT_FOUND, "not_found", ERR_UNAVAILABLE),
    FAULT(ANSWER_BUSY, "busy", ERR_EXHAUSTED),
    FAULT(ANSWER_SERVER_ERROR, "server_error", ERR_UNAVAILABLE),
    FAULT(ANSWER_REFUSED, "refused", ERR_INVALID),
    FAULT(ANSWER_EMPTY, "empty", ERR_UNAVAILABLE),
    FAULT(ANSWER_NOT_JSON, "not_json", ERR_UNAVAILABLE),
    FAULT(ANSWER_NO_SCORES, "no_scores", ERR_UNAVAILABLE),
    FAULT(ANSWER_SHORT_LIST, "short_list", ERR_UNAVAILABLE),
    FAULT(ANSWER_LONG_LIST, "long_list", ERR_UNAVAILABLE),
    FAULT(ANSWER_NOT_A_NUMBER, "not_a_number", ERR_UNAVAILABLE),
    FAULT(ANSWER_NULL, "null", ERR_UNAVAILABLE),
    FAULT(ANSWER_NAN, "nan", ERR_UNAVAILABLE),
    FAULT(ANSWER_INFINITE, "infinite", ERR_UNAVAILABLE),
    FAULT(ANSWER_TOO_LARGE, "too_large", ERR_UNAVAILABLE),
    FAULT(ANSWER_WRONG_ID, "wrong_id", ERR_UNAVAILABLE),
    FAULT(ANSWER_PROGRAM_ERROR, "program_error", ERR_UNAVAILABLE),
};

void answer_faults_register(void)
{
    static struct metric *rows[ANSWER_FAULTS];
    for (size_t i = 0; i < ANSWER_FAULTS; i++)
        rows[i] = &faults[i].count;
    metrics_register(rows, ANSWER_FAULTS);
}

err_t answer_fault(enum answer_fault fault, const char *format, ...)
{
    char text[600];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    metric_add(&faults[fault].count, 1);
    return err_reason(err_new(faults[fault].code, "%s: %s", faults[fault].name, text),
                      faults[fault].name);
}
