/* Who is refused: a process whose name another has taken, and work of a store that is no more. */
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "model/files/identity.h"
#include "svc/recipe/recipe_shared.h"
#include "testing/lease_client.h"
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

/* A hello as the recipe's generator says it; the caller frees it. */
static struct hello hello_of(const struct ring *ring)
{
    struct hello hello = {0};
    SCOPED(recipe) recipe = NULL;
    assert_ok(
        recipe_read(&(struct recipe_source){.file = ring->recipe, .run = ring->run}, &recipe));
    recipe_of_samples(recipe, hello_put, &hello);
    assert_ok(model_identity(recipe->model.path, hello_put, &hello));
    return hello;
}

static struct process start_generator(const struct ring *ring, const char *log, const char *set)
{
    SCOPED_MEM char *learner = address_of(ring, "learner");
    SCOPED_MEM char *rewarder = address_of(ring, "rewarder");
    SCOPED_MEM char *to_learner = mem_printf("generator.learner=%s", learner);
    SCOPED_MEM char *to_rewarder = mem_printf("generator.rewarder=%s", rewarder);
    return process_start(log, "rlhfd-generator", ring->recipe, "--run", ring->run, "--set",
                         "generator.name=generator-1", "--set", "generator.listen=127.0.0.1:0",
                         "--set", to_learner, "--set", to_rewarder, "--set", set, NULL);
}

/* `rlhfctl up` with a ring that has trained two rounds and does not end by itself. */
static struct process start_up(struct ring *ret)
{
    *ret = ring_prepare(&(struct ring_options){.rounds = 1000000, .groups = 8, .lag = 1});
    struct process up =
        process_start(ret->log, "rlhfctl", "up", ret->recipe, "--run", ret->run, NULL);
    ring_wait_rounds(ret, 2, RUN_MS);
    return up;
}

static void drain(struct process *up)
{
    process_kill(up, SIGINT);
    assert_int_equal(process_wait(up, RUN_MS), 0);
}

/* Two live processes of one name take it from each other, and both and the learner say so; the run
 * goes on. */
static void two_with_one_name_do_not_end_the_run(void **state)
{
    (void)state;
    struct ring ring;
    struct process up = start_up(&ring);
    SCOPED_MEM char *log = file_join(ring.directory, "second.log");
    SCOPED_MEM char *first_log = file_join(ring.run, "logs/generator.log");
    SCOPED_MEM char *learner_log = file_join(ring.run, "logs/learner.log");
    struct process second = start_generator(&ring, log, "run.seed=1");
    wait_for_text(first_log, "another process came as generator 'generator-1'", log);
    wait_for_text(learner_log, "generator superseded", log);
    wait_for_text(log, "\"superseded\" why=", ring.log); // the first has come again
    ring_wait_rounds(&ring, ring_read(&ring).rounds + 5, RUN_MS);
    process_kill(&second, SIGTERM);
    assert_int_equal(process_wait(&second, RUN_MS), 0);
    ring_wait_rounds(&ring, ring_read(&ring).rounds + 5, RUN_MS);
    drain(&up);
    ring_audit(&ring);
}

/* Anyone who can connect may claim a name. All it gets is that the process of this name comes
 * again; no number locks it out. */
static void a_forged_hello_ends_nothing(void **state)
{
    (void)state;
    static const uint64_t forged[] = {UINT64_MAX, 1, INT64_MAX, 0};
    struct ring ring;
    struct process up = start_up(&ring);
    SCOPED_MEM char *learner = address_of(&ring, "learner");
    SCOPED_VALUE(hello) hello = hello_of(&ring);
    const int generator = ring_pid(&ring, "generator");
    uint64_t term = 0;
    for (size_t i = 0; i < sizeof forged / sizeof *forged; i++) {
        struct lease_client client;
        struct lease_request request = {.run = (char *)"test",
                                        .generator = (char *)"generator-1",
                                        .incarnation = forged[i],
                                        .version = UINT64_MAX,
                                        .lineage = UINT32_MAX,
                                        .want = UINT32_MAX,
                                        .busy_s = 1e308,
                                        .tokens = UINT64_MAX,
                                        .hello = hello};
        lease_client_open(&client, learner, &request);
        lease_client_answered(&client);
        if (!forged[i])
            assert_non_null(strstr(client.why, "incarnation is 0"));
        else
            assert_true(client.term > term);
        term = client.term;
        lease_client_close(&client);
        ring_wait_rounds(&ring, ring_read(&ring).rounds + 3, RUN_MS); // it is back
    }
    assert_int_equal(ring_pid(&ring, "generator"), generator);
    drain(&up);
    ring_audit(&ring);
}

/* A generator whose log-probabilities are not ours to the bit is welcome, and told of. */
static void other_numerics_join(void **)
{
    struct ring ring;
    struct process up = start_up(&ring);
    SCOPED_MEM char *learner = address_of(&ring, "learner");
    SCOPED_MEM char *learner_log = file_join(ring.run, "logs/learner.log");
    SCOPED_VALUE(hello) hello = hello_of(&ring);
    hello.forward = mem_string("backend=cuda kernels=1 arch=sm_90 kv=bf16");
    struct lease_client client;
    struct lease_request request = {
        .run = (char *)"test", .generator = (char *)"gpu", .incarnation = 9, .hello = hello};
    lease_client_open(&client, learner, &request);
    lease_client_answered(&client);
    assert_true(client.term > 0);
    wait_for_text(learner_log,
                  "generator=gpu forward=\"backend=cuda kernels=1 arch=sm_90 kv=bf16\" "
                  "learner=\"backend=cpu kernels=2 kv=bf16\"",
                  ring.log);
    char *output = NULL;
    assert_int_equal(process_run(&output, RUN_MS, "rlhfctl", "workers", "--run", ring.run, NULL),
                     0);
    assert_non_null(strstr(output, "numerics of gpu: backend=cuda kernels=1 arch=sm_90 kv=bf16"));
    assert_non_null(strstr(output, "numerics of generator-1: backend=cpu kernels=2 kv=bf16"));
    free(output);
    SCOPED_MEM char *text = file_text(learner_log);
    assert_null(strstr(text, "generator=generator-1 forward=")); // ours are nothing to tell
    lease_client_close(&client);
    drain(&up);
    assert_int_equal((int)ring_read(&ring).logp_differing, 0);
    ring_audit(&ring);
}

/* The learner is killed: the process that has the name goes on with what it holds; the one that it
 * superseded stays out. */
static void a_superseded_process_stays_out_after_a_restart(void **state)
{
    (void)state;
    struct ring ring;
    struct process up = start_up(&ring);
    SCOPED_MEM char *learner = address_of(&ring, "learner");
    SCOPED_VALUE(hello) hello = hello_of(&ring);
    struct lease_request request = {.run = (char *)"test",
                                    .generator = (char *)"old",
                                    .incarnation = UINT64_MAX,
                                    .hello = hello};
    struct lease_client older, younger;
    lease_client_open(&older, learner, &request);
    lease_client_answered(&older);
    request.incarnation = 5;
    lease_client_open(&younger, learner, &request);
    lease_client_answered(&younger);
    lease_client_wait(&older, true);
    assert_int_equal(older.code, ERR_ABORTED);
    const uint64_t term = younger.term;
    lease_client_close(&older);
    lease_client_close(&younger);
    kill(ring_pid(&ring, "learner"), SIGKILL);
    ring_wait_rounds(&ring, ring_read(&ring).rounds + 3, RUN_MS);
    request.incarnation = UINT64_MAX;
    lease_client_open(&older, learner, &request);
    lease_client_wait(&older, true);
    assert_int_equal(older.code, ERR_ABORTED);
    lease_client_close(&older);
    request.incarnation = 5;
    lease_client_open(&younger, learner, &request);
    lease_client_answered(&younger);
    assert_int_equal(younger.term, term);
    lease_client_close(&younger);
    drain(&up);
    ring_audit(&ring);
}

static void assert_ends(const struct ring *ring, struct process *up)
{
    int status = process_wait(up, RUN_MS);
    SCOPED_MEM char *text = file_text(ring->log);
    if (status)
        print_error("%s\n", text);
    assert_int_equal(status, 0);
}

/* `up` stands still and would start the learner at once. Returns when no thread of it runs. */
static void kill_under(const struct process *up, const struct ring *ring)
{
    process_kill(up, SIGSTOP);
    const int learner = ring_pid(ring, "learner");
    SCOPED_MEM char *path = mem_printf("/proc/%d/status", learner);
    kill(learner, SIGKILL);
    for (int64_t until = clock_ms() + RUN_MS;; clock_sleep_ms(5)) {
        SCOPED_MEM char *text = file_text(path);
        if (strstr(text, "State:\tZ") && strstr(text, "Threads:\t1\n"))
            return;
        if (clock_ms() > until)
            fail_msg("the learner does not die: %s", text);
    }
}

static void remove_from(const struct ring *ring, const char *name)
{
    SCOPED_MEM char *path = file_join(ring->run, name);
    assert_ok(file_remove_tree(path));
}

/* The learner's volume is lost and it begins again, under the eyes of a generator that holds
 * weights, leases and groups of the old store: none of them gets into the new one. */
static void what_is_left_of_a_lost_store_is_told_apart(void **state)
{
    (void)state;
    enum { ROUNDS = 80 };
    struct ring ring =
        ring_prepare(&(struct ring_options){.rounds = ROUNDS, .groups = 8, .lag = 0});
    struct process up =
        process_start(ring.log, "rlhfctl", "up", ring.recipe, "--run", ring.run, NULL);
    ring_wait_rounds(&ring, 10, RUN_MS);
    kill_under(&up, &ring);
    remove_from(&ring, "store");
    remove_from(&ring, "checkpoints");
    remove_from(&ring, "metrics.jsonl");
    process_kill(&up, SIGCONT);
    assert_ends(&ring, &up);
    struct ring_result r = ring_read(&ring);
    assert_int_equal(r.rounds, ROUNDS);
    assert_int_equal((int)r.lag_max, 0);
    assert_true(r.logp_compared > ROUNDS * 8 * 4);
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

/* The learner goes back to an older copy of its files, under a generator that holds a version which
 * it never made then. */
static void versions_after_an_older_copy_are_replaced(void **state)
{
    (void)state;
    enum { ROUNDS = 80, APART = 12 };
    struct ring ring =
        ring_prepare(&(struct ring_options){.rounds = ROUNDS, .groups = 8, .lag = 0});
    SCOPED_MEM char *older = file_join(ring.directory, "older");
    struct process up =
        process_start(ring.log, "rlhfctl", "up", ring.recipe, "--run", ring.run, NULL);
    ring_wait_rounds(&ring, 8, RUN_MS);
    for (int i = 0; i < 2; i++) {
        kill_under(&up, &ring);
        copy_files(i ? older : ring.run, i ? ring.run : older);
        const int learner = ring_pid(&ring, "learner"), rounds = ring_read(&ring).rounds;
        process_kill(&up, SIGCONT);
        for (int64_t until = clock_ms() + RUN_MS; ring_pid(&ring, "learner") == learner;
             clock_sleep_ms(20))
            assert_true(clock_ms() < until);
        if (!i)
            ring_wait_rounds(&ring, rounds + APART, RUN_MS);
    }
    assert_ends(&ring, &up);
    assert_int_equal(ring_read(&ring).rounds, ROUNDS);
    ring_audit(&ring);
}

TESTS(cmocka_unit_test(versions_after_an_older_copy_are_replaced),
      cmocka_unit_test(two_with_one_name_do_not_end_the_run),
      cmocka_unit_test(a_forged_hello_ends_nothing), cmocka_unit_test(other_numerics_join),
      cmocka_unit_test(a_superseded_process_stays_out_after_a_restart),
      cmocka_unit_test(what_is_left_of_a_lost_store_is_told_apart))
