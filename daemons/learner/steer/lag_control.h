/* lag.max: auto: the controller that sets the limit on lag by the figures of each trained round.
 * Pure: the same rounds give the same path.
 *
 *     struct lag_control control = {0};
 *     struct lag_move move = lag_control_step(&control, &config, eta, &seen);       -- after each round
 *     if (move.eta != eta)
 *         log_info("lag", "%s", lag_why_name(move.why));
 *
 * Lag costs learning, so the limit is as low as it may be without the learner waiting. The
 * controller moves one step at a time. A move is felt when groups leased before it have drained, so
 * the next eta + 1 rounds are skipped. Then `rounds` rounds are looked at as a whole, and the
 * controller decides again. "Waits" means that the learner's share of idle time is above its bound
 * by two standard errors. One slow round among eight is noise: then as many more rounds are looked
 * at, up to eight times `rounds`. The first rule that holds decides:
 *
 *   1. ess below its band, or kl above it: down. Weights moved too far from those that sampled.
 *   2. The last move was up, the learner still waits, and rounds are less than 5 % faster: back.
 *      The learner did not lack lag.
 *   3. The learner waits, either for a straggler (more rounds between lease and use give it time)
 *      or while generators have nothing to do (they are paced): up, if ess and kl are inside their
 *      bands with room to spare. Generators that always have work are the slow part, and no limit
 *      changes that.
 *   4. A round's worth of groups was always left in the store, or a round's worth of leases never
 *      asked for: down. A lower limit takes nothing from anybody.
 *
 * A limit that was wrong is not tried again soon: a bar stops a rule for some decisions, 8 at
 * first. A move by 3 bars 4. A move by 1 or 2 after a rise bars 3. Each further bar of 3 is twice
 * as long, up to 64. A bar of 4 is twice as long if the lower limit was taken back within the last
 * bar's length. A lower limit that stands for so long halves the length. So a ring that makes the
 * learner wait now and then has the limit that it needs then. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct lag_control_config {
    uint64_t min, max; // of eta
    double idle_low,
        /* Shares of time: generators' above which they are paced; learner's above which it waits */
        idle_high;
    double ess_low, ess_high; // down below the first, up only above the second
    double kl_low, kl_high;   // down above the second, up only below the first
    uint64_t rounds, groups;  // looked at for one decision; groups in a round; both > 0
};

/* One trained round. */
struct lag_seen {
    double learner_idle_s, learner_busy_s, generator_idle_s, generator_busy_s;
    bool straggler; // most of the learner's waiting was for a straggler
    double ess, kl; // NaN: not known
    uint64_t queue; // groups left in the store when it had been formed
    uint64_t spare; // the fewest slots that pacing left unasked for since the round before
};

enum lag_why { LAG_STAYS, LAG_ESS, LAG_KL, LAG_NO_GAIN, LAG_STARVES, LAG_STRAGGLES, LAG_ENOUGH };
/* For people: "the learner waits and generators are paced", ... */
const char *lag_why_name(enum lag_why why);

struct lag_bar {
    uint64_t left, length; // decisions for which that direction is barred; the last bar's length
};

/* How long the learner waited, over all rounds since it was last certain whether it waits. */
struct lag_waits {
    double idle_s, all_s, straggler_s;          // all: idle and busy; straggler: of idle
    double idle_squares, products, all_squares; // of each round's idle, idle and all, all
    uint64_t rounds;
};

/* Zeroed: nothing seen yet. The controller begins anew when somebody else has moved the limit. */
struct lag_control {
    bool begun;
    uint64_t eta;         // as it left it
    uint64_t skip, seen;  // rounds still not looked at; rounds looked at
    struct lag_seen sums; // of those; queue and spare: the least
    struct lag_waits waits;
    double ess_n, kl_n;    // rounds that had one
    int last;              // move: +1 by rule 3; -1 by rule 4; 0: by another rule, or none
    uint64_t stood;        // decisions since then
    double round_before_s; // a round took, before it
    struct lag_bar up, down;
};

struct lag_move {
    uint64_t eta;
    enum lag_why why;
    /* The figures that decided: means over the rounds looked at. */
    double learner_idle, generator_idle, ess, kl;
};

/* Takes in a round that was trained while eta was the limit, and returns the limit of the next
 * round. eta outside [min, max] is brought inside at once. */
struct lag_move lag_control_step(struct lag_control *control,
                                 const struct lag_control_config *config, uint64_t eta,
                                 const struct lag_seen *seen);
