/* Memory of a backend. Only these calls and ops reach it: an address may be that of a device, or
 * without rights (tensor/opaque).
 *
 *     SCOPED_VALUE(buffer) x = {0};
 *     TRY(buffer_alloc(be, N * C * sizeof(float), &x));         -- zeroed
 *     TRY(buffer_put(&x, 0, rows, N * C * sizeof(float)));      -- from the host's memory
 *     TRY(be->ops->add(be, (float *)x.address + C, y, C));      -- ops take addresses inside
 *     TRY(buffer_get(&x, 0, N * C * sizeof(float), rows));      -- and back
 *
 * Memory of the host (buffer_alloc_host) has what a device has no room for. Ops do not reach it:
 * page_in and page_out copy it (tensor/backend.h).
 *
 * Sizes are planned: large buffers are made at the start and cut by arithmetic on their address.
 * Owner: the thread that owns the backend, which outlives the buffer. */
#pragma once
#include "tensor/backend.h"

struct buffer {
    struct backend *be; // borrowed
    void *address;      // aligned to 64 bytes; NULL: there is none
    size_t bytes;
    bool host; // address is the host's
};

/* Zeroed. EXHAUSTED: there is not so much memory. */
err_t buffer_alloc(struct backend *be, size_t bytes, struct buffer *ret);
err_t buffer_alloc_host(struct backend *be, size_t bytes, struct buffer *ret);
void buffer_done(struct buffer *buffer); // {0} is allowed

/* `bytes` from byte `at` on; a range that is not inside is the caller's mistake (assert). get: any
 * thread, while nobody writes there. The host's: while no copy is under way. */
err_t buffer_put(struct buffer *buffer, size_t at, const void *from, size_t bytes);
err_t buffer_get(const struct buffer *buffer, size_t at, size_t bytes, void *ret);
