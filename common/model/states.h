/* The optimizer's states: for each element of a flat array a master and two moments, float32. They
 * lie on the device, or in the host's memory. The host's pass through the device piece by piece
 * while a step runs: one comes, one is stepped, one goes back.
 *
 *     TRY(states_new(be, layout->elements, STATES_HOST, &states));
 *     TRY(states_walk(&states, run, runs, step_piece, arg));  -- each element of the runs once
 *     TRY(states_settle(&states));                            -- then buffers may be read
 *     TRY(buffer_get(&states.array[MASTER], at, bytes, ret));
 *
 * Owner: the thread that owns the backend. */
#pragma once
#include "tensor/buffer.h"

enum { MASTER, EXP_AVG, EXP_AVG_SQ, STATES };
enum states_place { STATES_DEVICE, STATES_HOST };

struct states {
    struct backend *be; // borrowed
    enum states_place place;
    struct buffer array[STATES];
    struct buffer slots; // of the host's: PAGE_SLOTS pieces of each array
    size_t piece;        // elements of one
};

/* Elements [begin, end) of the flat array, both multiples of 32, and what the walk's function is
 * told of them. */
struct states_run {
    size_t begin, end;
    bool decays;
};

/* Zeros. EXHAUSTED: the device or the host has not so much memory. */
err_t states_new(struct backend *be, size_t elements, enum states_place place, struct states *ret);
void states_done(struct states *states); // {0} is allowed

/* Calls fn for pieces of the runs, ascending. `at` has the addresses of the three arrays at element
 * `begin`, on the device; what ops leave there is kept. A piece begins at a multiple of 32. */
typedef err_t states_fn(void *arg, const struct states_run *piece, float *const at[STATES]);
err_t states_walk(struct states *states, const struct states_run *run, int runs, states_fn *fn,
                  void *arg);

/* Waits for the copies of the last walk: until then nobody reads or writes the host's buffers. */
err_t states_settle(const struct states *states);

/* Bytes of the device and of the host that the states of so many elements take. */
struct states_bytes {
    size_t device, host;
};
struct states_bytes states_bytes(size_t elements, enum states_place place);
