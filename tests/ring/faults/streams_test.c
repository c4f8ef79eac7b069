/* Programs that are started clumsily: wrong words, closed or full standard streams, paths and names
 * that are no text, terminals that can do little, and texts of peers that would steer a terminal.
 * Real processes. */
#include "base/bytes.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "testing/daemons.h"
#include "testing/testing.h"
#include <errno.h>
#include <poll.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum { END_MS = 60000, RUN_MS = 120000 };

/* A line for the shell; $B: where the programs are. *ret_output may be NULL. */
static int shell(const char *directory, const char *line, char **ret_output)
{
    SCOPED_MEM char *text = mem_printf("B='%s'; cd '%s' && %s", TEST_BIN, directory, line);
    return process_run(ret_output, END_MS, "/bin/sh", "-c", text, NULL);
}

static void assert_status(const char *directory, const char *line, int wanted, const char *part)
{
    char *output;
    int status = shell(directory, line, &output);
    if (status != wanted || !strstr(output, part))
        print_error("%s: status %d, wanted %d with '%s':\n%s\n", line, status, wanted, part,
                    output);
    assert_int_equal(status, wanted);
    assert_non_null(strstr(output, part));
    free(output);
}

/* ---- words */

static void wrong_usage_is_2_everywhere(void **)
{
    static const char *const lines[] = {"$B/rlhfctl",
                                        "$B/rlhfctl nope",
                                        "$B/rlhfctl up",
                                        "$B/rlhfctl up none.yaml",
                                        "$B/rlhfctl up --nope",
                                        "$B/rlhfctl check none.yaml",
                                        "$B/rlhfctl sft",
                                        "$B/rlhfctl eval",
                                        "$B/rlhfctl generate --nope",
                                        "$B/rlhfctl plan --parameters x",
                                        "$B/rlhfctl recipe x",
                                        "$B/rlhfctl status a b",
                                        "$B/rlhfctl status -o xml",
                                        "$B/rlhfctl get --run",
                                        "$B/rlhfctl set",
                                        "$B/rlhfctl set x",
                                        "$B/rlhfctl groups show x",
                                        "$B/rlhfctl groups evict",
                                        "$B/rlhfctl rollback x",
                                        "$B/rlhfctl explain version",
                                        "$B/rlhfctl context add",
                                        "$B/rlhfctl completion fish",
                                        "$B/rlhfctl tokenizer train x",
                                        "$B/rlhfctl tokenizer encode x",
                                        "$B/rlhfctl model new",
                                        "$B/rlhfctl model new x --layers 0",
                                        "$B/rlhfctl model show",
                                        "$B/rlhfctl model show --x",
                                        "$B/rlhfd-learner",
                                        "$B/rlhfd-learner none.yaml",
                                        "$B/rlhfd-learner --nope",
                                        "$B/rlhfd-learner r.yaml --job x",
                                        "$B/rlhfd-learner r.yaml --job audit",
                                        "$B/rlhfd-generator",
                                        "$B/rlhfd-generator r.yaml a",
                                        "$B/rlhfd-rewarder --set",
                                        "$B/rlhfd-rewarder r.yaml --job x",
                                        "$B/rlhfd-rewarder none.yaml",
                                        "$B/rlhfd-generator r.yaml --recipe-fd 77"};
    const char *directory = testing_directory();
    SCOPED_MEM char *recipe = file_join(directory, "r.yaml");
    assert_ok(file_write(recipe, "run: {name: x}\n", 15));
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        assert_status(directory, lines[i], 2, "");
}

/* A name is a part of paths; words go into requests and JSON, where what is no UTF-8 would be left
 * out. */
static void names_and_paths_are_plain_text(void **)
{
    static const char *const names[] = {"..", ".", "-x", ".hidden", "a/b", "'a b'"};
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 2, .groups = 8, .lag = 1});
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        SCOPED_MEM char *line = mem_printf("$B/rlhfctl up recipe.yaml --set run.name=%s", names[i]);
        assert_status(ring.directory, line, 2, "run.name");
    }
    static const char *const lines[] = {
        "$B/rlhfctl up recipe.yaml --run \"$(printf 'r\\377')\"",
        "$B/rlhfd-learner recipe.yaml --run \"$(printf 'r\\377')\"",
        "$B/rlhfd-generator recipe.yaml --announce \"$(printf 'r\\377')\"",
        "mkdir \"$(printf 'd\\377')\" && cd d* && $B/rlhfctl up ../recipe.yaml --run r",
        "cd d* && $B/rlhfd-learner ../recipe.yaml --run r",
        "$B/rlhfctl get \"$(printf 'lag\\377')\" --run x",
        "$B/rlhfctl set \"$(printf 'lag.max=\\377')\" --run x",
        "$B/rlhfctl groups evict --filter \"$(printf '\\377')\" --run x",
        "$B/rlhfctl pause --reason \"$(printf '\\377')\" --run x",
        "$B/rlhfctl context add here --run d*",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        assert_status(ring.directory, lines[i], 2, "UTF-8");
    assert_status(ring.directory, "ls -a", 0, "recipe.yaml");
    assert_false(file_exists(ring.run));
}

/* The output is removed for the new model: nothing but a model, or nothing, may stand there. */
static void sft_replaces_models_alone(void **)
{
#define SFT                                                                                        \
    "$B/rlhfctl sft recipe.yaml --set sft.model=model --set sft.data=train.jsonl --set sft.steps=1 --set sft.output="
    static const char *const wrong[] = {SFT "kept", SFT ".", SFT "..", SFT "kept/..",
                                        SFT "model/."};
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 2, .groups = 8, .lag = 1});
    SCOPED_MEM char *letter = file_join(ring.directory, "kept/letter");
    SCOPED_MEM char *made = file_join(ring.directory, "made/model.safetensors");
    assert_status(ring.directory, "mkdir kept empty && echo dear >kept/letter", 0, "");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_status(ring.directory, wrong[i], 2, "sft.output");
    assert_true(file_exists(letter));
    assert_true(file_exists(ring.recipe));
    assert_status(ring.directory, SFT "made/", 0, "wrote"); // the slash makes no difference
    assert_true(file_exists(made));
    assert_status(ring.directory, SFT "made", 0, "wrote");
    assert_status(ring.directory, SFT "empty", 0, "wrote");
}

/* ---- streams */

static void what_cannot_be_printed_is_an_error(void **)
{
    const char *directory = testing_directory();
    static const char *const lines[] = {
        "$B/rlhfctl recipe >&-",          "$B/rlhfctl recipe >/dev/full",
        "$B/rlhfctl --help >&-",          "$B/rlhfctl model new --help >/dev/full",
        "$B/rlhfctl up --help >&-",       "$B/rlhfd-learner --help >&-",
        "$B/rlhfd-learner --version >&-", "$B/rlhfd-generator --help >/dev/full",
        "$B/rlhfd-rewarder --help >&-",   "$B/rlhfctl context list >&-"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        assert_status(directory, lines[i], 1, "cannot write to standard output");
    assert_status(directory, "$B/rlhfctl recipe 2>&- <&- | tail -1", 0, "");
    assert_status(directory, "$B/rlhfctl nope 2>&- >&- <&-", 2, "");
    SCOPED_MEM char *recipe = file_join(directory, "r.yaml");
    assert_ok(file_write(recipe, "rewarder: {scorers: [{kind: length, min: 1, max: 2}]}\n", 54));
    assert_status(directory, "$B/rlhfd-rewarder r.yaml --job score </dev/null", 0, "");
    assert_status(directory, "$B/rlhfd-rewarder r.yaml --job score <&-", 1, "standard input");
}

static void wait_for_file(const char *path)
{
    for (int64_t until = clock_ms() + END_MS; !file_exists(path); clock_sleep_ms(10))
        assert_true(clock_ms() < until);
}

/* Descriptors 0 to 2 of a daemon that was given none: no file of its store has their numbers. */
static void closed_streams_are_nobody_s_descriptors(void **)
{
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 3, .groups = 8, .lag = 1});
    SCOPED_MEM char *announce = file_join(ring.directory, "l.json");
    struct process learner =
        process_start(ring.log, "/bin/sh", "-c",
                      "cd \"$1\" && exec \"$2\" recipe.yaml --run run --announce l.json --set "
                      "learner.listen=127.0.0.1:0 <&- >&- 2>&-",
                      "sh", ring.directory, TEST_BIN "/rlhfd-learner", NULL);
    wait_for_file(announce);
    for (int fd = 0; fd < 3; fd++) {
        char target[256];
        SCOPED_MEM char *link = mem_printf("/proc/%d/fd/%d", learner.pid, fd);
        ssize_t len = readlink(link, target, sizeof target - 1);
        assert_true(len > 0);
        target[len] = 0;
        assert_string_equal(target, "/dev/null");
    }
    process_kill(&learner, SIGTERM);
    assert_true(process_wait(&learner, END_MS) >= 0); // by itself, or before it listened to signals
    /* The whole ring; what it could not say is its only error. */
    int status = shell(ring.directory, "$B/rlhfctl up recipe.yaml --run run <&- >&- 2>&-", NULL);
    assert_int_equal(status, 1);
    assert_int_equal(ring_read(&ring).rounds, 3);
    ring_audit(&ring);
}

/* ---- terminals */

/* Runs words on a terminal of so many columns with this TERM (NULL: none); *ret_output is what it
 * was sent. */
static int on_terminal(const char *term, unsigned short columns, const char *const *words,
                       char **ret_output)
{
    struct winsize size = {.ws_row = 24, .ws_col = columns};
    SCOPED_VALUE(bytes) all = {0};
    int terminal, status = -1;
    pid_t pid = forkpty(&terminal, NULL, NULL, &size);
    if (pid == 0) {
        unsetenv("COLUMNS");
        unsetenv("TERM");
        if (term)
            setenv("TERM", term, 1);
        execv(TEST_BIN "/rlhfctl", (char *const *)words);
        _exit(127);
    }
    assert_true(pid > 0);
    struct pollfd readable = {.fd = terminal, .events = POLLIN};
    char chunk[4096];
    ssize_t got = 1;
    while (got > 0 && poll(&readable, 1, RUN_MS) == 1 &&
           (got = read(terminal, chunk, sizeof chunk)) > 0)
        bytes_put(&all, chunk, (size_t)got);
    if (got > 0)
        kill(pid, SIGKILL); // it hangs
    assert_int_equal(waitpid(pid, &status, 0), pid);
    close(terminal);
    bytes_extend(&all, 0);
    *ret_output = mem_string((char *)all.data);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static size_t longest_line(const char *text)
{
    size_t longest = 0;
    for (const char *end; *text; text = end + (*end != 0)) {
        end = strchrnul(text, '\n');
        const size_t len = (size_t)(end - text) - (end > text && end[-1] == '\r');
        longest = len > longest ? len : longest;
    }
    return longest;
}

static void a_dumb_terminal_is_told_no_escapes(void **)
{
    static const char *const terms[] = {NULL, "", "dumb"};
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 2, .groups = 8, .lag = 1});
    for (size_t i = 0; i < 3; i++) {
        const char *up[] = {"rlhfctl", "up", ring.recipe, "--run", ring.run, NULL};
        const char *top[] = {"rlhfctl", "top", "--run", ring.run, NULL};
        char *output;
        int status = on_terminal(terms[i], 80, up, &output);
        assert_int_equal(status, 0);
        assert_null(strchr(output, '\033'));
        free(output);
        status = on_terminal(terms[i], 80, top, &output);
        assert_int_equal(status, 4);
        assert_null(strchr(output, '\033'));
        assert_non_null(strstr(output, "rlhfctl watch"));
        free(output);
    }
}

/* Every row has a note that would turn a terminal red and ring its bell. */
static void add_notes(const struct ring *ring)
{
    SCOPED_MEM char *path = file_join(ring->directory, "train.jsonl");
    SCOPED_VALUE(bytes) noted = {0};
    char *text = file_text(path), *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        bytes_printf(&noted, "{\"note\": \"\\u001b[31m \\u009b \\u0007\", %s\n", line + 1);
    assert_ok(file_write(path, noted.data, noted.len));
    free(text);
}

/* The first group that is stored and stays so. */
static void stored_group(const char *address, char ret_id[33])
{
    int status =
        process_run(NULL, END_MS, "rlhfctl", "pause", "training", "--address", address, NULL);
    assert_int_equal(status, 0);
    for (int64_t until = clock_ms() + END_MS; clock_ms() < until; clock_sleep_ms(50)) {
        char *output;
        process_run(&output, END_MS, "rlhfctl", "groups", "--filter", "state=stored", "-o", "json",
                    "--address", address, NULL);
        SCOPED_JSON json_t *list = json_loads(output, 0, NULL);
        const json_t *first = json_array_get(json_object_get(list, "groups"), 0);
        const char *id = json_string_value(json_object_get(first, "id"));
        free(output);
        if (!id)
            continue;
        snprintf(ret_id, 33, "%s", id);
        return;
    }
    fail_msg("no group is stored");
}

static void outside_texts_do_not_steer_a_terminal(void **)
{
    struct ring ring =
        ring_prepare(&(struct ring_options){.rounds = 200000, .groups = 8, .lag = 1});
    add_notes(&ring);
    struct daemons daemons = daemons_start(&ring, "learner.threads=1");
    const char *address = daemons.admin[LEARNER];
    char *output, id[33];
    stored_group(address, id);
    int status =
        process_run(&output, END_MS, "rlhfctl", "groups", "show", id, "--address", address, NULL);
    assert_int_equal(status, 0);
    assert_null(strpbrk(output, "\033\a"));
    assert_null(strstr(output, "\302\233"));
    assert_non_null(strstr(output, "x1b[31m"));
    free(output);
    status = process_run(&output, END_MS, "rlhfctl", "groups", "show", id, "-o", "json",
                         "--address", address, NULL);
    assert_int_equal(status, 0);
    assert_non_null(strstr(output, "\\u001B[31m \302\233 \\u0007")); // exact
    free(output);
    const char *get[] = {"rlhfctl", "get", "--address", address, NULL};
    status = on_terminal("xterm", 80, get, &output);
    assert_int_equal(status, 0);
    assert_true(longest_line(output) <= 80);
    assert_non_null(strstr(output, "learner.optimizer.schedule"));
    free(output);
    const char *wide[] = {"rlhfctl", "get", "-o", "wide", "--address", address, NULL};
    status = on_terminal("xterm", 80, wide, &output);
    assert_int_equal(status, 0);
    assert_true(longest_line(output) > 80);
    free(output);
    for (int i = 0; i < DAEMON_KINDS; i++)
        daemons_kill(&daemons, i);
}

/* ---- logs */

/* A member's log that has nearly reached its size is set aside whole, and its last words are found
 * in the new one. */
static void a_long_log_is_begun_anew(void **)
{
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 2, .groups = 8, .lag = 1});
    SCOPED_MEM char *logs = file_join(ring.run, "logs");
    SCOPED_MEM char *log = file_join(logs, "learner.log");
    SCOPED_MEM char *older = file_join(logs, "learner.log.1");
    SCOPED_MEM char *before = mem_array(LOG_MAX_BYTES, 1);
    memset(before, '.', LOG_MAX_BYTES - 1);
    before[LOG_MAX_BYTES - 2] = '\n';
    assert_ok(file_make_directories(logs));
    assert_ok(file_write(log, before, LOG_MAX_BYTES - 1));
    assert_status(ring.directory, "$B/rlhfctl up recipe.yaml --run run", 0, "trained 2 rounds");
    char *old = file_text(older), *now = file_text(log);
    assert_string_equal(old, before);
    assert_non_null(strstr(now, "learner \"listening\""));
    assert_non_null(strstr(now, "learner \"training ended\""));
    free(old);
    free(now);
}

TESTS(cmocka_unit_test(wrong_usage_is_2_everywhere),
      cmocka_unit_test(names_and_paths_are_plain_text), cmocka_unit_test(sft_replaces_models_alone),
      cmocka_unit_test(what_cannot_be_printed_is_an_error),
      cmocka_unit_test(closed_streams_are_nobody_s_descriptors),
      cmocka_unit_test(a_dumb_terminal_is_told_no_escapes),
      cmocka_unit_test(outside_texts_do_not_steer_a_terminal),
      cmocka_unit_test(a_long_log_is_begun_anew))
