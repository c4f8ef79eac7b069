/* A number that one thread writes and any thread reads: for figures that another thread's decision
 * or report needs.
 *
 *     cell_set(&publish->settled_ms, ms);                  -- the loop
 *     report->publish_ms = cell_get(&publish->settled_ms); -- the compute thread
 *
 * Metrics show figures and are never read back. 0 at first. */
#pragma once
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

struct cell {
    _Atomic uint64_t bits; // of a double
};

static inline void cell_set(struct cell *cell, double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    atomic_store_explicit(&cell->bits, bits, memory_order_relaxed);
}

static inline double cell_get(const struct cell *cell)
{
    const uint64_t bits = atomic_load_explicit(&cell->bits, memory_order_relaxed);
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
