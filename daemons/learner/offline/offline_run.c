#include "learner/offline/offline_run.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "learner/offline/inner.h"
#include <inttypes.h>
#include <math.h>

/* ---- a round */

static err_t update_made(void *arg, uint32_t u)
{
    (void)u;
    struct offline *o = arg;
    struct checkpoint_info *at = &o->start.at;
    at->version++;
    at->trainees = trainees_digests(&o->start.trainees);
    return ledger_note(o->ledger, at->version, at->round, &at->trainees);
}

/* As a ring would have recorded it: its groups are of no older weights. */
static struct round round_of(const struct offline *o, struct round_group *place, size_t count)
{
    const struct checkpoint_info *at = &o->start.at;
    for (size_t i = 0; i < count; i++)
        place[i] = (struct round_group){.age = at->round};
    return (struct round){.lineage = at->lineage,
                          .updates = (uint32_t)o->recipe.learner.updates_per_round,
                          .round = at->round,
                          .first_version = at->version,
                          .seed = (uint64_t)o->recipe.run.seed,
                          .groups = count,
                          .group = place,
                          .run_rounds = o->chunk->first_round + o->chunk->rounds};
}

/* Of what generators and rewarders do there is nothing to tell. */
static void blank(struct round_report *report)
{
    report->success = report->truncated_share = report->lag_mean = report->lag_max = NAN;
    report->lag_target = report->lag_limit = report->lag_expected = report->lag_updates = NAN;
    report->tokens_generated = report->stale = report->publish_bytes = report->publish_ms = NAN;
    report->generator_idle_s = report->generator_busy_s = report->learner_idle_s = NAN;
}

/* Of pairs, or of ratings. */
static void show_figures(const struct rl_figures *figures)
{
    if (isfinite(figures->rewards_accuracy))
        printf("  accuracy %.3f  margin %.4f", figures->rewards_accuracy, figures->rewards_margin);
    if (isfinite(figures->value_correlation))
        printf("  correlation %.3f", figures->value_correlation);
}

static void show(struct offline *o, const struct round_report *r)
{
    enum { EVERY_MS = 5000 };
    const uint64_t done = o->start.at.round, all = o->chunks.rounds;
    const bool end = done == all || o->stopping;
    o->tokens += r->tokens_trained;
    if (o->shown_ms && clock_ms() - o->shown_ms < EVERY_MS && !end)
        return;
    o->shown_ms = clock_ms();
    const double seconds = clock_s() - o->begun_s;
    printf("round %" PRIu64 "/%" PRIu64 "  loss %.4f", done, all, r->figures.loss);
    show_figures(&r->figures);
    printf("  lr %.2e  grad norm %.3g  %.0f %s/s\n", r->lr, r->grad_norm, o->tokens / seconds,
           o->reward ? "scores" : "tok");
    fflush(stdout);
}

static err_t train_rows(struct offline *o, const uint64_t *row, size_t count,
                        struct round_report *report)
{
    SCOPED_MEM struct group **group = mem_array(count, sizeof *group);
    SCOPED_MEM struct round_group *place = mem_array(count, sizeof *place);
    for (size_t i = 0; i < count; i++)
        group[i] = o->rows.group[row[i]];
    const struct round round = round_of(o, place, count);
    const double begun = clock_s();
    TRY(referee_fill(o, row, count));
    TRY(updates_run(o->updates, &round, group, update_made, o, report));
    report->learner_busy_s = clock_s() - begun;
    return OK;
}

static err_t one_round(struct offline *o)
{
    struct checkpoint_info *at = &o->start.at;
    struct round_report report = {.round = at->round};
    SCOPED_MEM uint64_t *row = mem_array(o->chunk->each, sizeof *row);
    const size_t count = chunk_rows(o->chunk, at->round, row);
    TRY(train_rows(o, row, count, &report));
    at->round++;
    at->kl_coef = updates_kl_coef(o->updates);
    at->running = *updates_running(o->updates);
    o->checkpointed = false;
    report.version = at->version;
    report.time_s = report_time_offset(o->report) + clock_s() - o->begun_s;
    blank(&report);
    TRY(report_round(o->report, &report));
    show(o, &report);
    return OK;
}

/* ---- what follows it */

/* Held-out rows of one batch under the present weights and reference. */
static err_t try_held_out(struct offline *o)
{
    const struct checkpoint_info *at = &o->start.at;
    const uint64_t most = (uint64_t)o->recipe.eval.prompts,
                   count = most < o->held_out.count ? most : o->held_out.count;
    struct trial trial = {
        .version = at->version, .round = at->round, .chunk = o->chunk->number, .rows = count};
    SCOPED_MEM struct round_group *place = mem_array(count, sizeof *place);
    if (trials_has(o->trials, at->version))
        return OK;
    const struct round round = round_of(o, place, count);
    TRY(referee_fill_held_out(o));
    TRY(updates_measure(o->updates, &round, o->held_out.group, &trial.figures));
    printf("version %" PRIu64 ": held-out loss %.4f", at->version, trial.figures.loss);
    show_figures(&trial.figures);
    printf("\n");
    fflush(stdout);
    return trials_write(o->trials, &trial);
}

static err_t write_checkpoint(struct offline *o)
{
    const struct recipe *recipe = &o->recipe;
    const char *pad = o->reward ? recipe->learner.reward_model.pad_token : "";
    const struct checkpoint_tokenizer tokenizer = {o->start.origin, o->start.tokenizer,
                                                   *pad ? pad : NULL};
    TRY(trainees_verify(&o->start.trainees));
    TRY(report_sync(o->report));
    TRY(ledger_sync(o->ledger));
    TRY(checkpoint_write(recipe->directory, &o->start.trainees, &tokenizer, &o->start.at,
                         (int)recipe->checkpoint.keep));
    restart_written(&o->start, checkpoint_path(recipe->directory, o->start.at.version));
    o->checkpointed = true;
    return referee_tidy(o);
}

/* The last and the first version of a chunk are tried, too. */
static bool is_tried(const struct offline *o)
{
    const uint64_t every = (uint64_t)o->recipe.eval.every, made = o->start.at.round;
    return every && (made == o->chunk->first_round || made % every == 0 ||
                     made == o->chunk->first_round + o->chunk->rounds);
}

static bool is_checkpointed(const struct offline *o)
{
    const uint64_t made = o->start.at.round;
    return made % (uint64_t)o->recipe.checkpoint.every == 0 ||
           made == o->chunk->first_round + o->chunk->rounds;
}

/* ---- the loop */

static void on_signal(void *arg, int number)
{
    (void)number;
    ((struct offline *)arg)->stopping = true;
}

static void end_turn(void *arg)
{
    loop_stop(arg);
}

/* A signal that came is seen here. */
static err_t look_for_signals(struct offline *o)
{
    loop_post(o->loop, end_turn, o->loop);
    return loop_run(o->loop);
}

static err_t next_round(struct offline *o)
{
    const struct chunk *chunk = chunks_find(&o->chunks, o->start.at.round);
    if (chunk != o->chunk) {
        TRY(err_wrap(referee_enter(o, chunk), "chunk %" PRIu64, chunk->number));
        if (is_tried(o))
            TRY(try_held_out(o));
    }
    TRY(err_wrap(one_round(o), "round %" PRIu64, o->start.at.round));
    if (is_tried(o))
        TRY(try_held_out(o));
    return is_checkpointed(o) ? write_checkpoint(o) : OK;
}

err_t offline_train(const struct recipe *recipe, bool reward)
{
    SCOPED_VALUE(offline) o = {0};
    TRY(offline_open(recipe, reward, &o));
    loop_on_signal(o.loop, on_signal, &o);
    o.begun_s = clock_s();
    o.checkpointed = true;
    while (o.start.at.round < o.chunks.rounds && !o.stopping) {
        TRY(next_round(&o));
        TRY(look_for_signals(&o));
    }
    if (!o.checkpointed)
        TRY(write_checkpoint(&o));
    printf("%s %s/checkpoints/v%" PRIu64 "\n", o.stopping ? "stopped at" : "wrote",
           o.recipe.directory, o.start.at.version);
    return OK;
}
