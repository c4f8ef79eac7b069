/* Time. Monotonic for durations and deadlines, wall only for people and leases that outlive a
 * process. Any thread. */
#pragma once
#include <stdint.h>

int64_t clock_ms(void);      // monotonic, milliseconds
double clock_s(void);        // monotonic, seconds
int64_t clock_wall_ms(void); // since 1970
void clock_sleep_ms(int64_t ms);
