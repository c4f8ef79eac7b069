/* Rings whose rewards come from an ensemble of reward models. The bits of every score and reward
 * are those of a forward over one sequence here. One rewarder or three, killed or not, train the
 * same versions from them.
 *
 * RLHFD_REWARDER_KILLS_S=N: another test, in which a rewarder is killed every 20 s for N seconds
 * (./dev bench rewarder_kills). */
#include "base/clock.h"
#include "base/json.h"
#include "base/jsonl.h"
#include "learner/store/history.h"
#include "model/scores.h"
#include "rewarder/scorers/ensemble.h"
#include "testing/process.h"
#include "testing/reward_model.h"
#include "testing/ring.h"
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 10, GROUPS = 8, MODELS = 2, RUN_MS = 180000, EVERY_MS = 20000 };
#define COEF 0.5

/* Wide enough that a kill often finds a group on its way through them. */
static const struct drawn models[MODELS] = {
    {.pad = -1, .width = 128, .layers = 4, .seed = 31},
    {.pad = 0, .width = 128, .layers = 4, .seed = 32},
};

struct task {
    struct ring ring;
    const char *model[MODELS];
};

static struct task prepare(void)
{
    struct task task = {.ring = ring_prepare(&(struct ring_options){
                            .rounds = ROUNDS, .groups = GROUPS, .prompts = 64})};
    for (int m = 0; m < MODELS; m++)
        task.model[m] = reward_model_drawn(task.ring.model, &models[m]);
    return task;
}

/* The same task in a run directory of its own. */
static struct ring run_of(const struct task *task, const char *name)
{
    struct ring ring = task->ring;
    SCOPED_MEM char *log = mem_printf("%s.log", name);
    ring.run = testing_path(ring.directory, name);
    ring.log = testing_path(ring.directory, log);
    return ring;
}

static struct process start(const struct task *task, const struct ring *ring, int rewarders,
                            int rounds)
{
    SCOPED_MEM char *scorers =
        mem_printf("rewarder.scorers=[{kind: reward_model, paths: ['%s', '%s'], aggregate: "
                   "lower_bound, coef: %g}, {kind: length, max: 6, weight: 0.25}]",
                   task->model[0], task->model[1], COEF);
    SCOPED_MEM char *rewards = mem_printf("rewarder.count=%d", rewarders);
    SCOPED_MEM char *generators = mem_printf("generator.count=%d", rewarders);
    SCOPED_MEM char *end = mem_printf("run.rounds=%d", rounds);
    return process_start(ring->log, "rlhfctl", "up", ring->recipe, "--run", ring->run, "--set",
                         scorers, "--set", rewards, "--set", generators, "--set", end, "--set",
                         "checkpoint.every=1000000", NULL);
}

static void wait_end(const struct ring *ring, struct process *up)
{
    const int status = process_wait(up, RUN_MS);
    if (status)
        file_print_end("up", ring->log);
    assert_int_equal(status, 0);
    ring_audit(ring);
}

static void kill_one(const struct ring *ring, const char *daemon)
{
    assert_int_equal(kill(ring_pid(ring, daemon), SIGKILL), 0);
}

/* ---- what a run's store has */

/* Calls fn with each group of the first `rounds` rounds. */
static void each_group(const struct ring *ring, int rounds,
                       void (*fn)(void *arg, const struct group *group), void *arg)
{
    SCOPED_MEM char *directory = file_join(ring->run, "store");
    SCOPED(store) store = NULL;
    assert_ok(store_read(directory, &store));
    for (int number = 0; number < rounds; number++) {
        SCOPED(round) round = NULL;
        struct group **groups;
        assert_ok(store_round(store, (uint64_t)number, &round));
        assert_ok(store_round_groups(store, round, &groups));
        for (size_t g = 0; g < round->groups; g++)
            fn(arg, groups[g]);
        round_groups_free(groups, round->groups);
    }
}

/* Slot, completion, and the bits of scores and reward, a line each. */
static void put_bits(void *arg, const struct group *group)
{
    for (uint32_t i = 0; i < group->completions; i++) {
        uint64_t score, reward;
        memcpy(&score, group_values(group, COLUMN_SCORES, i), sizeof score);
        memcpy(&reward, group_values(group, COLUMN_REWARD, i), sizeof reward);
        bytes_printf(arg, "%d %d %016llx %016llx\n", (int)group->slot, (int)i,
                     (unsigned long long)score, (unsigned long long)reward);
    }
}

/* The digests of all trainees of each version, the first of which differ. Returns how many. */
static uint64_t put_versions(const struct ring *ring, int rounds, struct bytes *ret)
{
    SCOPED_MEM char *directory = file_join(ring->run, "store");
    SCOPED(store) store = NULL;
    struct digest before = {0};
    uint64_t last;
    assert_ok(store_read(directory, &store));
    assert_ok(store_version_after(store, (uint64_t)rounds, &last));
    for (uint64_t version = 1; version <= last; version++) {
        struct trainee_digests made;
        assert_ok(store_digests_of(store, version, &made));
        if (version <= ROUNDS) // training goes on; thousands of versions learn all there is
            assert_false(digest_equal(&made.at[0].weights, &before));
        before = made.at[0].weights;
        for (size_t i = 0; i < made.count; i++) {
            char digest[DIGEST_TEXT];
            digest_text(&made.at[i].weights, digest);
            bytes_printf(ret, "%d %s %s\n", (int)version, made.at[i].name, digest);
        }
    }
    return last;
}

static void assert_same_run(const struct ring *a, const struct ring *b, int rounds)
{
    SCOPED_VALUE(bytes) of_a = {0};
    SCOPED_VALUE(bytes) of_b = {0};
    assert_true(put_versions(a, rounds, &of_a) >= (uint64_t)rounds);
    put_versions(b, rounds, &of_b);
    each_group(a, rounds, put_bits, &of_a);
    each_group(b, rounds, put_bits, &of_b);
    assert_true(of_a.len == of_b.len && memcmp(of_a.data, of_b.data, of_a.len) == 0);
}

/* ---- what the scores are */

struct alone {
    double spread; // sum of standard deviations
    struct backend *be;
    struct model *model[MODELS];
    struct scores *scores[MODELS];
    int compared;
};

static void compare_group(void *arg, const struct group *group)
{
    struct alone *alone = arg;
    for (uint32_t i = 0; i < group->completions; i++) {
        const struct completion *c = &group->completion[i];
        int32_t token[64];
        double each[MODELS], std;
        int count = 0;
        for (uint32_t t = 0; t < group->prompt_tokens; t++)
            token[count++] = (int32_t)group->prompt_token[t];
        for (uint32_t t = 0; t < c->tokens; t++)
            token[count++] = (int32_t)c->token[t];
        for (int m = 0; m < MODELS; m++) {
            float score;
            assert_ok(scores_run(alone->scores[m], token, count, &score));
            each[m] = (double)score;
        }
        const double want = ensemble_score(ENSEMBLE_LOWER_BOUND, COEF, each, MODELS, &std);
        const double *got = group_values(group, COLUMN_SCORES, i);
        assert_true(got[0] == want && std > 0);
        assert_true(group_value(group, COLUMN_ENSEMBLE_STD, i) == std);
        assert_true(group_value(group, COLUMN_REWARD, i) == got[0] + 0.25 * got[1]);
        alone->spread += std;
        alone->compared++;
    }
}

/* The mean of the rounds' figures in metrics.jsonl. */
static double told_spread(const struct ring *ring)
{
    SCOPED(jsonl) lines = NULL;
    SCOPED_MEM char *path = file_join(ring->run, "metrics.jsonl");
    double sum = 0;
    assert_ok(jsonl_open(path, &lines));
    for (uint64_t round = 0; round < ROUNDS; round++) {
        SCOPED_VALUE(bytes) text = {0};
        SCOPED_JSON json_t *line = NULL;
        assert_ok(jsonl_row(lines, round, &text));
        assert_ok(json_parse((const char *)text.data, text.len, path, &line));
        sum += json_real_value(json_object_get(line, "ensemble_std_mean"));
    }
    return sum / ROUNDS;
}

static void compare_scores(const struct task *task, const struct ring *ring)
{
    struct alone alone = {0};
    assert_ok(backend_open(NULL, &(struct backend_config){.threads = 1}, &alone.be));
    for (int m = 0; m < MODELS; m++) {
        assert_ok(model_load_reward(alone.be, task->model[m], &alone.model[m]));
        assert_ok(scores_new(alone.model[m], 64, &alone.scores[m]));
    }
    each_group(ring, ROUNDS, compare_group, &alone);
    assert_int_equal(alone.compared, ROUNDS * GROUPS * 4);
    assert_near(told_spread(ring), alone.spread / alone.compared, 1e-9);
    for (int m = 0; m < MODELS; m++) {
        scores_free(alone.scores[m]);
        model_free(alone.model[m]);
    }
    backend_free(alone.be);
}

/* ---- who made the groups: generators send to a rewarder each */

static void note_maker(void *arg, const struct group *group)
{
    int *groups = arg;
    const int number = (int)strtol(strrchr(group->generator, '-') + 1, NULL, 10);
    assert_in_range(number, 1, 3);
    groups[number - 1]++;
}

static void one_rewarder_three_or_killed_ones_train_the_same(void **state)
{
    (void)state;
    const struct task task = prepare();
    const struct ring one = run_of(&task, "one"), three = run_of(&task, "three"),
                      killed = run_of(&task, "killed");
    int groups[3] = {0};
    struct process of_one = start(&task, &one, 1, ROUNDS),
                   of_three = start(&task, &three, 3, ROUNDS),
                   of_killed = start(&task, &killed, 1, ROUNDS);
    for (int kills = 0; kills < 4; kills++) {
        ring_wait_rounds(&killed, 1 + 2 * kills, RUN_MS);
        kill_one(&killed, "rewarder");
        if (kills == 2)
            kill_one(&killed, "learner"); // replays what it had, from those rewards
    }
    wait_end(&one, &of_one);
    wait_end(&three, &of_three);
    wait_end(&killed, &of_killed);
    compare_scores(&task, &one);
    assert_same_run(&one, &three, ROUNDS);
    assert_same_run(&one, &killed, ROUNDS);
    each_group(&three, ROUNDS, note_maker, groups);
    print_message("groups by way of three rewarders: %d, %d, %d\n", groups[0], groups[1],
                  groups[2]);
    assert_true(groups[0] && groups[1] && groups[2]);
}

/* As many rounds as there is time for, and then the same undisturbed. */
static void a_rewarder_killed_again_and_again_changes_nothing(void **state)
{
    (void)state;
    const char *text = getenv("RLHFD_REWARDER_KILLS_S");
    if (!text)
        skip();
    const int kills = (int)(strtoll(text, NULL, 10) * 1000 / EVERY_MS);
    const struct task task = prepare();
    const struct ring killed = run_of(&task, "killed"), calm = run_of(&task, "calm");
    struct process up = start(&task, &killed, 1, 1000000);
    for (int i = 0; i < kills; i++) {
        clock_sleep_ms(EVERY_MS);
        const int rounds = ring_read(&killed).rounds;
        kill_one(&killed, "rewarder");
        ring_wait_rounds(&killed, rounds + 1, RUN_MS);
    }
    process_kill(&up, SIGINT);
    process_wait(&up, RUN_MS);
    const int rounds = ring_read(&killed).rounds;
    up = start(&task, &calm, 1, rounds);
    assert_int_equal(process_wait(&up, 4 * kills * EVERY_MS), 0);
    ring_audit(&killed);
    assert_same_run(&killed, &calm, rounds);
    print_message("%d kills, one every %d s: %d rounds, the same scores, rewards and weights\n",
                  kills, EVERY_MS / 1000, rounds);
}

TESTS(cmocka_unit_test(one_rewarder_three_or_killed_ones_train_the_same),
      cmocka_unit_test(a_rewarder_killed_again_and_again_changes_nothing))
