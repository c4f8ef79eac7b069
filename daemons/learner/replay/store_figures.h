/* The store as metrics: slots by state, groups by why they left, the disk, and how old groups are
 * at each stop.
 *
 *     store_figures_register();
 *     store_figures_show(&counts);                       -- now and then
 *     store_figures_lag(LAG_STORED, 2);                  -- a group was stored two rounds old
 *
 * Any thread; store_figures_register: main. */
#pragma once
#include "learner/store/counts.h"

/* At the lease: how far the generator's weights are behind. When stored: the lag that the next
 * round would see. When drawn: the lag that the round has seen. */
enum lag_stage { LAG_LEASED, LAG_STORED, LAG_DRAWN, LAG_STAGES };

void store_figures_register(void);
void store_figures_show(const struct store_counts *counts);
void store_figures_lag(enum lag_stage stage, uint64_t rounds);
