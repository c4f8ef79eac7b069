/* A ring whose data ends it, not run.rounds: the learning rate falls to its end over the rounds
 * that there are, and all that tells of the run's length tells that one. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "testing/process.h"
#include "testing/ring.h"
#include "testing/testing.h"
#include "testing/weights.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RUN_MS = 120000, ROWS = 40, GROUPS = 8, ROUNDS = ROWS / GROUPS };
#define LR    2e-3
#define FALLS "learner.optimizer={lr: 2e-3, schedule: linear, min_lr_ratio: 0}"

/* lr and run_rounds of each line. */
static void assert_falls(const struct ring *ring)
{
    SCOPED_MEM char *path = file_join(ring->run, "metrics.jsonl");
    SCOPED_MEM char *text = file_text(path);
    char *rest = text;
    for (int r = 0; r < ROUNDS; r++) {
        SCOPED_JSON json_t *line = json_loads(strsep(&rest, "\n"), 0, NULL);
        assert_int_equal(json_integer_value(json_object_get(line, "round")), r);
        // of nine digits
        assert_near(json_number_value(json_object_get(line, "lr")),
                    LR * (1 - (double)(r + 1) / ROUNDS), 1e-11);
        assert_near(json_number_value(json_object_get(line, "run_rounds")), ROUNDS, 0);
    }
    assert_true(!rest || !*rest);
}

static void assert_explained(const struct ring *ring)
{
    char *output;
    assert_int_equal(process_run(&output, 60000, "rlhfctl", "explain", "version", "3", ring->recipe,
                                 "--run", ring->run, NULL),
                     0);
    assert_non_null(strstr(output, "run          5 rounds in all"));
    free(output);
}

static void the_data_ends_the_fall(void **)
{
    for (int rounds = 0; rounds <= 200; rounds += 200) {
        struct ring ring = ring_prepare(&(struct ring_options){
            .rounds = rounds, .groups = GROUPS, .prompts = ROWS, .epochs = 1, .lag = 1});
        struct process up = process_start(ring.log, "rlhfctl", "up", ring.recipe, "--run", ring.run,
                                          "--set", FALLS, NULL);
        assert_int_equal(process_wait(&up, RUN_MS), 0);
        assert_falls(&ring);
        assert_explained(&ring);
        SCOPED_MEM char *log = file_text(ring.log);
        assert_non_null(strstr(log, "round 5/5"));
        SCOPED_MEM char *latest = file_join(ring.run, "checkpoints/latest");
        SCOPED_JSON json_t *before = weights_of_directory(ring.model);
        SCOPED_JSON json_t *after = weights_of_directory(latest);
        assert_false(json_equal(before, after));
        ring_audit(&ring);
    }
}

/* Of supervised training: 40 rows make three updates of 16, or two are enough. */
static void whichever_ends_first_ends_supervised_training(void **)
{
    static const struct {
        const char *set, *want;
    } cases[] = {{"sft.steps=600", "/3 "}, {"sft.steps=0", "/3 "}, {"sft.steps=2", "/2 "}};
    struct ring ring =
        ring_prepare(&(struct ring_options){.groups = GROUPS, .prompts = ROWS, .rounds = 1});
    for (size_t i = 0; i < 3; i++) {
        char *output;
        SCOPED_MEM char *to = mem_printf("sft.output=%s/%zu", ring.directory, i);
        assert_int_equal(process_run(&output, 60000, "rlhfctl", "sft", ring.recipe, "--set",
                                     "sft={model: model, data: train.jsonl, epochs: 1, batch: 16}",
                                     "--set", cases[i].set, "--set", to, NULL),
                         0);
        if (!strstr(output, cases[i].want))
            fail_msg("%s: %s", cases[i].set, output);
        free(output);
    }
}

TESTS(cmocka_unit_test(whichever_ends_first_ends_supervised_training),
      cmocka_unit_test(the_data_ends_the_fall))
