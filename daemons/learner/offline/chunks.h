/* The rounds of an offline run. Its rows are trained in chunks, one after another, each for
 * data.epochs passes: all rows at once, or equal parts of them, or file by file (train.chunks).
 *
 *     TRY(chunks_plan(recipe, &rows, &chunks));
 *     const struct chunk *chunk = chunks_find(&chunks, round);
 *     size_t count = chunk_rows(chunk, round, row);        -- the rows of that round, in order
 *
 * A round has learner.groups rows, and the last of a chunk what is left. So a round's rows follow
 * from rows, seed and round alone. Owner: one thread. */
#pragma once
#include "learner/offline/dataset.h"

struct chunk {
    uint64_t number;              // 0, 1, ...
    uint64_t first;               // of its rows
    uint64_t first_round, rounds; // rounds > 0
    uint64_t each, all;           // rows of a round; of all its rounds
    bool shuffle;
    struct mixture_plan plan; // of its own rows
};

struct chunks {
    struct chunk *at; // (count)
    uint64_t count, rounds;
};

/* INVALID: chunks without data.epochs, more chunks than rows or files, or too few rows for a
 * round. */
err_t chunks_plan(const struct recipe *recipe, const struct dataset *rows, struct chunks *ret);

/* round < chunks->rounds. */
const struct chunk *chunks_find(const struct chunks *chunks, uint64_t round);

/* ret: (chunk->each) numbers in the data set; returns how many there are. */
size_t chunk_rows(const struct chunk *chunk, uint64_t round, uint64_t *ret);
void chunks_done(struct chunks *chunks);
