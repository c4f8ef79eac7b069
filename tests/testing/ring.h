/* A ring to test with: a tiny model, prompts and a recipe in a directory of their own.
 *
 *     struct ring ring = ring_prepare(&(struct ring_options){.rounds = 6, .groups = 8, .lag = 1});
 *     struct process up = process_start(ring.log, "rlhfctl", "up", ring.recipe, "--run", ring.run, NULL);
 *     assert_int_equal(process_wait(&up, 60000), 0);
 *     struct ring_result result = ring_read(&ring);
 *
 * The task is the sort example's in small; the model is untrained. Owner: the test's thread. */
#pragma once
#include <stdint.h>

struct ring_options {
    int rounds, groups, lag; // of the run, per round, lag.max
    int prompts;             // rows in the data; 0: 200
    int epochs;              // passes over them; 0: until rounds are trained
    const char *straggler;   // "wait" (default) or "drop"
    int slow_permille;       // of the rows ask for 20 times the tokens
    /* More keys of the learner, "objective: grpo, ..."; NULL: "objective: rloo" */
    const char *learner;
    const char *rewarder;  // more keys of the rewarder; NULL: none
    const char *generator; // ", key: value" of the generator; NULL: none
    const char *scorers;   // rewarder.scorers; NULL: exact and length, half each
    const char *extra;     // more YAML at the end
};

struct ring {
    const char *directory;
    char *recipe, *run, *log, *model;
    struct ring_options options;
};

struct ring ring_prepare(const struct ring_options *options);

/* Sums over RUN/metrics.jsonl; a round out of order fails the test. The sums are over all that was
 * trained, cut off or not. */
struct ring_result {
    int rounds, rollbacks; // of the history; lines that say so
    double lag_max, lag_mean, logp_compared, logp_differing, stale;
    double learner_idle_s, learner_busy_s, generator_idle_s, generator_busy_s;
    double last_idle_s, last_busy_s; // the learner's in the last round
    int lag_histogram[16];           // rounds by their largest lag
};
struct ring_result ring_read(const struct ring *ring);

/* Waits until at least `rounds` rounds are in metrics.jsonl; fails the test after timeout_ms. */
void ring_wait_rounds(const struct ring *ring, int rounds, int timeout_ms);

/* The pid that RUN/endpoints.json gives for a daemon ("generator", "rewarder", "learner"). */
int ring_pid(const struct ring *ring, const char *daemon);

/* Runs `rlhfd-learner --job audit`: fails the test unless every group's fate is accounted for. */
void ring_audit(const struct ring *ring);
