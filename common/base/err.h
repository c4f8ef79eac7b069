/* Errors: a function that can fail returns err_t, a struct of one pointer. OK is NULL inside.
 *
 *     err_t table_load(const char *path, struct table **ret)
 *     {
 *         TRY(file_read(path, FILE_MAX, &text));                       -- passes an error up
 *         if (bad)
 *             return err_new(ERR_INVALID, "%s:%d: key '%s'", path, line, key);
 *         return err_wrap(parse(text), "table '%s'", path);           -- says what we were doing
 *     }
 *
 * The receiver owns the error, and passes it up. An edge (exit status, RPC status, mailbox reply)
 * reports and frees it. Codes are gRPC's numbers. Any thread; an error may cross threads with its
 * owner. */
#pragma once
#include <stdbool.h>

enum err_code {
    ERR_NONE = 0,
    ERR_CANCELLED = 1,
    ERR_UNKNOWN = 2,
    ERR_INVALID = 3,      // drop the item and count it
    ERR_DEADLINE = 4,     // retry with backoff
    ERR_NOT_FOUND = 5,    // drop the item and count it
    ERR_EXISTS = 6,       // done already
    ERR_DENIED = 7,       // stop: not allowed
    ERR_EXHAUSTED = 8,    // retry with backoff
    ERR_PRECONDITION = 9, // fetch fresh state
    ERR_ABORTED = 10,     // fetch fresh state
    ERR_RANGE = 11,       // drop the item and count it
    ERR_UNIMPLEMENTED = 12,
    ERR_INTERNAL = 13,    // stop
    ERR_UNAVAILABLE = 14, // retry with backoff
    ERR_DATA_LOSS = 15,   // stop
};

struct err;
struct [[nodiscard]] err_t {
    struct err *e;
};
typedef struct err_t err_t;

#define OK ((err_t){0})

/* Evaluates an err_t once and returns it from the calling function if it is an error. */
#define TRY(call)                                                                                  \
    do {                                                                                           \
        err_t try_result_ = (call);                                                                \
        if (try_result_.e)                                                                         \
            return try_result_;                                                                    \
    } while (0)

/* A new error with a one-line message for a person: the fault, the value, the allowed values. */
err_t err_new(enum err_code code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same from errno: "message: No space left on device"; the code follows from the number. */
err_t err_errno(int number, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "message: " before the error's own message; OK stays OK. Takes e and returns it. */
err_t err_wrap(err_t e, const char *format, ...) __attribute__((format(printf, 2, 3)));

static inline bool err_failed(err_t e)
{
    return e.e != (struct err *)0;
}

/* For programs that read errors: the wrong field of a request with the values allowed there, and a
 * word for the reason ("STALE_ETAG"). A later call replaces an earlier one's values. OK stays OK.
 * Takes e and returns it. */
err_t err_field(err_t e, const char *field, const char *allowed);
err_t err_reason(err_t e, const char *reason);
const char *err_field_name(err_t e); // borrowed, like those below; NULL: not said
const char *err_field_allowed(err_t e);
const char *err_reason_word(err_t e);

enum err_code err_code(err_t e);               // ERR_NONE for OK
const char *err_message(err_t e);              // borrowed until err_free; "ok" for OK
const char *err_code_name(enum err_code code); // "INVALID"; "?" for a number that is none of them

/* Whether the caller may try again unchanged after a pause. */
bool err_is_transient(err_t e);

/* Ends the error's life; OK is allowed. */
void err_free(err_t e);
