/* Certificates for one's own runs: makes a certificate authority (CA) and signs with it. Keys are
 * ECDSA P-256; all goes in and out as PEM text.
 *
 *     SCOPED_VALUE(key_pair) ca = {0};
 *     SCOPED_VALUE(key_pair) learner = {0};
 *     TRY(authority_make("rlhfd", valid, &ca));
 *     TRY(authority_sign(&ca, &(struct certificate_request){.identity = "spiffe://rlhfd/run/sort/learner/learner",
 *                                                           .name = "learner", .valid = valid}, &learner));
 *
 * Any thread. */
#pragma once
#include "base/bytes.h"
#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

struct key_pair {
    struct bytes certificate, key;
};
void key_pair_done(struct key_pair *pair); // the key's bytes are wiped

struct validity {
    int64_t from_ms, until_ms; // since 1970; whole seconds count
};

/* A root that signs itself, and no other CA. Its identity is "spiffe://DOMAIN". */
err_t authority_make(const char *domain, struct validity valid, struct key_pair *ret);

/* The one root of ca->certificate that the key is of, appended. INVALID: none. */
err_t authority_root(const struct key_pair *ca, struct bytes *ret);

enum { CERTIFICATE_HOSTS = 64 };
struct certificate_request {
    const char *identity;                 // its one URI
    const char *name;                     // its subject, for people
    const char *hosts[CERTIFICATE_HOSTS]; // names and IP addresses of a server
    size_t host_count;
    struct validity valid;
};

/* Makes a key and a certificate for it, of a client and a server at once. ca->certificate may hold
 * several roots: the one whose key it is signs. INVALID: none is, or the certificate would outlive
 * it. */
err_t authority_sign(const struct key_pair *ca, const struct certificate_request *request,
                     struct key_pair *ret);
