#include "tensor/module.h"
#include "base/mem.h"
#include "tensor/ops_table.h"
#include <ctype.h>
#include <dlfcn.h>
#include <string.h>
#include <unistd.h>

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

err_t module_load(const char *kind, const struct backend_module **ret)
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
    *ret = module;
    return OK;
}

static bool is_for_training(const char *op, size_t len)
{
#define TRAINING_NAME(op) #op,
    static const char *const names[] = {BACKEND_TRAINING_OPS(TRAINING_NAME)};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i]) == len && strncmp(names[i], op, len) == 0)
            return true;
    return false;
}

err_t module_suffices(const char *kind, const struct backend_module *module, bool trains)
{
    const char *names = module->missing ? module->missing() : "";
    for (const char *op = names; *op; op += strspn(op, " ")) {
        const size_t len = strcspn(op, " ");
        const bool training = is_for_training(op, len);
        if (trains || !training)
            return err_new(ERR_UNIMPLEMENTED, "backend '%s' has no %.*s: it cannot %s", kind,
                           (int)len, op, training ? "train" : "run a model");
        op += len;
    }
    return OK;
}
