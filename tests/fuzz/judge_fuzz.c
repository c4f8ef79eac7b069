/* A reply of a judge, hostile: its first byte says by what it is read. A verdict is finite and of
 * the labels' or the range's values; whatever else comes is a fault with a name. */
#include "rewarder/judge/judge_reply.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* Made once: a pattern may be matched by any thread. */
static void begin(struct judge_keys keys[2], struct judge judges[2])
{
    static char pattern[] = "(?i)rating: (\\S+)";
    static char *texts[] = {(char *)"A=1", (char *)"B=0", (char *)"tie=0.5"};
    const struct pattern_limits limits = {5000, 1};
    keys[0] = (struct judge_keys){.verdict = VERDICT_LOGPROBS,
                                  .compare = COMPARE_PAIRS,
                                  .labels = {3, texts},
                                  .least_mass = 0.01};
    keys[1] = (struct judge_keys){.verdict = VERDICT_REGEX, .pattern = pattern, .range = {0, 10}};
    for (int i = 0; i < 2; i++) {
        judges[i].keys = &keys[i];
        must(!err_failed(judge_read_labels(&judges[i])));
    }
    must(!err_failed(pattern_new(pattern, false, &limits, &judges[1].pattern)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct judge_keys keys[2];
    static struct judge judges[2];
    double verdict = 7;
    if (!judges[0].keys)
        begin(keys, judges);
    if (len < 1)
        return 0;
    err_t failed = judge_reply(&judges[data[0] & 1], data + 1, len - 1, &verdict);
    must(err_failed(failed) ? verdict == 7 : verdict >= 0 && verdict <= 1);
    must(!err_failed(failed) || err_is_transient(failed) || err_code(failed) == ERR_RANGE);
    err_free(failed);
    return 0;
}
