/* The table of carriers, and the means of each: the parts of this machine that it needs.
 *
 *     struct carriers carriers = {0};
 *     TRY(carriers_open(recipe, loop, &carriers));   -- publish.transport nccl, and it cannot be: UNAVAILABLE, NOT_FOUND
 *     if (carriers.why) log(carriers.why)            -- auto, and it cannot be: the other carriers alone
 *     options.carriers = &carriers;                  -- of publishers and subscribers; NULL: those without needs
 *
 * The order of the rows is their precedence. A message or version goes to the first carrier that
 * takes it. The gRPC stream is the last, and brings the rest. To add a carrier: a row in carriers.c
 * and a file (stream/carrier.h). carriers_done comes after all that use it. Owner: the main
 * thread. */
#pragma once
#include "base/err.h"
#include <stddef.h>

struct carrier;
struct loop;
struct recipe;
enum { CARRIERS = 3 };
struct carriers {
    void *means[CARRIERS]; // one for each row; NULL: none, or none needed
    /* The reason why a carrier that publish.transport auto asks for is missing; NULL: none is. */
    char *why;
};
err_t carriers_open(const struct recipe *recipe, struct loop *loop, struct carriers *ret);

extern const struct carrier *const carriers_table[CARRIERS];

/* Calls `call` of each carrier's side, send or receive, in the order of the table. `state` has the
 * carriers' states by row. A carrier without the call or without a state is left out. Needs
 * stream/carrier.h. */
#define CARRIERS_EACH(state, side, call, ...)                                                      \
    for (size_t row_ = 0; row_ < CARRIERS; row_++)                                                 \
        if ((state)[row_] && carriers_table[row_]->side->call)                                     \
    carriers_table[row_]->side->call((state)[row_] __VA_OPT__(, ) __VA_ARGS__)

size_t carriers_index(const struct carrier *carrier); // the number of its row
void *carriers_means(const struct carriers *carriers, const struct carrier *carrier); // borrowed

/* The process' exit status. Ends the process at once where a call into a carrier's library never
 * returned: exit handlers of the library would wait for it. */
int carriers_exit(int status);
void carriers_done(struct carriers *carriers);
