/* The directory that `rlhfctl certs` keeps:
 *
 *     DIR/ca/ca.crt      the roots that all trust, the newest first
 *     DIR/ca/ca.key      the newest root's key; whoever has it makes certificates
 *     DIR/NAME/tls.crt   one holder's certificate
 *     DIR/NAME/tls.key   its key
 *     DIR/NAME/ca.crt    the roots again
 *
 * A daemon, an operator or a Kubernetes secret needs DIR/NAME alone.
 *
 * Owner: the main thread. */
#pragma once
#include "base/file.h"
#include "ctl/words/arguments.h"
#include "tls/authority.h"

/* INVALID: not 1 to 64 letters, digits, . _ - (the first a letter or digit), or "ca". */
err_t certs_name_check(const char *flag, const char *name);
err_t certs_domain_check(const char *domain);

/* --not-before, --days, --minutes; NULL: not given. */
struct certs_times {
    const char *from, *days, *minutes;
};
#define CERTS_TIMES(times, ordinary)                                                               \
    {"days", "N", "days that it is valid (" ordinary ")", .text = &(times).days},                  \
        {"minutes", "N", "minutes, in place of days", .text = &(times).minutes},                   \
    {                                                                                              \
        "not-before", "TIME",                                                                      \
            "valid from then on, such as 2026-12-01T00:00:00Z (five minutes ago)",                 \
            .text = &(times).from                                                                  \
    }
err_t certs_validity(const struct certs_times *times, long days, struct validity *ret);

/* NOT_FOUND: says how to make one. */
err_t certs_read_ca(const char *directory, struct key_pair *ret);
/* Roots first: a process that dies between leaves a CA that still signs. */
err_t certs_write_ca(const char *directory, const struct bytes *roots, const struct bytes *key);
err_t certs_write_roots(const char *directory, const char *name, const struct bytes *roots);
err_t certs_write_holder(const char *directory, const char *name, const struct key_pair *pair,
                         const struct bytes *roots);
char *certs_path(const char *directory, const char *name, const char *file); // the caller's

/* The names of those that have a certificate, in order. */
err_t certs_holders(const char *directory, struct file_names *ret);
