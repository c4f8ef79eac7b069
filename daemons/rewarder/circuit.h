/* Whether a stage answers at all. After some failures in a row, each of which might pass, the
 * circuit is open: nothing begins at the stage but a probe, after pauses that double. Any answer
 * closes it. Pure, but for the time that it is given.
 *
 *     circuit_failed(&circuit, stage->limits.breaker, now_s);      -- true: it has just opened
 *     if (circuit_is_open(&circuit) && now_s >= circuit.probe_s)   -- begin a probe
 *         ...
 *     circuit_answered(&circuit, now_s);                           -- true: it was open
 *
 * Owner: the loop's thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct circuit {
    uint64_t seed;     // of its pauses' lengths
    uint64_t failures; // in a row
    uint32_t probes;   // failed ones, since it opened
    double opened_s;   // 0: closed
    double probe_s;    // open: no probe before
    double answered_s; // the last answer; 0: none yet
};

static inline bool circuit_is_open(const struct circuit *circuit)
{
    return circuit->opened_s > 0;
}

bool circuit_answered(struct circuit *circuit, double now_s);

/* A failure that may pass. most: so many in a row open it; 0: none do. */
bool circuit_failed(struct circuit *circuit, int64_t most, double now_s);
bool circuit_open(struct circuit *circuit, double now_s); // at once; false: it was open
void circuit_probe_failed(struct circuit *circuit, double now_s);

/* A pause of base_ms doubled `times` times, at most most_ms, and up to a half longer: by how much
 * follows from seed and times alone. Seconds. */
double circuit_pause_s(uint64_t seed, uint32_t times, double base_ms, double most_ms);
