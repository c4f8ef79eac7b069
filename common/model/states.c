#include "model/states.h"

/* Elements of a piece. Three arrays of the most are 48 MiB, a millisecond on PCIe 5.0: a copy's
 * start does not show. Eight pieces are there at least, so that a step has copies beside it. */
enum { PIECE_MOST = 4 << 20, PIECE_LEAST = 1 << 10, PIECES = 8, ALIGN = 32 };

static size_t piece_of(size_t elements)
{
    const size_t part = (elements / PIECES + ALIGN) / ALIGN * ALIGN;
    return part > PIECE_MOST ? PIECE_MOST : part < PIECE_LEAST ? PIECE_LEAST : part;
}

struct states_bytes states_bytes(size_t elements, enum states_place place)
{
    const size_t each = STATES * sizeof(float);
    return place == STATES_DEVICE
               ? (struct states_bytes){.device = elements * each}
               : (struct states_bytes){.device = PAGE_SLOTS * piece_of(elements) * each,
                                       .host = elements * each};
}

err_t states_new(struct backend *be, size_t elements, enum states_place place, struct states *ret)
{
    SCOPED_VALUE(states) states = {.be = be, .place = place, .piece = piece_of(elements)};
    for (int i = 0; i < STATES; i++)
        TRY((place == STATES_HOST ? buffer_alloc_host : buffer_alloc)(be, elements * sizeof(float),
                                                                      &states.array[i]));
    if (place == STATES_HOST)
        TRY(buffer_alloc(be, states_bytes(elements, place).device, &states.slots));
    *ret = states;
    states = (struct states){0};
    return OK;
}

void states_done(struct states *states)
{
    if (states->be && states->place == STATES_HOST)
        err_free(states_settle(states)); // a device that is lost copies no more
    for (int i = 0; i < STATES; i++)
        buffer_done(&states->array[i]);
    buffer_done(&states->slots);
}

err_t states_settle(const struct states *states)
{
    return states->place == STATES_HOST ? states->be->ops->sync(states->be) : OK;
}

static err_t walk_device(const struct states *states, const struct states_run *run, int runs,
                         states_fn *fn, void *arg)
{
    for (int i = 0; i < runs; i++) {
        float *at[STATES];
        for (int array = 0; array < STATES; array++)
            at[array] = (float *)states->array[array].address + run[i].begin;
        TRY(fn(arg, &run[i], at));
    }
    return OK;
}

/* Where the next piece of the runs begins. */
struct cursor {
    const struct states_run *run, *end;
    size_t done; // elements of *run
    int slot;
};

static bool next_piece(struct cursor *cursor, size_t most, struct states_run *ret)
{
    if (cursor->run == cursor->end)
        return false;
    *ret = *cursor->run;
    ret->begin += cursor->done;
    if (ret->end - ret->begin > most)
        ret->end = ret->begin + most;
    cursor->done += ret->end - ret->begin;
    if (ret->end == cursor->run->end) {
        cursor->run++;
        cursor->done = 0;
    }
    cursor->slot = (cursor->slot + 1) % PAGE_SLOTS;
    return true;
}

/* The arrays' addresses in a slot. */
static void slot_of(const struct states *states, int slot, float *ret[STATES])
{
    for (int i = 0; i < STATES; i++)
        ret[i] = (float *)states->slots.address + (size_t)(slot * STATES + i) * states->piece;
}

static err_t bring(const struct states *states, int slot, const struct states_run *piece)
{
    float *to[STATES];
    slot_of(states, slot, to);
    for (int i = 0; i < STATES; i++)
        TRY(states->be->ops->page_in(states->be, slot, to[i],
                                     (float *)states->array[i].address + piece->begin,
                                     (piece->end - piece->begin) * sizeof(float)));
    return OK;
}

static err_t send_back(const struct states *states, int slot, const struct states_run *piece,
                       float *const from[STATES])
{
    for (int i = 0; i < STATES; i++)
        TRY(states->be->ops->page_out(states->be, slot,
                                      (float *)states->array[i].address + piece->begin, from[i],
                                      (piece->end - piece->begin) * sizeof(float)));
    return OK;
}

/* Two pieces are on their way in before one is stepped. The third slot is that of the piece that
 * goes back. */
static err_t walk_host(const struct states *states, const struct states_run *run, int runs,
                       states_fn *fn, void *arg)
{
    struct cursor ahead = {run, run + runs, 0, PAGE_SLOTS - 1}, at = ahead;
    struct states_run piece;
    TRY(states_settle(states)); // the same elements may still be on their way back
    for (int i = 1; i < PAGE_SLOTS && next_piece(&ahead, states->piece, &piece); i++)
        TRY(bring(states, ahead.slot, &piece));
    while (next_piece(&at, states->piece, &piece)) {
        float *there[STATES];
        struct states_run coming;
        slot_of(states, at.slot, there);
        TRY(states->be->ops->page_wait(states->be, at.slot));
        TRY(fn(arg, &piece, there));
        TRY(send_back(states, at.slot, &piece, there));
        if (next_piece(&ahead, states->piece, &coming))
            TRY(bring(states, ahead.slot, &coming));
    }
    return OK;
}

err_t states_walk(struct states *states, const struct states_run *run, int runs, states_fn *fn,
                  void *arg)
{
    return (states->place == STATES_HOST ? walk_host : walk_device)(states, run, runs, fn, arg);
}
