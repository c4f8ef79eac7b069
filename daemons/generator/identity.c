#include "generator/identity.h"
#include "base/mem.h"
#include <unistd.h>

char *identity_name(const struct recipe *recipe)
{
    char host[65] = "host";
    gethostname(host, sizeof host - 1);
    return *recipe->generator.name ? mem_string(recipe->generator.name)
                                   : mem_printf("%s-%d", host, getpid());
}
