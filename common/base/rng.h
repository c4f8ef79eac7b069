/* Counter-based random numbers (Philox 4x32-10, Salmon et al. 2011): a pure function of key and
 * counter, so the same draw comes out however work is batched, ordered, retried or split over
 * threads.
 *
 *     struct rng rng = rng_keyed(seed, RNG_SAMPLE, prompt, completion);
 *     double u = rng_uniform(&rng, position);          -- in [0, 1), 53 bits
 *
 * Any thread: nothing is kept between calls. */
#pragma once
#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

/* The use of a stream. Two uses never share draws. New uses are appended, as the numbers are part
 * of every recorded run. */
enum rng_use {
    RNG_SAMPLE = 1,
    RNG_SHUFFLE = 2,
    RNG_INIT = 3,
    RNG_TEST = 4,
    RNG_MINIBATCH = 5,
    RNG_REPLAY = 6,
    RNG_MIXTURE = 7,
    RNG_SELECT = 8,
    RNG_BOOTSTRAP = 9
};

struct rng {
    uint64_t key;
    uint64_t stream;
};

/* The stream of one use: a, b name the thing drawn for (prompt and epoch, completion, tensor,
 * ...). */
struct rng rng_keyed(uint64_t seed, enum rng_use use, uint64_t a, uint64_t b);
uint64_t rng_u64(const struct rng *rng, uint64_t counter);
double rng_uniform(const struct rng *rng, uint64_t counter); // [0, 1)
/* Box-Muller; libm: not bit-equal across libms */
double rng_normal(const struct rng *rng, uint64_t counter);
/* [0, n), n > 0; bias < 2^-64 * n */
uint64_t rng_below(const struct rng *rng, uint64_t counter, uint64_t n);

/* The i-th element of a permutation of [0, n), without storing it: a Feistel network that walks
 * until it lands in range. Costs a few rng calls. i < n. */
uint64_t rng_permute(const struct rng *rng, uint64_t i, uint64_t n);

/* A random number from the system, never 0. Such a number names a process or a run and decides no
 * sample. */
err_t rng_nonce(uint64_t *ret);
