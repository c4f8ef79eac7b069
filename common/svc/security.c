#include "svc/security.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "svc/address.h"
#include "svc/metrics.h"
#include "svc/recipe/recipe.h"
#include "tls/certificate.h"
#include <string.h>

static struct metric insecure =
    METRIC_GAUGE("rlhfd_insecure", "1: plaintext is allowed beyond this machine (net.insecure)");
static struct metric until = METRIC_GAUGE("rlhfd_certificate_until_seconds",
                                          "when our certificate ends, since 1970; 0: plaintext");

static struct metric refused =
    METRIC_COUNTER("rlhfd_keys_refused_total", "new keys that were faulty, and are not used");

/* ---- opening */

static err_t open_keys(const char *directory, const char *name, struct tls_keys **ret)
{
    SCOPED_MEM char *own = file_join(directory, name);
    return err_wrap(tls_keys_open(file_exists(own) ? own : directory, ret), "net.tls");
}

static err_t check_own(const struct recipe *recipe, const struct security *security,
                       enum caller role, const char *name)
{
    struct tls_set *set = tls_keys_now(security->keys, NULL);
    const struct identity who = *tls_set_identity(set);
    char text[IDENTITY_TEXT];
    identity_print(&who, text);
    tls_set_unref(set);
    const char *directory = tls_keys_directory(security->keys);
    if (who.role != (enum identity_role)role)
        return err_new(ERR_DENIED, "'%s/tls.crt' is of %s; this is a %s", directory, text,
                       identity_role_name((enum identity_role)role));
    if (strcmp(who.run, recipe->run.name) != 0)
        return err_new(ERR_DENIED, "'%s/tls.crt' is of %s; this is run '%s' (run.name)", directory,
                       text, recipe->run.name);
    if (*name && strcmp(who.name, name) != 0)
        return err_new(ERR_DENIED, "'%s/tls.crt' is of %s; this is %s.name '%s'", directory, text,
                       identity_role_name((enum identity_role)role), name);
    return OK;
}

static void tell(const struct security *security)
{
    static struct metric *const rows[] = {&insecure, &until, &refused};
    SCOPED_VALUE(bytes) text = {0};
    metrics_register(rows, sizeof rows / sizeof *rows);
    metric_set(&insecure, security->insecure);
    security_text(security, &text);
    if (security->insecure)
        log_warning("insecure", "why=\"%s\"", (const char *)text.data);
    else if (security->keys)
        log_info("keys read", "directory=\"%s\" security=\"%s\"",
                 tls_keys_directory(security->keys), (const char *)text.data);
}

static void tell_nccl(const struct recipe *recipe)
{
    if (*recipe->net.tls && recipe->publish.nccl_plaintext &&
        recipe->publish.transport != RECIPE_GRPC)
        log_warning("weights over NCCL are in plaintext",
                    "why=\"publish.nccl_plaintext: NCCL neither encrypts nor authenticates\"");
}

err_t security_open(const struct recipe *recipe, enum caller role, const char *name,
                    struct security *ret)
{
    SCOPED_VALUE(security) security = {.run = recipe->run.name};
    const char *directory = recipe->net.tls;
    security.insecure = recipe->net.insecure && !*directory;
    if (*directory) {
        const char *own = *name ? name : identity_role_name((enum identity_role)role);
        TRY(open_keys(directory, own, &security.keys));
        TRY(check_own(recipe, &security, role, name));
    }
    tell(&security);
    tell_nccl(recipe);
    *ret = security;
    security = (struct security){0};
    return OK;
}

void security_done(struct security *security)
{
    tls_keys_free(STEAL(security->keys));
}

/* ---- in use */

char *security_name(const struct security *security)
{
    struct tls_set *set = security_set(security);
    char *name = set ? mem_string(tls_set_identity(set)->name) : NULL;
    tls_set_unref(set);
    return name;
}

void security_text(const struct security *security, struct bytes *ret)
{
    struct tls_set *set = security_set(security);
    if (set) {
        char who[IDENTITY_TEXT], date[DATE_TEXT];
        identity_print(tls_set_identity(set), who);
        date_print(tls_set_not_after_s(set), date);
        bytes_printf(ret, "TLS as %s until %s", who, date);
    } else if (security && security->insecure)
        bytes_text(ret, "insecure: plaintext beyond this machine, anyone who reaches a port may "
                        "call (net.insecure)");
    else
        bytes_text(ret, "plaintext");
    tls_set_unref(set);
}

/* Lines of the log on what has become of the keys. */
static void tell_keys(const struct security *security, const struct tls_set *set, err_t why)
{
    char date[DATE_TEXT];
    const char *directory = tls_keys_directory(security->keys);
    date_print(tls_set_not_after_s(set), date);
    metric_add(&refused, err_failed(why));
    if (err_failed(why))
        log_warning("new keys are not used", "directory=\"%s\" why=\"%s\"", directory,
                    err_message(why));
    err_free(why);
    if (tls_keys_renewed(security->keys))
        log_info("new keys in use", "directory=\"%s\" until=\"%s\"", directory, date);
    if (tls_set_not_after_s(set) <= clock_wall_ms() / 1000)
        log_limited(LOG_WARNING, 1, "our certificate has expired", "directory=\"%s\" until=\"%s\"",
                    directory, date);
    metric_set(&until, (double)tls_set_not_after_s(set));
}

struct tls_set *security_set(const struct security *security)
{
    err_t why;
    if (!security || !security->keys)
        return NULL;
    struct tls_set *set = tls_keys_now(security->keys, &why);
    tell_keys(security, set, why);
    return set;
}

err_t address_check(const char *address, const struct security *security)
{
    const char *path = strncmp(address, "unix:", 5) == 0 ? address + 5 : NULL;
    if (path && security && security->keys)
        return err_new(ERR_DENIED,
                       "address '%s': a socket in a directory speaks no TLS; with net.tls an "
                       "address is host:port",
                       address);
    if (path)
        return *path ? OK : err_new(ERR_INVALID, "address '%s': the path is missing", address);
    struct address unused;
    TRY(address_parse(address, &unused));
    if (!(security && (security->insecure || security->keys)) && !address_is_loopback(address))
        return err_new(ERR_DENIED,
                       "address '%s': plaintext beyond loopback must be allowed explicitly",
                       address);
    return OK;
}
