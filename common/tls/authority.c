#include "tls/authority.h"
#include "base/env.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "tls/certificate_text.h"
#include "tls/pem.h"
#include <arpa/inet.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SERIAL_BYTES = 16, VERSION_3 = 2 };

void key_pair_done(struct key_pair *pair)
{
    if (pair->key.data)
        OPENSSL_cleanse(pair->key.data, pair->key.len);
    bytes_done(&pair->key);
    bytes_done(&pair->certificate);
}

/* ---- the parts of a certificate */

static err_t put_serial(X509 *x509, uint8_t serial[SERIAL_BYTES])
{
    if (env()->random(serial, SERIAL_BYTES) != SERIAL_BYTES)
        return err_new(ERR_UNAVAILABLE, "the system gives no random numbers");
    serial[0] = (serial[0] & 0x7f) | 0x40; // positive, and of one length
    BIGNUM *number = BN_bin2bn(serial, SERIAL_BYTES, NULL);
    const bool put = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x509));
    BN_free(number);
    return put ? OK : openssl_failed("cannot number a certificate");
}

static err_t put_extension(X509 *x509, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, x509, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    const bool put = extension && X509_add_ext(x509, extension, -1);
    X509_EXTENSION_free(extension);
    return put ? OK : openssl_failed(value);
}

static err_t put_name(GENERAL_NAMES *names, int kind, const void *data, size_t len)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *value =
        kind == GEN_IPADD ? (ASN1_STRING *)ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
    const bool made = name && value && ASN1_STRING_set(value, data, (int)len);
    if (made)
        GENERAL_NAME_set0_value(name, kind, value);
    if (made && sk_GENERAL_NAME_push(names, name))
        return OK;
    if (!made)
        ASN1_STRING_free(value);
    GENERAL_NAME_free(name);
    return openssl_failed("cannot name a certificate's holder");
}

static err_t put_host(GENERAL_NAMES *names, const char *host)
{
    struct in6_addr six;
    struct in_addr four;
    if (inet_pton(AF_INET, host, &four) == 1)
        return put_name(names, GEN_IPADD, &four, sizeof four);
    if (inet_pton(AF_INET6, host, &six) == 1)
        return put_name(names, GEN_IPADD, &six, sizeof six);
    return put_name(names, GEN_DNS, host, strlen(host));
}

static err_t put_names(X509 *x509, const char *uri, const char *const *hosts, size_t count)
{
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    if (!names)
        return openssl_failed("cannot name a certificate's holder");
    err_t failed = put_name(names, GEN_URI, uri, strlen(uri));
    for (size_t i = 0; i < count && !err_failed(failed); i++)
        failed = put_host(names, hosts[i]);
    if (!err_failed(failed) && X509_add1_ext_i2d(x509, NID_subject_alt_name, names, 0, 0) != 1)
        failed = openssl_failed("cannot name a certificate's holder");
    GENERAL_NAMES_free(names);
    return failed;
}

/* Key, number, subject and validity. */
static err_t begin(const char *organisation, const char *name, struct validity valid,
                   X509 **ret_certificate, EVP_PKEY **ret_key)
{
    SCOPED_X509 X509 *x509 = X509_new();
    SCOPED_KEY EVP_PKEY *key = EVP_EC_gen("P-256");
    uint8_t serial[SERIAL_BYTES];
    if (!x509 || !key || !X509_set_version(x509, VERSION_3) || !X509_set_pubkey(x509, key))
        return openssl_failed("cannot make a key");
    TRY(put_serial(x509, serial));
    const time_t from = (time_t)(valid.from_ms / 1000), until = (time_t)(valid.until_ms / 1000);
    if (!ASN1_TIME_adj(X509_getm_notBefore(x509), from, 0, 0) ||
        !ASN1_TIME_adj(X509_getm_notAfter(x509), until, 0, 0))
        return openssl_failed("cannot write the time of a certificate");
    /* Roots of one domain are told apart by their numbers. */
    SCOPED_MEM char *common =
        name ? mem_string(name) : mem_printf("CA %02x%02x%02x", serial[1], serial[2], serial[3]);
    X509_NAME *subject = X509_get_subject_name(x509);
    if (!X509_NAME_add_entry_by_NID(subject, NID_organizationName, MBSTRING_UTF8,
                                    (const uint8_t *)organisation, -1, -1, 0) ||
        !X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8, (uint8_t *)common, -1,
                                    -1, 0))
        return openssl_failed("cannot write the subject of a certificate");
    *ret_certificate = STEAL(x509);
    *ret_key = STEAL(key);
    return OK;
}

static err_t finish(X509 *x509, EVP_PKEY *key, EVP_PKEY *signer, struct key_pair *ret)
{
    SCOPED_VALUE(key_pair) pair = {0};
    if (!X509_sign(x509, signer, EVP_sha256()))
        return openssl_failed("cannot sign a certificate");
    TRY(pem_put_certificate(&pair.certificate, x509));
    TRY(pem_put_key(&pair.key, key));
    *ret = pair;
    pair = (struct key_pair){0};
    return OK;
}

/* ---- what is made */

err_t authority_make(const char *domain, struct validity valid, struct key_pair *ret)
{
    SCOPED_X509 X509 *x509 = NULL;
    SCOPED_KEY EVP_PKEY *key = NULL;
    SCOPED_MEM char *uri = mem_printf("spiffe://%s", domain);
    TRY(begin(domain, NULL, valid, &x509, &key));
    if (!X509_set_issuer_name(x509, X509_get_subject_name(x509)))
        return openssl_failed("cannot write the issuer of a certificate");
    TRY(put_extension(x509, x509, NID_basic_constraints, "critical,CA:TRUE,pathlen:0"));
    TRY(put_extension(x509, x509, NID_key_usage, "critical,keyCertSign,cRLSign"));
    TRY(put_extension(x509, x509, NID_subject_key_identifier, "hash"));
    TRY(put_names(x509, uri, NULL, 0));
    return finish(x509, key, key, ret);
}

/* The root whose key it is. */
static err_t find_signer(const struct key_pair *ca, X509 **ret_root, EVP_PKEY **ret_key)
{
    X509 *all[CERTIFICATES_MAX];
    size_t count;
    SCOPED_KEY EVP_PKEY *key = NULL;
    X509 *found = NULL;
    TRY(pem_key(&ca->key, "ca.key", &key));
    TRY(pem_certificates(&ca->certificate, "ca.crt", all, CERTIFICATES_MAX, &count));
    for (size_t i = 0; i < count; i++) {
        if (!found && EVP_PKEY_eq(X509_get0_pubkey(all[i]), key) == 1)
            found = all[i];
        else
            X509_free(all[i]);
    }
    if (!found)
        return err_new(ERR_INVALID, "no certificate of ca.crt belongs to ca.key");
    *ret_root = found;
    *ret_key = STEAL(key);
    return OK;
}

err_t authority_root(const struct key_pair *ca, struct bytes *ret)
{
    SCOPED_X509 X509 *root = NULL;
    SCOPED_KEY EVP_PKEY *key = NULL;
    TRY(find_signer(ca, &root, &key));
    return pem_put_certificate(ret, root);
}

static err_t check_end(const X509 *root, struct validity valid)
{
    const time_t until = (time_t)(valid.until_ms / 1000);
    int days, seconds;
    ASN1_TIME *end = ASN1_TIME_set(NULL, until);
    const bool known = end && ASN1_TIME_diff(&days, &seconds, end, X509_get0_notAfter(root));
    ASN1_TIME_free(end);
    if (!known)
        return openssl_failed("cannot compare times");
    return days < 0 || seconds < 0
               ? err_new(ERR_INVALID,
                         "it would be valid %d days longer than the CA; allowed: as "
                         "long as the CA is (`certs init --add` makes a new one)",
                         1 - days)
               : OK;
}

err_t authority_sign(const struct key_pair *ca, const struct certificate_request *request,
                     struct key_pair *ret)
{
    SCOPED_X509 X509 *root = NULL, *x509 = NULL;
    SCOPED_KEY EVP_PKEY *signer = NULL, *key = NULL;
    TRY(find_signer(ca, &root, &signer));
    TRY(check_end(root, request->valid));
    TRY(begin("rlhfd", request->name, request->valid, &x509, &key));
    if (!X509_set_issuer_name(x509, X509_get_subject_name(root)))
        return openssl_failed("cannot write the issuer of a certificate");
    TRY(put_extension(x509, root, NID_basic_constraints, "critical,CA:FALSE"));
    TRY(put_extension(x509, root, NID_key_usage, "critical,digitalSignature"));
    TRY(put_extension(x509, root, NID_ext_key_usage, "serverAuth,clientAuth"));
    TRY(put_extension(x509, root, NID_subject_key_identifier, "hash"));
    TRY(put_extension(x509, root, NID_authority_key_identifier, "keyid:always"));
    TRY(put_names(x509, request->identity, request->hosts, request->host_count));
    return finish(x509, key, signer, ret);
}
