#include "base/clock.h"
#include <errno.h>
#include <time.h>

static struct timespec now(clockid_t which)
{
    struct timespec t;
    clock_gettime(which, &t);
    return t;
}

int64_t clock_ms(void)
{
    struct timespec t = now(CLOCK_MONOTONIC);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

double clock_s(void)
{
    struct timespec t = now(CLOCK_MONOTONIC);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int64_t clock_wall_ms(void)
{
    struct timespec t = now(CLOCK_REALTIME);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

void clock_sleep_ms(int64_t ms)
{
    struct timespec left = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&left, &left) && errno == EINTR)
        ;
}
