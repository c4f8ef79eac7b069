#include "tls/keyset.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "tls/certificate.h"
#include "tls/pem.h"
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHAIN_MAX = 16, ROOTS_MAX = 64, PEM_MAX = 256 << 10 };
#define FLAGS (X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST) // as gRPC's client has them

/* ---- the three files */

/* The first is one's own; those behind it lead to a root. */
static err_t use_chain(struct tls_set *set, X509 *const *chain, size_t count)
{
    TRY(certificate_identity(chain[0], &set->identity));
    set->not_after_s = certificate_not_after_s(chain[0]);
    if (X509_cmp_current_time(X509_get0_notBefore(chain[0])) >= 0)
        return certificate_fault(X509_V_ERR_CERT_NOT_YET_VALID, chain[0]);
    if (set->not_after_s <= clock_wall_ms() / 1000)
        return certificate_fault(X509_V_ERR_CERT_HAS_EXPIRED, chain[0]);
    if (!SSL_CTX_use_certificate(set->server, chain[0]))
        return openssl_failed("the certificate cannot be used");
    for (size_t i = 1; i < count; i++)
        if (!SSL_CTX_add1_chain_cert(set->server, chain[i]))
            return openssl_failed("an intermediate certificate cannot be used");
    return OK;
}

static err_t trust(struct tls_set *set, X509 *const *roots, size_t count)
{
    X509_STORE *store = SSL_CTX_get_cert_store(set->server);
    for (size_t i = 0; i < count; i++)
        if (!X509_STORE_add_cert(store, roots[i]) || !SSL_CTX_add_client_CA(set->server, roots[i]))
            return openssl_failed("a root cannot be used");
    return OK;
}

/* All certificates of one file, for fn. */
static err_t with_all(struct tls_set *set, int file, const char *name, size_t most,
                      err_t (*fn)(struct tls_set *set, X509 *const *all, size_t count))
{
    X509 *all[ROOTS_MAX];
    size_t count = 0;
    TRY(pem_certificates(&set->text[file], name, all, most, &count));
    const err_t e = err_wrap(fn(set, all, count), "'%s'", name);
    while (count)
        X509_free(all[--count]);
    return e;
}

/* OpenSSL also compares the key with the certificate in use. */
static err_t use_key(struct tls_set *set, const char *name)
{
    SCOPED_KEY EVP_PKEY *key = NULL;
    TRY(pem_key(&set->text[1], name, &key));
    const bool fits =
        SSL_CTX_use_PrivateKey(set->server, key) && SSL_CTX_check_private_key(set->server);
    ERR_clear_error();
    return fits ? OK
                : err_new(ERR_INVALID, "'%s' is not the key of the certificate in tls.crt", name);
}

/* ---- in a handshake */

static int on_verify(int verifies, X509_STORE_CTX *context)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(context, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct shaking *shaking = SSL_get_app_data(ssl);
    if (!verifies && shaking->faults++ == 0) {
        const err_t e = certificate_fault(X509_STORE_CTX_get_error(context),
                                          X509_STORE_CTX_get_current_cert(context));
        snprintf(shaking->why, sizeof shaking->why, "%s", err_message(e));
        err_free(e);
    }
    return 1;
}

static int on_alpn(SSL *ssl, const unsigned char **ret, unsigned char *ret_len,
                   const unsigned char *offered, unsigned len, void *)
{
    const struct shaking *shaking = SSL_get_app_data(ssl);
    const size_t wanted = shaking->alpn ? strlen(shaking->alpn) : 0;
    for (unsigned at = 0; at < len && at + offered[at] < len; at += 1u + offered[at])
        if (wanted == offered[at] && memcmp(offered + at + 1, shaking->alpn, wanted) == 0) {
            *ret = offered + at + 1;
            *ret_len = offered[at];
            return SSL_TLSEXT_ERR_OK;
        }
    return wanted ? SSL_TLSEXT_ERR_ALERT_FATAL : SSL_TLSEXT_ERR_NOACK;
}

static err_t fill(const char *directory, struct tls_set *set)
{
    set->server = SSL_CTX_new(TLS_method());
    if (!set->server || !SSL_CTX_set_min_proto_version(set->server, TLS1_3_VERSION))
        return openssl_failed("TLS 1.3");
    /* Each connection shows its certificate: none goes on where an earlier one ended. */
    SSL_CTX_set_session_cache_mode(set->server, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(set->server, 0);
    /* Else one call reads messages of TLS itself for as long as a client sends them. */
    SSL_CTX_clear_mode(set->server, SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_options(set->server, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(set->server, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                      SSL_MODE_RELEASE_BUFFERS);
    X509_STORE_set_flags(SSL_CTX_get_cert_store(set->server), FLAGS);
    SSL_CTX_set_verify_depth(set->server, CHAIN_MAX);
    SSL_CTX_set_verify(set->server, SSL_VERIFY_NONE, on_verify);
    SSL_CTX_set_alpn_select_cb(set->server, on_alpn, NULL);
    SCOPED_MEM char *own = file_join(directory, "tls.crt");
    SCOPED_MEM char *key = file_join(directory, "tls.key");
    SCOPED_MEM char *roots = file_join(directory, "ca.crt");
    TRY(with_all(set, 0, own, CHAIN_MAX, use_chain));
    TRY(use_key(set, key));
    return with_all(set, 2, roots, ROOTS_MAX, trust);
}

err_t tls_set_new(const char *directory, struct bytes text[KEYS_FILES], uint64_t generation,
                  struct tls_set **ret)
{
    struct tls_set *set = mem_new(sizeof *set);
    atomic_init(&set->refs, 1);
    set->generation = generation;
    for (int i = 0; i < KEYS_FILES; i++) {
        set->text[i] = text[i];
        text[i] = (struct bytes){0};
    }
    const err_t e = fill(directory, set);
    if (err_failed(e))
        tls_set_unref(set);
    else
        *ret = set;
    return e;
}

struct tls_set *tls_set_ref(struct tls_set *set)
{
    atomic_fetch_add(&set->refs, 1);
    return set;
}

void tls_set_unref(struct tls_set *set)
{
    if (!set || atomic_fetch_sub(&set->refs, 1) > 1)
        return;
    SSL_CTX_free(set->server);
    if (set->text[1].data)
        OPENSSL_cleanse(set->text[1].data, set->text[1].len);
    for (int i = 0; i < KEYS_FILES; i++)
        bytes_done(&set->text[i]);
    free(set);
}

/* ---- what others ask of it */

const struct identity *tls_set_identity(const struct tls_set *set)
{
    return &set->identity;
}

int64_t tls_set_not_after_s(const struct tls_set *set)
{
    return set->not_after_s;
}

uint64_t tls_set_generation(const struct tls_set *set)
{
    return set->generation;
}

struct tls_pem tls_set_pem(const struct tls_set *set)
{
    return (struct tls_pem){(const char *)set->text[0].data, (const char *)set->text[1].data,
                            (const char *)set->text[2].data};
}

err_t tls_set_verify(const struct tls_set *set, const char *role, X509 *certificate,
                     STACK_OF(X509) * chain)
{
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    if (!context ||
        !X509_STORE_CTX_init(context, SSL_CTX_get_cert_store(set->server), certificate, chain)) {
        X509_STORE_CTX_free(context);
        return openssl_failed("cannot verify a certificate");
    }
    X509_STORE_CTX_set_default(context, role);
    const bool verifies = X509_verify_cert(context) == 1;
    const err_t e = verifies ? OK
                             : certificate_fault(X509_STORE_CTX_get_error(context),
                                                 X509_STORE_CTX_get_current_cert(context));
    X509_STORE_CTX_free(context);
    ERR_clear_error();
    return e;
}

err_t tls_set_server(const struct tls_set *set, const char *pem_chain, struct identity *ret)
{
    const struct bytes text = {.data = (uint8_t *)pem_chain, .len = strnlen(pem_chain, PEM_MAX)};
    X509 *all[CHAIN_MAX];
    size_t count = 0;
    TRY(pem_certificates(&text, "the server's chain", all, CHAIN_MAX, &count));
    STACK_OF(X509) *chain = sk_X509_new_null();
    err_t e = OK;
    for (size_t i = 0; i < count; i++)
        if (!chain || !sk_X509_push(chain, all[i]))
            X509_free(all[i]);
    if (sk_X509_num(chain) != (int)count)
        e = err_new(ERR_EXHAUSTED, "no memory for a chain");
    else
        e = tls_set_verify(set, "ssl_server", all[0], chain);
    if (!err_failed(e))
        e = certificate_identity(all[0], ret);
    sk_X509_pop_free(chain, X509_free);
    return e;
}
