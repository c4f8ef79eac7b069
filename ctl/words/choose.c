#include "ctl/words/choose.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "ctl/make/complete.h"
#include "ctl/words/command.h"
#include "model/files/checkpoints.h"
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

/* "version 37 has no checkpoint in '...'; kept are 40, 30 (newest first), and 0 is model.path" */
static err_t not_kept(const char *run, long version)
{
    SCOPED_VALUE(checkpoint_list) kept = {0};
    SCOPED_VALUE(bytes) list = {0};
    err_free(checkpoint_list(run, &kept)); // then none is named
    for (size_t i = 0; i < kept.count && i < LISTED_MAX; i++)
        bytes_printf(&list, "%s%" PRIu64, i ? ", " : "", kept.version[i]);
    if (kept.count > LISTED_MAX)
        bytes_printf(&list, ", ... and %zu older", kept.count - LISTED_MAX);
    return err_new(
        ERR_NOT_FOUND,
        "--version: version %ld has no checkpoint in '%s/checkpoints'; available: %s%s0 (model.path); "
        "checkpoint.every and checkpoint.keep say which are written and stay",
        version, run, list.len ? (const char *)list.data : "",
        list.len ? " (newest first) and " : "");
}

static err_t choose_version(const struct recipe *recipe, const char *text, struct choice *ret)
{
    long version;
    TRY(flag_int("--version", text, 0, INT64_MAX, &version));
    if (!*recipe->directory)
        return err_new(ERR_INVALID, "--version %ld: --run DIR is missing: a version of which run?",
                       version);
    SCOPED_MEM char *path = checkpoint_path(recipe->directory, (uint64_t)version);
    if (!file_exists(path) && version)
        return not_kept(recipe->directory, version);
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
