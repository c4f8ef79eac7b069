/* Terms that a completion's length and its repetitions take off its reward. Pure functions; any
 * thread.
 *
 *     reward -= penalty * penalty_overlong(tokens, 1024, 128);
 *     reward -= penalty * penalty_repeated(token, start, count, 3);
 *
 * Both are shares from 0 to 1. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* How far `tokens` are in the last `buffer` of `length` tokens: 0 up to where it begins, 1 from its
 * end on (DAPO, Yu 2025). 0 < buffer <= length. */
double penalty_overlong(uint64_t tokens, uint64_t length, uint64_t buffer);

/* Which share of the n-grams that begin at token[start[0 .. count - 1]] equals one before it: 1 -
 * (different ones) / count; 0 of none. */
double penalty_repeated(const uint32_t *token, const uint32_t *start, size_t count, size_t n);
