/* Which results have the same bits. A backend declares two of these, for its forward and for its
 * training:
 *
 *     be->forward.id      -- equal ids: equal log-probabilities of equal weights and tokens
 *     be->training.id     -- equal ids: equal weights after equal updates
 *
 * An id is words of the form key=value, and names whatever the bits depend on. The id of
 * NUMERICS_EXACT therefore names kernels alone. The id of NUMERICS_INVARIANT also names the build,
 * the architecture and, for training, the versions of libraries and the device's shape. The model's
 * part is in model/numerics.h. Any thread: constant once the backend is open. */
#pragma once

enum numerics_class {
    /* Results do not repeat, not even in the same process. */
    NUMERICS_NONE,
    /* Results repeat within one build and one architecture, whatever the batch. */
    NUMERICS_INVARIANT,
    /* Results repeat on every machine. */
    NUMERICS_EXACT,
};

enum { NUMERICS_ID_MAX = 128 };
struct numerics {
    enum numerics_class repeats;
    char id[NUMERICS_ID_MAX];
};

/* The forward of groups that name none. Builds that did not write the id had the CPU's kernels of
 * this revision. */
#define NUMERICS_OF_UNNAMED "backend=cpu kernels=2"
