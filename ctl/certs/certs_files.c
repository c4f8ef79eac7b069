#include "base/clock.h"
#include "base/env.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "ctl/certs/certs.h"
#include "ctl/words/command.h"
#include "tls/certificate_text.h"
#include "tls/spiffe.h"
#include <errno.h>
#include <string.h>
#include <time.h>

enum { NAME_LEN_MAX = 64, CLOCKS_DIFFER_MS = 300000, DAYS_MAX = 36500 };

/* ---- what the command line says */

err_t certs_name_check(const char *flag, const char *name)
{
    if (!identity_is_name(name, NAME_LEN_MAX) || strcmp(name, "ca") == 0)
        return err_new(ERR_INVALID,
                       "%s '%s': allowed: 1 to %d letters, digits and . _ - inside, but not 'ca'",
                       flag, name, NAME_LEN_MAX);
    return OK;
}

err_t certs_domain_check(const char *domain)
{
    if (!identity_is_domain(domain))
        return err_new(ERR_INVALID,
                       "--domain '%s': allowed: 1 to %d small letters, digits and . - _ inside",
                       domain, IDENTITY_DOMAIN);
    return OK;
}

static err_t read_time(const char *text, int64_t *ret_ms)
{
    struct tm tm = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (!end || *end)
        return err_new(ERR_INVALID,
                       "--not-before '%s': allowed: a time in UTC such as 2026-12-01T00:00:00Z",
                       text);
    *ret_ms = (int64_t)timegm(&tm) * 1000;
    return OK;
}

/* Other machines' clocks may be behind. */
err_t certs_validity(const struct certs_times *times, long days, struct validity *ret)
{
    enum { DAY_MINUTES = 24 * 60 };
    long minutes = days * DAY_MINUTES;
    int64_t now_ms = clock_wall_ms(), from_ms = now_ms - CLOCKS_DIFFER_MS;
    if (times->days && times->minutes)
        return err_new(ERR_INVALID, "--days, --minutes: one of them");
    if (times->from)
        TRY(read_time(times->from, &from_ms));
    if (times->days)
        TRY(flag_int("--days", times->days, 1, DAYS_MAX, &days));
    minutes = days * DAY_MINUTES;
    if (times->minutes)
        TRY(flag_int("--minutes", times->minutes, 1, (long)DAYS_MAX * DAY_MINUTES, &minutes));
    const int64_t begin_ms = times->from ? from_ms : now_ms;
    *ret = (struct validity){from_ms, begin_ms + (int64_t)minutes * 60 * 1000};
    return OK;
}

/* ---- the files */

char *certs_path(const char *directory, const char *name, const char *file)
{
    return mem_printf("%s/%s/%s", directory, name, file);
}

static err_t read_part(const char *directory, const char *file, struct bytes *ret)
{
    SCOPED_MEM char *path = certs_path(directory, "ca", file);
    if (!file_exists(path))
        return err_new(ERR_NOT_FOUND, "'%s': no such file; `rlhfctl certs init %s` makes a CA",
                       path, directory);
    return file_read(path, CERTIFICATE_BYTES_MAX, ret);
}

err_t certs_read_ca(const char *directory, struct key_pair *ret)
{
    SCOPED_VALUE(key_pair) pair = {0};
    TRY(read_part(directory, "ca.crt", &pair.certificate));
    TRY(read_part(directory, "ca.key", &pair.key));
    *ret = pair;
    pair = (struct key_pair){0};
    return OK;
}

static err_t make_directory(const char *directory, const char *name, mode_t mode)
{
    SCOPED_MEM char *path = file_join(directory, name);
    TRY(file_make_directories(directory));
    if (env()->make_directory(path, mode) && errno != EEXIST)
        return err_errno(errno, "cannot make directory '%s'", path);
    return OK;
}

err_t certs_write_roots(const char *directory, const char *name, const struct bytes *roots)
{
    SCOPED_MEM char *path = certs_path(directory, name, "ca.crt");
    return file_write(path, roots->data, roots->len);
}

err_t certs_write_ca(const char *directory, const struct bytes *roots, const struct bytes *key)
{
    SCOPED_MEM char *path = certs_path(directory, "ca", "ca.key");
    TRY(make_directory(directory, "ca", 0700));
    TRY(certs_write_roots(directory, "ca", roots));
    return key ? file_write_private(path, key->data, key->len) : OK;
}

err_t certs_write_holder(const char *directory, const char *name, const struct key_pair *pair,
                         const struct bytes *roots)
{
    SCOPED_MEM char *key = certs_path(directory, name, "tls.key");
    SCOPED_MEM char *certificate = certs_path(directory, name, "tls.crt");
    TRY(make_directory(directory, name, 0755));
    TRY(certs_write_roots(directory, name, roots));
    TRY(file_write_private(key, pair->key.data, pair->key.len));
    return file_write(certificate, pair->certificate.data, pair->certificate.len);
}

err_t certs_holders(const char *directory, struct file_names *ret)
{
    SCOPED_VALUE(file_names) all = {0};
    struct file_names holders = {0};
    TRY(file_names(directory, &all));
    holders.at = mem_array(all.count + 1, sizeof *holders.at);
    for (size_t i = 0; i < all.count; i++) {
        SCOPED_MEM char *path = certs_path(directory, all.at[i], "tls.crt");
        if (file_exists(path))
            holders.at[holders.count++] = mem_string(all.at[i]);
    }
    *ret = holders;
    return OK;
}
