#include "rl/penalty.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/scoped.h"
#include <stdbool.h>
#include <string.h>

double penalty_overlong(uint64_t tokens, uint64_t length, uint64_t buffer)
{
    if (tokens >= length)
        return 1;
    const uint64_t begin = length - buffer;
    return tokens > begin ? (double)(tokens - begin) / (double)buffer : 0;
}

/* Adds the n-gram to the set: places of n-grams, + 1; 0: free. Returns whether one was there. */
static bool was_in(uint32_t *set, size_t places, const uint32_t *token, uint32_t at, size_t n)
{
    const size_t bytes = n * sizeof *token;
    size_t place = hash64(token + at, bytes, 0) & (places - 1);
    for (; set[place]; place = (place + 1) & (places - 1))
        if (memcmp(token + set[place] - 1, token + at, bytes) == 0)
            return true;
    set[place] = at + 1;
    return false;
}

double penalty_repeated(const uint32_t *token, const uint32_t *start, size_t count, size_t n)
{
    size_t places = 2, repeated = 0;
    while (places < 2 * count) // at most half full
        places *= 2;
    SCOPED_MEM uint32_t *set = mem_array(places, sizeof *set);
    for (size_t i = 0; i < count; i++)
        repeated += was_in(set, places, token, start[i], n);
    return count ? (double)repeated / (double)count : 0;
}
