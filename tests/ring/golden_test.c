/* Twenty rounds at lag 0 end with the weights that they always ended with: real rings on two tasks,
 * sort and tldr, from nothing on, and the digest of every version. testing/golden.h says what these
 * digests are and when they may be written again.
 *
 * sort's rows are drawn from a seed (examples/sort/prepare), tldr's are frozen in tests/golden/tldr
 * (tests/golden/tldr.sh). Both begin with a new model and a short supervised training, whose
 * weights are golden, too. Where a recipe's key gets another name, it is renamed below and in
 * tests/golden/{sort,tldr}/recipe.yaml. */
#include "base/file.h"
#include "base/jsonl.h"
#include "base/mem.h"
#include "testing/golden.h"
#include "testing/process.h"
#include "testing/ring.h"
#include "testing/testing.h"
#include "testing/weights.h"
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 20, RUN_MS = 400000, SETS_MAX = 14, WORDS_MAX = 4 + 2 * SETS_MAX };

struct trained {
    const char *name;
    size_t updates;            // per round
    const char *set[SETS_MAX]; // KEY=VALUE
    const char *critic;        // name of its digests; NULL: it has none
    size_t warmup;             // rounds in which it is trained alone
};
static const struct trained trained[] = {
    {"rloo", 1, {"learner.objective=rloo"}},
    {"rloo_kl",
     1,
     {"learner.objective=rloo", "rewarder.reference=frozen", "learner.kl.place=reward",
      "learner.kl.estimator=k3", "learner.kl.coef=0.05", "learner.kl.target=0.02",
      "learner.kl.horizon=500"}},
    {"grpo",
     4,
     {"learner.objective=grpo", "rewarder.reference=frozen", "learner.updates_per_round=4",
      "learner.epochs=2", "learner.ratio_to=proximal", "learner.kl.coef=0.05",
      "learner.kl.estimator=k3"}},
    {"online_dpo", 1, {"learner.objective=online_dpo", "rewarder.reference=frozen"}},
    {"ppo",
     2,
     {"learner.objective=ppo", "rewarder.reference=frozen", "learner.updates_per_round=2",
      "learner.kl.place=reward", "learner.kl.coef=0.05", "learner.ppo.lambda=0.95",
      "learner.ppo.truncated=bootstrap", "learner.critic.model=separate",
      "learner.critic.head=zero", "learner.critic.warmup_rounds=5",
      "learner.critic.optimizer.lr=1e-3"},
     "ppo_critic",
     5},
    {"ppo_shared",
     4,
     {"learner.objective=ppo", "learner.updates_per_round=4", "learner.epochs=2",
      "learner.ppo.lambda=0.95", "learner.critic.model=shared", "learner.critic.head=normal",
      "learner.critic.values=epoch", "learner.critic.warmup_rounds=5",
      "learner.critic.optimizer.lr=1e-3"},
     "ppo_shared_critic",
     5},
};
enum { TRAINED = sizeof trained / sizeof *trained };

struct task {
    const char *name, *directory;
    char *recipe, *base, *sft, *log;
};

static struct task task_of(const char *name)
{
    const char *directory = testing_directory();
    return (struct task){.name = name,
                         .directory = directory,
                         .recipe = testing_path(directory, "recipe.yaml"),
                         .base = testing_path(directory, "base"),
                         .sft = testing_path(directory, "sft"),
                         .log = testing_path(directory, "log")};
}

/* Runs a program to its end; its output is shown if it fails. */
static void run(const struct task *task, const char *program, const char *const *words)
{
    struct process process = process_start_words(task->log, program, words);
    const int status = process_wait(&process, RUN_MS);
    if (status)
        file_print_end(program, task->log);
    assert_int_equal(status, 0);
}
#define RUN(task, program, ...) run((task), (program), (const char *const[]){__VA_ARGS__, NULL})

static void check_model(const struct task *task, const char *name, const char *directory)
{
    SCOPED_JSON json_t *digest = weights_of_directory(directory);
    golden_check(task->name, name, digest);
}

/* ---- from nothing to a supervised model */

static void finetune(const struct task *task)
{
    check_model(task, "new", task->base);
    RUN(task, "rlhfctl", "sft", task->recipe, "--run", task->directory);
    check_model(task, "sft", task->sft);
}

static struct task prepare_sort(void)
{
    const struct task task = task_of("sort");
    const char *data = testing_path(task.directory, "data"),
               *rows = testing_path(task.directory, "data/sft.jsonl");
    RUN(&task, "/bin/cp", TEST_GOLDEN "/sort/recipe.yaml", task.recipe);
    RUN(&task, TEST_GOLDEN "/../../examples/sort/prepare", "--seed", "1", "--sft", "7680",
        "--train", "400", "--test", "8", "--out", data);
    RUN(&task, "rlhfctl", "tokenizer", "train", "--vocab", "29", "--special", "<pad>", "--special",
        "<eos>", "--alphabet", "data", "--out", task.base, rows);
    RUN(&task, "rlhfctl", "model", "new", "--seed", "1", "--layers", "2", "--width", "64",
        "--heads", "2", "--ff", "192", "--tied", "--max-positions", "32", task.base);
    finetune(&task);
    return task;
}

static struct task prepare_tldr(void)
{
    const struct task task = task_of("tldr");
    RUN(&task, "/bin/cp", TEST_GOLDEN "/tldr/recipe.yaml", task.recipe);
    RUN(&task, "/bin/cp", "-r", TEST_GOLDEN "/tldr", task.base);
    RUN(&task, "rlhfctl", "model", "new", "--seed", "1", "--layers", "2", "--width", "64",
        "--heads", "4", "--ff", "176", "--tied", "--max-positions", "128", task.base);
    finetune(&task);
    return task;
}

/* ---- rings */

static struct ring ring_of(const struct task *task, const struct trained *t)
{
    SCOPED_MEM char *log = mem_printf("%s.log", t->name);
    return (struct ring){.directory = task->directory,
                         .recipe = task->recipe,
                         .run = testing_path(task->directory, t->name),
                         .log = testing_path(task->directory, log)};
}

static struct process start(const struct ring *ring, const struct trained *t)
{
    const char *words[WORDS_MAX] = {"up", ring->recipe, "--run", ring->run};
    for (size_t i = 0, at = 4; t->set[i]; i++) {
        words[at++] = "--set";
        words[at++] = t->set[i];
    }
    return process_start_words(ring->log, "rlhfctl", words);
}

/* A version that changes nothing is published without a byte of weights; the others are not. */
static void check_bytes(const struct ring *ring, size_t warmup)
{
    SCOPED(jsonl) lines = NULL;
    SCOPED_MEM char *path = file_join(ring->run, "metrics.jsonl");
    assert_ok(jsonl_open(path, &lines));
    for (size_t round = 0; round < ROUNDS; round++) {
        SCOPED_VALUE(bytes) text = {0};
        assert_ok(jsonl_row(lines, round, &text));
        SCOPED_JSON json_t *line = json_loadb((const char *)text.data, text.len, 0, NULL);
        const json_t *sent = json_object_get(line, "publish_bytes");
        assert_true(json_is_number(sent));
        assert_int_equal(json_number_value(sent) > 0, round >= warmup);
    }
}

/* Each of its versions is another one, those of the warm-up too; the policy's are not. */
static void check_critic(const struct task *task, const struct ring *ring, const struct trained *t,
                         const json_t *policy)
{
    SCOPED_JSON json_t *sft = weights_of_directory(task->sft);
    SCOPED_JSON json_t *critic =
        golden_versions(ring->recipe, ring->run, "critic", ROUNDS * t->updates);
    golden_check(task->name, t->critic, critic);
    check_bytes(ring, t->warmup);
    for (size_t v = 0; v < ROUNDS * t->updates; v++) {
        const bool same = json_equal(json_array_get(policy, v), sft);
        assert_int_equal(same, v < t->warmup * t->updates);
        assert_true(v == 0 ||
                    !json_equal(json_array_get(critic, v), json_array_get(critic, v - 1)));
    }
}

static void check(const struct task *task, const struct ring *ring, const struct trained *t)
{
    const struct ring_result result = ring_read(ring);
    assert_int_equal(result.rounds, ROUNDS);
    assert_true(result.lag_max == 0 && result.logp_compared > 0 && result.logp_differing == 0);
    SCOPED_JSON json_t *versions =
        golden_versions(ring->recipe, ring->run, "policy", ROUNDS * t->updates);
    golden_check(task->name, t->name, versions);
    if (t->critic)
        check_critic(task, ring, t, versions);
    SCOPED_MEM char *latest = mem_printf("%s/checkpoints/latest", ring->run);
    SCOPED_JSON json_t *last = weights_of_directory(latest);
    assert_string_equal(json_string_value(last),
                        json_string_value(json_array_get(versions, json_array_size(versions) - 1)));
}

/* All at once, as a ring mostly waits. */
static void train(const struct task *task)
{
    struct ring ring[TRAINED];
    struct process up[TRAINED];
    for (size_t i = 0; i < TRAINED; i++) {
        ring[i] = ring_of(task, &trained[i]);
        up[i] = start(&ring[i], &trained[i]);
    }
    for (size_t i = 0; i < TRAINED; i++) {
        const int status = process_wait(&up[i], RUN_MS);
        if (status)
            file_print_end(trained[i].name, ring[i].log);
        assert_int_equal(status, 0);
    }
    for (size_t i = 0; i < TRAINED; i++)
        check(task, &ring[i], &trained[i]);
}

static void sort(void **)
{
    const struct task task = prepare_sort();
    train(&task);
}

static void tldr(void **)
{
    const struct task task = prepare_tldr();
    train(&task);
}

TESTS(cmocka_unit_test(sort), cmocka_unit_test(tldr))
