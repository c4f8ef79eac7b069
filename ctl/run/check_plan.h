/* `rlhfctl check` on a recipe as a plan: how many updates there will be, and whether its daemons
 * can stand side by side. Any thread. */
#pragma once
#include "svc/recipe/recipe.h"
#include <stdint.h>
#include <stdio.h>

/* INVALID: a warm-up that the run's updates never complete, rounds that the data cannot fill. A run
 * that --set shortens for a trial is only noted. rows: of data.train. */
err_t check_plan(const struct recipe *recipe, uint64_t rows, FILE *notes);

/* INVALID: a core that a daemon is to be bound to is not there, or not for this process. */
err_t check_cores(const struct recipe *recipe);

/* UNIMPLEMENTED: a daemon is to run on a backend that lacks an op which it needs. NOT_FOUND,
 * PRECONDITION: there is no such backend beside this program, or of another version. */
err_t check_backends(const struct recipe *recipe);

/* INVALID: two daemons listen on one port of this machine. `rlhfctl up` does not care: it takes
 * free ones. */
err_t check_listens(const struct recipe *recipe);
