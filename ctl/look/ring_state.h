/* A run as an operator sees it: figures of the ring, from the Status messages of its daemons. No
 * clock, terminal or network: the caller gives the time, so that tests can make states up and draw
 * them.
 *
 *     struct ring_state state = {0};
 *     size_t learner = ring_state_daemon(&state, "learner");
 *     ring_state_status(&state, learner, status, now_ms);         -- each as it comes; rates are over the last seconds
 *     ring_state_lost(&state, learner, "does not answer", now_ms);
 *     struct ring_figures figures = ring_state_figures(&state);
 *
 * Zero-initialised values are valid and empty. Owner: one thread. */
#pragma once
#include "base/json.h"

enum { RING_DAEMONS = 128, RING_LAGS = 64, RING_TEXT = 96, RING_SAMPLES = 8, RING_HELD = 384 };
enum ring_kind { RING_GENERATOR, RING_REWARDER, RING_LEARNER, RING_KINDS };

/* Totals at one moment. Totals that a daemon does not have are 0. */
struct ring_sample {
    double at_s, tokens, groups, rounds, versions, weight_bytes, busy_s, idle_s;
};

struct ring_daemon {
    char name[RING_TEXT], state[32], why[RING_TEXT], waits_for[RING_HELD];
    bool is_held,
        /* By one cause (Status.held_up), whose words waits_for has; it is ready all the same */
        held_ready;
    char held_cause[32];
    double held_s; // for so long
    enum ring_kind kind;
    bool known, answers;                     // has said something; does so still
    bool by_learner, listed;                 // known by its list of workers; is in the last one
    int64_t lost_ms;                         // when it was heard of last
    struct ring_sample sample[RING_SAMPLES]; // a ring buffer
    size_t samples;
    double version, waiting; // groups that wait at it for the next one
    double slots;            // completions being decoded
};

struct ring_lag {
    uint64_t lag, trained, stored, leased;
};

struct ring_state {
    struct ring_daemon daemon[RING_DAEMONS];
    size_t daemons;
    char run[RING_TEXT];
    double round, version, reward, lag_mean, lag_max, eval_success, eval_version; // of the learner
    struct ring_lag lag[RING_LAGS];
    size_t lags;
    bool generation_paused, training_paused;
    char lag_limit[16]; // the setting lag.max; "": not known
};

/* Rates per second over the last samples; of all daemons of a kind. */
struct ring_rates {
    size_t count, answering;
    double tokens, groups, rounds, versions, weight_bytes;
    double busy; // share, 0 to 1; below 0: not known
    double waiting, slots, version_least, version_most;
    char state[32]; // of those that answer, if all have the same; "mixed"
};
struct ring_figures {
    struct ring_rates kind[RING_KINDS];
};

/* The daemon of that name ("generator-2"), added if there is room; RING_DAEMONS: no room. */
size_t ring_state_daemon(struct ring_state *state, const char *name);

/* A Status as JSON (admin/pbjson.h). The kind follows from what it says of itself. */
void ring_state_status(struct ring_state *state, size_t daemon, const json_t *status,
                       int64_t now_ms);

/* A ListWorkersReply as JSON: for who cannot ask generators and rewarders themselves. A worker that
 * is LOST or not in it any more is gone. */
void ring_state_workers(struct ring_state *state, const json_t *reply, int64_t now_ms);
void ring_state_lost(struct ring_state *state, size_t daemon, const char *why, int64_t now_ms);

/* Rates of one daemon per second; busy_s and idle_s as differences. All 0 before its second
 * status. */
struct ring_sample ring_daemon_rates(const struct ring_daemon *daemon);
struct ring_figures ring_state_figures(const struct ring_state *state);

/* The daemon that names the one cause which holds the run up. A learner that does not answer comes
 * first. Then comes a daemon that is not ready, the learner before others, then the learner that
 * waits. NULL: nothing holds the run up. */
const struct ring_daemon *ring_state_held(const struct ring_state *state);

/* The cause as a line, "held up for 12 s: ...". Owned by the caller; NULL: nothing holds the run
 * up. */
char *ring_state_held_line(const struct ring_state *state);

/* One line: round, version, reward, lag, rates. Owned by the caller. */
char *ring_state_line(const struct ring_state *state);
