#include "ctl/choose.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "ctl/command.h"
#include "ctl/complete.h"
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { MANIFEST_MAX = 1 << 20, LISTED_MAX = 8 };

void choice_done(struct choice *choice)
{
    mem_free(choice->directory);
}

/* What a checkpoint's manifest says; -1 for any other directory. */
static int64_t version_of(const char *directory)
{
    SCOPED_MEM char *path = file_join(directory, "manifest.json");
    SCOPED_JSON json_t *manifest = NULL;
    int64_t version = -1;
    if (!file_exists(path))
        return -1;
    err_t failed = json_read_file(path, MANIFEST_MAX, &manifest);
    if (!err_failed(failed))
        failed = json_get_int(manifest, path, "version", 0, INT64_MAX, &version);
    err_free(failed);
    return version;
}

struct kept {
    uint64_t *version; // descending
    size_t count;
};

static int newest_first(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x < y) - (x > y);
}

static void kept_read(const char *directory, struct kept *ret)
{
    DIR *listing = opendir(directory);
    for (struct dirent *entry; listing && (entry = readdir(listing));) {
        uint64_t version;
        char extra;
        if (sscanf(entry->d_name, "v%" SCNu64 "%c", &version, &extra) != 1)
            continue;
        ret->version = mem_grow(ret->version, ret->count + 1, sizeof *ret->version);
        ret->version[ret->count++] = version;
    }
    if (listing)
        closedir(listing);
    if (ret->count)
        qsort(ret->version, ret->count, sizeof *ret->version, newest_first);
}

/* "version 37 has no checkpoint in '...'; kept are 40, 30 (newest first), and 0 is model.path" */
static err_t not_kept(const char *directory, long version)
{
    struct kept kept = {0};
    SCOPED_VALUE(bytes) list = {0};
    kept_read(directory, &kept);
    for (size_t i = 0; i < kept.count && i < LISTED_MAX; i++)
        bytes_printf(&list, "%s%" PRIu64, i ? ", " : "", kept.version[i]);
    if (kept.count > LISTED_MAX)
        bytes_printf(&list, ", ... and %zu older", kept.count - LISTED_MAX);
    mem_free(kept.version);
    return err_new(
        ERR_NOT_FOUND,
        "--version: version %ld has no checkpoint in '%s'; available: %s%s0 (model.path); "
        "checkpoint.every and checkpoint.keep say which are written and stay",
        version, directory, list.len ? (const char *)list.data : "",
        list.len ? " (newest first) and " : "");
}

static err_t choose_version(const struct recipe *recipe, const char *text, struct choice *ret)
{
    long version;
    TRY(flag_int("--version", text, 0, INT64_MAX, &version));
    if (!*recipe->directory)
        return err_new(ERR_INVALID, "--version %ld: --run DIR is missing: a version of which run?",
                       version);
    SCOPED_MEM char *directory = file_join(recipe->directory, "checkpoints");
    SCOPED_MEM char *path = mem_printf("%s/v%ld", directory, version);
    if (!file_exists(path) && version)
        return not_kept(directory, version);
    if (!file_exists(path))
        TRY(recipe_require(recipe, "model.path"));
    *ret = (struct choice){.directory =
                               file_exists(path) ? STEAL(path) : mem_string(recipe->model.path),
                           .version = version};
    return OK;
}

err_t choose_model(const struct recipe *recipe, const struct choose_flags *flags,
                   struct choice *ret)
{
    if (!!flags->version + !!flags->checkpoint + !!flags->model > 1)
        return err_new(ERR_INVALID, "--version, --checkpoint, --model: give one of them");
    if (flags->version)
        return choose_version(recipe, flags->version, ret);
    char *directory;
    TRY(complete_model(recipe, flags->checkpoint ? flags->checkpoint : flags->model, &directory));
    int64_t version = version_of(directory);
    if (flags->checkpoint && version < 0) {
        err_t failed =
            err_new(ERR_INVALID,
                    "--checkpoint: '%s' has no manifest.json that names its version; a plain "
                    "model directory is given by --model",
                    directory);
        mem_free(directory);
        return failed;
    }
    *ret = (struct choice){directory, version};
    return OK;
}
