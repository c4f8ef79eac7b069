/* Dynamic sampling: rounds of groups whose rewards differ, the same ones whatever comes when; a run
 * of which no group is worth training pauses. */
#include "base/file.h"
#include "base/json.h"
#include "base/scoped.h"
#include "testing/daemons.h"
#include "testing/golden.h"
#include "testing/testing.h"
#include <string.h>

enum { ROUNDS = 4, GROUPS = 8, COMPLETIONS = 4, RUN_MS = 60000 };

static struct ring ring_of(const char *learner, const char *scorers)
{
    return ring_prepare(&(struct ring_options){
        .rounds = ROUNDS, .groups = GROUPS, .learner = learner, .scorers = scorers});
}

/* The weights of its versions, and how many groups were filtered. */
static json_t *train(const struct ring *ring, double *ret_filtered)
{
    struct process up =
        process_start(ring->log, "rlhfctl", "up", ring->recipe, "--run", ring->run, NULL);
    assert_int_equal(process_wait(&up, RUN_MS), 0);
    ring_audit(ring);
    SCOPED_MEM char *path = file_join(ring->run, "metrics.jsonl");
    SCOPED_MEM char *text = file_text(path);
    *ret_filtered = 0;
    for (const char *at = text; (at = strstr(at, "\"filtered\":")); at++)
        *ret_filtered += strtod(at + strlen("\"filtered\":"), NULL);
    return golden_versions(ring->recipe, ring->run, "policy", ROUNDS);
}

/* By the samples, which are all of each round. */
static void assert_different_rewards(const struct ring *ring)
{
    SCOPED_MEM char *path = file_join(ring->run, "samples.jsonl");
    SCOPED_MEM char *text = file_text(path);
    char *rest = NULL, *line = strtok_r(text, "\n", &rest);
    size_t groups = 0;
    for (; line; groups++) {
        double least = 1e9, most = -1e9;
        for (int i = 0; i < COMPLETIONS; i++, line = strtok_r(NULL, "\n", &rest)) {
            SCOPED_JSON json_t *one = json_loads(line, 0, NULL);
            const double reward = json_number_value(json_object_get(one, "reward"));
            least = reward < least ? reward : least;
            most = reward > most ? reward : most;
        }
        assert_true(most > least);
    }
    assert_int_equal(groups, ROUNDS * GROUPS);
}

static void rounds_have_groups_whose_rewards_differ(void **state)
{
    static const char learner[] = "objective: grpo, samples: 64, filter: {zero_variance: true}";
    static const char scorers[] = "[{kind: regex, pattern: \"a\"}]";
    double filtered = 0, again = 0;
    (void)state;
    const struct ring ring = ring_of(learner, scorers), second = ring_of(learner, scorers);
    SCOPED_JSON json_t *first = train(&ring, &filtered);
    assert_true(filtered > 0);
    assert_different_rewards(&ring);
    SCOPED_JSON json_t *other = train(&second, &again); // at lag 0 it is the same run
    assert_true(json_equal(first, other));
    print_message("%.0f groups filtered for %d trained\n", filtered, ROUNDS * GROUPS);
}

static void a_run_of_equal_rewards_pauses(void **state)
{
    (void)state;
    const struct ring ring = ring_of("objective: grpo, filter: {zero_variance: true, patience: 20}",
                                     "[{kind: length, min: 0, max: 100}]");
    struct daemons d = daemons_start(&ring, "");
    daemons_wait_ready(&d, LEARNER, 503,
                       " groups in a row were filtered (learner.filter.patience)");
    for (int kind = GENERATOR; kind >= LEARNER; kind--)
        daemons_kill(&d, (enum daemon_kind)kind);
}

TESTS(cmocka_unit_test(rounds_have_groups_whose_rewards_differ),
      cmocka_unit_test(a_run_of_equal_rewards_pauses))
