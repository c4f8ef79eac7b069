/* up: the three daemons on this machine, on loopback ports of their own, kept running until the run
 * is over; what they do is shown live. Ctrl-C drains. */
#include "base/clock.h"
#include "base/file.h"
#include "base/gpus.h"
#include "base/mem.h"
#include "ctl/run/check.h"
#include "ctl/run/check_plan.h"
#include "ctl/run/member.h"
#include "ctl/run/up_watch.h"
#include "ctl/run/view.h"
#include "ctl/words/command.h"
#include "svc/recipe/recipe_cli.h"
#include "svc/run_lock.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { MEMBERS_MAX = 1 + 64 + 64, VIEW_MS = 200, WORDS = 12, LEAVE_MS = 15000, START_SHOWN_S = 5 };

struct up {
    const struct recipe *recipe;
    char *run;
    struct run_lock *lock;
    int recipe_fd; // what members read
    struct loop *loop;
    struct loop_timer *show, *leave;
    struct view *view;
    struct up_watch *watch;             // once all daemons are there; NULL: they are not
    struct member *member[MEMBERS_MAX]; // the learner, rewarders, generators: started in this order
    char *name[MEMBERS_MAX];
    bool left[MEMBERS_MAX]; // by itself, while the run goes on: drained
    size_t members, started;
    size_t rewarders;
    double begun_s;
    bool draining, complete;
    err_t failed;
};

/* ---- RUN/ */

/* The members' recipe, in memory: whoever edits RUN/recipe.yaml changes nothing for a member that
 * is started again. */
static err_t keep_recipe(struct up *up, const struct bytes *text)
{
    int fd = up->recipe_fd = memfd_create("recipe.yaml", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || write(fd, text->data, text->len) != (ssize_t)text->len ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL))
        return err_errno(errno, "cannot keep the recipe in memory");
    return OK;
}

static err_t write_run_files(struct up *up, int argc, char **argv)
{
    SCOPED_VALUE(bytes) text = {0};
    SCOPED_MEM char *logs = file_join(up->run, "logs");
    SCOPED_MEM char *recipe = file_join(up->run, "recipe.yaml");
    SCOPED_MEM char *about = file_join(up->run, "run.json");
    SCOPED_JSON json_t *json = json_pack("{s:s, s:I, s:[]}", "name", up->recipe->run.name,
                                         "started_ms", (json_int_t)clock_wall_ms(), "arguments");
    for (int i = 1; i < argc; i++)
        json_array_append_new(json_object_get(json, "arguments"), json_string(argv[i]));
    SCOPED_MEM char *json_text = json_dumps(json, JSON_INDENT(2));
    TRY(file_make_directories(logs));
    recipe_render(up->recipe, &text);
    TRY(keep_recipe(up, &text));
    TRY(file_write(recipe, text.data, text.len));
    return file_write(about, json_text, strlen(json_text));
}

static err_t write_endpoints(const struct up *up)
{
    SCOPED_MEM char *path = file_join(up->run, "endpoints.json");
    SCOPED_JSON json_t *all = json_object();
    for (size_t i = 0; i < up->members; i++)
        if (member_endpoint(up->member[i]) && !up->left[i])
            json_object_set(all, member_name(up->member[i]),
                            (json_t *)member_endpoint(up->member[i]));
    SCOPED_MEM char *text = json_dumps(all, JSON_INDENT(2));
    return file_write(path, text, strlen(text));
}

/* ---- the ring */

static void end_if_quiet(struct up *up)
{
    for (size_t i = 0; i < up->started; i++)
        if (member_running(up->member[i]))
            return;
    loop_stop(up->loop);
}

static void stop_from(struct up *up, size_t first, int signal)
{
    for (size_t i = first; i < up->started; i++)
        member_stop(up->member[i], signal);
    end_if_quiet(up);
}

static void give_up(struct up *up, err_t why)
{
    if (err_failed(up->failed)) {
        err_free(why);
        return;
    }
    up->failed = why;
    up->draining = true;
    stop_from(up, 0, SIGTERM);
    loop_timer_start(up->leave, LEAVE_MS, 0);
}

static void leave_now(void *arg)
{
    struct up *up = arg;
    stop_from(up, 0, SIGKILL);
}

/* Nobody is to ask it any more. */
static void drained(struct up *up, const struct member *member)
{
    for (size_t i = 0; i < up->members; i++)
        up->left[i] |= up->member[i] == member;
    view_note(up->view, "%s has left", member_name(member));
    err_free(write_endpoints(up)); // the run does not end for it
}

static void member_gone(void *arg, struct member *member, err_t why)
{
    struct up *up = arg;
    if (err_failed(why)) {
        give_up(up, why);
        return;
    }
    if (member != up->member[0] && !up->complete && !up->draining)
        drained(up, member);
    if (member == up->member[0] && !up->complete) {
        up->complete = true;
        stop_from(up, 1, SIGTERM);
        loop_timer_start(up->leave, LEAVE_MS, 0);
    }
    end_if_quiet(up);
}

static const char *listen_of(const struct member *member)
{
    return json_string_value(json_object_get(member_endpoint(member), "listen"));
}

static void member_restarted(void *arg, struct member *member, const char *why)
{
    struct up *up = arg;
    view_note(up->view, "%s %s: started again", member_name(member), why);
}

static void member_announced(void *arg, struct member *member);

static struct member *add_member(struct up *up, const char *kind, int64_t number,
                                 const char *const *words, size_t count)
{
    SCOPED_MEM char *program = mem_printf("rlhfd-%s", kind);
    char *name = up->name[up->members] =
        number ? mem_printf("%s-%lld", kind, (long long)number + 1) : mem_string(kind);
    struct member_options options = {.loop = up->loop,
                                     .name = name,
                                     .program = program,
                                     .run = up->run,
                                     .recipe = up->recipe_fd,
                                     .lock = run_lock_hand_down(up->lock),
                                     .kind = kind,
                                     .called = strcmp(kind, "generator") != 0,
                                     .announced = member_announced,
                                     .restarted = member_restarted,
                                     .gone = member_gone,
                                     .arg = up};
    return up->member[up->members++] = member_new(&options, words, count);
}

/* Once the learner's address is known. */
static void add_rewarders(struct up *up)
{
    SCOPED_MEM char *learner = mem_printf("rewarder.learner=%s", listen_of(up->member[0]));
    for (int64_t i = 0; i < up->recipe->rewarder.count; i++) {
        SCOPED_MEM char *name = mem_printf("rewarder.name=rewarder-%lld", (long long)i + 1);
        const char *words[] = {"--set", learner, "--set", name};
        add_member(up, "rewarder", i, words, i ? 4 : 2);
    }
    up->rewarders = (size_t)up->recipe->rewarder.count;
}

/* The recipe's list has been checked. The caller's. */
static char *device_of(const struct recipe *recipe, int64_t generator)
{
    int device = 0;
    err_free(gpus_nth(recipe->generator.device, generator, &device));
    return mem_printf("generator.device=%d", device);
}

/* Once the rewarders' are. */
static void add_generators(struct up *up)
{
    SCOPED_MEM char *learner = mem_printf("generator.learner=%s", listen_of(up->member[0]));
    for (int64_t i = 0; i < up->recipe->generator.count; i++) {
        const struct member *rewarder = up->member[1 + (size_t)i % up->rewarders];
        SCOPED_MEM char *to = mem_printf("generator.rewarder=%s", listen_of(rewarder));
        SCOPED_MEM char *name = mem_printf("generator.name=generator-%lld", (long long)i + 1);
        SCOPED_MEM char *device = device_of(up->recipe, i);
        const char *words[] = {"--set", learner, "--set", to, "--set", name, "--set", device};
        add_member(up, "generator", i, words, 8);
    }
}

static void start_new(struct up *up)
{
    while (up->started < up->members && !up->draining) {
        err_t failed = member_start(up->member[up->started++]);
        if (err_failed(failed))
            give_up(up, failed);
    }
}

static bool all_announced(const struct up *up)
{
    for (size_t i = 0; i < up->members; i++)
        if (!member_endpoint(up->member[i]))
            return false;
    return true;
}

/* A watch that cannot be made is no reason to end the run. */
static void watch_ring(struct up *up)
{
    if (up->watch)
        return;
    err_t failed = up_watch_new(up->loop, up->run, &up->watch);
    if (err_failed(failed))
        view_note(up->view, "what holds the run up is not shown: %s", err_message(failed));
    err_free(failed);
}

static void member_announced(void *arg, struct member *member)
{
    (void)member;
    struct up *up = arg;
    err_t failed = write_endpoints(up);
    if (err_failed(failed))
        give_up(up, failed);
    if (!all_announced(up) || up->draining)
        return;
    if (up->members == 1)
        add_rewarders(up);
    else if (up->members == 1 + up->rewarders)
        add_generators(up);
    else
        watch_ring(up);
    start_new(up);
}

/* The learner finishes its round and writes a checkpoint; when it is gone the others follow. */
static void on_signal(void *arg, int signal)
{
    (void)signal;
    struct up *up = arg;
    up->draining = true;
    view_note(
        up->view,
        "draining: the round under way is finished, then a checkpoint is written (again: at once)");
    member_stop(up->member[0], SIGTERM);
    if (!member_running(up->member[0])) // it was about to be started again: no end of it follows
        member_gone(up, up->member[0], OK);
}

/* A large model takes its time; a daemon that hangs at its start says nothing else. */
static void show_starting(struct up *up)
{
    const double seconds = clock_s() - up->begun_s;
    for (size_t i = 0; i < up->started && seconds >= START_SHOWN_S; i++) {
        const char *name = member_name(up->member[i]);
        if (member_endpoint(up->member[i]))
            continue;
        SCOPED_MEM char *line =
            mem_printf("held up for %.0f s: %s has not started yet; its log: %s/logs/%s.log",
                       seconds, name, up->run, name);
        view_held(up->view, line, name);
        return;
    }
}

static void show(void *arg)
{
    struct up *up = arg;
    view_update(up->view);
    if (up->draining || up->complete)
        return;
    if (up->watch)
        up_watch_show(up->watch, up->view);
    else
        show_starting(up);
}

/* ---- the command */

static err_t run_ring(struct up *up)
{
    TRY(loop_new(&up->loop));
    TRY(view_new(up->run, (uint64_t)up->recipe->run.rounds, &up->view));
    up->show = loop_timer_new(up->loop, show, up);
    up->leave = loop_timer_new(up->loop, leave_now, up);
    up->begun_s = clock_s();
    add_member(up, "learner", 0, NULL, 0);
    up->started = 1;
    TRY(member_start(up->member[0]));
    loop_on_signal(up->loop, on_signal, up);
    loop_timer_start(up->show, VIEW_MS, VIEW_MS);
    TRY(loop_run(up->loop));
    view_summary(up->view);
    printf("  run      %s\n", up->run);
    return up->failed;
}

static void up_done(struct up *up)
{
    for (size_t i = 0; i < up->members; i++) {
        member_free(up->member[i]);
        mem_free(up->name[i]);
    }
    view_free(up->view);
    up_watch_free(up->watch);
    loop_timer_free(up->show);
    loop_timer_free(up->leave);
    loop_free(up->loop);
    if (up->recipe_fd >= 0)
        close(up->recipe_fd);
    run_lock_free(up->lock);
    mem_free(up->run);
}

err_t command_up(int argc, char **argv)
{
    struct recipe_cli cli = {
        .program = "rlhfctl up",
        .purpose =
            "Trains by a recipe: starts learner, rewarders and generators on this machine and shows the run.\n"
            "A run directory that holds a run is continued. Ctrl-C drains: a checkpoint is written first."};
    SCOPED(recipe) recipe = NULL;
    signal(SIGPIPE, SIG_IGN); // the run does not end because nobody looks any more
    TRY(recipe_load(&cli, argc, argv, &recipe));
    if (!recipe)
        return OK;
    TRY(check_cores(recipe));
    TRY(check_backends(recipe));
    TRY(check_ring(recipe, argv, NULL));
    recipe->run.on_complete = RECIPE_COMPLETE_EXIT; // the run's end is ours
    SCOPED_VALUE(up) up = {.recipe = recipe, .recipe_fd = -1};
    up.run = *recipe->directory ? mem_string(recipe->directory)
                                : mem_printf("runs/%s", recipe->run.name);
    TRY(file_make_directories(up.run));
    TRY(run_lock_take(up.run, "rlhfctl up", &up.lock));
    TRY(write_run_files(&up, argc, argv));
    return run_ring(&up);
}
