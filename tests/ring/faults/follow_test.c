/* A reference that moves, terms of whole rows and values kept from update to update, through a ring
 * whose learner is killed three times. Recorded rounds are trained again to the same digests of
 * policy and reference, or the learner would end. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "testing/process.h"
#include "testing/ring.h"
#include "testing/testing.h"
#include <math.h>
#include <signal.h>

enum { RUN_MS = 100000, ROUNDS = 7, GROUPS = 6 };

/* The newest checkpoint's values beside the policy. */
static void assert_kept(const struct ring *ring)
{
    SCOPED_MEM char *latest = file_join(ring->run, "checkpoints/latest");
    SCOPED_MEM char *path = file_join(latest, "manifest.json");
    SCOPED_MEM char *masters = file_join(latest, "reference/optimizer.safetensors");
    SCOPED_JSON json_t *manifest = NULL;
    assert_ok(json_read_file(path, 1 << 20, &manifest));
    const json_t *running = json_object_get(manifest, "running"),
                 *trainees = json_object_get(manifest, "trainees");
    assert_true(json_is_number(json_object_get(running, "entropy_coef")));
    const double rewards = json_number_value(json_object_get(running, "rewards"));
    assert_true(rewards >= ROUNDS * GROUPS * 2 && fmod(rewards, ROUNDS * GROUPS) == 0);
    assert_int_equal(json_array_size(trainees), 2);
    const json_t *reference = json_array_get(trainees, 1);
    assert_string_equal(json_string_value(json_object_get(reference, "name")), "reference");
    assert_string_not_equal(
        json_string_value(json_object_get(reference, "weights")),
        json_string_value(json_object_get(json_array_get(trainees, 0), "weights")));
    assert_true(file_exists(masters));
}

static void a_killed_learner_makes_the_reference_again(void **)
{
    const struct ring ring = ring_prepare(&(struct ring_options){
        .rounds = ROUNDS,
        .groups = GROUPS,
        .lag = 1,
        .learner = "objective: tdpo2, updates_per_round: 2,"
                   " reference: {kind: ema, sync_steps: 3, mixup_alpha: 0.5},"
                   " reward: {normalize: std},"
                   " rows: {distance: reverse, coef: 0.1, entropy_coef: 0.01, entropy_target: 2}"});
    struct process up =
        process_start(ring.log, "rlhfctl", "up", ring.recipe, "--run", ring.run, NULL);
    for (int rounds = 1; rounds <= 5; rounds += 2) {
        ring_wait_rounds(&ring, rounds, RUN_MS);
        kill(ring_pid(&ring, "learner"), SIGKILL);
    }
    const int status = process_wait(&up, RUN_MS);
    if (status) {
        SCOPED_MEM char *log = file_join(ring.run, "logs/learner.log");
        file_print_end("up", ring.log);
        file_print_end("learner", log);
    }
    assert_int_equal(status, 0);
    ring_audit(&ring);
    const struct ring_result result = ring_read(&ring);
    assert_int_equal(result.rounds, ROUNDS);
    assert_true(result.logp_compared > 0 && result.logp_differing == 0);
    assert_kept(&ring);
}

TESTS(cmocka_unit_test(a_killed_learner_makes_the_reference_again))
