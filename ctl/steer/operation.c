/* checkpoint, rollback: operations of the learner, which may take a while. backup: one call. */
#include "base/clock.h"
#include "base/scoped.h"
#include "ctl/make/progress.h"
#include "ctl/steer/admin_call.h"
#include "ctl/words/command.h"
#include "ctl/words/output.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { WAIT_MS = 2000 };

static bool runs(const json_t *operation)
{
    return strcmp(answer_text(operation, "state"), "RUNNING") == 0;
}

/* Until it has ended; *operation is replaced by its newest state. */
static err_t wait_for(struct admin *admin, json_t **operation)
{
    const int64_t begun_ms = clock_ms();
    while (runs(*operation)) {
        json_t *newer = NULL;
        json_t *request =
            json_pack("{s:s, s:i}", "name", answer_text(*operation, "name"), "wait_ms", WAIT_MS);
        TRY(admin_call_daemon(admin, admin->target->learner, "LearnerAdmin/GetOperation", request,
                              WAIT_MS, &newer));
        json_decref(*operation);
        *operation = newer;
        if (!runs(newer))
            break;
        const char *text = answer_text(newer, "text");
        progress_line("%s: %s (%s)", answer_text(newer, "name"), *text ? text : "under way",
                      figure_seconds((double)(clock_ms() - begun_ms) / 1e3).text);
    }
    return OK;
}

static void show(const json_t *operation)
{
    const char *path = answer_text(operation, "path");
    if (runs(operation)) {
        printf("%s: under way\n", answer_text(operation, "name"));
        return;
    }
    printf("%s: %s; version %" PRId64 ", round %" PRId64 ", lineage %" PRId64 "%s%s\n",
           answer_text(operation, "name"), answer_text(operation, "state"),
           answer_whole(operation, "version"), answer_whole(operation, "round"),
           answer_whole(operation, "lineage"), *path ? ", " : "", path);
}

static err_t finish(struct admin *admin, json_t *operation, bool wait)
{
    SCOPED_JSON json_t *owned = operation;
    if (wait) {
        err_t failed = wait_for(admin, &owned);
        progress_end();
        TRY(failed);
    }
    if (admin->json)
        output_json(owned);
    if (strcmp(answer_text(owned, "state"), "FAILED") == 0)
        return err_new(ERR_INTERNAL, "%s failed: %s", answer_text(owned, "name"),
                       answer_text(owned, "text"));
    if (!admin->json)
        show(owned);
    return OK;
}

err_t command_checkpoint(int argc, char **argv)
{
    struct admin_flags flags = {0};
    bool helped, no_wait = false;
    const struct argument_flag rows[] = {
        {"no-wait", NULL, "return as soon as the operation has begun", .flag = &no_wait},
        ADMIN_FLAGS(flags)};
    const struct arguments arguments = {
        .usage = "checkpoint [--no-wait]",
        .purpose =
            "Writes a checkpoint after the round under way, without stopping the run, and shows its directory.",
        .flags = rows,
        .flags_count = sizeof rows / sizeof *rows};
    TRY(arguments_read(&arguments, argc, argv, &helped));
    if (helped)
        return OK;
    SCOPED(admin) admin = NULL;
    SCOPED_JSON json_t *reply = NULL, *from = admin_signed(NULL);
    json_t *request = json_pack("{s:O}", "request_id", json_object_get(from, "request_id"));
    TRY(admin_open(&flags, &admin));
    TRY(admin_call(admin, "LearnerAdmin/Checkpoint", request, &reply));
    return finish(admin, STEAL(reply), !no_wait);
}

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

err_t command_rollback(int argc, char **argv)
{
    struct admin_flags flags = {0};
    const char *reason = NULL, *word;
    size_t count;
    long version;
    bool helped, no_wait = false, validate_only = false;
    const struct argument_flag rows[] = {
        {"no-wait", NULL, "return as soon as the operation has begun", .flag = &no_wait},
        {"validate-only", NULL, "check the request and change nothing", .flag = &validate_only},
        {"reason", "TEXT", "why; `rlhfctl changes` shows it", .text = &reason},
        ADMIN_FLAGS(flags)};
    const struct arguments arguments = {
        .usage = "rollback VERSION [--reason TEXT] [--validate-only]",
        .purpose =
            "Goes back to the checkpoint of VERSION and trains on from there, as a new lineage. Later rounds stay recorded\n"
            "under the old lineage. Generators get the weights again, and leases are taken back.",
        .examples = "  rlhfctl rollback 150 --reason 'reward hacking from round 160 on'",
        .flags = rows,
        .flags_count = sizeof rows / sizeof *rows,
        .words = &word,
        .words_min = 1,
        .words_max = 1,
        .words_count = &count};
    TRY(arguments_read(&arguments, argc, argv, &helped));
    if (helped)
        return OK;
    TRY(flag_int("VERSION", word, 0, INT64_MAX, &version));
    SCOPED(admin) admin = NULL;
    SCOPED_JSON json_t *reply = NULL, *request = admin_signed(reason);
    json_object_set_new(request, "version", json_integer(version));
    json_object_set_new(request, "validate_only", json_boolean(validate_only));
    TRY(admin_open(&flags, &admin));
    TRY(admin_call(admin, "LearnerAdmin/Rollback", STEAL(request), &reply));
    return finish(admin, STEAL(reply), !no_wait && !validate_only);
}
