#include "tls/certificate.h"
#include "base/clock.h"
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { NAME_SHOWN = 120 };

/* ---- identity */

static err_t only_uri(const GENERAL_NAMES *names, struct identity *ret)
{
    const ASN1_IA5STRING *uri = NULL;
    int count = 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_URI)
            continue;
        uri = name->d.uniformResourceIdentifier;
        count++;
    }
    if (count != 1)
        return err_new(ERR_INVALID,
                       "the certificate has %d URIs as alternative names; it needs exactly one, "
                       "spiffe://DOMAIN/run/RUN/ROLE/NAME",
                       count);
    return identity_parse(ASN1_STRING_get0_data(uri), (size_t)ASN1_STRING_length(uri), ret);
}

err_t certificate_identity(const X509 *certificate, struct identity *ret)
{
    int critical;
    GENERAL_NAMES *names =
        X509_get_ext_d2i(certificate, NID_subject_alt_name, &critical, NULL); // NULL: none, or two
    ERR_clear_error();
    const err_t e = only_uri(names, ret);
    GENERAL_NAMES_free(names);
    return e;
}

/* ---- dates */

static int64_t seconds_of(const ASN1_TIME *time, int64_t otherwise)
{
    struct tm tm;
    return time && ASN1_TIME_to_tm(time, &tm) ? (int64_t)timegm(&tm) : otherwise;
}

int64_t certificate_not_after_s(const X509 *certificate)
{
    return seconds_of(X509_get0_notAfter(certificate), 0);
}

int64_t certificate_chain_end_s(const STACK_OF(X509) * chain)
{
    int64_t end = INT64_MAX;
    for (int i = 0; i < sk_X509_num(chain); i++) {
        const int64_t its = certificate_not_after_s(sk_X509_value(chain, i));
        end = its < end ? its : end;
    }
    return end;
}

void date_print(int64_t seconds, char ret[DATE_TEXT])
{
    struct tm tm;
    const time_t at = seconds;
    if (!gmtime_r(&at, &tm) || !strftime(ret, DATE_TEXT, "%Y-%m-%d %H:%M:%S UTC", &tm))
        snprintf(ret, DATE_TEXT, "?");
}

/* ---- why it does not verify */

/* Names come from outside: X509_NAME_oneline writes what cannot be shown as \xHH. */
static const char *issuer_of(const X509 *certificate, char text[NAME_SHOWN])
{
    const X509_NAME *name = certificate ? X509_get_issuer_name(certificate) : NULL;
    return name && X509_NAME_oneline(name, text, NAME_SHOWN) ? text : "?";
}

err_t certificate_fault(int number, const X509 *certificate)
{
    char date[DATE_TEXT], now[DATE_TEXT], issuer[NAME_SHOWN];
    date_print(clock_wall_ms() / 1000, now);
    switch (number) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        date_print(certificate ? certificate_not_after_s(certificate) : 0, date);
        return err_new(ERR_DENIED, "the certificate expired on %s (now: %s)", date, now);
    case X509_V_ERR_CERT_NOT_YET_VALID:
        date_print(seconds_of(certificate ? X509_get0_notBefore(certificate) : NULL, 0), date);
        return err_new(ERR_DENIED, "the certificate is not valid before %s (now: %s)", date, now);
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        return err_new(ERR_DENIED, "the certificate is of a CA that is not in ca.crt (issuer %s)",
                       issuer_of(certificate, issuer));
    default:
        return err_new(ERR_DENIED, "the certificate does not verify: %s",
                       X509_verify_cert_error_string(number));
    }
}
