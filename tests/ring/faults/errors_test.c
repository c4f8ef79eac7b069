/* What goes wrong at the start ends in one line that says where and what is allowed, a status that
 * is not 0, and nothing half-written. */
#include "base/bytes.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "svc/exit_status.h"
#include "testing/process.h"
#include "testing/ring.h"
#include "testing/testing.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

/* Exactly one line, which contains `part`; the status is not 0; the run directory was not made. */
static void assert_refused(const struct ring *ring, int status, char *output, const char *part)
{
    size_t lines = 0;
    for (const char *p = output; *p; p++)
        lines += *p == '\n';
    if (status == 0 || lines != 1 || !strstr(output, part) || file_exists(ring->run))
        print_error("status %d, %zu lines, wanted '%s':\n%s\n", status, lines, part, output);
    assert_int_not_equal(status, 0);
    assert_int_equal((int)lines, 1);
    assert_non_null(strstr(output, part));
    assert_false(file_exists(ring->run));
    free(output);
}

static struct ring small_ring(void)
{
    return ring_prepare(&(struct ring_options){.rounds = 2, .groups = 8, .lag = 1});
}

static void up_refuses(const struct ring *ring, const char *set, const char *part)
{
    char *output;
    int status = process_run(&output, 30000, "rlhfctl", "up", ring->recipe, "--run", ring->run,
                             "--set", set, NULL);
    assert_refused(ring, status, output, part);
}

static void a_bad_recipe(void **state)
{
    (void)state;
    struct ring ring = small_ring();
    up_refuses(&ring, "lag.mx=1", "did you mean");
    up_refuses(&ring, "lag.max=-1", "lag.max");
    up_refuses(&ring, "learner.optimizer.lr=fast", "learner.optimizer.lr");
    up_refuses(&ring, "learner.objective=ppoo", "learner.objective");
    up_refuses(&ring, "data.train=missing.jsonl", "missing.jsonl");
}

static void a_truncated_model(void **state)
{
    (void)state;
    struct ring ring = small_ring();
    char *path = file_join(ring.model, "model.safetensors");
    SCOPED_VALUE(bytes) all = {0};
    assert_ok(file_read(path, 1 << 24, &all));
    assert_ok(file_write(path, all.data, all.len - 100));
    up_refuses(&ring, "run.seed=1", "model.safetensors");
    free(path);
}

static void another_vocabularys_tokenizer(void **state)
{
    (void)state;
    struct ring ring = small_ring();
    char *text = file_join(ring.directory, "text.txt"), *output;
    assert_ok(file_write(text, "the quick brown fox", 19));
    int status = process_run(&output, 30000, "rlhfctl", "tokenizer", "train", text, "--vocab",
                             "300", "--out", ring.model, NULL);
    assert_int_equal(status, 0);
    free(output);
    up_refuses(&ring, "run.seed=1", "vocab");
    free(text);
}

static void a_reference_of_another_vocabulary(void **state)
{
    (void)state;
    struct ring ring = small_ring();
    char *text = file_join(ring.directory, "text.txt"), *output;
    char *other = file_join(ring.directory, "other");
    char *set = mem_printf("rewarder.reference_path=%s", other);
    assert_ok(file_write(text, "the quick brown fox", 19));
    process_run(NULL, 30000, "rlhfctl", "tokenizer", "train", text, "--vocab", "300", "--out",
                other, NULL);
    int status = process_run(&output, 30000, "rlhfctl", "model", "new", other, NULL);
    assert_int_equal(status, 0);
    free(output);
    status = process_run(&output, 30000, "rlhfctl", "up", ring.recipe, "--run", ring.run, "--set",
                         "rewarder.reference=frozen", "--set", set, NULL);
    assert_non_null(strstr(output, ring.model)); // both are named
    assert_refused(&ring, status, output, other);
    status = process_run(&output, 30000, "rlhfd-rewarder", ring.recipe, "--set",
                         "rewarder.reference=frozen", "--set", set, "--set",
                         "rewarder.listen=127.0.0.1:0", NULL);
    assert_refused(&ring, status, output, "vocabulary");
    free(set);
    free(other);
    free(text);
}

static void a_peer_that_is_not_there(void **state)
{
    (void)state;
    char *output;
    int status = process_run(&output, 30000, "rlhfctl", "status", "127.0.0.1:9", NULL);
    assert_int_not_equal(status, 0);
    assert_non_null(strstr(output, "127.0.0.1:9"));
    free(output);
    struct ring ring = small_ring();
    status = process_run(&output, 30000, "rlhfd-rewarder", ring.recipe, "--set",
                         "net.join_timeout_s=1", "--set", "rewarder.learner=127.0.0.1:9", "--set",
                         "rewarder.listen=127.0.0.1:0", NULL);
    assert_int_equal(status, EXIT_STATUS_UNREACHABLE);
    assert_non_null(strstr(output, "the learner was not reached in 1 s"));
    free(output);
}

/* Takes what room is left. */
static void fill_up(const char *path)
{
    static const char zeros[65536];
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    setbuf(file, NULL);
    for (size_t piece = sizeof zeros; piece; piece /= 2)
        while (fwrite(zeros, 1, piece, file) == piece)
            ;
    fclose(file);
}

/* Fills the disk until a write of the run meets that. A learner that has nothing to write as the
 * disk fills up waits for room, and must go on when there is some. The exit status. */
static int fill_until_it_ends(struct process *up, const char *ballast)
{
    enum { TRIES = 20, PATIENCE_MS = 5000, TRAINS_MS = 500 };
    int status = -1;
    for (int i = 0; i < TRIES && status < 0; i++) {
        fill_up(ballast);
        status = process_wait(up, PATIENCE_MS);
        remove(ballast);
        if (status < 0)
            status = process_wait(up, TRAINS_MS);
    }
    return status < 0 ? process_wait(up, 30000) : status;
}

/* The run goes on, and then something else takes the room of its file system. Needs to mount. */
static void a_full_disk(void **state)
{
    (void)state;
    struct ring ring = small_ring();
    char *disk = file_join(ring.directory, "disk"), *output;
    assert_ok(file_make_directories(disk));
    if (mount("tmpfs", disk, "tmpfs", 0, "size=64m")) {
        print_message("cannot mount a small file system here: skipped\n");
        skip();
    }
    ring.run = testing_path(disk, "run");
    SCOPED_MEM char *ballast = file_join(disk, "ballast");
    struct process up = process_start(
        ring.log, "rlhfctl", "up", ring.recipe, "--run", ring.run, "--set", "run.rounds=200000",
        "--set", "replay.min_free_bytes=0", "--set", "checkpoint.every=1", NULL);
    ring_wait_rounds(&ring, 3, 60000);
    int status = fill_until_it_ends(&up, ballast);
    output = file_text(ring.log);
    umount2(disk, MNT_DETACH);
    if (status <= 0 || !strstr(output, "No space left on device"))
        print_error("status %d:\n%s\n", status, output);
    assert_true(status > 0);
    assert_non_null(strstr(output, "No space left on device"));
    free(output);
    free(disk);
}

TESTS(cmocka_unit_test(a_bad_recipe), cmocka_unit_test(a_truncated_model),
      cmocka_unit_test(another_vocabularys_tokenizer),
      cmocka_unit_test(a_reference_of_another_vocabulary),
      cmocka_unit_test(a_peer_that_is_not_there), cmocka_unit_test(a_full_disk))
