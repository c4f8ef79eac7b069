/* RUN/train.json: the rows, the settings and the numerics that an offline run began with. A run
 * that goes on must have the same, or it would be another run with the beginning of this one.
 *
 *     TRY(begun_check(recipe, digest, fingerprint));     -- writes it, or compares
 *
 * Settings that change no bit may differ: threads, the cut of a batch, checkpoints, evaluation. So
 * may run.rounds where nothing depends on the run's end. Owner: one thread. */
#pragma once
#include "base/hash.h"
#include "svc/recipe/recipe.h"

/* PRECONDITION: another run's; names the first difference and both values. INVALID, DATA_LOSS: the
 * file cannot be understood. */
err_t begun_check(const struct recipe *recipe, const struct digest *rows, const char *fingerprint);
