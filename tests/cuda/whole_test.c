/* The whole ring on the module: generator, reference and learner. All have one forward id, so every
 * token's log-probability has the learner's bits, and no distance is told. A learner that is killed
 * trains its recorded rounds again. Then the learner compares
 * each version's digest with the recorded one. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "testing/process.h"
#include "testing/ring.h"
#include "testing/testing.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAIT_MS = 600000, GROUPS = 8, SETS = 40 };

static bool checked;

static int choose(void **state)
{
    (void)state;
    const char *path = getenv("RLHFD_BACKEND");
    checked = path && strstr(path, "_checked");
    if (!path)
        setenv("RLHFD_BACKEND", TEST_BIN "/librlhfd_cuda_emu.so", 1);
    return 0;
}

struct trial {
    bool one_update;
    const char *learner;        // settings of the learner's section
    const char *rewarder;       // further ones of the rewarder's
    const char *sets[3];        // KEY=VALUE
    int rounds, checked_rounds; // checked_rounds: by the build that looks at every access
    int kills;                  // SIGKILL after so many of the first rounds
};

static struct process start(const struct ring *ring, const struct trial *trial)
{
    static const char *const all[] = {"generator.backend=cuda", "rewarder.backend=cuda",
                                      "learner.backend=cuda"};
    const char *words[SETS] = {"up", ring->recipe, "--run", ring->run};
    size_t n = 4;
    for (size_t i = 0; i < 3; i++) {
        words[n++] = "--set";
        words[n++] = all[i];
    }
    for (size_t i = 0; i < 3 && trial->sets[i]; i++) {
        words[n++] = "--set";
        words[n++] = trial->sets[i];
    }
    return process_start_words(ring->log, "rlhfctl", words);
}

static double figure(const json_t *line, const char *key)
{
    const json_t *value = json_object_get(line, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* Without foreign tokens there is no distance of numerics, not even 0. A round of one update trains
 * the weights that drew it, and the first round's are the reference's: those distances are 0 and no
 * less than that. */
static void assert_distances(const struct ring *ring, const struct trial *trial)
{
    SCOPED_MEM char *path = file_join(ring->run, "metrics.jsonl");
    SCOPED_MEM char *text = file_text(path);
    char *rest = NULL;
    int round = 0;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        SCOPED_JSON json_t *object = json_loads(line, 0, NULL);
        const bool first = round++ == 0;
        if (!isnan(figure(object, "kl_mismatch")) ||
            (trial->one_update && figure(object, "kl_behaviour") != 0) ||
            (trial->rewarder && first && figure(object, "kl_reference") != 0))
            fail_msg("round %d: %s", round, line);
    }
}

static void assert_on_the_module(const struct ring *ring, const char *daemon)
{
    SCOPED_MEM char *path = mem_printf("%s/logs/%s.log", ring->run, daemon);
    SCOPED_MEM char *text = file_text(path);
    if (!strstr(text, "numerics=\"backend=cuda "))
        fail_msg("%s.log names no module:\n%s", daemon, text);
}

static struct ring_result run(const struct trial *trial)
{
    const int rounds = checked ? trial->checked_rounds : trial->rounds;
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = rounds,
                                                           .groups = GROUPS,
                                                           .lag = 0,
                                                           .learner = trial->learner,
                                                           .rewarder = trial->rewarder});
    struct process up = start(&ring, trial);
    for (int i = 1; i <= trial->kills && i < rounds; i++) {
        ring_wait_rounds(&ring, i, WAIT_MS);
        kill(ring_pid(&ring, "learner"), SIGKILL);
    }
    const int status = process_wait(&up, WAIT_MS);
    if (status) {
        SCOPED_MEM char *learner = file_join(ring.run, "logs/learner.log");
        file_print_end("rlhfctl up", ring.log);
        file_print_end("learner", learner);
    }
    assert_int_equal(status, 0);
    const struct ring_result result = ring_read(&ring);
    print_message("%s: %d rounds, %.0f tokens compared, %.0f differ\n", trial->learner,
                  result.rounds, result.logp_compared, result.logp_differing);
    assert_int_equal(result.rounds, rounds);
    assert_true(result.logp_compared > rounds * GROUPS * 4);
    assert_true(result.logp_differing == 0);
    assert_distances(&ring, trial);
    assert_on_the_module(&ring, "learner");
    assert_on_the_module(&ring, "generator");
    if (trial->rewarder)
        assert_on_the_module(&ring, "rewarder");
    ring_audit(&ring);
    return result;
}

static void rloo_with_a_reference(void **state)
{
    (void)state;
    run(&(struct trial){.learner = "objective: rloo, kl: {coef: 0.05}, updates_per_round: 2",
                        .rewarder = "reference: frozen, ",
                        .rounds = 3,
                        .checked_rounds = 1,
                        .kills = 2});
}

static void dpo_with_a_reference(void **state)
{
    (void)state;
    run(&(struct trial){.learner = "objective: online_dpo",
                        .one_update = true,
                        .rewarder = "reference: frozen, ",
                        .sets = {"learner.optimizer.states=host"},
                        .rounds = 2,
                        .checked_rounds = 1,
                        .kills = 1});
}

static void ppo_with_a_critic_of_its_own(void **state)
{
    (void)state;
    run(&(struct trial){.learner = "objective: ppo, gradient_checkpointing: true",
                        .sets = {"learner.critic.optimizer.states=host"},
                        .rounds = 2,
                        .checked_rounds = 1,
                        .kills = 1});
}

/* ---- in a wide run */

static double reward_of(const struct ring *ring, int from, int to)
{
    SCOPED_MEM char *path = file_join(ring->run, "metrics.jsonl");
    SCOPED_MEM char *text = file_text(path);
    char *rest = NULL;
    double sum = 0;
    int round = 0;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        SCOPED_JSON json_t *object = json_loads(line, 0, NULL);
        sum += round >= from && round < to ? figure(object, "reward_mean") : 0;
        round++;
    }
    return sum / (to - from);
}

/* Lengths are soon learnt. */
static void the_reward_rises(void **state)
{
    (void)state;
    enum { ROUNDS = 16 };
    if (!getenv("RLHFD_EMU") || checked)
        skip();
    const struct trial trial = {.sets = {"learner.optimizer.lr=1e-2", "checkpoint.every=8"}};
    struct ring ring =
        ring_prepare(&(struct ring_options){.rounds = ROUNDS,
                                            .groups = GROUPS,
                                            .lag = 0,
                                            .scorers = "[{kind: length, min: 1, max: 6}]"});
    struct process up = start(&ring, &trial);
    assert_int_equal(process_wait(&up, WAIT_MS), 0);
    const double first = reward_of(&ring, 0, 4), last = reward_of(&ring, ROUNDS - 4, ROUNDS);
    const struct ring_result result = ring_read(&ring);
    print_message("reward %.3f in the first 4 of %d rounds, %.3f in the last; %.0f tokens "
                  "compared, %.0f differ\n",
                  first, ROUNDS, last, result.logp_compared, result.logp_differing);
    assert_true(last > first + 0.1);
    assert_true(result.logp_differing == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rloo_with_a_reference), cmocka_unit_test(dpo_with_a_reference),
        cmocka_unit_test(ppo_with_a_critic_of_its_own), cmocka_unit_test(the_reward_rises)};
    return cmocka_run_group_tests(tests, choose, NULL);
}
