/* Authorities and certificates for tests, made by OpenSSL's calls.
 *
 *     struct authority *ca = authority_new("testing");
 *     authority_issue(ca, &(struct certificate){.uri = "spiffe://t/run/sort/learner/l"}, directory);
 *     -- directory/tls.crt, tls.key, ca.crt
 *
 * Owner: the test's thread. */
#pragma once
#include <stdint.h>

struct authority;
struct certificate {
    const char *uri, *second_uri;     // NULL: none
    const char *dns;                  // likewise
    int64_t from_s, until_s;          // from now; 0, 0: an hour ago, an hour to come
    const struct authority *roots[3]; // in ca.crt; none: the issuer alone
};

struct authority *authority_new(const char *name);
void authority_free(struct authority *authority);

/* Writes the three files, each by a rename; the directory is made if it is not there. */
void authority_issue(const struct authority *authority, const struct certificate *certificate,
                     const char *directory);

/* spiffe://testing/run/RUN/ROLE/NAME into directory; the usual case. */
void authority_issue_to(const struct authority *authority, const char *run, const char *role,
                        const char *name, const char *directory);
