/* What decoding has done, as metrics.
 *
 *     counters_register();
 *     counters_show(engine, serving_since_s);            -- between two steps
 *     struct counters_totals totals = counters_totals();
 *
 * Owner: the compute thread, but counters_totals: any thread. */
#pragma once
#include "generator/swap.h"
#include <stdint.h>

void counters_register(void);

/* The engine's figures; the rest of the seconds since the first weights was idle. */
void counters_show(const struct engine *engine, double serving_since_s);

/* New weights are in force; tokens of unfinished completions stay in flight. Logs it, too. */
void counters_swapped(uint64_t version, const struct swapped *done, const char *mode,
                      uint64_t tokens_in_flight);

/* Cumulative: seconds decoding, seconds with nothing to decode since the first weights, tokens. */
struct counters_totals {
    double busy_s, idle_s;
    uint64_t tokens;
};
struct counters_totals counters_totals(void);
