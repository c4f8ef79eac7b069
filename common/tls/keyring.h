/* The keys of a process, from a directory as Kubernetes mounts a secret of cert-manager's:
 * tls.crt (the certificate, then intermediate ones), tls.key, ca.crt (the roots that are trusted).
 *
 *     TRY(tls_keys_open("/etc/rlhfd/tls", &keys));       -- INVALID: which file is wrong, and why
 *     err_t why;
 *     struct tls_set *set = tls_keys_now(keys, &why);    -- the newest set that is whole
 *     ... tls_set_unref(set);
 *
 * New files count without a restart. A set counts only whole: the three files of one moment, and a
 * key that fits its certificate. Until then the old one stays. Every call from any thread. */
#pragma once
#include "base/scoped.h"
#include "tls/spiffe.h"
#include <stdint.h>

struct tls_keys;
struct tls_set;

err_t tls_keys_open(const char *directory, struct tls_keys **ret);
void tls_keys_free(struct tls_keys *keys);
DEFINE_SCOPED(tls_keys)
const char *tls_keys_directory(const struct tls_keys *keys);

/* A reference to the set in force. Looks at the files at most once a second. *ret_why: the fault of
 * a new set that is not used, told once; else OK. Owned by the caller. NULL is allowed, and leaves
 * the fault to the next who asks. */
struct tls_set *tls_keys_now(struct tls_keys *keys, err_t *ret_why);

/* True once after a newer set has come into force: for a line in the log. */
bool tls_keys_renewed(struct tls_keys *keys);

/* One set; it never changes. */
struct tls_set *tls_set_ref(struct tls_set *set);
void tls_set_unref(struct tls_set *set);
const struct identity *tls_set_identity(const struct tls_set *set); // one's own
int64_t tls_set_not_after_s(const struct tls_set *set);             // of one's own certificate
uint64_t tls_set_generation(const struct tls_set *set);             // 1, 2, ...: higher is newer

/* Verifies a server's chain, its own certificate first, by the roots of the set at this moment.
 * DENIED, INVALID: why not. */
err_t tls_set_server(const struct tls_set *set, const char *pem_chain, struct identity *ret);

/* For libraries that do TLS themselves: the texts as they were read. */
struct tls_pem {
    const char *certificates, *key, *roots;
};
struct tls_pem tls_set_pem(const struct tls_set *set);
