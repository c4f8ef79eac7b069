#include "base/err.h"
#include "base/mem.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct err {
    enum err_code code;
    char *message;
    char *field, *allowed, *reason; // NULL: not said
};

static char *format_message(const char *format, va_list args)
{
    char *message = NULL;
    if (vasprintf(&message, format, args) < 0)
        abort();
    return message;
}

static err_t make(enum err_code code, char *message)
{
    struct err *e = mem_new(sizeof *e);
    e->code = code;
    e->message = message;
    return (err_t){e};
}

/* "first: second", freeing both. */
static char *join(char *first, char *second)
{
    char *joined = NULL;
    if (asprintf(&joined, "%s: %s", first, second) < 0)
        abort();
    free(first);
    free(second);
    return joined;
}

err_t err_new(enum err_code code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *message = format_message(format, args);
    va_end(args);
    return make(code, message);
}

static enum err_code code_of_errno(int number)
{
    switch (number) {
    case ENOENT:
    case ENOTDIR:
        return ERR_NOT_FOUND;
    case EEXIST:
        return ERR_EXISTS;
    case EACCES:
    case EPERM:
    case EROFS:
        return ERR_DENIED;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        return ERR_EXHAUSTED;
    case EINVAL:
    case EISDIR:
        return ERR_INVALID;
    case ETIMEDOUT:
        return ERR_DEADLINE;
    default:
        return ERR_UNAVAILABLE;
    }
}

err_t err_errno(int number, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *message = format_message(format, args);
    va_end(args);
    char reason[128];
    return make(code_of_errno(number),
                join(message, strdup(strerror_r(number, reason, sizeof reason))));
}

err_t err_wrap(err_t e, const char *format, ...)
{
    if (!e.e)
        return e;
    va_list args;
    va_start(args, format);
    char *message = format_message(format, args);
    va_end(args);
    e.e->message = join(message, e.e->message);
    return e;
}

static void replace(char **text, const char *by)
{
    free(*text);
    *text = mem_string(by);
}

err_t err_field(err_t e, const char *field, const char *allowed)
{
    if (e.e) {
        replace(&e.e->field, field);
        replace(&e.e->allowed, allowed);
    }
    return e;
}

err_t err_reason(err_t e, const char *reason)
{
    if (e.e)
        replace(&e.e->reason, reason);
    return e;
}

const char *err_field_name(err_t e)
{
    return e.e ? e.e->field : NULL;
}

const char *err_field_allowed(err_t e)
{
    return e.e ? e.e->allowed : NULL;
}

const char *err_reason_word(err_t e)
{
    return e.e ? e.e->reason : NULL;
}

enum err_code err_code(err_t e)
{
    return e.e ? e.e->code : ERR_NONE;
}

const char *err_message(err_t e)
{
    return e.e ? e.e->message : "ok";
}

const char *err_code_name(enum err_code code)
{
    static const char *const names[] = {
        "OK",        "CANCELLED", "UNKNOWN",       "INVALID",   "DEADLINE",
        "NOT_FOUND", "EXISTS",    "DENIED",        "EXHAUSTED", "PRECONDITION",
        "ABORTED",   "RANGE",     "UNIMPLEMENTED", "INTERNAL",  "UNAVAILABLE",
        "DATA_LOSS",
    };
    return (unsigned)code < sizeof names / sizeof *names ? names[code] : "?";
}

bool err_is_transient(err_t e)
{
    enum err_code code = err_code(e);
    return code == ERR_UNAVAILABLE || code == ERR_EXHAUSTED || code == ERR_DEADLINE;
}

void err_free(err_t e)
{
    if (!e.e)
        return;
    free(e.e->message);
    free(e.e->field);
    free(e.e->allowed);
    free(e.e->reason);
    free(e.e);
}
