#include "rewarder/circuit.h"
#include "base/hash.h"
#include <math.h>

static const double PROBE_MS = 250, PROBE_MOST_MS = 10000;

/* A group that alone fails must come to its last attempt: between two openings one counts. */
enum { LEAST = 2 };

double circuit_pause_s(uint64_t seed, uint32_t times, double base_ms, double most_ms)
{
    const double pause_ms = fmin(ldexp(base_ms, times < 30 ? (int)times : 30), most_ms);
    const uint64_t bits = hash64(&times, sizeof times, seed) >> 11;
    return pause_ms / 1000 * (1 + ldexp((double)bits, -53) / 2);
}

static void pause_probes(struct circuit *circuit, double now_s)
{
    circuit->probe_s =
        now_s + circuit_pause_s(circuit->seed, circuit->probes, PROBE_MS, PROBE_MOST_MS);
}

bool circuit_answered(struct circuit *circuit, double now_s)
{
    const bool was_open = circuit_is_open(circuit);
    circuit->failures = 0;
    circuit->opened_s = 0;
    circuit->answered_s = now_s;
    return was_open;
}

bool circuit_open(struct circuit *circuit, double now_s)
{
    if (circuit_is_open(circuit))
        return false;
    circuit->opened_s = now_s;
    circuit->probes = 0;
    pause_probes(circuit, now_s);
    return true;
}

bool circuit_failed(struct circuit *circuit, int64_t most, double now_s)
{
    const uint64_t least = most > LEAST ? (uint64_t)most : LEAST;
    circuit->failures++;
    return most && circuit->failures >= least && circuit_open(circuit, now_s);
}

void circuit_probe_failed(struct circuit *circuit, double now_s)
{
    circuit->failures++;
    circuit->probes++;
    pause_probes(circuit, now_s);
}
