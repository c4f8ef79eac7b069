/* status, watch: how the daemons of a run are, once and from now on. */
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/printable.h"
#include "ctl/look/following.h"
#include "ctl/look/ring_state.h"
#include "ctl/words/command.h"
#include "ctl/words/output.h"
#include <stdio.h>
#include <string.h>

/* ---- status */

struct status {
    struct admin *admin;
    struct ring_state state;
    json_t *all; // {"daemons": {NAME: Status, or {"error": ...}}}
    bool numbers;
};

/* An error is kept for the exit status, the first one; the others are shown. */
static err_t ask_all(struct status *status)
{
    err_t failed = OK;
    json_t *daemons = json_object();
    json_object_set_new(status->all, "daemons", daemons);
    for (size_t i = 0; i < status->admin->target->count; i++) {
        const char *name = status->admin->target->daemon[i].name;
        json_t *reply = NULL;
        err_t one =
            admin_call_daemon(status->admin, i, "Admin/GetStatus", json_object(), 0, &reply);
        const size_t at = ring_state_daemon(&status->state, name);
        if (at < RING_DAEMONS && reply)
            ring_state_status(&status->state, at, reply, clock_ms());
        else if (at < RING_DAEMONS)
            ring_state_lost(&status->state, at, err_message(one), clock_ms());
        json_object_set_new(daemons, name,
                            reply ? reply : json_pack("{s:s}", "error", err_message(one)));
        if (err_failed(failed))
            err_free(one);
        else
            failed = one;
    }
    return failed;
}

static void show_numbers(const json_t *reply)
{
    size_t i;
    json_t *one;
    json_array_foreach (json_object_get(reply, "numbers"), i, one)
        printf("  %-44s %.10g\n", answer_text(one, "name"), answer_number(one, "value"));
    json_array_foreach (json_object_get(reply, "texts"), i, one)
        printf("  %-44s %s\n", answer_text(one, "name"), answer_text(one, "value"));
}

static void show_status(const struct status *status)
{
    SCOPED(table) table = table_new("DAEMON|STATE|RUN|>VERSION|WAITS FOR");
    const char *name;
    json_t *reply;
    for (size_t i = 0; i < status->state.daemons; i++) {
        const struct ring_daemon *daemon = &status->state.daemon[i];
        const bool is_learner = daemon->kind == RING_LEARNER;
        const double version = is_learner ? status->state.version : daemon->version;
        reply = json_object_get(json_object_get(status->all, "daemons"), daemon->name);
        table_cell(table, "%s", daemon->name);
        table_cell(table, "%s", daemon->answers ? daemon->state : "does not answer");
        table_cell(table, "%s", answer_text(reply, "run"));
        table_cell(table, daemon->answers && daemon->kind != RING_REWARDER ? "%.0f" : "", version);
        table_cell(table, "%s", daemon->answers ? daemon->waits_for : "");
    }
    table_print(table, stdout);
    json_object_foreach (json_object_get(status->all, "daemons"), name, reply)
        if (strncmp(answer_text(reply, "security"), "insecure", strlen("insecure")) == 0)
            printf("\n%s is %s\n", name, answer_text(reply, "security"));
    SCOPED_MEM char *held = ring_state_held_line(&status->state);
    if (held)
        printf("\n%s\n", held);
    if (*status->state.run)
        printf("\nround %.0f  reward %.4f  lag %.2f (largest %.0f)\n", status->state.round,
               status->state.reward, status->state.lag_mean, status->state.lag_max);
    if (status->numbers)
        json_object_foreach (json_object_get(status->all, "daemons"), name, reply) {
            printf("\n%s\n", name);
            show_numbers(reply);
        }
}

/* RUN or HOST:PORT as a word, as of old. */
static void take_word(struct target_flags *flags, const char *word)
{
    SCOPED_MEM char *endpoints = file_join(word, "endpoints.json");
    if (file_exists(endpoints) || !strchr(word, ':'))
        flags->run = word;
    else
        flags->address = word;
}

err_t command_status(int argc, char **argv)
{
    struct admin_flags flags = {0};
    const char *word;
    size_t count = 0;
    bool helped, numbers = false;
    const struct argument_flag rows[] = {
        {"numbers", NULL, "all metrics, too (-o json has them always)", .flag = &numbers},
        ADMIN_FLAGS(flags)};
    const struct arguments arguments = {
        .usage = "status [RUN | HOST:PORT] [--numbers]",
        .purpose =
            "Shows the state of every daemon of a run, or of the one with this admin address.",
        .flags = rows,
        .flags_count = sizeof rows / sizeof *rows,
        .words = &word,
        .words_max = 1,
        .words_count = &count};
    TRY(arguments_read(&arguments, argc, argv, &helped));
    if (helped)
        return OK;
    if (count)
        take_word(&flags.target, word);
    SCOPED(admin) admin = NULL;
    SCOPED_MEM struct status *status = mem_new(sizeof *status);
    SCOPED_JSON json_t *all = json_object();
    TRY(admin_open(&flags, &admin));
    *status = (struct status){.admin = admin, .all = all, .numbers = numbers};
    err_t failed = ask_all(status);
    if (admin->json)
        output_json(all);
    else
        show_status(status);
    return failed;
}

/* ---- watch */

struct watch {
    struct admin *admin;
    struct ring_state state;
    bool told[RING_DAEMONS]; // that this one does not answer
    long left;               // lines; 0: for ever
    bool over;
};

/* Nobody watches a standard output that is closed: the exit status says so. */
static void line_made(struct watch *watch)
{
    if (!ferror(stdout) && (!watch->left || --watch->left))
        return;
    watch->over = true; // what has come already is not shown
    loop_stop(watch->admin->loop);
}

static void heard(void *arg, size_t daemon, const json_t *status, const char *why)
{
    struct watch *watch = arg;
    const char *name = watch->admin->target->daemon[daemon].name;
    const size_t at = ring_state_daemon(&watch->state, name);
    if (at == RING_DAEMONS || watch->over)
        return;
    if (status)
        ring_state_status(&watch->state, at, status, clock_ms());
    else
        ring_state_lost(&watch->state, at, why, clock_ms());
    if (watch->admin->json) {
        SCOPED_JSON json_t *line =
            json_pack("{s:I, s:s, s:O*, s:s*}", "time_ms", (json_int_t)clock_wall_ms(), "name",
                      name, "status", status, "error", status ? NULL : why);
        output_json_line(line);
        line_made(watch);
    } else if (!status && !watch->told[at]) {
        SCOPED_MEM char *shown = printable_text(why, "");
        printf("%s: %s\n", name, shown);
    }
    watch->told[at] = !status;
}

static void show_line(void *arg)
{
    struct watch *watch = arg;
    SCOPED_MEM char *line = ring_state_line(&watch->state);
    SCOPED_MEM char *held = ring_state_held_line(&watch->state);
    printf("%s%s%s\n", line, held ? "  " : "", held ? held : "");
    fflush(stdout);
    line_made(watch);
}

static err_t run_watch(struct admin *admin, long interval_ms, long lines)
{
    SCOPED_MEM struct watch *watch = mem_new(sizeof *watch);
    *watch = (struct watch){.admin = admin, .left = lines};
    SCOPED(follow) follow = follow_new(admin, (int)interval_ms, heard, watch);
    SCOPED(loop_timer) timer = loop_timer_new(admin->loop, show_line, watch);
    if (!admin->json)
        loop_timer_start(timer, interval_ms, interval_ms);
    return loop_run(admin->loop);
}

err_t command_watch(int argc, char **argv)
{
    struct admin_flags flags = {0};
    const char *interval = NULL, *lines_text = NULL;
    double seconds = 1;
    long lines = 0;
    bool helped;
    const struct argument_flag rows[] = {
        {"interval", "SECONDS", "time between two lines (1)", .text = &interval},
        {"lines", "N", "end after N lines", .text = &lines_text},
        ADMIN_FLAGS(flags)};
    const struct arguments arguments = {
        .usage = "watch [--interval SECONDS] [--lines N]",
        .purpose =
            "Prints a line about the run at intervals: round, reward, lag, rates, and daemons that go away and come back.\n"
            "-o json prints a line for each status of each daemon, with all its numbers.",
        .flags = rows,
        .flags_count = sizeof rows / sizeof *rows};
    TRY(arguments_read(&arguments, argc, argv, &helped));
    if (helped)
        return OK;
    if (interval)
        TRY(flag_number("--interval", interval, 0.1, 60, &seconds));
    if (lines_text)
        TRY(flag_int("--lines", lines_text, 1, 1000000000, &lines));
    SCOPED(admin) admin = NULL;
    TRY(admin_open(&flags, &admin));
    return run_watch(admin, (long)(seconds * 1000), lines);
}
