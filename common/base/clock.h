/* Time, from base/env.h. Durations and deadlines are monotonic; the wall clock is for labels that
 * people read, as it may jump both ways. Any thread. */
#pragma once
#include <stdint.h>

int64_t clock_ms(void);      // monotonic, milliseconds
double clock_s(void);        // monotonic, seconds
int64_t clock_wall_ms(void); // since 1970
void clock_sleep_ms(int64_t ms);
