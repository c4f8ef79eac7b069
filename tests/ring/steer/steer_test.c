/* rlhfctl against a ring that trains: what operators do, its output and exit statuses. */
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "testing/process.h"
#include "testing/ring.h"
#include "testing/testing.h"
#include <poll.h>
#include <pty.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

enum { RUN_MS = 120000, POLL_MS = 100 };
enum { FAILED = 1, USAGE = 2, NOT_THERE = 3, REFUSED = 4, CONFLICT = 5, UNREACHABLE = 6 };

static struct ring ring;
static struct process up;
static char *output; // of the last command

/* `rlhfctl WORDS...` must exit with status; what it printed is in output. */
#define CTL(status, ...) ctl(status, __LINE__, (const char *[]){__VA_ARGS__, NULL})
static void ctl(int wanted, int line, const char *const *words)
{
    SCOPED_MEM char *log = file_join(ring.directory, "output");
    remove(log);
    struct process p = process_start_words(log, "rlhfctl", words);
    int status = process_wait(&p, RUN_MS);
    free(output);
    output = file_text(log);
    if (status != wanted)
        print_error("line %d: %s: status %d, wanted %d:\n%s\n", line, words[0], status, wanted,
                    output);
    assert_int_equal(status, wanted);
}

static void assert_says(const char *part)
{
    if (!strstr(output, part))
        print_error("wanted '%s' in:\n%s\n", part, output);
    assert_non_null(strstr(output, part));
}

/* The last output as JSON: nothing else may be there. */
static json_t *object(void)
{
    json_t *json = NULL;
    assert_ok(json_parse(output, strlen(output), "output", &json));
    return json;
}

static json_int_t whole(const json_t *json, const char *key)
{
    if (!json_is_integer(json_object_get(json, key)))
        print_error("no %s in:\n%s\n", key, output);
    assert_true(json_is_integer(json_object_get(json, key)));
    return json_integer_value(json_object_get(json, key));
}

static double number_of(const char *daemon, const char *name)
{
    CTL(0, "status", "--run", ring.run, "-o", "json");
    SCOPED_JSON json_t *json = object();
    const json_t *status = json_object_get(json_object_get(json, "daemons"), daemon);
    size_t i;
    json_t *one;
    json_array_foreach (json_object_get(status, "numbers"), i, one)
        if (strcmp(json_string_value(json_object_get(one, "name")), name) == 0)
            return json_number_value(json_object_get(one, "value"));
    fail_msg("%s has no %s", daemon, name);
    return 0;
}

/* One generator alone trains rounds before the other has come up. */
static void wait_until_both_generators_serve(void)
{
    const int64_t until_ms = clock_ms() + RUN_MS;
    for (bool both = false; !both; clock_sleep_ms(POLL_MS)) {
        char *text = NULL;
        process_run(&text, RUN_MS, "rlhfctl", "status", "--run", ring.run, NULL);
        both = strstr(text, "generator    SERVING") && strstr(text, "generator-2  SERVING");
        free(text);
        assert_true(clock_ms() < until_ms);
    }
}

static int start(void **state)
{
    (void)state;
    setenv("XDG_CONFIG_HOME", testing_directory(), 1);
    ring = ring_prepare(&(struct ring_options){.rounds = 1000000, .groups = 8, .lag = 1});
    up = process_start(ring.log, "rlhfctl", "up", ring.recipe, "--run", ring.run, "--set",
                       "generator.count=2", NULL);
    ring_wait_rounds(&ring, 3, RUN_MS);
    wait_until_both_generators_serve();
    return 0;
}

static void every_daemon_is_asked(void **state)
{
    (void)state;
    CTL(0, "status", "--run", ring.run);
    assert_says("generator-2  SERVING");
    assert_says("learner      TRAINING");
    CTL(0, "status", ring.run, "--numbers");
    assert_says("rlhfd_groups_scored_total");
    CTL(0, "watch", "--run", ring.run, "--interval", "0.2", "--lines", "3");
    assert_says("answering 4/4");
    CTL(0, "watch", "--run", ring.run, "--interval", "0.2", "--lines", "1", "-o", "json");
    SCOPED_JSON json_t *line = object();
    assert_true(json_is_object(json_object_get(line, "status")));
}

static void a_context_stands_for_the_run(void **state)
{
    (void)state;
    CTL(USAGE, "get", "lag.max");
    assert_says("which run?");
    CTL(0, "context", "add", "here", "--run", ring.run);
    CTL(0, "get", "lag.max");
    assert_says("lag.max");
    CTL(NOT_THERE, "get", "lag.max", "--context", "hree");
    assert_says("did you mean 'here'?");
    CTL(0, "context", "list", "-o", "json");
    SCOPED_JSON json_t *contexts = object();
    assert_string_equal(json_string_value(json_object_get(contexts, "current")), "here");
}

static void settings_are_changed_while_it_trains(void **state)
{
    (void)state;
    CTL(0, "get", "lag.max", "-o", "json");
    SCOPED_JSON json_t *before = object();
    const char *etag = json_string_value(json_object_get(before, "etag"));
    const json_t *setting = json_array_get(json_object_get(before, "settings"), 0);
    assert_string_equal(json_string_value(json_object_get(setting, "value")), "1");
    assert_true(json_is_true(json_object_get(setting, "live")));
    CTL(0, "set", "lag.max=4", "--validate-only");
    assert_says("nothing was changed");
    CTL(0, "set", "lag.max=3", "learner.optimizer.lr=2e-3", "--reason", "for the test", "-o",
        "json");
    SCOPED_JSON json_t *set = object();
    const json_int_t change = whole(set, "change"), round = whole(set, "first_round");
    assert_true(change > 0 && round > 0);
    CTL(0, "get", "lag");
    assert_says("lag.max");
    assert_says("lag.straggler");
    CTL(CONFLICT, "set", "lag.max=2", "--etag", etag);
    ring_wait_rounds(&ring, (int)round + 2, RUN_MS);
    CTL(0, "changes", "-o", "json");
    SCOPED_JSON json_t *changes = object();
    const json_t *newest = json_array_get(json_object_get(changes, "changes"), 0);
    assert_int_equal(whole(newest, "id"), change);
    assert_string_equal(json_string_value(json_object_get(newest, "reason")), "for the test");
    assert_int_equal(json_array_size(json_object_get(newest, "values")), 2);
    CTL(0, "set", "--reset", "lag.max,learner.optimizer.lr");
    assert_says("lag.max = 1  (recipe: 1)");
    CTL(0, "changes", "--limit", "1");
    assert_says("lag.max 3 -> 1");
}

static void what_is_wrong_has_its_status(void **state)
{
    (void)state;
    CTL(REFUSED, "set", "lag.max=-1");
    assert_says("lag.max");
    assert_says("allowed");
    CTL(REFUSED, "set", "lag.max=-1", "-o", "json");
    SCOPED_JSON json_t *refused = object();
    const json_t *error = json_object_get(refused, "error");
    assert_int_equal(whole(error, "status"), REFUSED);
    assert_non_null(strstr(json_string_value(json_object_get(error, "field")), "lag.max"));
    assert_non_null(strstr(json_string_value(json_object_get(error, "allowed")), "from 0 to 1000"));
    CTL(REFUSED, "set", "run.seed=7");
    assert_says("run.seed");
    CTL(NOT_THERE, "set", "lag.mx=1");
    assert_says("lag.max");
    CTL(NOT_THERE, "get", "nothing.here");
    CTL(USAGE, "set", "lag.max");
    CTL(USAGE, "set", "lag.max=1", "--validate");
    CTL(USAGE, "pause", "everything");
    CTL(USAGE, "get", "-o", "yaml");
    CTL(UNREACHABLE, "get", "--address", "127.0.0.1:9");
    CTL(0, "get", "lag.max"); // all of that changed nothing
    assert_says("1      1       yes");
}

/* Two polls with the same round: no more is formed. */
static void wait_until_it_stands(void)
{
    const int64_t until_ms = clock_ms() + RUN_MS;
    double last = -1;
    for (double now; (now = number_of("learner", "rlhfd_round")) != last; last = now) {
        assert_true(clock_ms() < until_ms);
        clock_sleep_ms(10 * POLL_MS);
    }
}

static void wait_until_none_is_under_way(void)
{
    const int64_t until_ms = clock_ms() + RUN_MS;
    for (bool under_way = true; under_way; clock_sleep_ms(POLL_MS)) {
        CTL(0, "pause", "generation", "-o", "json");
        SCOPED_JSON json_t *reply = object();
        under_way = whole(reply, "leased") > 0;
        assert_true(clock_ms() < until_ms);
    }
}

static void a_pause_ends_by_resume(void **state)
{
    (void)state;
    CTL(0, "pause", "training", "--reason", "look", "-o", "json");
    SCOPED_JSON json_t *paused = object();
    assert_true(json_is_true(json_object_get(paused, "training_paused")));
    assert_true(json_is_false(json_object_get(paused, "generation_paused")));
    wait_until_it_stands();
    CTL(USAGE, "pause", "training", "--now");
    CTL(USAGE, "resume", "--now");
    CTL(0, "pause", "generation", "--now");
    assert_says("generation: held   training: paused");
    assert_says("they stand still until");
    CTL(0, "status");
    assert_says("HELD");
    const double tokens = number_of("generator", "rlhfd_decode_tokens_total");
    CTL(0, "workers");
    assert_says("HELD");
    CTL(0, "pause");
    assert_says("generation: paused   training: paused");
    wait_until_none_is_under_way(); // what stood still is finished now
    assert_true(number_of("generator", "rlhfd_decode_tokens_total") >= tokens);
    CTL(0, "resume");
    assert_says("generation: goes on   training: goes on");
    ring_wait_rounds(&ring, (int)number_of("learner", "rlhfd_round") + 3, RUN_MS);
}

/* The id of one, once there is one; the caller's. */
static char *stored_group(void)
{
    for (const int64_t until_ms = clock_ms() + RUN_MS;; clock_sleep_ms(POLL_MS)) {
        CTL(0, "groups", "--filter", "state=stored", "--limit", "2", "-o", "json");
        SCOPED_JSON json_t *list = object();
        const json_t *first = json_array_get(json_object_get(list, "groups"), 0);
        const char *id = json_string_value(json_object_get(first, "id"));
        if (id)
            return mem_string(id);
        assert_true(clock_ms() < until_ms);
    }
}

/* With training paused groups are stored and wait. */
static void groups_are_listed_shown_and_taken_out(void **state)
{
    (void)state;
    CTL(0, "pause", "training");
    wait_until_it_stands();
    SCOPED_MEM char *id = stored_group();
    assert_int_equal(strlen(id), 32);
    CTL(0, "groups", "list", "--filter", "state=stored");
    assert_says(id);
    CTL(0, "groups", "show", id, "-o", "json");
    SCOPED_JSON json_t *group = object();
    assert_int_equal(json_array_size(json_object_get(group, "completions")), 4);
    assert_non_null(json_object_get(json_object_get(group, "row"), "prompt"));
    CTL(0, "groups", "show", id);
    assert_says("completion 3: reward");
    CTL(NOT_THERE, "groups", "show", "00000000000000000000000000000000");
    CTL(USAGE, "groups", "show", "0");
    CTL(REFUSED, "groups", "--filter", "stat=stored");
    assert_says("state");
    CTL(USAGE, "groups", "evict");
    CTL(0, "groups", "evict", "--filter", "state=stored", "--validate-only");
    assert_says("groups would leave");
    CTL(0, "groups", "evict", "--filter", "state=stored", "--reason", "for the test");
    CTL(NOT_THERE, "groups", "show", id);
    CTL(0, "changes", "--limit", "1");
    assert_says("evict");
    CTL(0, "resume");
    ring_wait_rounds(&ring, (int)number_of("learner", "rlhfd_round") + 3, RUN_MS);
}

static void a_checkpoint_is_there_when_the_command_returns(void **state)
{
    (void)state;
    CTL(0, "checkpoint", "-o", "json");
    char *json_begin = strchr(output, '{'); // progress goes to standard error, which is here, too
    assert_non_null(json_begin);
    SCOPED_JSON json_t *operation = NULL;
    assert_ok(json_parse(json_begin, strlen(json_begin), "output", &operation));
    assert_string_equal(json_string_value(json_object_get(operation, "state")), "DONE");
    const char *path = json_string_value(json_object_get(operation, "path"));
    SCOPED_MEM char *whole_path = file_join(ring.run, path);
    SCOPED_MEM char *config = file_join(whole_path, "config.json");
    assert_true(file_exists(config));
}

static void a_rollback_goes_on_from_a_checkpoint(void **state)
{
    (void)state;
    CTL(0, "pause", "training"); // else newer checkpoints take its place meanwhile
    CTL(0, "checkpoint");
    char *number = strstr(output, "version ");
    assert_non_null(number);
    SCOPED_MEM char *version = mem_printf("%ld", strtol(number + strlen("version "), NULL, 10));
    CTL(NOT_THERE, "rollback", "1");
    CTL(USAGE, "rollback", "latest");
    CTL(0, "rollback", version, "--validate-only");
    CTL(0, "rollback", version, "--reason", "for the test");
    SCOPED_MEM char *stands = mem_printf("DONE; version %s", version);
    assert_says(stands);
    assert_true(number_of("learner", "rlhfd_version") == strtod(version, NULL));
    CTL(0, "changes", "--limit", "1");
    assert_says("rollback");
    CTL(0, "resume");
    ring_wait_rounds(&ring, (int)number_of("learner", "rlhfd_round") + 3, RUN_MS);
}

static void a_drained_worker_leaves_and_the_run_goes_on(void **state)
{
    (void)state;
    CTL(0, "workers");
    assert_says("generator-1");
    assert_says("generator-2");
    CTL(NOT_THERE, "drain", "generator-7");
    CTL(0, "drain", "generator-2", "--reason", "node upgrade");
    assert_says("generator-2: has left");
    CTL(0, "workers", "-o", "json");
    assert_null(strstr(output, "generator-2"));
    ring_wait_rounds(&ring, (int)number_of("learner", "rlhfd_round") + 3, RUN_MS);
}

/* What the shell would offer after `rlhfctl WORDS`. */
static void bash_is_offered_what_there_is(void **state)
{
    (void)state;
    static const struct {
        const char *words, *offered;
    } cases[] = {
        {"con", "context"},
        {"context ", "list add use remove"},
        {"context use h", "here"},
        {"set lag.m", "lag.max="},
        {"get lag.",
         "lag.max lag.straggler lag.on_stale lag.hard_max lag.auto_at lag.auto_min lag.auto_max "
         "lag.auto_idle lag.auto_ess lag.auto_kl lag.auto_rounds"},
        {"pause t", "training"},
        {"set --va", "--validate-only"},
        {"workers -o j", "json"},
        {"drain generator-2", "generator-2"},
        {"zzz", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        SCOPED_MEM char *script = mem_printf(
            "PATH=%s:$PATH; source <(rlhfctl completion bash); COMP_WORDS=(rlhfctl %s%s);"
            "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); compopt() { :; }; _rlhfctl; echo \"${COMPREPLY[*]}\"",
            TEST_BIN, cases[i].words,
            cases[i].words[strlen(cases[i].words) - 1] == ' ' ? "''" : "");
        SCOPED_MEM char *wanted = mem_printf("%s\n", cases[i].offered), *got = NULL;
        assert_int_equal(process_run(&got, RUN_MS, "/bin/bash", "-c", script, NULL), 0);
        assert_string_equal(got, wanted);
    }
}

/* Reads what comes from the terminal until it has shown part. */
static void wait_for_text(int terminal, const char *part)
{
    SCOPED_VALUE(bytes) text = {0};
    char chunk[4096];
    for (int64_t until_ms = clock_ms() + RUN_MS; clock_ms() < until_ms;) {
        struct pollfd one = {.fd = terminal, .events = POLLIN};
        if (poll(&one, 1, POLL_MS) <= 0)
            continue;
        const ssize_t got = read(terminal, chunk, sizeof chunk);
        if (got <= 0)
            break;
        bytes_put(&text, chunk, (size_t)got);
        if (strstr((char *)text.data, part))
            return;
    }
    fail_msg("the terminal did not show '%s': %s", part, text.len ? (char *)text.data : "nothing");
}

static void top_draws_on_a_terminal_and_leaves_it(void **state)
{
    (void)state;
    struct winsize size = {.ws_row = 26, .ws_col = 90};
    int terminal, status;
    const pid_t pid = forkpty(&terminal, NULL, NULL, &size);
    if (pid == 0) {
        setenv("TERM", "xterm", 1);
        execl(TEST_BIN "/rlhfctl", "rlhfctl", "top", "--run", ring.run, (char *)NULL);
        _exit(127);
    }
    wait_for_text(terminal, "groups/s");
    size.ws_col = 120; // it draws again, in that size
    assert_int_equal(ioctl(terminal, TIOCSWINSZ, &size), 0);
    wait_for_text(terminal, "learner");
    assert_int_equal(write(terminal, "+", 1), 1);
    wait_for_text(terminal, "lag.max is 2 from round");
    assert_int_equal(write(terminal, "-q", 2), 2);
    wait_for_text(terminal, "\x1b[?1049l"); // the screen that was there before
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(terminal);
    CTL(0, "set", "lag.max=1", "--reason", "after top");
    CTL(REFUSED, "top", "--run", ring.run); // no terminal
    assert_says("rlhfctl watch");
}

static void a_drained_run_is_explained_from_its_store(void **state)
{
    (void)state;
    CTL(0, "explain", "version", "2", "-o", "json");
    SCOPED_JSON json_t *explained = object();
    assert_true(json_is_array(json_object_get(explained, "groups")));
    CTL(NOT_THERE, "explain", "version", "1000000");
    CTL(0, "drain", "--run", ring.run);
    assert_says("the learner has left");
    assert_int_equal(process_wait(&up, RUN_MS), 0);
    CTL(UNREACHABLE, "workers", "--run", ring.run);
    CTL(0, "explain", "version", "2", "--run", ring.run);
    assert_says("version      2 of run test");
    ring_audit(&ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_daemon_is_asked),
        cmocka_unit_test(a_context_stands_for_the_run),
        cmocka_unit_test(settings_are_changed_while_it_trains),
        cmocka_unit_test(what_is_wrong_has_its_status),
        cmocka_unit_test(bash_is_offered_what_there_is),
        cmocka_unit_test(top_draws_on_a_terminal_and_leaves_it),
        cmocka_unit_test(a_pause_ends_by_resume),
        cmocka_unit_test(groups_are_listed_shown_and_taken_out),
        cmocka_unit_test(a_checkpoint_is_there_when_the_command_returns),
        cmocka_unit_test(a_rollback_goes_on_from_a_checkpoint),
        cmocka_unit_test(a_drained_worker_leaves_and_the_run_goes_on),
        cmocka_unit_test(a_drained_run_is_explained_from_its_store),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
