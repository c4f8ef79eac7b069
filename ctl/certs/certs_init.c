/* certs init: a CA of one's own, and its roll-over: a second root beside the first, and the first
 * one's end. */
#include "base/mem.h"
#include "base/scoped.h"
#include "ctl/certs/certs.h"
#include "ctl/words/command.h"
#include "tls/certificate_text.h"
#include <stdio.h>
#include <string.h>

enum { CA_DAYS = 3650 };

/* The domain of the root that signs, from its identity. */
static err_t domain_of(const char *directory, const struct bytes *roots, char **ret)
{
    SCOPED_VALUE(certificates) all = {0};
    static const char scheme[] = "spiffe://";
    TRY(certificates_read(roots, "ca.crt", &all));
    if (strncmp(all.at[0].identity, scheme, strlen(scheme)) != 0)
        return err_new(ERR_INVALID, "'%s/ca/ca.crt' names no domain: --domain is needed",
                       directory);
    *ret = mem_string(all.at[0].identity + strlen(scheme));
    return certs_domain_check(*ret);
}

/* Every holder trusts the same roots. */
static err_t hand_out(const char *directory, const struct bytes *roots)
{
    SCOPED_VALUE(file_names) holders = {0};
    TRY(certs_holders(directory, &holders));
    for (size_t i = 0; i < holders.count; i++)
        TRY(certs_write_roots(directory, holders.at[i], roots));
    return OK;
}

static err_t make(const char *directory, const char *domain, struct validity valid, bool add)
{
    SCOPED_VALUE(key_pair) old = {0};
    SCOPED_VALUE(key_pair) ca = {0};
    SCOPED_MEM char *kept = NULL;
    SCOPED_MEM char *path = certs_path(directory, "ca", "ca.key");
    if (add)
        TRY(certs_read_ca(directory, &old));
    else if (file_exists(path))
        return err_new(ERR_EXISTS, "'%s' is there already; --add makes a second CA beside it",
                       path);
    if (add && !domain)
        TRY(domain_of(directory, &old.certificate, &kept));
    domain = domain ? domain : kept ? kept : "rlhfd";
    TRY(certs_domain_check(domain));
    TRY(authority_make(domain, valid, &ca));
    bytes_put(&ca.certificate, old.certificate.data, old.certificate.len);
    SCOPED_VALUE(certificates) all = {0};
    TRY(certificates_read(&ca.certificate, "ca.crt", &all)); // not too many
    TRY(certs_write_ca(directory, &ca.certificate, &ca.key));
    if (add)
        TRY(hand_out(directory, &ca.certificate));
    printf("%s/ca: a CA of spiffe://%s%s\n", directory, domain,
           add ? "; the holders trust it and those before it. Next: `certs issue` for each, then "
                 "`certs init --retire`"
               : "");
    return OK;
}

/* A holder with a certificate of an older root would be locked out. */
static err_t check_holder(const char *directory, const char *name, const struct bytes *root)
{
    SCOPED_VALUE(bytes) certificate = {0};
    SCOPED_VALUE(bytes) key = {0};
    SCOPED_VALUE(certificates) all = {0};
    SCOPED_MEM char *path = certs_path(directory, name, "tls.crt");
    SCOPED_MEM char *key_path = certs_path(directory, name, "tls.key");
    TRY(file_read(path, CERTIFICATE_BYTES_MAX, &certificate));
    TRY(file_read(key_path, CERTIFICATE_BYTES_MAX, &key));
    TRY(certificates_read(&certificate, path, &all));
    return err_wrap(certificate_check(&certificate, &key, root, all.at[0].from_ms),
                    "'%s' is not of the newest CA (`certs issue` makes it anew)", path);
}

static err_t retire(const char *directory)
{
    SCOPED_VALUE(key_pair) ca = {0};
    SCOPED_VALUE(bytes) root = {0};
    SCOPED_VALUE(file_names) holders = {0};
    TRY(certs_read_ca(directory, &ca));
    TRY(err_wrap(authority_root(&ca, &root), "'%s/ca'", directory));
    TRY(certs_holders(directory, &holders));
    for (size_t i = 0; i < holders.count; i++)
        TRY(check_holder(directory, holders.at[i], &root));
    TRY(certs_write_ca(directory, &root, NULL));
    TRY(hand_out(directory, &root));
    printf("%s/ca: the newest CA alone is trusted\n", directory);
    return OK;
}

err_t command_certs_init(int argc, char **argv)
{
    const char *directory, *domain = NULL;
    struct certs_times times = {0};
    struct validity valid;
    bool add = false, retires = false, helped;
    const struct argument_flag rows[] = {
        {"domain", "D", "trust domain, the first part of every identity (rlhfd)", .text = &domain},
        CERTS_TIMES(times, "3650"),
        {"add", NULL, "a new CA beside the one there is; all trust both from now on", .flag = &add},
        {"retire", NULL, "all trust the newest CA alone from now on", .flag = &retires}};
    const struct arguments arguments = {
        .usage = "certs init DIR",
        .purpose =
            "Makes a certificate authority (CA) in DIR/ca. Keep DIR/ca/ca.key to yourself: whoever has it\n"
            "makes certificates that every daemon accepts. Daemons need DIR/NAME alone.",
        .examples = "  rlhfctl certs init certs\n"
                    "  rlhfctl certs issue certs --recipe recipe.yaml\n"
                    "  rlhfctl certs init certs --add       # a new CA: then issue all again, and\n"
                    "  rlhfctl certs init certs --retire    # the old one ends",
        .flags = rows,
        .flags_count = sizeof rows / sizeof *rows,
        .words = &directory,
        .words_min = 1,
        .words_max = 1};
    TRY(arguments_read(&arguments, argc, argv, &helped));
    if (helped)
        return OK;
    if (add && retires)
        return err_new(ERR_INVALID, "--add, --retire: one of them");
    if (retires)
        return retire(directory);
    TRY(certs_validity(&times, CA_DAYS, &valid));
    return make(directory, domain, valid, add);
}
