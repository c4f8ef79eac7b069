/* The loop and its children: order, timers, signals, and that no child outlives us. */
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "svc/child.h"
#include "svc/loop.h"
#include "testing/testing.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4, POSTS = 20000 };

/* Each thread posts its numbers in order; the loop's thread checks the order and counts. */
struct poster {
    pthread_t thread;
    struct loop *loop;
    int next;  // the number that must come next
    int *left; // of all threads
};
struct number {
    struct poster *poster;
    int number;
};

static void take_number(void *arg)
{
    struct number *number = arg;
    struct poster *poster = number->poster;
    assert_int_equal(number->number, poster->next++);
    if (--*poster->left == 0)
        loop_stop(poster->loop);
    free(number);
}

static void *post_numbers(void *arg)
{
    struct poster *poster = arg;
    for (int i = 0; i < POSTS; i++) {
        struct number *number = mem_new(sizeof *number);
        *number = (struct number){poster, i};
        loop_post(poster->loop, take_number, number);
    }
    return NULL;
}

static void posts_arrive_once_and_in_order(void **state)
{
    (void)state;
    SCOPED(loop) loop = NULL;
    assert_ok(loop_new(&loop));
    struct poster posters[THREADS];
    int left = THREADS * POSTS;
    for (int i = 0; i < THREADS; i++) {
        posters[i] = (struct poster){.loop = loop, .left = &left};
        assert_int_equal(pthread_create(&posters[i].thread, NULL, post_numbers, &posters[i]), 0);
    }
    assert_ok(loop_run(loop));
    for (int i = 0; i < THREADS; i++) {
        pthread_join(posters[i].thread, NULL);
        assert_int_equal(posters[i].next, POSTS);
    }
}

struct steps {
    struct loop *loop;
    struct loop_timer *timer;
    int count, stop_at;
};

static void step(void *arg)
{
    struct steps *steps = arg;
    if (++steps->count == steps->stop_at)
        loop_stop(steps->loop);
}

static void step_twice(void *arg)
{
    struct steps *steps = arg;
    step(steps);
    loop_post(steps->loop, step, steps);
}

static void posted_work_survives_a_stop_and_runs_in_teardown(void **state)
{
    (void)state;
    SCOPED(loop) loop = NULL;
    assert_ok(loop_new(&loop));
    struct steps steps = {.loop = loop, .stop_at = 2};
    for (int i = 0; i < 3; i++)
        loop_post(loop, step, &steps);
    assert_ok(loop_run(loop));
    assert_int_equal(steps.count, 2);
    loop_post(loop, step_twice, &steps);
    loop_run_posted(loop);
    assert_int_equal(steps.count, 5);
    loop_post(loop, step, &steps); // left behind: not run, not leaked
    loop_stop(loop);
    assert_ok(loop_run(loop)); // a stop before the run ends it
    assert_int_equal(steps.count, 5);
}

static void timers_fire_once_or_again_and_stop(void **state)
{
    (void)state;
    SCOPED(loop) loop = NULL;
    assert_ok(loop_new(&loop));
    struct steps often = {.loop = loop, .stop_at = 5}, once = {.loop = loop},
                 never = {.loop = loop};
    SCOPED(loop_timer) a = loop_timer_new(loop, step, &often);
    SCOPED(loop_timer) b = loop_timer_new(loop, step, &once);
    SCOPED(loop_timer) c = loop_timer_new(loop, step, &never);
    int64_t start = clock_ms();
    loop_timer_start(a, 10, 10);
    loop_timer_start(b, 0, 0);
    loop_timer_start(c, 5, 0);
    assert_true(loop_timer_running(c));
    loop_timer_stop(c);
    assert_ok(loop_run(loop));
    assert_int_equal(often.count, 5);
    assert_int_equal(once.count, 1);
    assert_int_equal(never.count, 0);
    assert_true(loop_timer_running(a) && !loop_timer_running(b));
    assert_in_range(clock_ms() - start, 45, 60000);
}

static void on_signal(void *arg, int number)
{
    assert_int_equal(number, SIGTERM);
    step(arg);
}

static void kill_self(void *arg)
{
    (void)arg;
    kill(getpid(), SIGTERM);
}

/* In a process of its own: the first SIGTERM is ours, the second one ends it. */
static void the_second_signal_ends_the_process(void **state)
{
    (void)state;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        struct loop *loop = NULL;
        if (err_failed(loop_new(&loop)))
            _exit(3);
        struct steps steps = {.loop = loop, .stop_at = 1};
        loop_on_signal(loop, on_signal, &steps);
        loop_post(loop, kill_self, NULL);
        if (err_failed(loop_run(loop)) || steps.count != 1)
            _exit(4);
        loop_post(loop, kill_self, NULL);
        steps.stop_at = 100;
        err_free(loop_run(loop));
        _exit(5);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    /* ThreadSanitizer keeps a signal raised within a handler, as the kernel does for PID 1. */
    assert_int_equal(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status),
                     128 + SIGTERM);
}

struct ended {
    struct loop *loop;
    struct child_end end;
    int count, stop_at;
    bool free;
};

static void on_exit_of(void *arg, struct child *child, struct child_end end)
{
    struct ended *ended = arg;
    ended->end = end;
    if (ended->free)
        child_free(child);
    if (++ended->count == ended->stop_at)
        loop_stop(ended->loop);
}

static struct child *start(struct loop *loop, const char *script, const char *log,
                           struct ended *ended)
{
    const char *argv[] = {"sh", "-c", script, NULL};
    struct child_options options = {.argv = argv, .log = log, .on_exit = on_exit_of, .arg = ended};
    struct child *child = NULL;
    assert_ok(child_start(loop, &options, &child));
    return child;
}

static void children_end_with_status_or_signal_and_leave_a_log(void **state)
{
    (void)state;
    SCOPED(loop) loop = NULL;
    assert_ok(loop_new(&loop));
    SCOPED_MEM char *log = file_join(testing_directory(), "log");
    struct ended ended = {.loop = loop, .stop_at = 1, .free = true};
    char text[CHILD_END_TEXT];
    start(loop, "echo out; echo err >&2; exit 7", log, &ended);
    assert_ok(loop_run(loop));
    assert_string_equal(child_end_text(ended.end, text), "ended with status 7");
    SCOPED_VALUE(bytes) written = {0};
    assert_ok(file_read(log, 1000, &written));
    assert_string_equal(written.data, "out\nerr\n");
    ended = (struct ended){.loop = loop, .stop_at = 1};
    SCOPED(child) child = start(loop, "exec sleep 100", log, &ended);
    child_signal(child, SIGTERM);
    assert_ok(loop_run(loop));
    assert_string_equal(child_end_text(ended.end, text), "killed by signal 15 (Terminated)");
    child_signal(child, SIGTERM); // nothing any more
}

static void many_children_are_told_apart(void **state)
{
    (void)state;
    enum { CHILDREN = 20 };
    SCOPED(loop) loop = NULL;
    assert_ok(loop_new(&loop));
    struct ended all = {.loop = loop, .stop_at = CHILDREN, .free = true};
    for (int i = 0; i < CHILDREN; i++)
        start(loop, i % 2 ? "exit 1" : "sleep 0.05; exit 1", NULL, &all);
    assert_ok(loop_run(loop));
    assert_int_equal(all.end.status, 1);
    SCOPED(child)
    killed = start(loop, "exec sleep 100", NULL, &all); // freed while it runs: no callback
    int count = all.count;
    child_free(STEAL(killed));
    loop_stop(loop);
    assert_ok(loop_run(loop));
    assert_int_equal(all.count, count);
}

static void what_cannot_be_started_is_an_error(void **state)
{
    (void)state;
    SCOPED(loop) loop = NULL;
    assert_ok(loop_new(&loop));
    const char *argv[] = {"/no/such/program", NULL};
    struct child_options options = {.argv = argv, .on_exit = on_exit_of};
    SCOPED(child) child = NULL;
    assert_err(ERR_NOT_FOUND, "cannot start '/no/such/program'",
               child_start(loop, &options, &child));
    argv[0] = "true";
    options.log = "/no/such/directory/log";
    assert_err(ERR_NOT_FOUND, "cannot write the log '/no/such/directory/log'",
               child_start(loop, &options, &child));
    assert_null(child);
}

/* A parent that is killed with SIGKILL takes its child with it: the child's end of the pipe
 * closes. */
static void children_die_with_their_parent(void **state)
{
    (void)state;
    fflush(NULL);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t parent = fork();
    if (parent == 0) {
        struct loop *loop = NULL;
        struct ended ended = {0};
        close(ends[0]);
        if (err_failed(loop_new(&loop)))
            _exit(3);
        start(loop, "exec sleep 100", NULL, &ended); // inherits the writing end
        close(ends[1]);
        kill(getpid(), SIGKILL);
    }
    close(ends[1]);
    char byte;
    int64_t begin = clock_ms();
    assert_int_equal(read(ends[0], &byte, 1), 0);
    assert_true(clock_ms() - begin < 50000);
    close(ends[0]);
    waitpid(parent, NULL, 0);
}

TESTS(cmocka_unit_test(posts_arrive_once_and_in_order),
      cmocka_unit_test(posted_work_survives_a_stop_and_runs_in_teardown),
      cmocka_unit_test(timers_fire_once_or_again_and_stop),
      cmocka_unit_test(the_second_signal_ends_the_process),
      cmocka_unit_test(children_end_with_status_or_signal_and_leave_a_log),
      cmocka_unit_test(many_children_are_told_apart),
      cmocka_unit_test(what_cannot_be_started_is_an_error),
      cmocka_unit_test(children_die_with_their_parent))
