#include "learner/round/draw.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "learner/replay/store_figures.h"
#include "learner/round/report.h"
#include "learner/store/history.h"
#include "svc/cell.h"
#include "svc/mailbox.h"
#include "svc/stations.h"
#include <inttypes.h>
#include <string.h>

enum { CAUSES = IDLE_PAUSED + 1 };

struct draw {
    struct draw_options options;
    uint64_t next;           // compute thread: the round asked for
    struct mailbox *replies; // struct reply: at most "it takes a while", then the answer
    /* storage thread */
    bool wanted, waits, stopped; // waits: the other side was told so
    bool trains;                 // it has been given a round
    bool woken, paused, begun;
    bool again;           // rounds recorded before the restart come first.
    uint64_t again_below; // Rounds below it have been trained again.
    uint64_t stale;       // Groups that had left as stale by the last round, or by the start.
    uint64_t filtered;    // likewise as filtered
    uint64_t *trained;    // (lags) groups
    size_t lags;
    uint64_t granted, behind; // at the last round, as store_counts has them
    double behind_mean;
    double asked_s, seen_s, waited_s[CAUSES];
    enum idle cause;
};

struct reply {
    bool waits; // no answer yet
    struct drawn drawn;
    err_t failed;
};

static err_t look(void *arg, struct store *store);
static void give_up(void *arg, err_t why);

struct draw *draw_new(const struct draw_options *options)
{
    struct draw *draw = mem_new(sizeof *draw);
    draw->options = *options;
    draw->next = draw->again_below = options->first_round;
    draw->again = options->first_round < options->trained_rounds;
    draw->replies = mailbox_new(2);
    storage_on_change(options->storage, look, give_up, draw);
    return draw;
}

/* ---- storage thread */

static void post(struct draw *draw, const struct reply *reply)
{
    (void)mailbox_push(draw->replies, mem_copy(reply, sizeof *reply));
}

static void answer(struct draw *draw, const struct drawn *drawn, err_t failed)
{
    draw->wanted = false;
    draw->trains = drawn->round != NULL;
    post(draw, &(struct reply){.drawn = *drawn, .failed = failed});
}

/* Mean over the leases since the last round; as then if there were none. */
static double behind(struct draw *draw, const struct store_counts *counts)
{
    if (counts->granted > draw->granted)
        draw->behind_mean =
            (double)(counts->behind - draw->behind) / (double)(counts->granted - draw->granted);
    draw->granted = counts->granted;
    draw->behind = counts->behind;
    return draw->behind_mean;
}

static err_t answer_round(struct draw *draw, struct store *store, struct round *round, bool again)
{
    struct drawn drawn = {.round = round, .number = round->round, .again = again, .idle_cause = ""};
    struct store_counts counts;
    store_counts(store, &counts);
    drawn.stale = counts.gone[REASON_STALE] - draw->stale;
    draw->stale += drawn.stale;
    drawn.filtered = counts.gone[REASON_FILTERED] - draw->filtered;
    draw->filtered += drawn.filtered;
    drawn.leased = counts.leased;
    drawn.queue = counts.stored;
    drawn.behind = behind(draw, &counts);
    drawn.spare = counts.spare;
    drawn.paused = draw->paused;
    draw->paused = false;
    drawn.totals = leasing_totals(draw->options.leasing);
    drawn.idle_s = clock_s() - draw->asked_s;
    double most = 0;
    for (int i = IDLE_NO_GROUPS; i < CAUSES; i++)
        if (draw->waited_s[i] > most) {
            most = draw->waited_s[i];
            drawn.idle_cause = idle_name(i);
        }
    err_t failed = store_round_groups(store, round, &drawn.group);
    if (err_failed(failed)) {
        round_free(drawn.round);
        drawn.round = NULL;
    }
    answer(draw, &drawn, failed);
    return OK;
}

static void count_trained(struct draw *draw, const struct round *round)
{
    for (size_t i = 0; i < round->groups; i++) {
        size_t lag = (size_t)(round->round - round->group[i].age); // at most the limit on lag
        if (lag >= draw->lags) {
            draw->trained = mem_grow(draw->trained, lag + 1, sizeof *draw->trained);
            memset(draw->trained + draw->lags, 0, (lag + 1 - draw->lags) * sizeof *draw->trained);
            draw->lags = lag + 1;
        }
        draw->trained[lag]++;
        store_figures_lag(LAG_DRAWN, lag);
        station_note(&round->group[i].id,
                     &(struct station){.name = "drawn", .number = round->round});
    }
}

/* With the settings that are in force now. */
static err_t form(struct draw *draw, struct store *store, struct round **ret)
{
    struct round_plan plan = draw->options.plan;
    const struct live *live = draw->options.live;
    if (live && live_training_paused(live)) {
        draw->cause = IDLE_PAUSED;
        return OK;
    }
    if (live)
        plan.settings = live_text(live);
    TRY(store_form_round(store, clock_ms(), &plan, &draw->cause, ret));
    if (*ret)
        count_trained(draw, *ret);
    return OK;
}

static void answer_woken(struct draw *draw)
{
    draw->woken = false;
    answer(draw, &(struct drawn){.number = draw->next, .idle_cause = ""}, OK);
}

/* While a wait or a round lasts, too: who reads the counters sees them move. */
static void count_time(struct draw *draw)
{
    const double now = clock_s(), passed = now - draw->seen_s;
    draw->seen_s = now;
    if (draw->wanted)
        draw->waited_s[draw->cause] += passed;
    if (draw->wanted)
        report_idle(draw->cause, passed);
    else if (draw->trains)
        report_busy(passed);
}

/* After a round was formed: others look again at once, as there may be leases for it to grant. */
static err_t formed(void *arg, struct store *store)
{
    (void)arg, (void)store;
    return OK;
}

/* Whether the round can be formed now; if so the waiting thread gets it. */
static err_t look(void *arg, struct store *store)
{
    struct draw *draw = arg;
    const struct live *live = draw->options.live;
    draw->paused |= live && (live_generation_paused(live) || live_training_paused(live));
    draw->paused |= draw->options.held && cell_get(draw->options.held) > 0;
    count_time(draw);
    if (!draw->wanted)
        return OK;
    if (draw->stopped) {
        answer(draw, &(struct drawn){.end = DRAW_STOPPED, .idle_cause = ""}, OK);
        return OK;
    }
    struct round *round = NULL;
    TRY(form(draw, store, &round));
    if (round) {
        storage_post(draw->options.storage, formed, NULL);
        return answer_round(draw, store, round, false);
    }
    if (draw->cause == IDLE_ENDED)
        answer(draw, &(struct drawn){.end = DRAW_ENDED, .idle_cause = ""}, OK);
    else if (draw->woken)
        answer_woken(draw);
    else if (!draw->waits)
        post(draw, &(struct reply){.waits = draw->waits = true});
    return OK;
}

/* The store has failed: the waiting thread gets the error. */
static void give_up(void *arg, err_t why)
{
    struct draw *draw = arg;
    if (draw->wanted)
        answer(draw, &(struct drawn){.idle_cause = ""}, why);
    else
        err_free(why);
}

/* The store counts over all processes, and those before this one have reported what they saw. */
static void begin(struct draw *draw, const struct store *store)
{
    struct store_counts counts;
    if (draw->begun)
        return;
    store_counts(store, &counts);
    draw->stale = counts.gone[REASON_STALE];
    draw->filtered = counts.gone[REASON_FILTERED];
    draw->begun = true;
}

/* The round is formed by `look`, which runs after this job. */
static err_t want_new(void *arg, struct store *store)
{
    struct draw *draw = arg;
    begin(draw, store);
    draw->again = false;
    count_time(draw);
    draw->wanted = true;
    draw->waits = false;
    draw->asked_s = draw->seen_s;
    draw->cause = IDLE_NO_GROUPS;
    memset(draw->waited_s, 0, sizeof draw->waited_s);
    return OK;
}

/* Whether a recorded round is not trained, now or ever. */
static err_t pass_over(struct store *store, uint64_t number, bool *ret)
{
    struct round_tries tries;
    TRY(store_round_voided(store, number, ret, NULL));
    if (*ret || number < store_rounds_done(store))
        return OK;
    TRY(store_round_begin(store, number, &tries));
    if (!tries.hopeless)
        return OK;
    SCOPED_MEM char *why = NULL;
    TRY(store_void_round(store, number));
    TRY(store_round_voided(store, number, ret, &why));
    log_error("round voided", "round=%" PRIu64 " starts=%u failures=%u why=\"%s\"", number,
              tries.starts, tries.failures, why);
    return OK;
}

/* draw->next: the compute thread waits. */
static err_t want_again(void *arg, struct store *store)
{
    struct draw *draw = arg;
    struct round *round;
    bool passed = true;
    begin(draw, store);
    count_time(draw);
    draw->asked_s = draw->seen_s;
    memset(draw->waited_s, 0, sizeof draw->waited_s);
    draw->again_below = draw->next;
    if (draw->stopped) {
        answer(draw, &(struct drawn){.end = DRAW_STOPPED, .idle_cause = ""}, OK);
        return OK;
    }
    for (; draw->next < draw->options.trained_rounds; draw->next++) {
        TRY(pass_over(store, draw->next, &passed));
        if (!passed)
            break;
    }
    if (passed) {
        answer(draw, &(struct drawn){.number = draw->next, .idle_cause = ""}, OK);
        return OK;
    }
    TRY(store_round(store, draw->next, &round));
    return answer_round(draw, store, round, true);
}

static err_t wake(void *arg, struct store *store)
{
    (void)store;
    struct draw *draw = arg;
    draw->woken = true;
    return OK;
}

static err_t stop(void *arg, struct store *store)
{
    (void)store;
    struct draw *draw = arg;
    draw->stopped = true;
    return OK;
}

/* ---- compute thread */

static struct reply take_reply(struct draw *draw)
{
    void *message;
    mailbox_take(draw->replies, -1, &message);
    struct reply reply = *(struct reply *)message;
    mem_free(message);
    return reply;
}

err_t draw_next(struct draw *draw, struct drawn *ret)
{
    bool again = draw->next < draw->options.trained_rounds;
    if (again)
        TRY(storage_call(draw->options.storage, want_again, draw));
    else
        storage_post(draw->options.storage, want_new, draw);
    struct reply got = take_reply(draw);
    if (got.waits) {
        const err_t failed = draw->options.idle ? draw->options.idle(draw->options.arg) : OK;
        if (err_failed(failed))
            draw_wake(draw);
        got = take_reply(draw);
        if (err_failed(failed)) {
            /* A round formed meanwhile is recorded: a restart trains it. */
            drawn_done(&got.drawn);
            err_free(got.failed);
            return failed;
        }
    }
    TRY(got.failed);
    if (got.drawn.round)
        draw->next++;
    *ret = got.drawn;
    return OK;
}

struct failure {
    uint64_t round;
    const char *why;
    uint32_t times; // 0: it was trained before, so it is not the round's fault
};

static err_t note_failure(void *arg, struct store *store)
{
    struct failure *failure = arg;
    if (failure->round < store_rounds_done(store))
        return OK;
    return store_round_failed(store, failure->round, failure->why, &failure->times);
}

err_t draw_failed(struct draw *draw, const struct drawn *drawn, err_t failed)
{
    if (err_code(failed) != ERR_INVALID)
        return failed;
    struct failure failure = {.round = drawn->number, .why = err_message(failed)};
    err_t noted = storage_call(draw->options.storage, note_failure, &failure);
    if (err_failed(noted)) {
        err_free(failed);
        return noted;
    }
    if (!failure.times)
        return failed;
    return err_wrap(failed, "failed %u of %d times, after which it is voided", failure.times,
                    VOID_FAILURES);
}

void drawn_done(struct drawn *drawn)
{
    if (drawn->round)
        round_groups_free(drawn->group, drawn->round->groups);
    round_free(drawn->round);
    *drawn = (struct drawn){0};
}

void draw_stop(struct draw *draw)
{
    storage_post(draw->options.storage, stop, draw);
}

void draw_wake(struct draw *draw)
{
    storage_post(draw->options.storage, wake, draw);
}

void draw_go_on_at(struct draw *draw, uint64_t round)
{
    draw->next = draw->options.trained_rounds = round;
}

bool draw_again(const struct draw *draw, uint64_t *ret_done, uint64_t *ret_all)
{
    const uint64_t first = draw->options.first_round;
    *ret_done = draw->again_below - first;
    *ret_all = draw->options.trained_rounds - first;
    return draw->again;
}

enum idle draw_waits_for(const struct draw *draw)
{
    return draw->wanted ? draw->cause : IDLE_NONE;
}

const uint64_t *draw_trained(const struct draw *draw, size_t *ret_lags)
{
    *ret_lags = draw->lags;
    return draw->trained;
}

void draw_free(struct draw *draw)
{
    if (!draw)
        return;
    mailbox_free(draw->replies);
    mem_free(draw->trained);
    mem_free(draw);
}
