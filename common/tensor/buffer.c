#include "tensor/buffer.h"
#include <assert.h>

err_t buffer_alloc(struct backend *be, size_t bytes, struct buffer *ret)
{
    void *address = NULL;
    TRY(be->ops->memory_new(be, bytes, &address));
    *ret = (struct buffer){be, address, bytes};
    return OK;
}

void buffer_done(struct buffer *buffer)
{
    if (buffer->address)
        buffer->be->ops->memory_free(buffer->be, buffer->address);
    *buffer = (struct buffer){0};
}

static bool inside(const struct buffer *buffer, size_t at, size_t bytes)
{
    return at <= buffer->bytes && bytes <= buffer->bytes - at;
}

err_t buffer_put(struct buffer *buffer, size_t at, const void *from, size_t bytes)
{
    assert(inside(buffer, at, bytes));
    return buffer->be->ops->put(buffer->be, (char *)buffer->address + at, from, bytes);
}

err_t buffer_get(const struct buffer *buffer, size_t at, size_t bytes, void *ret)
{
    assert(inside(buffer, at, bytes));
    return buffer->be->ops->get(buffer->be, ret, (const char *)buffer->address + at, bytes);
}
