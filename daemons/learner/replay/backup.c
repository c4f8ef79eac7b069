#include "learner/replay/backup.h"
#include "base/env.h"
#include "base/file.h"
#include "base/mem.h"
#include "model/files/checkpoints.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { CHECKPOINTS = 2 };

static err_t check_name(const char *name)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t len = strlen(name);
    if (len && len <= BACKUP_NAME_MAX && *name != '.' && strspn(name, allowed) == len)
        return OK;
    return err_new(ERR_INVALID,
                   "backup name '%.80s': allowed are 1 to %d of A-Z a-z 0-9 . _ -, not beginning "
                   "with a dot",
                   name, BACKUP_NAME_MAX);
}

/* Beside one another on one file system or, where that cannot be, copied. */
static err_t link_file(const char *from, const char *to)
{
    if (env()->link(from, to) == 0)
        return OK;
    if (errno == EXDEV || errno == EPERM || errno == EMLINK || errno == EOPNOTSUPP)
        return file_copy(from, to);
    return err_errno(errno, "cannot link '%s' as '%s'", from, to);
}

/* Directories in it, too: a checkpoint has one for each trainee after the first. */
static err_t link_directory(const char *from, const char *to)
{
    SCOPED_VALUE(file_names) names = {0};
    TRY(file_names(from, &names));
    TRY(file_make_directories(to));
    for (size_t i = 0; i < names.count; i++) {
        struct stat file;
        SCOPED_MEM char *source = file_join(from, names.at[i]);
        SCOPED_MEM char *target = file_join(to, names.at[i]);
        if (names.at[i][0] == '.' || stat(source, &file))
            continue;
        if (S_ISREG(file.st_mode))
            TRY(link_file(source, target));
        else if (S_ISDIR(file.st_mode))
            TRY(link_directory(source, target));
    }
    return file_sync_directory(to);
}

/* The learner writes and removes checkpoints meanwhile: one without a manifest is on its way
 * out. */
static err_t link_checkpoint(const char *run_directory, const char *aside, uint64_t version,
                             bool *ret_whole)
{
    SCOPED_MEM char *from = checkpoint_path(run_directory, version);
    SCOPED_MEM char *to = checkpoint_path(aside, version);
    SCOPED_MEM char *manifest = file_join(to, "manifest.json");
    err_t failed = link_directory(from, to);
    *ret_whole = !err_failed(failed) && file_exists(from) && file_exists(manifest);
    if (!*ret_whole)
        TRY(file_remove_tree(to));
    if (err_code(failed) == ERR_NOT_FOUND) {
        err_free(failed);
        return OK;
    }
    return failed;
}

/* Before the store is copied, so that none is of a version that the copy does not have. */
static err_t link_checkpoints(const char *run_directory, const char *aside)
{
    SCOPED_VALUE(checkpoint_list) list = {0};
    SCOPED_MEM char *directory = file_join(aside, "checkpoints");
    SCOPED_MEM char *latest = file_join(directory, "latest");
    int linked = 0;
    TRY(checkpoint_list(run_directory, &list));
    if (!list.count)
        return OK; // training has only begun
    TRY(file_make_directories(directory));
    for (size_t i = 0; i < list.count && linked < CHECKPOINTS; i++) {
        bool whole;
        char name[32];
        TRY(link_checkpoint(run_directory, aside, list.version[i], &whole));
        snprintf(name, sizeof name, "v%llu", (unsigned long long)list.version[i]);
        if (whole && !linked++ && env()->symlink(name, latest))
            return err_errno(errno, "cannot make '%s'", latest);
    }
    if (!linked)
        return err_new(ERR_UNAVAILABLE,
                       "'%s/checkpoints': all of them changed meanwhile: try again", run_directory);
    return file_sync_directory(directory);
}

/* A line that is being written is cut by whoever starts from it. */
static err_t copy_texts(const char *run_directory, const char *aside)
{
    static const char *const names[] = {"recipe.yaml", "metrics.jsonl", "evals.jsonl"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        SCOPED_MEM char *from = file_join(run_directory, names[i]);
        SCOPED_MEM char *to = file_join(aside, names[i]);
        if (file_exists(from))
            TRY(file_copy(from, to));
    }
    return OK;
}

static err_t make_aside(const char *run_directory, struct store *store, const char *aside)
{
    SCOPED_MEM char *copy = file_join(aside, "store");
    TRY(file_remove_tree(aside));
    TRY(file_make_directories(aside));
    TRY(link_checkpoints(run_directory, aside));
    TRY(store_copy(store, copy));
    TRY(copy_texts(run_directory, aside));
    return file_sync_directory(aside);
}

err_t backup_make(const char *run_directory, struct store *store, const char *name, char **ret_path)
{
    TRY(check_name(name));
    SCOPED_MEM char *backups = file_join(run_directory, "backups");
    SCOPED_MEM char *path = file_join(backups, name);
    SCOPED_MEM char *aside = mem_printf("%s/.%s.tmp", backups, name);
    if (file_exists(path))
        return err_new(ERR_EXISTS, "there is a backup '%s' already", path);
    err_t failed = file_make_directories(backups);
    if (!err_failed(failed))
        failed = make_aside(run_directory, store, aside);
    if (!err_failed(failed) && env()->rename(aside, path))
        failed = err_errno(errno, "cannot rename '%s'", aside);
    if (err_failed(failed)) {
        err_free(file_remove_tree(aside)); // the first error counts
        return err_wrap(failed, "backup '%s'", name);
    }
    TRY(err_wrap(file_sync_directory(backups), "backup '%s'", name));
    *ret_path = STEAL(path);
    return OK;
}
