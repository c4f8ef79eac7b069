#include "svc/security.h"
#include "base/log.h"
#include "svc/address.h"
#include "svc/recipe/recipe.h"
#include <string.h>

struct security security_of(const struct recipe *recipe)
{
    return (struct security){.insecure = recipe->net.insecure};
}

struct tls_set *security_set(const struct security *security)
{
    if (!security || !security->keys)
        return NULL;
    err_t why;
    struct tls_set *set = tls_keys_now(security->keys, &why);
    if (err_failed(why))
        log_warning("new keys are not used", "directory=\"%s\" why=\"%s\"",
                    tls_keys_directory(security->keys), err_message(why));
    err_free(why);
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
