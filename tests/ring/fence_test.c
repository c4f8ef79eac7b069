/* Who is refused: a process whose name another has taken, and work of a store that is no more. */
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "testing/process.h"
#include "testing/ring.h"
#include "testing/testing.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { RUN_MS = 120000 };

static char *address_of(const struct ring *ring, const char *daemon)
{
    SCOPED_MEM char *path = file_join(ring->run, "endpoints.json");
    SCOPED_JSON json_t *endpoints = NULL;
    const char *listen = NULL;
    assert_ok(json_read_file(path, 1 << 20, &endpoints));
    assert_ok(json_get_text(json_object_get(endpoints, daemon), path, "listen", &listen));
    return mem_string(listen);
}

static void print_end(const char *path)
{
    enum { END = 1500 };
    SCOPED_MEM char *text = file_text(path);
    size_t len = strlen(text);
    print_error("%s:\n%s\n", path, text + (len > END ? len - END : 0));
}

/* In the one of two logs; the other tells more if it does not come. */
static void wait_for_text(const char *path, const char *part, const char *other)
{
    for (int64_t until = clock_ms() + RUN_MS; clock_ms() < until; clock_sleep_ms(20)) {
        SCOPED_MEM char *text = file_text(path);
        if (strstr(text, part))
            return;
    }
    print_end(path);
    print_end(other);
    fail_msg("no '%s' in %s", part, path);
}

/* Two live processes of one name: the one that came later has it, the other ends and says why. */
static void the_later_of_two_with_one_name_stays(void **state)
{
    (void)state;
    struct ring ring =
        ring_prepare(&(struct ring_options){.rounds = 1000000, .groups = 8, .lag = 1});
    struct process up =
        process_start(ring.log, "rlhfctl", "up", ring.recipe, "--run", ring.run, NULL);
    ring_wait_rounds(&ring, 2, RUN_MS);
    SCOPED_MEM char *learner = address_of(&ring, "learner");
    SCOPED_MEM char *rewarder = address_of(&ring, "rewarder");
    SCOPED_MEM char *to_learner = mem_printf("generator.learner=%s", learner);
    SCOPED_MEM char *to_rewarder = mem_printf("generator.rewarder=%s", rewarder);
    SCOPED_MEM char *log = file_join(ring.directory, "second.log");
    SCOPED_MEM char *first_log = file_join(ring.run, "logs/generator.log");
    struct process second = process_start(
        log, "rlhfd-generator", ring.recipe, "--set", "generator.name=generator-1", "--set",
        "generator.listen=127.0.0.1:0", "--set", to_learner, "--set", to_rewarder, NULL);
    wait_for_text(first_log, "another process came as generator 'generator-1'", log);
    int status = process_wait(&up, RUN_MS); // a daemon that ends with an error ends the run
    assert_int_not_equal(status, 0);
    wait_for_text(log, "serving", ring.log);
    process_kill(&second, SIGTERM);
    assert_int_equal(process_wait(&second, RUN_MS), 0);
    ring_audit(&ring);
}

static void remove_from(const struct ring *ring, const char *name)
{
    SCOPED_MEM char *path = file_join(ring->run, name);
    assert_ok(file_remove_tree(path));
}

/* The learner's volume is lost and it begins again, under the eyes of a generator that holds weights, leases and groups of
 * the old store: none of them gets into the new one. */
static void what_is_left_of_a_lost_store_is_told_apart(void **state)
{
    (void)state;
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 40, .groups = 8, .lag = 0});
    struct process up =
        process_start(ring.log, "rlhfctl", "up", ring.recipe, "--run", ring.run, NULL);
    ring_wait_rounds(&ring, 10, RUN_MS);
    process_kill(&up, SIGSTOP); // it would start the learner at once
    kill(ring_pid(&ring, "learner"), SIGKILL);
    clock_sleep_ms(50);
    remove_from(&ring, "store");
    remove_from(&ring, "checkpoints");
    remove_from(&ring, "metrics.jsonl");
    process_kill(&up, SIGCONT);
    int status = process_wait(&up, RUN_MS);
    if (status) {
        SCOPED_MEM char *text = file_text(ring.log);
        print_error("%s\n", text);
    }
    assert_int_equal(status, 0);
    struct ring_result r = ring_read(&ring);
    assert_int_equal(r.rounds, 40);
    assert_int_equal((int)r.lag_max, 0);
    assert_true(r.logp_compared > 40 * 8 * 4);
    assert_int_equal((int)r.logp_differing, 0); // every token was drawn by weights of this store
    ring_audit(&ring);
}

static void copy_files(const char *from, const char *to)
{
    static const char *const names[] = {"store", "checkpoints", "metrics.jsonl"};
    assert_ok(file_make_directories(to));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        SCOPED_MEM char *source = file_join(from, names[i]);
        SCOPED_MEM char *target = file_join(to, names[i]);
        char *output;
        assert_ok(file_remove_tree(target));
        assert_int_equal(process_run(&output, RUN_MS, "/bin/cp", "-a", source, target, NULL), 0);
        free(output);
    }
}

/* The learner goes back to an older copy of its files, under a generator that holds a version which it never made then. */
static void versions_after_an_older_copy_are_replaced(void **state)
{
    (void)state;
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 40, .groups = 8, .lag = 0});
    SCOPED_MEM char *older = file_join(ring.directory, "older");
    struct process up =
        process_start(ring.log, "rlhfctl", "up", ring.recipe, "--run", ring.run, NULL);
    for (int i = 0; i < 2; i++) {
        ring_wait_rounds(&ring, i ? 20 : 8, RUN_MS);
        process_kill(&up, SIGSTOP);
        kill(ring_pid(&ring, "learner"), SIGKILL);
        clock_sleep_ms(50);
        copy_files(i ? older : ring.run, i ? ring.run : older);
        process_kill(&up, SIGCONT);
        clock_sleep_ms(200); // it sees the end, and starts the learner again
    }
    int status = process_wait(&up, RUN_MS);
    if (status) {
        SCOPED_MEM char *text = file_text(ring.log);
        print_error("%s\n", text);
    }
    assert_int_equal(status, 0);
    assert_int_equal(ring_read(&ring).rounds, 40);
    ring_audit(&ring);
}

TESTS(cmocka_unit_test(versions_after_an_older_copy_are_replaced),
      cmocka_unit_test(the_later_of_two_with_one_name_stays),
      cmocka_unit_test(what_is_left_of_a_lost_store_is_told_apart))
