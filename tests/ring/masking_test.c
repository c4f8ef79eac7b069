/* A real ring with both masks: completions that were cut off, and tokens of old versions, train
 * nothing; their shares are in metrics.jsonl. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "testing/process.h"
#include "testing/ring.h"
#include "testing/testing.h"
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 10, RUN_MS = 200000 };

struct shares {
    int rounds, flat;
    double truncated, stale, stale_max;
};

static double number(const json_t *line, const char *name)
{
    const json_t *value = json_object_get(line, name);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

/* Up to eight tokens of an untrained model with 29: most completions are cut off. Versions are made
 * four a round, so tokens of the round before are over the limit. Sixteen groups are decoded at
 * once: those of the second round have such tokens, whatever the machine does. */
static struct shares run(const char *learner)
{
    struct shares ret = {0};
    char *output;
    struct ring ring = ring_prepare(
        &(struct ring_options){.rounds = ROUNDS, .groups = 8, .lag = 3, .learner = learner});
    int status = process_run(&output, RUN_MS, "rlhfctl", "up", ring.recipe, "--run", ring.run,
                             "--set", "learner.updates_per_round=4", NULL);
    if (status)
        print_error("%s\n", output);
    free(output);
    assert_int_equal(status, 0);
    assert_true(ring_read(&ring).logp_compared > 0 && ring_read(&ring).logp_differing == 0);
    SCOPED_MEM char *path = file_join(ring.run, "metrics.jsonl");
    char *text = file_text(path), *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        SCOPED_JSON json_t *object = json_loads(line, 0, NULL);
        const double stale = number(object, "stale_token_share");
        ret.rounds++;
        ret.truncated += number(object, "truncated_share") / ROUNDS;
        ret.stale += stale / ROUNDS;
        ret.stale_max = stale > ret.stale_max ? stale : ret.stale_max;
        ret.flat += number(object, "grad_norm") == 0;
    }
    free(text);
    print_message("%s: truncated %.3f, old tokens %.3f (at most %.3f), no gradient in %d of %d\n",
                  learner, ret.truncated, ret.stale, ret.stale_max, ret.flat, ret.rounds);
    assert_int_equal(ret.rounds, ROUNDS);
    ring_audit(&ring);
    return ret;
}

static void shares_of_both_masks_are_told(void **state)
{
    (void)state;
    const struct shares off = run("objective: rloo"),
                        both = run("objective: rloo, mask_truncated_completions: true, "
                                   "max_token_lag: 3");
    assert_true(off.truncated > 0.5 && off.stale == 0 && off.flat == 0);
    assert_true(both.truncated > 0.5 && both.truncated < 1);
    assert_true(both.stale > 0 && both.stale <= 0.9); // of the first round none
}

TESTS(cmocka_unit_test(shares_of_both_masks_are_told))
