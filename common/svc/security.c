#include "svc/security.h"
#include "svc/address.h"
#include "svc/recipe/recipe.h"
#include <string.h>

struct security security_of(const struct recipe *recipe)
{
    return (struct security){.insecure = recipe->net.insecure};
}

err_t address_check(const char *address, const struct security *security)
{
    const char *path = strncmp(address, "unix:", 5) == 0 ? address + 5 : NULL;
    if (path)
        return *path ? OK : err_new(ERR_INVALID, "address '%s': the path is missing", address);
    struct address unused;
    TRY(address_parse(address, &unused));
    if (!(security && security->insecure) && !address_is_loopback(address))
        return err_new(ERR_DENIED,
                       "address '%s': plaintext beyond loopback must be allowed explicitly",
                       address);
    return OK;
}
