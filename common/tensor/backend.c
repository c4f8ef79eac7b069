#include "tensor/backend.h"
#include "tensor/cpu/open.h"
#include "tensor/module.h"
#include "tensor/opaque/opaque.h"
#include <stdlib.h>
#include <string.h>

/* Kinds that are part of every program. Others are modules. */
static const struct kind {
    const char *name;
    err_t (*open)(const struct backend_config *config, struct backend **ret);
} kinds[] = {{"cpu", cpu_open}, {"opaque", opaque_open}};

static const struct kind *built_in(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(name, kinds[i].name) == 0)
            return &kinds[i];
    return NULL;
}

/* wanted: by a daemon, so all ops must be there. ret NULL: as far as this can be known without a
 * device. */
static err_t open_kind(const char *name, bool wanted, const struct backend_config *config,
                       struct backend **ret)
{
    const struct kind *kind = built_in(name);
    const struct backend_module *module = NULL;
    if (kind)
        return ret ? kind->open(config, ret) : OK;
    TRY(module_load(name, &module));
    if (wanted)
        TRY(module_suffices(name, module, config->trains));
    return ret ? err_wrap(module->open(config, ret), "backend '%s'", name) : OK;
}

static void tell(const struct backend_config *config, struct backend **opened, const char *why)
{
    if (opened && config->told)
        config->told((*opened)->forward.id, why);
}

/* CUDA, else the CPU. */
static err_t open_either(const struct backend_config *config, struct backend **ret)
{
    err_t why = open_kind("cuda", true, config, ret);
    const bool cpu = err_failed(why);
    const err_t e = cpu ? open_kind("cpu", true, config, ret) : OK;
    if (!err_failed(e))
        tell(config, ret, cpu ? err_message(why) : NULL);
    err_free(why);
    return e;
}

static err_t open_told(const char *kind, const struct backend_config *config, struct backend **ret)
{
    TRY(open_kind(kind, true, config, ret));
    tell(config, ret, NULL);
    return OK;
}

static err_t open_wanted(const char *kind, const struct backend_config *config,
                         struct backend **ret)
{
    const char *named = getenv("RLHFD_BACKEND");
    named = named && *named ? named : NULL;
    if (kind)
        return open_kind(kind, false, config, ret);
    switch (config->wanted) {
    case BACKEND_CPU:
        return open_told("cpu", config, ret);
    case BACKEND_CUDA:
        return open_told(named && !built_in(named) ? named : "cuda", config, ret);
    case BACKEND_AUTO:
        return named ? open_told(named, config, ret) : open_either(config, ret);
    default:
        return open_kind(named ? named : "cpu", false, config, ret);
    }
}

err_t backend_open(const char *kind, const struct backend_config *config, struct backend **ret)
{
    TRY(open_wanted(kind, config, ret));
    (*ret)->round_head = config->round_head;
    return OK;
}

err_t backend_check(const char *kind, const struct backend_config *config)
{
    return open_wanted(kind, config, NULL);
}
