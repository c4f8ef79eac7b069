/* Rows of several files as one dataset, each file with a weight.
 *
 *     SCOPED(mixture) rows = NULL;
 *     TRY(mixture_open(files, count, seed, shuffle, &rows));
 *     for (uint64_t i = 0; i < mixture_rows(rows); i++)
 *         TRY(mixture_row(rows, epoch, i, &text));           -- place i of that epoch
 *
 * An epoch has weight * rows places for each file, rounded to the nearest, one file after the
 * other. A file goes on in the next epoch where it stopped: with weight 0.5 two epochs see each of
 * its rows once, with weight 2 an epoch sees each twice. If shuffle is set, a file of a broken
 * weight goes through its rows in another order each time. An epoch in another order permutes i.
 * So a place's row is a function of (files, seed, epoch, i) alone. One file of weight 1 has its own
 * rows as places.
 *
 * Rows: any thread. */
#pragma once
#include "base/jsonl.h"

enum { MIXTURE_FILES = 64 };

struct mixture_file {
    char *path;
    double weight; // above 0
};

/* The places of an epoch, of files of so many rows. */
struct mixture_plan {
    uint64_t seed, places; // places: of all files
    size_t files;
    struct mixture_part {
        uint64_t rows, places; // rows may be 0: no place
        bool drawn;            // each pass has an order of its own
    } part[MIXTURE_FILES];
};
/* RANGE: the weight leaves the next file no place, or too many. */
err_t mixture_plan_add(struct mixture_plan *plan, uint64_t rows, double weight, bool shuffle);
/* *ret_file: its number, in the order of adding; i < plan->places. */
void mixture_plan_find(const struct mixture_plan *plan, uint64_t epoch, uint64_t i,
                       size_t *ret_file, uint64_t *ret_row);

struct mixture;
/* As jsonl_open; INVALID also: a weight that leaves a file no place. */
err_t mixture_open(const struct mixture_file *files, size_t count, uint64_t seed, bool shuffle,
                   struct mixture **ret);
uint64_t mixture_rows(const struct mixture *mixture);  // places of an epoch
size_t mixture_longest(const struct mixture *mixture); // bytes of the longest row
/* Names files, weights and all bytes; of one file of weight 1 it is jsonl_digest. */
struct digest mixture_digest(const struct mixture *mixture);
err_t mixture_row(const struct mixture *mixture, uint64_t epoch, uint64_t i, struct bytes *ret);
/* "FILE:LINE" of the place; the caller's. */
char *mixture_name(const struct mixture *mixture, uint64_t epoch, uint64_t i);
/* The files, in the order given. */
size_t mixture_files(const struct mixture *mixture);
const struct jsonl *mixture_file(const struct mixture *mixture, size_t file);
void mixture_free(struct mixture *mixture);
DEFINE_SCOPED(mixture)
