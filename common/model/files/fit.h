/* Whether a model's memory fits into the process's limit (base/cgroup.h), told before the model is
 * read: a process that outgrows its limit is killed without a word.
 *
 *     TRY(fit_model(be, directory, 16, "weights and optimizer"));
 *
 * Any thread. */
#pragma once
#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

struct backend;

/* EXHAUSTED: the bytes are more than the limit. */
err_t fit_bytes(const struct backend *be, uint64_t bytes, const char *what);

/* EXHAUSTED: each_bytes for every element of the model in this directory are more than the limit.
 * OK also where the backend's memory is a device's, and where the config cannot be read: who loads
 * it says why. */
err_t fit_model(const struct backend *be, const char *directory, size_t each_bytes,
                const char *what);

/* The same beside `held` bytes of models that are loaded. */
err_t fit_model_beside(const struct backend *be, const char *directory, size_t each_bytes,
                       uint64_t held, const char *what);
