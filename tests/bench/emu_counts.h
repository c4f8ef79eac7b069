/* The emulator's counts by kernel (cuda_emu_count.h), for a bench on its checked module.
 *
 *     const struct counters counters = counters_of_module();
 *     counters_begin(&counters);  ... one step ...
 *     counters_report(&counters);               -- a JSON object for each kernel
 *
 * Another backend counts nothing: both calls do nothing then. */
#pragma once
#include "cuda_emu/cuda_emu_count.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct counters {
    void (*begin)(void);
    size_t (*end)(struct cuda_emu_count *ret, size_t room);
};

static inline struct counters counters_of_module(void)
{
    const char *path = getenv("RLHFD_BACKEND");
    void *module = path && strstr(path, "_checked") ? dlopen(path, RTLD_NOW | RTLD_NOLOAD) : NULL;
    struct counters ret = {NULL, NULL};
    if (module) {
        *(void **)&ret.begin = dlsym(module, "cuda_emu_count_begin");
        *(void **)&ret.end = dlsym(module, "cuda_emu_count_end");
    }
    return ret;
}

static inline void counters_begin(const struct counters *counters)
{
    if (counters->begin)
        counters->begin();
}

static inline void counters_report(const struct counters *counters)
{
    enum { ROWS = 256 };
    static struct cuda_emu_count row[ROWS];
    const size_t count = counters->end ? counters->end(row, ROWS) : 0;
    for (size_t i = 0; i < count && i < ROWS; i++)
        printf("{\"kernel\": \"%s\", \"launches\": %llu, \"read\": %llu, \"written\": %llu, "
               "\"unique_read\": %llu, \"unique_written\": %llu, \"flops\": %llu}\n",
               row[i].name, (unsigned long long)row[i].launches, (unsigned long long)row[i].read,
               (unsigned long long)row[i].written, (unsigned long long)row[i].unique_read,
               (unsigned long long)row[i].unique_written, (unsigned long long)row[i].flops);
}
