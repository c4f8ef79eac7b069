/* Faults of answers from outside, each with a name, a code and a counter.
 *
 *     return answer_fault(ANSWER_SHORT_LIST, "%zu scores for %zu completions", got, wanted);
 *     -- UNAVAILABLE: "short_list: 3 scores for 4 completions"
 *
 * A fault is an error and never a number. But for ANSWER_REFUSED a fault may pass: servers restart,
 * and what one answers wrongly another answers rightly. docs/rewards.md has a row for each name.
 * Any thread. */
#pragma once
#include "base/err.h"

enum answer_fault {
    ANSWER_UNREACHABLE,  // The name or the connection failed.
    ANSWER_UNTRUSTED,    // TLS failed: another certificate, or no common terms.
    ANSWER_NO_KEY,       // Our file of the bearer key cannot be used.
    ANSWER_LATE,         // The answer was not whole in time.
    ANSWER_CUT,          // The answer ended early, or nothing told its end.
    ANSWER_NOT_HTTP,     // bytes of something else
    ANSWER_TOO_LONG,     // more bytes than allowed, headers or body
    ANSWER_DENIED,       // 401, 403, 407
    ANSWER_REDIRECTED,   // 3xx, which is not followed
    ANSWER_NOT_FOUND,    // 404, 405, 410: the address is wrong, or not yet there
    ANSWER_BUSY,         // 408, 425, 429
    ANSWER_SERVER_ERROR, // 5xx, and what is no status
    ANSWER_REFUSED,      // other 4xx: these very bytes are not taken, now or later
    ANSWER_EMPTY,
    ANSWER_NOT_JSON,
    ANSWER_NO_SCORES, // JSON without the member that has them, or of another kind
    ANSWER_SHORT_LIST,
    ANSWER_LONG_LIST,
    ANSWER_NOT_A_NUMBER, // text, a truth, a list in a score's place
    ANSWER_NULL,
    ANSWER_NAN,
    ANSWER_INFINITE,
    ANSWER_TOO_LARGE,     // beyond what is trained
    ANSWER_WRONG_ID,      // an answer to something else
    ANSWER_PROGRAM_ERROR, // a program says that it failed
    ANSWER_FAULTS
};

/* The error "NAME: message", counted. DEADLINE for late, EXHAUSTED for busy, INVALID for refused,
 * else UNAVAILABLE. err_reason_word is the name. */
err_t answer_fault(enum answer_fault fault, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void answer_faults_register(void); // their metrics; again is harmless
