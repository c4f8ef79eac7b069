#include "generator/introduce.h"
#include "base/mem.h"
#include "model/files/identity.h"
#include "model/numerics.h"
#include "svc/recipe/recipe_shared.h"
#include <unistd.h>

char *introduce_name(const struct recipe *recipe, const struct security *security)
{
    char host[65] = "host";
    char *certified = security_name(security);
    if (certified)
        return certified;
    gethostname(host, sizeof host - 1);
    return *recipe->generator.name ? mem_string(recipe->generator.name)
                                   : mem_printf("%s-%d", host, getpid());
}

err_t introduce_hello(const struct recipe *recipe, const struct model *model, struct hello *ret)
{
    ret->forward = model_forward_id(model);
    recipe_of_samples(recipe, hello_put, ret);
    model_adapter_identity(model, hello_put, ret);
    return model_identity(recipe->model.path, hello_put, ret);
}
