#include "tls/keyset.h"
#include "base/clock.h"
#include "base/mem.h"
#include "tls/certificate.h"
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHAIN_MAX = 16, ROOTS_MAX = 64, PEM_MAX = 256 << 10 };
#define FLAGS (X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST) // as gRPC's client has them

static BIO *reads(const struct bytes *text)
{
    return BIO_new_mem_buf(text->data, (int)text->len);
}

/* Never a terminal: a key with a password is refused. */
static int no_password(char *, int, int, void *)
{
    return 0;
}

/* The next certificate; NULL: no more. INVALID: what stands there is none. */
static err_t next_certificate(BIO *bio, X509 **ret)
{
    *ret = PEM_read_bio_X509(bio, NULL, no_password, NULL);
    if (*ret)
        return OK;
    const unsigned long last = ERR_peek_last_error();
    if (ERR_GET_LIB(last) != ERR_LIB_PEM || ERR_GET_REASON(last) != PEM_R_NO_START_LINE)
        return openssl_error(ERR_INVALID, "a certificate cannot be read");
    ERR_clear_error();
    return OK;
}

/* ---- the three files */

static err_t use_one(struct tls_set *set, X509 *certificate, int at)
{
    if (at)
        return SSL_CTX_add1_chain_cert(set->server, certificate)
                   ? OK
                   : openssl_error(ERR_INVALID, "an intermediate certificate");
    TRY(certificate_identity(certificate, &set->identity));
    set->not_after_s = certificate_not_after_s(certificate);
    const int before = X509_cmp_current_time(X509_get0_notBefore(certificate));
    if (before >= 0)
        return certificate_fault(X509_V_ERR_CERT_NOT_YET_VALID, certificate);
    if (set->not_after_s <= clock_wall_ms() / 1000)
        return certificate_fault(X509_V_ERR_CERT_HAS_EXPIRED, certificate);
    return SSL_CTX_use_certificate(set->server, certificate)
               ? OK
               : openssl_error(ERR_INVALID, "the certificate cannot be used");
}

static err_t trust_one(struct tls_set *set, X509 *root, int)
{
    X509_STORE *store = SSL_CTX_get_cert_store(set->server);
    if (!X509_STORE_add_cert(store, root) || !SSL_CTX_add_client_CA(set->server, root))
        return openssl_error(ERR_INVALID, "a root cannot be used");
    return OK;
}

static err_t each(struct tls_set *set, const struct bytes *text, int most,
                  err_t (*fn)(struct tls_set *set, X509 *certificate, int at))
{
    BIO *bio = reads(text);
    int count = 0;
    err_t e = bio ? OK : openssl_error(ERR_EXHAUSTED, "no memory");
    while (!err_failed(e)) {
        X509 *certificate = NULL;
        e = next_certificate(bio, &certificate);
        if (!certificate)
            break;
        e = count < most ? fn(set, certificate, count)
                         : err_new(ERR_INVALID, "more than %d certificates", most);
        count++;
        X509_free(certificate);
    }
    BIO_free(bio);
    if (!err_failed(e) && !count)
        e = err_new(ERR_INVALID, "there is no certificate (PEM) in it");
    return e;
}

/* OpenSSL also compares the key with the certificate in use. */
static err_t use_key(struct tls_set *set)
{
    BIO *bio = reads(&set->text[1]);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
    BIO_free(bio);
    if (!key)
        return openssl_error(ERR_INVALID,
                             "there is no private key (PEM, without a password) in it");
    const bool fits =
        SSL_CTX_use_PrivateKey(set->server, key) && SSL_CTX_check_private_key(set->server);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return fits ? OK : err_new(ERR_INVALID, "the key is not that of the certificate in tls.crt");
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
    set->server = SSL_CTX_new(TLS_server_method());
    if (!set->server || !SSL_CTX_set_min_proto_version(set->server, TLS1_3_VERSION))
        return openssl_error(ERR_INTERNAL, "TLS 1.3");
    /* Each connection shows its certificate: none goes on where an earlier one ended. */
    SSL_CTX_set_session_cache_mode(set->server, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(set->server, 0);
    SSL_CTX_set_options(set->server, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(set->server, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                      SSL_MODE_RELEASE_BUFFERS);
    X509_STORE_set_flags(SSL_CTX_get_cert_store(set->server), FLAGS);
    SSL_CTX_set_verify_depth(set->server, CHAIN_MAX);
    SSL_CTX_set_verify(set->server, SSL_VERIFY_NONE, on_verify);
    SSL_CTX_set_alpn_select_cb(set->server, on_alpn, NULL);
    TRY(err_wrap(each(set, &set->text[0], CHAIN_MAX, use_one), "%s/tls.crt", directory));
    TRY(err_wrap(use_key(set), "%s/tls.key", directory));
    return err_wrap(each(set, &set->text[2], ROOTS_MAX, trust_one), "%s/ca.crt", directory);
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
        return openssl_error(ERR_EXHAUSTED, "cannot verify a certificate");
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

static err_t read_chain(const char *pem, STACK_OF(X509) * ret)
{
    const size_t len = strnlen(pem, PEM_MAX + 1);
    if (len > PEM_MAX)
        return err_new(ERR_INVALID, "a chain of more than %d bytes", PEM_MAX);
    BIO *bio = BIO_new_mem_buf(pem, (int)len);
    err_t e = bio ? OK : openssl_error(ERR_EXHAUSTED, "no memory");
    while (!err_failed(e)) {
        X509 *certificate = NULL;
        e = next_certificate(bio, &certificate);
        if (!certificate)
            break;
        if (sk_X509_num(ret) >= CHAIN_MAX || !sk_X509_push(ret, certificate)) {
            X509_free(certificate);
            e = err_new(ERR_INVALID, "a chain of more than %d certificates", CHAIN_MAX);
        }
    }
    BIO_free(bio);
    return e;
}

err_t tls_set_server(const struct tls_set *set, const char *pem_chain, struct identity *ret)
{
    STACK_OF(X509) *chain = sk_X509_new_null();
    X509 *own = NULL;
    err_t e = chain ? read_chain(pem_chain, chain) : openssl_error(ERR_EXHAUSTED, "no memory");
    if (!err_failed(e) && !(own = sk_X509_value(chain, 0)))
        e = err_new(ERR_DENIED, "no certificate was shown");
    if (!err_failed(e))
        e = tls_set_verify(set, "ssl_server", own, chain);
    if (!err_failed(e))
        e = certificate_identity(own, ret);
    sk_X509_pop_free(chain, X509_free);
    return e;
}
