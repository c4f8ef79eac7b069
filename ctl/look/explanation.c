/* explain version: asks the learner; when none answers, `rlhfd-learner --job explain` reads the
 * run's store. */
#include "base/file.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "ctl/steer/admin_call.h"
#include "ctl/words/command.h"
#include "ctl/words/output.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static err_t from_learner(struct admin *admin, long version)
{
    SCOPED_JSON json_t *reply = NULL;
    json_t *request = json_pack("{s:I}", "version", (json_int_t)version);
    TRY(admin_call(admin, "LearnerAdmin/ExplainVersion", request, &reply));
    const char *text = answer_text(reply, admin->json ? "json" : "text");
    printf("%s%s", text, *text && text[strlen(text) - 1] == '\n' ? "" : "\n");
    return OK;
}

/* Does not return unless it fails. */
static err_t from_store(const char *version, const char *recipe, const char *run, bool json)
{
    SCOPED_MEM char *program = program_beside("rlhfd-learner");
    SCOPED_MEM char *own = file_join(run, "recipe.yaml");
    const char *words[] = {
        program,    recipe ? recipe : own,  "--run", run, "--job", "explain", "--at", version,
        "--output", json ? "json" : "text", NULL};
    fflush(stdout);
    execv(program, (char *const *)words);
    return err_errno(errno, "cannot start '%s'", program);
}

/* Nobody there who could answer: not started, gone, or of a build without this call. */
static bool nobody_answers(err_t e)
{
    const enum err_code code = err_code(e);
    return code == ERR_UNAVAILABLE || code == ERR_UNIMPLEMENTED || code == ERR_DEADLINE;
}

static err_t explain(const struct admin_flags *flags, const char *version, const char *recipe)
{
    SCOPED(admin) admin = NULL;
    long number;
    bool json;
    TRY(output_format(flags->output, &json));
    TRY(flag_int("N", version, 0, INT64_MAX, &number));
    SCOPED_MEM char *endpoints =
        flags->target.run ? file_join(flags->target.run, "endpoints.json") : NULL;
    if (endpoints && !file_exists(endpoints))
        return from_store(version, recipe, flags->target.run, json);
    TRY(admin_open(flags, &admin));
    err_t failed = from_learner(admin, number);
    if (!admin->target->run || !nobody_answers(failed))
        return failed;
    err_free(failed);
    SCOPED_MEM char *run = STEAL(admin->target->run);
    return from_store(version, recipe, run, json);
}

err_t command_explain_version(int argc, char **argv)
{
    struct admin_flags flags = {0};
    const char *words[2];
    size_t count = 0;
    bool helped;
    const struct argument_flag rows[] = {ADMIN_FLAGS(flags)};
    const struct arguments arguments = {
        .usage = "explain version N [RECIPE] [--run RUN]",
        .purpose =
            "Shows the origin of version N of the weights: its round and lineage, the groups with prompt, generator, lag and\n"
            "reward, the settings then in force, digests, and the checkpoint. Asks the learner. If no learner answers, the\n"
            "run's store is read, by RECIPE or RUN/recipe.yaml.",
        .flags = rows,
        .flags_count = sizeof rows / sizeof *rows,
        .words = words,
        .words_min = 1,
        .words_max = 2,
        .words_count = &count};
    TRY(arguments_read(&arguments, argc, argv, &helped));
    return helped ? OK : explain(&flags, words[0], count > 1 ? words[1] : NULL);
}
