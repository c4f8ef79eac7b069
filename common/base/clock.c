#include "base/clock.h"
#include "base/env.h"

enum { NS_PER_MS = 1000000 };

int64_t clock_ms(void)
{
    return env()->monotonic_ns() / NS_PER_MS;
}

double clock_s(void)
{
    return (double)env()->monotonic_ns() * 1e-9;
}

int64_t clock_wall_ms(void)
{
    return env()->wall_ns() / NS_PER_MS;
}

void clock_sleep_ms(int64_t ms)
{
    env()->sleep_ms(ms);
}
