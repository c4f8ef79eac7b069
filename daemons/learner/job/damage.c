#include "learner/job/damage.h"
#include "base/bytes.h"
#include "base/file.h"
#include "base/mem.h"
#include "learner/job/salvage.h"
#include "learner/train/checkpoint.h"
#include "learner/train/restart.h"
#include "svc/recipe/recipe_lora.h"
#include <string.h>
#include <sys/stat.h>

/* The newest backup's path, or NULL; the caller's. */
static char *newest_backup(const struct recipe *recipe)
{
    SCOPED_MEM char *backups = file_join(recipe->directory, "backups");
    char *newest = NULL;
    time_t newest_s = 0;
    SCOPED_VALUE(file_names) names = {0};
    err_free(file_names(backups, &names)); // then none is named
    for (size_t i = 0; i < names.count; i++) {
        struct stat status;
        SCOPED_MEM char *path = file_join(backups, names.at[i]);
        if (names.at[i][0] == '.' || stat(path, &status) || !S_ISDIR(status.st_mode) ||
            (newest && status.st_mtime <= newest_s))
            continue;
        mem_free(newest);
        newest = STEAL(path);
        newest_s = status.st_mtime;
    }
    return newest;
}

/* The newest checkpoint that is whole, or NULL; the caller's. */
static char *newest_checkpoint(const struct recipe *recipe)
{
    char *path = NULL, *damaged = NULL;
    struct checkpoint_info info;
    SCOPED_VALUE(checkpoint_list) list = {0};
    err_free(checkpoint_list(recipe->directory, &list)); // then none is named
    err_free(checkpoint_newest(recipe->directory, &list, restart_tokenizer(recipe), &path, &damaged,
                               &info));
    mem_free(damaged);
    return path;
}

err_t damage_told(const struct recipe *recipe, err_t e)
{
    if (err_code(e) != ERR_DATA_LOSS)
        return e;
    SCOPED_VALUE(bytes) ways = {0};
    SCOPED_MEM char *backup = newest_backup(recipe);
    SCOPED_MEM char *checkpoint = newest_checkpoint(recipe);
    const char *reason = err_reason_word(e);
    if (backup)
        bytes_printf(&ways, "go back to a backup (the newest: --run '%s'); or ", backup);
    else
        bytes_printf(&ways, "restore '%s' whole from a copy; or ", recipe->directory);
    if (reason && strcmp(reason, STORE_BEHIND) == 0 && salvage_possible(recipe))
        bytes_printf(
            &ways,
            "--job salvage mends it or goes on with what is left, and says what is lost; or ");
    bytes_printf(&ways, "begin another --run directory");
    if (checkpoint)
        bytes_printf(&ways, " with %s.path='%s'", recipe_has_lora(recipe) ? "lora" : "model",
                     checkpoint);
    err_t told = err_new(ERR_DATA_LOSS, "%s. To go on: %s", err_message(e), (char *)ways.data);
    err_free(e);
    return told;
}
