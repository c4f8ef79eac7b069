#include "testing/certificates.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "testing/testing.h"
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct authority {
    EVP_PKEY *key;
    X509 *certificate;
};

static X509 *certificate_new(EVP_PKEY *key, const char *name, int64_t from_s, int64_t until_s)
{
    static long serial = 1;
    X509 *x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
    X509_time_adj_ex(X509_getm_notBefore(x), 0, (long)from_s, NULL);
    X509_time_adj_ex(X509_getm_notAfter(x), 0, (long)until_s, NULL);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    return x;
}

static void extend(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert_non_null(extension);
    X509_add_ext(x, extension, -1);
    X509_EXTENSION_free(extension);
}

struct authority *authority_new(const char *name)
{
    struct authority *authority = mem_new(sizeof *authority);
    authority->key = EVP_EC_gen("P-256");
    X509 *x = certificate_new(authority->key, name, -86400, 86400);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    extend(x, x, NID_basic_constraints, "critical,CA:TRUE");
    extend(x, x, NID_key_usage, "critical,keyCertSign,cRLSign");
    extend(x, x, NID_subject_key_identifier, "hash");
    assert_true(X509_sign(x, authority->key, EVP_sha256()) > 0);
    authority->certificate = x;
    return authority;
}

void authority_free(struct authority *authority)
{
    if (!authority)
        return;
    X509_free(authority->certificate);
    EVP_PKEY_free(authority->key);
    free(authority);
}

static void save(BIO *bio, const char *directory, const char *name)
{
    char *data;
    const long len = BIO_get_mem_data(bio, &data);
    SCOPED_MEM char *path = file_join(directory, name);
    assert_ok(file_write(path, data, (size_t)len));
    BIO_free(bio);
}

static void put_names(X509 *x, X509 *issuer, const struct certificate *c)
{
    char names[1024] = "";
    const char *const kind[] = {"URI", "URI", "DNS"};
    const char *const value[] = {c->uri, c->second_uri, c->dns};
    for (size_t i = 0; i < 3; i++)
        if (value[i])
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s:%s",
                     *names ? "," : "", kind[i], value[i]);
    if (*names)
        extend(x, issuer, NID_subject_alt_name, names);
}

void authority_issue(const struct authority *authority, const struct certificate *c,
                     const char *directory)
{
    const bool usual = !c->from_s && !c->until_s;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = certificate_new(key, "leaf", usual ? -3600 : c->from_s, usual ? 3600 : c->until_s);
    X509_set_issuer_name(x, X509_get_subject_name(authority->certificate));
    extend(x, authority->certificate, NID_basic_constraints, "critical,CA:FALSE");
    extend(x, authority->certificate, NID_ext_key_usage, "serverAuth,clientAuth");
    put_names(x, authority->certificate, c);
    assert_true(X509_sign(x, authority->key, EVP_sha256()) > 0);
    assert_ok(file_make_directories(directory));
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
    save(bio, directory, "tls.key");
    bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, x);
    save(bio, directory, "tls.crt");
    bio = BIO_new(BIO_s_mem());
    for (size_t i = 0; i < 3; i++)
        if (c->roots[i])
            PEM_write_bio_X509(bio, c->roots[i]->certificate);
    if (!c->roots[0])
        PEM_write_bio_X509(bio, authority->certificate);
    save(bio, directory, "ca.crt");
    X509_free(x);
    EVP_PKEY_free(key);
}

void authority_issue_to(const struct authority *authority, const char *run, const char *role,
                        const char *name, const char *directory)
{
    SCOPED_MEM char *uri = mem_printf("spiffe://testing/run/%s/%s/%s", run, role, name);
    authority_issue(authority, &(struct certificate){.uri = uri}, directory);
}
