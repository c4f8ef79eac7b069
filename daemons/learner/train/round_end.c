/* What follows the updates of a round. */
#include "base/clock.h"
#include "learner/train/fault.h"
#include "learner/train/inner.h"
#include "svc/stations.h"
#include <math.h>
#include <string.h>

static struct published published(const struct train *train)
{
    return (struct published){.lineage = train->at.lineage,
                              .version = train->at.version,
                              .round = train->at.round,
                              .digest = train->at.trainees.at[0].weights};
}

err_t train_publish(struct train *train)
{
    struct published what = published(train);
    struct optimizer *optimizer = train->start.trainees.at[0].optimizer;
    const struct model *model = model_trained(train_policy(train));
    what.marks = optimizer_marks(optimizer);
    TRY(fault_told(&train->start, publish_version(train->publish, model, &what)));
    if (model->be->apart && train->recipe->publish.delta)
        TRY(optimizer_mark(optimizer));
    train->published_version = train->at.version;
    return OK;
}

err_t train_publish_when_idle(void *arg)
{
    struct train *train = arg;
    return train->published_version == train->at.version ? OK : train_publish(train);
}

err_t train_evaluate(struct train *train, bool last)
{
    const struct published what = published(train);
    return evaluating_due(train->options.evaluating, model_trained(train_policy(train)), &what,
                          last);
}

static err_t note_checkpoint(void *arg, struct store *store)
{
    const struct checkpoint_info *at = arg;
    return store_checkpointed(store, at->round, at->version);
}

err_t train_write_checkpoint(struct train *train)
{
    const struct recipe *recipe = train->recipe;
    double begun = clock_s();
    const struct checkpoint_tokenizer tokenizer = {train->start.origin, train->start.tokenizer};
    TRY(fault_told(&train->start, trainees_verify(&train->start.trainees)));
    TRY(report_sync(train->report));
    TRY(checkpoint_write(recipe->directory, &train->start.trainees, &tokenizer, &train->at,
                         (int)recipe->checkpoint.keep));
    train->checkpoint_ms = (clock_s() - begun) * 1000;
    report_checkpoint(train->at.version, clock_s() - begun);
    restart_written(&train->start, checkpoint_path(recipe->directory, train->at.version));
    train->checkpointed_round = train->at.round;
    return storage_call(train->options.storage, note_checkpoint, &train->at);
}

/* Figures that only grow, as what was added since the last report. */
static void report_totals(struct train *train, const struct drawn *drawn,
                          struct round_report *report)
{
    const struct leasing_totals *now = &drawn->totals;
    report->tokens_generated = now->tokens - train->seen.tokens;
    report->generator_busy_s = now->busy_s - train->seen.busy_s;
    report->generator_idle_s = now->idle_s - train->seen.idle_s;
    report->stale = (double)drawn->stale;
    report->filtered = (double)drawn->filtered;
    train->seen = *now;
}

/* The limit on lag under which the round was formed, and the lag to come. By Little's law a group
 * waits (C + Q) / B rounds: as many as groups before it fill. Its weights were behind already when
 * it was leased. */
static void report_lag(const struct train *train, const struct drawn *drawn,
                       struct round_report *report)
{
    double waits = (double)(drawn->leased + drawn->queue) / (double)train->recipe->learner.groups;
    report->lag_target = (double)recipe_lag_target(train->recipe);
    report->lag_limit = (double)drawn->round->limit;
    report->lag_expected = drawn->again ? NAN : waits + drawn->behind;
}

/* Rounds between which a pause lay say nothing of a lack of groups. */
static void steer(const struct train *train, const struct drawn *drawn,
                  const struct round_report *report)
{
    if (drawn->again || drawn->paused)
        return;
    const struct lag_seen seen = {.learner_idle_s = report->learner_idle_s,
                                  .learner_busy_s = report->learner_busy_s,
                                  .generator_idle_s = report->generator_idle_s,
                                  .generator_busy_s = report->generator_busy_s,
                                  .straggler =
                                      strcmp(report->idle_cause, idle_name(IDLE_STRAGGLER)) == 0,
                                  .ess = report->figures.ess,
                                  .kl = report->figures.kl_behaviour_k3,
                                  .queue = drawn->queue,
                                  .spare = drawn->spare};
    steering_see(train->steering, train->options.storage, &seen);
}

/* Where its groups went, each the whole way of the round. */
static void note_groups(const struct round *round, const char *name, uint64_t version,
                        double seconds)
{
    for (size_t i = 0; i < round->groups; i++)
        station_note(&round->group[i].id, &(struct station){name, NULL, version, seconds, 0});
}

/* The line is on disk before a checkpoint covers its round, so a restart from there lacks none. */
err_t train_end_round(struct train *train, const struct drawn *drawn, struct round_report *report)
{
    const struct recipe *recipe = train->recipe;
    report_totals(train, drawn, report);
    report_lag(train, drawn, report);
    steer(train, drawn, report);
    note_groups(drawn->round, "trained", train->at.version, report->learner_busy_s);
    if (!drawn->again && train->at.round % (uint64_t)recipe->publish.every == 0) {
        TRY(train_publish(train));
        report->publish_bytes = publish_figures(train->publish).bytes;
        note_groups(drawn->round, "published", train->at.version, 0);
    }
    TRY(train_evaluate(train, false));
    report->version = train->at.version;
    report->publish_ms = publish_figures(train->publish).ms;
    report->checkpoint_ms = train->checkpoint_ms;
    report->time_s = report_time_offset(train->report) + clock_s() - train->begun_s;
    train->checkpoint_ms = 0;
    TRY(report_round(train->report, report));
    if (!drawn->again) // else it has them from before the restart
        samples_round(train->samples, drawn->round, drawn->group, (uint64_t)recipe->learner.samples,
                      train->at.version);
    return train->at.round % (uint64_t)recipe->checkpoint.every == 0 ? train_write_checkpoint(train)
                                                                     : OK;
}
