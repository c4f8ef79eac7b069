#include "tls/certificate_text.h"
#include "base/mem.h"
#include "base/printable.h"
#include "base/scoped.h"
#include "tls/pem.h"
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

static char *name_text(const X509_NAME *name)
{
    SCOPED_BIO BIO *out = BIO_new(BIO_s_mem());
    SCOPED_VALUE(bytes) text = {0};
    char *data;
    if (out && X509_NAME_print_ex(out, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) >= 0) {
        const long len = BIO_get_mem_data(out, &data);
        printable(&text, data, (size_t)len, "");
    }
    return mem_string(text.len ? (const char *)text.data : "");
}

static int64_t time_ms(const ASN1_TIME *at)
{
    struct tm tm;
    return ASN1_TIME_to_tm(at, &tm) ? (int64_t)timegm(&tm) * 1000 : 0;
}

static void put_string(struct bytes *ret, const ASN1_STRING *text)
{
    if (ret->len)
        bytes_u8(ret, ' ');
    printable(ret, (const char *)ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text), "");
}

static void put_ip(struct bytes *ret, const ASN1_STRING *address)
{
    char text[INET6_ADDRSTRLEN] = "";
    const int len = ASN1_STRING_length(address);
    if (len == 4 || len == 16)
        inet_ntop(len == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(address), text, sizeof text);
    bytes_printf(ret, "%s%s", ret->len && *text ? " " : "", text);
}

static void read_names(X509 *x509, struct certificate *ret)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(x509, NID_subject_alt_name, NULL, NULL);
    SCOPED_VALUE(bytes) uris = {0};
    SCOPED_VALUE(bytes) hosts = {0};
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        int kind;
        const ASN1_STRING *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &kind);
        if (kind == GEN_URI)
            put_string(&uris, value);
        else if (kind == GEN_DNS)
            put_string(&hosts, value);
        else if (kind == GEN_IPADD)
            put_ip(&hosts, value);
    }
    GENERAL_NAMES_free(names);
    ret->identity = mem_string(uris.len ? (const char *)uris.data : "");
    ret->hosts = mem_string(hosts.len ? (const char *)hosts.data : "");
}

err_t certificates_read(const struct bytes *pem, const char *name, struct certificates *ret)
{
    X509 *all[CERTIFICATES_MAX];
    size_t count;
    TRY(pem_certificates(pem, name, all, CERTIFICATES_MAX, &count));
    *ret = (struct certificates){.count = count};
    for (size_t i = 0; i < count; i++) {
        struct certificate *one = &ret->at[i];
        read_names(all[i], one);
        one->subject = name_text(X509_get_subject_name(all[i]));
        one->issuer = name_text(X509_get_issuer_name(all[i]));
        one->from_ms = time_ms(X509_get0_notBefore(all[i]));
        one->until_ms = time_ms(X509_get0_notAfter(all[i]));
        one->is_authority = X509_check_ca(all[i]) > 0;
        X509_free(all[i]);
    }
    ERR_clear_error();
    return OK;
}

void certificates_done(struct certificates *certificates)
{
    for (size_t i = 0; i < certificates->count; i++) {
        mem_free(certificates->at[i].identity);
        mem_free(certificates->at[i].hosts);
        mem_free(certificates->at[i].subject);
        mem_free(certificates->at[i].issuer);
    }
    *certificates = (struct certificates){0};
}

/* ---- whether it is accepted */

/* Certificates between the first and the root may stand behind the first. */
static err_t verify(X509 *const *chain, size_t chained, X509 *const *roots, size_t count,
                    int64_t now_ms)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    STACK_OF(X509) *between = sk_X509_new_null();
    int result = X509_V_ERR_OUT_OF_MEM;
    for (size_t i = 0; store && i < count; i++)
        X509_STORE_add_cert(store, roots[i]);
    for (size_t i = 1; between && i < chained; i++)
        sk_X509_push(between, chain[i]);
    if (context && X509_STORE_CTX_init(context, store, chain[0], between)) {
        X509_STORE_CTX_set_time(context, 0, (time_t)(now_ms / 1000));
        X509_verify_cert(context);
        result = X509_STORE_CTX_get_error(context);
    }
    sk_X509_free(between);
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
    ERR_clear_error();
    return result == X509_V_OK
               ? OK
               : err_new(ERR_DENIED, "not accepted: %s", X509_verify_cert_error_string(result));
}

err_t certificate_check(const struct bytes *pem, const struct bytes *key_text,
                        const struct bytes *roots_text, int64_t now_ms)
{
    X509 *chain[CERTIFICATES_MAX], *roots[CERTIFICATES_MAX];
    size_t chained = 0, count = 0;
    SCOPED_KEY EVP_PKEY *key = NULL;
    TRY(pem_key(key_text, "tls.key", &key));
    TRY(pem_certificates(pem, "tls.crt", chain, CERTIFICATES_MAX, &chained));
    err_t failed = pem_certificates(roots_text, "ca.crt", roots, CERTIFICATES_MAX, &count);
    if (!err_failed(failed))
        failed = verify(chain, chained, roots, count, now_ms);
    if (!err_failed(failed) && X509_check_private_key(chain[0], key) != 1)
        failed = err_new(ERR_DENIED, "the key is not the certificate's");
    ERR_clear_error();
    while (chained)
        X509_free(chain[--chained]);
    while (count)
        X509_free(roots[--count]);
    return failed;
}
