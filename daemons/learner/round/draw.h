/* Draws rounds: the compute thread asks for the next one, and the storage thread forms it as soon
 * as the lag rules allow.
 *
 *     TRY(draw_next(draw, &drawn));      -- waits; drawn.round NULL: no more rounds, drawn.end says why
 *
 * After a restart the recorded rounds that no checkpoint covers come first, as they were. A draw
 * with no round and DRAW_MORE follows the last of them. A round that failed every time
 * (draw_failed), or whose every start ended with the process, is voided and passed over. Owner: the
 * compute thread, but draw_stop and draw_wake: any thread. */
#pragma once
#include "learner/lease/leasing.h"
#include "learner/replay/storage.h"
#include "learner/steer/live.h"
#include "learner/store/rounds.h"

struct draw;
struct draw_options {
    struct storage *storage;
    struct leasing *leasing;
    /* Says the plan's settings, and whether training is paused; NULL: the plan does */
    struct live *live;
    const struct cell *held; // of leasing_options; NULL: none
    struct round_plan plan;  // borrowed texts
    uint64_t first_round;    // the first that the checkpoint does not cover
    uint64_t trained_rounds; // store_next_round at the start: rounds below it are trained again
    /* Optional: no round can be formed yet. draw_next calls it on the compute thread, once before
     * it waits, and returns its error. */
    err_t (*idle)(void *arg);
    void *arg;
};

enum draw_end { DRAW_MORE, DRAW_ENDED, DRAW_STOPPED };
struct drawn {
    struct round *round;  // NULL: none
    struct group **group; // (round->groups) in recorded order
    uint64_t number;      // of the round; with none: of the next
    bool again;           // recorded before the restart
    enum draw_end end;
    double idle_s;                // waited
    const char *idle_cause;       // reason of most of the waiting; "": none
    struct leasing_totals totals; // of the generators, now
    /* Rounds that generators' weights were behind when they leased, mean since the last round */
    double behind;
    uint64_t leased, queue,
        spare; // when it had been formed: groups out, groups left stored, store_counts' spare
    /* Since the round before generation or training was paused, or a scorer did not answer. */
    bool paused;
    uint64_t stale;    // groups that have left as stale since the round before, or since the start
    uint64_t filtered; // likewise as filtered
};

struct draw *draw_new(const struct draw_options *options);
err_t draw_next(struct draw *draw, struct drawn *ret);
void drawn_done(struct drawn *drawn);

/* Training the drawn round ended with `failed`. An error of the numbers (INVALID) is counted in the
 * store, and the error has the count. Takes it and returns it; OK stays OK. */
err_t draw_failed(struct draw *draw, const struct drawn *drawn, err_t failed);

/* No more rounds, neither formed nor trained again: draw_next returns with DRAW_STOPPED. */
void draw_stop(struct draw *draw);

/* Makes draw_next return soon, with the round that is ready or with none and DRAW_MORE, as the
 * compute thread has something else to do. */
void draw_wake(struct draw *draw);

/* After a fork: no recorded round is trained again, the next to be formed is this. */
void draw_go_on_at(struct draw *draw, uint64_t round);

/* Whether rounds recorded before the restart come first; how many have been trained again, and how
 * many there were. Storage thread. */
bool draw_again(const struct draw *draw, uint64_t *ret_done, uint64_t *ret_all);

/* Why the compute thread waits; IDLE_NONE while it trains. Storage thread. */
enum idle draw_waits_for(const struct draw *draw);

/* Groups of the rounds formed by this process, by their lag. Storage thread; borrowed until the
 * next round. */
const uint64_t *draw_trained(const struct draw *draw, size_t *ret_lags);

/* After the storage thread's last job. */
void draw_free(struct draw *draw);
DEFINE_SCOPED(draw)
