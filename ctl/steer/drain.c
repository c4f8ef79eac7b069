/* drain: a worker, or the whole run, finishes what it has and leaves. */
#include "base/scoped.h"
#include "ctl/make/progress.h"
#include "ctl/steer/admin_call.h"
#include "ctl/words/command.h"
#include "ctl/words/output.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { POLL_MS = 500 };

static bool cannot_answer(err_t e)
{
    return err_code(e) == ERR_UNAVAILABLE || err_code(e) == ERR_CANCELLED;
}

static const json_t *worker_named(const json_t *reply, const char *name)
{
    size_t i;
    json_t *one;
    json_array_foreach (json_object_get(reply, "workers"), i, one)
        if (strcmp(answer_text(one, "name"), name) == 0)
            return one;
    return NULL;
}

/* Until the learner has no such worker any more. */
static err_t wait_for_worker(struct admin *admin, const char *name)
{
    for (;;) {
        SCOPED_JSON json_t *reply = NULL;
        TRY(admin_call(admin, "LearnerAdmin/ListWorkers", json_object(), &reply));
        const json_t *worker = worker_named(reply, name);
        if (!worker)
            return OK;
        progress_line("%s: %s, %" PRId64 " groups to deliver", name, answer_text(worker, "state"),
                      answer_whole(worker, "leased"));
        admin_sleep(admin, POLL_MS);
    }
}

static err_t drain_worker(struct admin *admin, const char *name, const char *reason, bool wait)
{
    SCOPED_JSON json_t *reply = NULL, *request = admin_signed(reason);
    json_object_del(request, "request_id"); // again is harmless
    json_object_set_new(request, "name", json_string(name));
    TRY(admin_call(admin, "LearnerAdmin/DrainWorker", STEAL(request), &reply));
    if (wait) {
        err_t failed = wait_for_worker(admin, name);
        progress_end();
        TRY(failed);
    }
    if (admin->json)
        output_json(reply);
    else
        printf("%s: %s\n", name, wait ? "has left" : "draining");
    return OK;
}

/* Until the learner does not answer any more: it is gone, and the others leave after it. */
static err_t wait_for_run(struct admin *admin)
{
    for (;;) {
        SCOPED_JSON json_t *status = NULL;
        err_t failed = admin_call(admin, "Admin/GetStatus", json_object(), &status);
        if (cannot_answer(failed)) {
            err_free(failed);
            return OK;
        }
        TRY(failed);
        progress_line("learner: %s", answer_text(status, "state"));
        admin_sleep(admin, POLL_MS);
    }
}

static err_t drain_run(struct admin *admin, bool wait)
{
    SCOPED_JSON json_t *reply = NULL;
    TRY(admin_call(admin, "Admin/Drain", json_object(), &reply));
    if (wait) {
        err_t failed = wait_for_run(admin);
        progress_end();
        TRY(failed);
    }
    if (admin->json)
        output_json(reply);
    else
        puts(wait ? "the learner has left" : "draining");
    return OK;
}

err_t command_drain(int argc, char **argv)
{
    struct admin_flags flags = {0};
    const char *reason = NULL, *name;
    size_t count = 0;
    bool helped, no_wait = false;
    const struct argument_flag rows[] = {
        {"no-wait", NULL, "return as soon as draining has begun", .flag = &no_wait},
        {"reason", "TEXT", "why; `rlhfctl changes` shows it (of a worker)", .text = &reason},
        ADMIN_FLAGS(flags)};
    const struct arguments arguments = {
        .usage = "drain [WORKER] [--no-wait]",
        .purpose =
            "WORKER gets no more leases, delivers its groups and leaves. What is leased to one that has gone is given to others\n"
            "at once. Without WORKER the whole run drains: the round under way is finished, a checkpoint is written, and the\n"
            "daemons leave. The same `rlhfctl up` continues from there.",
        .examples = "  rlhfctl drain generator-2 --reason 'node upgrade'\n  rlhfctl drain",
        .flags = rows,
        .flags_count = sizeof rows / sizeof *rows,
        .words = &name,
        .words_max = 1,
        .words_count = &count};
    TRY(arguments_read(&arguments, argc, argv, &helped));
    if (helped)
        return OK;
    SCOPED(admin) admin = NULL;
    TRY(admin_open(&flags, &admin));
    return count ? drain_worker(admin, name, reason, !no_wait) : drain_run(admin, !no_wait);
}
