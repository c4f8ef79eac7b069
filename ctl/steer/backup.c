/* backup: a copy of the run to begin from again. */
#include "base/scoped.h"
#include "ctl/steer/admin_call.h"
#include "ctl/words/command.h"
#include "ctl/words/output.h"
#include <inttypes.h>
#include <stdio.h>

err_t command_backup(int argc, char **argv)
{
    struct admin_flags flags = {0};
    const char *name = "";
    size_t count = 0;
    bool helped;
    const struct argument_flag rows[] = {ADMIN_FLAGS(flags)};
    const struct arguments arguments = {
        .usage = "backup [NAME]",
        .purpose =
            "Makes RUN/backups/NAME while the run goes on: store, checkpoints, recipe and metrics as of now. It is a RUN\n"
            "directory, from which `rlhfctl up` begins as a branch. Without NAME the time is its name. Its large files are\n"
            "hard links: copy it off the machine to outlive the disk.",
        .examples = "  rlhfctl backup before-lr\n"
                    "  rlhfctl up recipe.yaml --run RUN/backups/before-lr",
        .flags = rows,
        .flags_count = sizeof rows / sizeof *rows,
        .words = &name,
        .words_min = 0,
        .words_max = 1,
        .words_count = &count};
    TRY(arguments_read(&arguments, argc, argv, &helped));
    if (helped)
        return OK;
    SCOPED(admin) admin = NULL;
    SCOPED_JSON json_t *reply = NULL;
    TRY(admin_open(&flags, &admin));
    TRY(admin_call(admin, "LearnerAdmin/Backup", json_pack("{s:s}", "name", count ? name : ""),
                   &reply));
    if (admin->json)
        output_json(reply);
    else
        printf("%s: version %" PRId64 ", round %" PRId64 ", lineage %" PRId64 "\n",
               answer_text(reply, "path"), answer_whole(reply, "version"),
               answer_whole(reply, "round"), answer_whole(reply, "lineage"));
    return OK;
}
