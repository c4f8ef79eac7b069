#include "tls/pem.h"
#include <openssl/err.h>
#include <openssl/pem.h>

err_t openssl_failed(const char *message)
{
    const unsigned long first = ERR_get_error();
    const char *why = first ? ERR_reason_error_string(first) : NULL;
    ERR_clear_error();
    return err_new(ERR_INTERNAL, "%s: %s", message, why ? why : "OpenSSL gives no reason");
}

/* An encrypted key has no passphrase here, and OpenSSL would ask for one on the terminal. */
static int no_passphrase(char *to, int size, int writes, void *arg)
{
    (void)to, (void)size, (void)writes, (void)arg;
    return 0;
}

static BIO *reading(const struct bytes *text)
{
    return BIO_new_mem_buf(text->len ? (const void *)text->data : "", (int)text->len);
}

err_t pem_certificates(const struct bytes *text, const char *name, X509 **ret, size_t max,
                       size_t *ret_count)
{
    SCOPED_BIO BIO *in = reading(text);
    size_t count = 0;
    X509 *one = NULL;
    bool many = false;
    while (in && !many && (one = PEM_read_bio_X509(in, NULL, no_passphrase, NULL))) {
        many = count == max;
        if (many)
            X509_free(one);
        else
            ret[count++] = one;
    }
    /* The last error is the end of the text, or of what it is that is no certificate. */
    const bool ended = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    ERR_clear_error();
    if (count && ended && !many) {
        *ret_count = count;
        return OK;
    }
    while (count)
        X509_free(ret[--count]);
    if (many)
        return err_new(ERR_INVALID, "'%s': more than %zu certificates", name, max);
    return err_new(ERR_INVALID, "'%s' has %s in PEM", name,
                   ended ? "no certificate" : "a certificate that cannot be read");
}

err_t pem_key(const struct bytes *text, const char *name, EVP_PKEY **ret)
{
    SCOPED_BIO BIO *in = reading(text);
    EVP_PKEY *key = in ? PEM_read_bio_PrivateKey(in, NULL, no_passphrase, NULL) : NULL;
    ERR_clear_error();
    if (!key)
        return err_new(ERR_INVALID, "'%s' has no private key in PEM without a passphrase", name);
    *ret = key;
    return OK;
}

static err_t taken(BIO *out, struct bytes *ret)
{
    char *data;
    const long len = BIO_get_mem_data(out, &data);
    bytes_put(ret, data, (size_t)len);
    return OK;
}

err_t pem_put_certificate(struct bytes *ret, X509 *certificate)
{
    SCOPED_BIO BIO *out = BIO_new(BIO_s_mem());
    if (!out || !PEM_write_bio_X509(out, certificate))
        return openssl_failed("cannot write a certificate");
    return taken(out, ret);
}

err_t pem_put_key(struct bytes *ret, EVP_PKEY *key)
{
    SCOPED_BIO BIO *out = BIO_new(BIO_s_secmem());
    if (!out || !PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL))
        return openssl_failed("cannot write a key");
    return taken(out, ret);
}
