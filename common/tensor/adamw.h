/* A step of AdamW, for backends and for who calls them.
 *
 *     TRY(adamw_constants_of(step, &constants));              -- a backend: as its kernels see it
 *
 *     TRY(be->ops->zero(be, total.address, total.bytes));     -- a caller: a buffer of an adamw_total
 *     TRY(be->ops->adamw(..., total.address));                -- any number of calls
 *     TRY(adamw_read(&total, &changes));                      -- waits for them
 *
 * Owner: the thread that owns the backend. */
#pragma once
#include "tensor/adamw_constants.h"
#include "tensor/buffer.h"

struct adamw_changes {
    size_t count;         // values that the steps changed
    struct digest digest; // weights_digest_add(digest before, this) is the digest after
};

/* INVALID: the step's number. */
err_t adamw_constants_of(const struct adamw_step *step, struct adamw_constants *ret);

struct adamw_changes adamw_changes_of(const struct adamw_total *total);
err_t adamw_read(const struct buffer *total, struct adamw_changes *ret);
