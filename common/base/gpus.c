#include "base/gpus.h"
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

static bool parse(const char *list, int *ret, int *ret_count)
{
    int count = 0;
    for (const char *at = list; count < GPUS_MAX; at++) {
        char *end;
        if (!isdigit((unsigned char)*at))
            return false;
        errno = 0;
        const long device = strtol(at, &end, 10);
        if (errno || device > GPU_MAX || (*end && *end != ','))
            return false;
        ret[count++] = (int)device;
        *ret_count = count;
        if (!*end)
            return true;
        at = end;
    }
    return false;
}

err_t gpus_nth(const char *list, int64_t n, int *ret)
{
    int device[GPUS_MAX], count = 0;
    if (!parse(list, device, &count))
        return err_new(ERR_INVALID,
                       "'%.60s' is no list of GPUs; allowed: at most %d numbers from 0 to %d "
                       "between commas, as 0,1",
                       list, GPUS_MAX, GPU_MAX);
    *ret = device[n % count];
    return OK;
}
