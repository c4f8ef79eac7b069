/* All rows of several files, as a taker makes something of each, and the places of their epochs.
 *
 *     TRY(row_files_read(files, (struct row_taker){take, arg}, &plan, &skipped));
 *     row_files_at(&plan, true, n)         -- which of the kept rows is the n-th to be trained
 *
 * A taker makes one thing of a row, or several, which are rows to all others. They are numbered in
 * the order of files and lines. An epoch has the places of base/mixture.h, of all of them. Owner:
 * one thread. */
#pragma once
#include "base/json.h"
#include "base/mixture.h"
#include "svc/recipe/recipe.h"

struct row_taker {
    /* name: "FILE:LINE". *ret_made: how many; 0, and the row is skipped. */
    err_t (*take)(void *arg, const json_t *row, const char *name, uint64_t *ret_made);
    void *arg;
};

/* The plan begins with its seed and no files. Errors as jsonl_open, mixture_plan_add and the
 * taker. */
err_t row_files_read(const struct recipe_files *files, struct row_taker taker, bool shuffle,
                     struct mixture_plan *plan, uint64_t *ret_skipped);

/* The n-th row of epochs without end: each in an order of its own, or all in that of the files. */
uint64_t row_files_at(const struct mixture_plan *plan, bool shuffle, uint64_t n);
