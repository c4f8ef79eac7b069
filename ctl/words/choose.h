/* Which weights a command works with: a version of a run, a checkpoint, a model directory, or the
 * newest there is. */
#pragma once
#include "base/err.h"
#include "svc/recipe/recipe.h"
#include <stdint.h>

/* From the command line; NULL: not given. At most one of them. */
struct choose_flags {
    const char *version, *checkpoint, *model;
};

struct choice {
    char *directory;
    int64_t version; // of the run's weights; -1: not known
};
void choice_done(struct choice *choice);

/* --version N: RUN/checkpoints/vN, or model.path for version 0. Nothing given:
 * RUN/checkpoints/latest, else model.path. NOT_FOUND: the version has no checkpoint; the message
 * names those that there are. INVALID: two flags, no run. */
err_t choose_model(const struct recipe *recipe, const struct choose_flags *flags,
                   struct choice *ret);
