#include "model/files/fit.h"
#include "base/cgroup.h"
#include "model/files/params.h"
#include "tensor/backend.h"
#include <string.h>

err_t fit_bytes(const struct backend *be, uint64_t bytes, const char *what)
{
    if (strcmp(be->ops->name, "cpu") != 0 && strcmp(be->ops->name, "opaque") != 0)
        return OK;
    return cgroup_fits(bytes, what);
}

err_t fit_model(const struct backend *be, const char *directory, size_t each_bytes,
                const char *what)
{
    return fit_model_beside(be, directory, each_bytes, 0, what);
}

err_t fit_model_beside(const struct backend *be, const char *directory, size_t each_bytes,
                       uint64_t held, const char *what)
{
    struct model_config config;
    err_t unknown = config_read_any(directory, &config);
    if (err_failed(unknown)) {
        err_free(unknown);
        return OK;
    }
    SCOPED(params) params = params_new(&config);
    return fit_bytes(be, held + (uint64_t)params->layout->elements * each_bytes, what);
}
