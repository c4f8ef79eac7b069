#include "tensor/backend.h"
#include "base/mem.h"
#include "tensor/cpu/open.h"
#include "tensor/opaque/opaque.h"
#include <ctype.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Kinds that are part of every program. Others are modules. */
static const struct kind {
    const char *name;
    err_t (*open)(const struct backend_config *config, struct backend **ret);
} kinds[] = {{"cpu", cpu_open}, {"opaque", opaque_open}};

/* The file of a module: the path given, or librlhfd_KIND.so beside the running program. */
static err_t module_path(const char *kind, char **ret)
{
    char self[4096];
    size_t letters = 0;
    if (strchr(kind, '/')) {
        *ret = mem_string(kind);
        return OK;
    }
    while (isalnum((unsigned char)kind[letters]) || kind[letters] == '_')
        letters++;
    if (!letters || kind[letters])
        return err_new(ERR_INVALID, "backend '%s': a kind's name, or the path of a module", kind);
    const ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    if (len < 0)
        return err_new(ERR_NOT_FOUND, "backend '%s': where this program lies is not known", kind);
    self[len] = 0;
    *strrchr(self, '/') = 0;
    *ret = mem_printf("%s/librlhfd_%s.so", self, kind);
    return OK;
}

/* dlerror's text may have several lines. */
static err_t loader_error(enum err_code code, const char *kind)
{
    SCOPED_MEM char *text = mem_string(dlerror());
    for (char *at = text; at && *at; at++)
        *at = *at == '\n' ? ' ' : *at;
    return err_new(code, "backend '%s': %s", kind, text ? text : "the loader gives no reason");
}

/* A module stays loaded: its ops are called as long as the backend lives, and there is one of a
 * kind. */
static err_t open_module(const char *kind, const struct backend_config *config,
                         struct backend **ret)
{
    SCOPED_MEM char *path = NULL;
    TRY(module_path(kind, &path));
    if (access(path, F_OK))
        return err_new(ERR_NOT_FOUND, "backend '%s': there is no module %s", kind, path);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return loader_error(ERR_PRECONDITION, kind);
    const struct backend_module *module = dlsym(library, BACKEND_MODULE);
    if (!module)
        return err_new(ERR_PRECONDITION, "backend '%s': %s is no module of a backend", kind, path);
    if (module->abi != BACKEND_ABI)
        return err_new(
            ERR_PRECONDITION,
            "backend '%s': %s is of another version (interface %d, this program's is %d)", kind,
            path, module->abi, BACKEND_ABI);
    return err_wrap(module->open(config, ret), "backend '%s'", kind);
}

err_t backend_open(const char *kind, const struct backend_config *config, struct backend **ret)
{
    const char *wanted = kind ? kind : getenv("RLHFD_BACKEND");
    if (!wanted || !*wanted)
        wanted = "cpu";
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(wanted, kinds[i].name) == 0)
            return kinds[i].open(config, ret);
    return open_module(wanted, config, ret);
}
