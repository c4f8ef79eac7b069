/* Certificates and keys as PEM text, read and described. They came from outside: their names may
 * hold anything, and are made printable here.
 *
 *     SCOPED_VALUE(certificates) all = {0};
 *     TRY(certificates_read(&pem, "certs/learner/tls.crt", &all));     -- the holder's own is the first
 *     all.at[0].identity                                               -- "spiffe://rlhfd/run/sort/learner/learner"
 *     TRY(certificate_check(&pem, &key, &roots, clock_wall_ms()));     -- DENIED: and why
 *
 * Any thread. */
#pragma once
#include "base/bytes.h"
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CERTIFICATES_MAX = 16, CERTIFICATE_BYTES_MAX = 1 << 18 }; // in a file

struct certificate {
    char *identity; // the URI that names its holder; "": none
    char *hosts;    // names and addresses, a blank between two; "": none
    char *subject, *issuer;
    int64_t from_ms, until_ms; // since 1970
    bool is_authority;         // may sign others
};
struct certificates {
    size_t count;
    struct certificate at[CERTIFICATES_MAX];
};

/* name is for messages. INVALID: none there, more than CERTIFICATES_MAX, or no certificates. */
err_t certificates_read(const struct bytes *pem, const char *name, struct certificates *ret);
void certificates_done(struct certificates *certificates);

/* Whether the first certificate would be accepted at this moment by who trusts the roots, and the
 * key is its own. DENIED: the reason, which names no file. */
err_t certificate_check(const struct bytes *pem, const struct bytes *key, const struct bytes *roots,
                        int64_t now_ms);
