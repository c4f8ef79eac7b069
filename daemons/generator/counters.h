/* Figures of decoding, as metrics.
 *
 *     counters_register(evaluates);
 *     counters_show(&before, &now);            -- between two steps
 *
 * Owner: the compute thread, but counters_register: main. */
#pragma once
#include "generator/swap.h"
#include <stdint.h>

/* Since the first weights; the last line as they are now. */
struct decode_figures {
    double busy_s, idle_s;                           // in training's steps; with nothing to decode
    double evaluation_s;                             // for evaluations
    uint64_t tokens, recomputed_tokens, preemptions; // of training
    int active_slots, free_pages;
};

void counters_register(bool evaluates); // evaluates: the rows of evaluation, too
void counters_show(const struct decode_figures *before, const struct decode_figures *now);

/* New weights are in force, beneath so many tokens of unfinished completions. Logs it, too. */
void counters_swapped(uint64_t version, const struct swapped *done, const char *mode,
                      uint64_t tokens_in_flight);
void counters_evaluates(uint64_t version); // the evaluation's weights are
