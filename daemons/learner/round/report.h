/* RUN/metrics.jsonl: one JSON object per trained round, in order, written when the round ends.
 *
 *     SCOPED(report) report = NULL;
 *     TRY(report_open("run/metrics.jsonl", &branch, 40, &report)); -- a restart at round 40 drops what came from there on
 *     TRY(report_round(report, &(struct round_report){.round = 40, ...}));
 *     TRY(report_branch(report, &branch));                         -- the rounds from here on are another lineage's
 *
 * A rollback is a line of its own, {"rollback": true, "lineage", "parent", "version", "rounds", "time_s"}: the first `rounds`
 * rounds above it stay part of the history, what follows goes on from there. What was cut off stays in the file.
 *
 * Owner: the compute thread. To add a figure: one row of ROUND_FIGURES. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include "learner/store/history.h"
#include <stdint.h>

/* X(name, what): doubles; NaN is written as null. Names are those of the file. */
#define ROUND_FIGURES(X)                                                                                         \
    X(time_s, "seconds since the run began, over restarts")                                                      \
    X(loss, "the objective's loss, mean over the round's updates")                                               \
    X(reward_mean, "mean reward of the round's completions")                                                     \
    X(reward_std, "their standard deviation")                                                                    \
    X(success, "share of completions whose every score reached 1")                                               \
    X(kl_behaviour, "mean of behaviour logp - current logp per token: how far the weights moved")                \
    X(kl_behaviour_k3, "the same by the estimate that is never negative")                                        \
    X(kl_reference,                                                                                              \
      "summed behaviour - reference logp, mean per completion (online_dpo: of pairs), nats; null: no reference") \
    X(kl_coef, "weight of the distance from the reference in this round")                                        \
    X(pairs, "pairs trained, over the round's passes (online_dpo)")                                              \
    X(rewards_margin,                                                                                            \
      "implicit reward of the chosen - the rejected, mean over pairs (online_dpo)")                              \
    X(rewards_accuracy, "share of pairs whose chosen has the higher implicit reward (online_dpo)")               \
    X(entropy, "mean entropy of the next-token distribution, nats")                                              \
    X(clip_frac, "share of tokens whose ratio was clipped")                                                      \
    X(ess, "effective sample size of the importance weights, share of the tokens")                               \
    X(grad_norm, "global gradient norm before clipping, mean over updates")                                      \
    X(lr, "learning rate of the last update")                                                                    \
    X(lag_mean, "mean lag of the groups, in rounds")                                                             \
    X(lag_max, "largest lag of a group, in rounds")                                                              \
    X(lag_target, "rounds of lag that pacing aimed at")                                                          \
    X(lag_limit, "lag over which no group could be in the round")                                                \
    X(lag_expected,                                                                                              \
      "mean lag to come: groups left leased or stored, in rounds, and how far weights were behind")              \
    X(lag_updates, "mean lag in updates: the round's first version - oldest version of the group")               \
    X(length_mean, "mean completion length, tokens")                                                             \
    X(tokens_generated, "completion tokens generated since the last round")                                      \
    X(tokens_trained, "completion tokens trained, over the round's passes")                                      \
    X(logp_compared, "tokens computed by the version trained, compared with our forward")                        \
    X(logp_differing, "of those, how many differ in any bit: 0, or a bug")                                       \
    X(stale, "groups that left as stale since the last round")                                                   \
    X(generator_idle_s, "seconds the generators had nothing to decode since the last round")                     \
    X(generator_busy_s, "seconds they decoded since the last round")                                             \
    X(learner_idle_s, "seconds the learner waited for this round")                                               \
    X(learner_busy_s, "seconds it trained this round")                                                           \
    X(publish_bytes, "bytes of the version published after this round; 0: none was")                             \
    X(publish_ms, "until the last generator had applied the version published before")                           \
    X(checkpoint_ms, "spent writing a checkpoint after the round before; 0: none was")

struct round_report {
    uint64_t round, version;
    const char *idle_cause; // borrowed; "" when the learner did not wait
#define FIGURE_FIELD(name, what) double name;
    ROUND_FIGURES(FIGURE_FIELD)
#undef FIGURE_FIELD
};

struct report;

/* Makes the figures of rounds known as metrics, as they stand in a run that goes on: `rounds` trained, up to `version`, and what
 * the last of them was like by directory/metrics.jsonl. Before report_open. */
void report_metrics(const char *directory, uint64_t rounds, uint64_t version);

/* The counters of busy and idle seconds move on. Any thread. */
void report_seconds(bool busy, double seconds);

struct reported;
/* What the file tells of, if it is there: reported.h. */
err_t report_read(const char *path, const struct branch *branch, uint64_t first_round,
                  struct reported *ret);

/* DATA_LOSS: the file tells of rounds that the store, whose lineage branch is, has not. Changes nothing. */
err_t report_check(const char *path, const struct branch *branch, uint64_t first_round,
                   uint64_t rounds_done);

/* Opens or creates the file; drops this lineage's lines from first_round on, and a torn last line; a damaged line before
 * those stays, with a warning; adds the line of the
 * rollback that the lineage began with, if it is missing. */
err_t report_open(const char *path, const struct branch *branch, uint64_t first_round,
                  struct report **ret);
/* The metrics go back with it. */
err_t report_branch(struct report *report, const struct branch *branch, double time_s);
err_t report_round(struct report *report, const struct round_report *round); // the metrics, too
double
report_time_offset(const struct report *report); // time_s of the last line kept; 0 at the beginning
err_t report_sync(struct report *report);        // what was reported is on disk
void report_free(struct report *report);
DEFINE_SCOPED(report)
