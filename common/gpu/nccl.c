#include "gpu/nccl.h"
#include "base/mem.h"
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION_MIN = 21800, MAX_CTAS = 2 };

/* A function and where its pointer goes: dlsym gives void *. */
struct symbol {
    const char *name;
    void **at;
};

static err_t find(void *library, const char *path, const struct symbol *symbols, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        void *found = dlsym(library, symbols[i].name);
        if (!found)
            return err_new(ERR_NOT_FOUND, "%s has no function %s", path, symbols[i].name);
        *symbols[i].at = found;
    }
    return OK;
}

static err_t load(const char *path, const char *key, void **ret)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return err_new(ERR_NOT_FOUND, "%s (%s says where it is)", dlerror(), key);
    *ret = library;
    return OK;
}

static const char *const runtimes[] = {"libcudart.so.13", "libcudart.so.12", "libcudart.so"};
enum { RUNTIMES = sizeof runtimes / sizeof *runtimes };

/* The runtime that the process has, which a backend's module brings. A second one would not know
 * the first one's device, streams and errors. */
static bool runtime_there(const char **ret_name, void **ret)
{
    void *library = NULL;
    int i = 0;
    while (i < RUNTIMES && !(library = dlopen(runtimes[i], RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD)))
        i++;
    if (!library)
        return false;
    *ret_name = runtimes[i];
    *ret = library;
    return true;
}

static err_t load_cuda(const char *path, const char **ret_name, void **ret)
{
    *ret_name = path;
    if (*path)
        return load(path, "publish.cudart_library", ret);
    if (runtime_there(ret_name, ret))
        return OK;
    err_t e = OK;
    for (int i = 0; i < RUNTIMES; i++) {
        err_free(e);
        *ret_name = runtimes[i];
        e = load(runtimes[i], "publish.cudart_library", ret);
        if (!err_failed(e))
            return OK;
    }
    return e;
}

#define SYMBOL(member, symbol, result, arguments) {#symbol, (void **)&nccl->call.member},

static err_t open_both(struct nccl *nccl, const char *nccl_library, const char *cuda_library)
{
    void *library = NULL;
    const char *name;
    const struct symbol cuda[] = {CUDA_CALLS(SYMBOL)}, ours[] = {NCCL_CALLS(SYMBOL)};
    TRY(load_cuda(cuda_library, &name, &library));
    TRY(find(library, name, cuda, sizeof cuda / sizeof *cuda));
    TRY(load(nccl_library, "publish.nccl_library", &library));
    return find(library, nccl_library, ours, sizeof ours / sizeof *ours);
}

err_t nccl_open(const char *nccl_library, const char *cuda_library, struct nccl **ret)
{
    SCOPED(nccl) nccl = mem_new(sizeof *nccl);
    TRY(err_wrap(open_both(nccl, nccl_library, cuda_library), "NCCL"));
    const int rc = nccl->call.version(&nccl->version);
    if (rc != NCCL_SUCCESS)
        return err_new(ERR_UNAVAILABLE, "NCCL: %s says no version: error %d", nccl_library, rc);
    if (nccl->version < VERSION_MIN)
        return err_new(ERR_UNAVAILABLE, "NCCL: %s is of version %d; at least %d is needed",
                       nccl_library, nccl->version, VERSION_MIN);
    *ret = STEAL(nccl);
    return OK;
}

err_t nccl_check_device(const struct nccl *nccl, int device)
{
    int count = 0;
    const int rc = nccl->call.device_count(&count);
    if (rc != CUDA_SUCCESS)
        return err_new(ERR_UNAVAILABLE, "CUDA: no devices: %s", nccl->call.cuda_text(rc));
    if (device < 0 || device >= count)
        return err_new(ERR_UNAVAILABLE, "CUDA: device %d of %d: there is none of that number",
                       device, count);
    return OK;
}

struct nccl_config nccl_config_default(void)
{
    return (struct nccl_config){sizeof(struct nccl_config),
                                (unsigned)NCCL_CONFIG_MAGIC,
                                NCCL_CONFIG_VERSION,
                                0,
                                NCCL_UNDEFINED,
                                NCCL_UNDEFINED,
                                MAX_CTAS,
                                NULL,
                                NCCL_UNDEFINED};
}

static bool stuck;

bool nccl_is_stuck(void)
{
    return stuck;
}

void nccl_set_stuck(void)
{
    stuck = true;
}

void nccl_free(struct nccl *nccl)
{
    if (!stuck)
        free(nccl);
}
