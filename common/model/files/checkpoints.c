#include "model/files/checkpoints.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/scoped.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

void checkpoint_list_done(struct checkpoint_list *list)
{
    free(list->version);
    *list = (struct checkpoint_list){0};
}

char *checkpoint_path(const char *run_directory, uint64_t version)
{
    return mem_printf("%s/checkpoints/v%" PRIu64, run_directory, version);
}

static int newest_first(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x < y) - (x > y);
}

err_t checkpoint_list(const char *run_directory, struct checkpoint_list *ret)
{
    SCOPED_MEM char *directory = file_join(run_directory, "checkpoints");
    SCOPED_VALUE(file_names) names = {0};
    err_t failed = file_names(directory, &names);
    if (err_code(failed) == ERR_NOT_FOUND) {
        err_free(failed); // none was written yet
        return OK;
    }
    TRY(failed);
    for (size_t i = 0; i < names.count; i++) {
        uint64_t version;
        char extra;
        if (sscanf(names.at[i], "v%" SCNu64 "%c", &version, &extra) != 1)
            continue;
        ret->version = mem_grow(ret->version, ret->count + 1, sizeof *ret->version);
        ret->version[ret->count++] = version;
    }
    if (ret->count)
        qsort(ret->version, ret->count, sizeof *ret->version, newest_first);
    return OK;
}
