/* OpenSSL's objects, freed by their scope, and PEM text in and out. Within common/tls.
 *
 *     SCOPED_KEY EVP_PKEY *key = NULL;
 *     TRY(pem_key(&text, "tls.key", &key));
 *     if (!X509_set_pubkey(certificate, key))
 *         return openssl_failed("cannot make a certificate");
 *
 * Any thread. */
#pragma once
#include "base/bytes.h"
#include "base/err.h"
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

static inline void scoped_x509(X509 **p)
{
    X509_free(*p);
}
static inline void scoped_key(EVP_PKEY **p)
{
    EVP_PKEY_free(*p);
}
static inline void scoped_bio(BIO **p)
{
    BIO_free(*p);
}
#define SCOPED_X509 __attribute__((cleanup(scoped_x509)))
#define SCOPED_KEY  __attribute__((cleanup(scoped_key)))
#define SCOPED_BIO  __attribute__((cleanup(scoped_bio)))

/* "message: what OpenSSL says"; its queue of errors is empty afterwards. */
err_t openssl_failed(const char *message);

/* The first key, which must not be encrypted. name is for messages. INVALID: there is none. */
err_t pem_key(const struct bytes *text, const char *name, EVP_PKEY **ret);
/* All certificates, at least one and at most max. */
err_t pem_certificates(const struct bytes *text, const char *name, X509 **ret, size_t max,
                       size_t *ret_count);

err_t pem_put_certificate(struct bytes *ret, X509 *certificate);
err_t pem_put_key(struct bytes *ret, EVP_PKEY *key);
