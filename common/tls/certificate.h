/* Reading a certificate: identity, dates, and why it does not verify. Any thread.
 *
 *     TRY(certificate_identity(x509, &who));           -- INVALID: no URI, several, or no identity
 *
 * X509 is OpenSSL's struct x509_st, whose home is this room. */
#pragma once
#include "tls/spiffe.h"
#include <stddef.h>
#include <stdint.h>

struct x509_st;
struct stack_st_X509;
enum { DATE_TEXT = 32 };

/* From the one URI among the alternative names. */
err_t certificate_identity(const struct x509_st *certificate, struct identity *ret);

int64_t certificate_not_after_s(const struct x509_st *certificate); // since 1970
/* The earliest end in a chain; NULL: INT64_MAX. */
int64_t certificate_chain_end_s(const struct stack_st_X509 *chain);
void date_print(int64_t seconds, char ret[DATE_TEXT]); // "2026-11-30 10:00:00 UTC"

/* DENIED: why a certificate does not verify: an X509_V_ERR_ number, and the certificate it is
 * about (NULL: not told). */
err_t certificate_fault(int number, const struct x509_st *certificate);
