/* RUN/metrics.jsonl: one JSON object per trained round, in order, written when the round ends.
 *
 *     SCOPED(report) report = NULL;
 *     TRY(report_open("run/metrics.jsonl", &branch, 40, &report)); -- a restart at round 40 drops what came from there on
 *     TRY(report_round(report, &(struct round_report){.round = 40, ...}));
 *     TRY(report_branch(report, &branch));                         -- the rounds from here on are another lineage's
 *
 * A rollback is a line of its own, {"rollback": true, "lineage", "parent", "version", "rounds",
 * "time_s"}. The first `rounds` rounds above it stay part of the history, and the lines below go on
 * from there. Lines of rounds that were cut off stay in the file.
 *
 * Owner: the compute thread. To add a figure: one row of ROUND_FIGURES, or of rl/figure_table.h. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include "learner/store/history.h"
#include "learner/store/rounds.h"
#include "rl/tally.h"
#include <stdint.h>

/* X(name, where, what): the learner's own figures, doubles, under the file's names. NaN is written
 * as null. SHOWN: /metrics has it, too, from the first round on that has one. The objective's
 * figures stand beside them, under the names of rl/figure_table.h. */
// clang-format off
#define ROUND_FIGURES(X) \
    X(time_s, LINE, "seconds since the run began, over restarts") \
    X(reward_mean, SHOWN, "mean reward of the round's completions") \
    X(reward_std, SHOWN, "their standard deviation") \
    X(reward_shaped_mean, SHOWN, "mean of the rewards as learner.reward shapes them; null: it does not") \
    X(reward_clipped_share, SHOWN, "share of those that learner.reward.clip held; null: nothing clips") \
    X(overlong_share, SHOWN, "share of completions within or beyond learner.reward.overlong_buffer; null: there is none") \
    X(repeated_share, SHOWN, "share of n-grams that occurred before in their completion (learner.reward.repeat_ngram), mean per completion; null: none are looked for") \
    X(ensemble_std_mean, SHOWN, "standard deviation among an ensemble of reward models, mean per completion that has one; null: none has") \
    X(success, SHOWN, "share of completions whose every score reached 1") \
    X(truncated_share, SHOWN, "share of completions that ended at their longest, without an end token") \
    X(stale_token_share, SHOWN, "share of the tokens to train that learner.max_token_lag masked") \
    X(kl_reference, SHOWN, "summed behaviour - reference logp, mean per completion that has one, nats; null: none has") \
    X(kl_coef, SHOWN, "weight of the distance from the reference in this round") \
    X(entropy, SHOWN, "mean entropy of the next-token distribution, nats") \
    X(entropy_coef, SHOWN, "weight of the entropy's bonus in this round") \
    X(grad_norm, SHOWN, "global gradient norm before clipping, mean over updates") \
    X(lr, SHOWN, "learning rate of the last update") \
    X(run_rounds, SHOWN, "rounds that the run has in all, as far as was known when this one was formed; null: not recorded") \
    X(critic_grad_norm, SHOWN, "the critic's global gradient norm before clipping, mean over updates; null: none was made") \
    X(critic_lr, SHOWN, "learning rate of the critic's last update") \
    X(value_error_lag0, SHOWN, "root mean square of target - value before the updates (learner.critic.values), tokens of groups of lag 0; null: none") \
    X(value_error_lag1, SHOWN, "the same of lag 1") \
    X(value_error_lag2, SHOWN, "the same of lag 2 and more") \
    X(explained_variance_lag0, SHOWN, "share of the variance of their targets that those values explain, lag 0; null: none") \
    X(explained_variance_lag1, SHOWN, "the same of lag 1") \
    X(explained_variance_lag2, SHOWN, "the same of lag 2 and more") \
    X(lag_mean, SHOWN, "mean lag of the groups, in rounds") \
    X(lag_max, SHOWN, "largest lag of a group, in rounds") \
    X(lag_target, LINE, "rounds of lag that pacing aimed at") \
    X(lag_limit, LINE, "lag over which no group could be in the round") \
    X(lag_expected, SHOWN, "mean lag to come: groups left leased or stored, in rounds, and how far weights were behind") \
    X(lag_updates, SHOWN, "mean lag in updates: the round's first version - oldest version of the group") \
    X(length_mean, SHOWN, "mean completion length, tokens") \
    X(tokens_generated, LINE, "completion tokens generated since the last round") \
    X(tokens_trained, LINE, "completion tokens trained, over the round's passes") \
    X(logp_compared, LINE, "tokens drawn by the version trained and by our numerics, compared with our forward") \
    X(logp_differing, LINE, "of those, how many differ in any bit: 0, or a bug") \
    X(kl_mismatch, SHOWN, "KL(generator || learner) of numerics that differ, k1: mean over tokens drawn by the version trained, nats; null: none") \
    X(kl_mismatch_k3, SHOWN, "the same by the estimator k3, which is never negative") \
    X(stale, LINE, "groups that left as stale since the last round") \
    X(filtered, LINE, "scored groups that left as filtered since the last round (learner.filter)") \
    X(generator_idle_s, LINE, "seconds the generators had nothing to decode since the last round") \
    X(generator_busy_s, LINE, "seconds they decoded since the last round") \
    X(learner_idle_s, LINE, "seconds the learner waited for this round") \
    X(learner_busy_s, LINE, "seconds it trained this round") \
    X(publish_bytes, LINE, "bytes of the version published after this round; 0: none was") \
    X(publish_ms, LINE, "until the last generator had applied the version published before") \
    X(checkpoint_ms, LINE, "spent writing a checkpoint after the round before; 0: none was")
// clang-format on

struct round_report {
    uint64_t round, version;
    /* Borrowed; "" when the learner did not wait. */
    const char *idle_cause;
#define FIGURE_FIELD(name, where, what) double name;
    ROUND_FIGURES(FIGURE_FIELD)
#undef FIGURE_FIELD
    /* The objective's, over the round's updates. */
    struct rl_figures figures;
};

struct report;

/* Registers the figures as metrics, before report_open. They begin as the run stands: `rounds`
 * rounds trained, up to `version`; the last of them as directory/metrics.jsonl has it. figures: the
 * objective's figures that /metrics has beside the loss, a bit each. */
void report_metrics(const char *directory, uint64_t rounds, uint64_t version, uint64_t figures);

/* Adds to the counters of busy or idle seconds, the latter by what was waited for. Any thread. */
void report_busy(double seconds);
void report_idle(enum idle cause, double seconds);
void report_length(double tokens);                        // of a completion that is trained
void report_checkpoint(uint64_t version, double seconds); // after writing one
void report_checkpointed(uint64_t version);               // the newest there is

struct reported;
/* Reads the file's lines (reported.h); a file that is not there has none. */
err_t report_read(const char *path, const struct branch *branch, uint64_t first_round,
                  struct reported *ret);

/* Changes nothing. DATA_LOSS: the file has rounds that the store lacks. branch: the store's
 * lineage. */
err_t report_check(const char *path, const struct branch *branch, uint64_t first_round,
                   uint64_t rounds_done);

/* Opens or creates the file. This lineage's lines from first_round on are dropped, and so is a torn
 * last line. A damaged line before them stays, with a warning. The line of the rollback that the
 * lineage began with is added if it is missing. */
err_t report_open(const char *path, const struct branch *branch, uint64_t first_round,
                  struct report **ret);

/* Writes the rollback's line; the metrics go back to where the branch begins. */
err_t report_branch(struct report *report, const struct branch *branch, double time_s);

/* Writes the round's line and sets the metrics. */
err_t report_round(struct report *report, const struct round_report *round);

/* time_s of the last line kept; 0 at the beginning. */
double report_time_offset(const struct report *report);

/* All lines are on disk afterwards. */
err_t report_sync(struct report *report);
void report_free(struct report *report);
DEFINE_SCOPED(report)
