/* Private to common/tls: one set of keys from the inside. */
#pragma once
#include "base/bytes.h"
#include "tls/keyring.h"
#include <stdatomic.h>

struct ssl_ctx_st;
struct x509_store_st;
struct x509_st;
struct stack_st_X509;

enum { KEYS_FILES = 3, SHAKING_WHY = 300 };
struct tls_set {
    atomic_int refs;
    uint64_t generation;
    struct ssl_ctx_st *server; // of which servers make connections, and tls/client_end.h
    struct identity identity;
    int64_t not_after_s;
    struct bytes text[KEYS_FILES]; // tls.crt, tls.key, ca.crt
};

/* For the callbacks of a handshake: the application's data of its SSL. A client whose certificate
 * does not verify is let through the handshake and refused behind it. Else it could not be told
 * why. */
struct shaking {
    const char *alpn;      // the one protocol to agree on; NULL: none
    int faults;            // of the client's certificates
    char why[SHAKING_WHY]; // of the first
};

/* Takes the texts out of `text`. INVALID, DENIED (a date): which file, and why. */
err_t tls_set_new(const char *directory, struct bytes text[KEYS_FILES], uint64_t generation,
                  struct tls_set **ret);

/* Verifies a certificate of a client (role "ssl_client") or of a server by the roots of the set at
 * this moment. DENIED: why not. */
err_t tls_set_verify(const struct tls_set *set, const char *role, struct x509_st *certificate,
                     struct stack_st_X509 *chain);
