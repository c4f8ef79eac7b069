#include "tensor/buffer.h"
#include <assert.h>
#include <string.h>

err_t buffer_alloc(struct backend *be, size_t bytes, struct buffer *ret)
{
    void *address = NULL;
    TRY(be->ops->memory_new(be, bytes, &address));
    *ret = (struct buffer){.be = be, .address = address, .bytes = bytes};
    return OK;
}

err_t buffer_alloc_host(struct backend *be, size_t bytes, struct buffer *ret)
{
    void *address = NULL;
    TRY(be->ops->host_new(be, bytes, &address));
    *ret = (struct buffer){.be = be, .address = address, .bytes = bytes, .host = true};
    return OK;
}

void buffer_done(struct buffer *buffer)
{
    if (buffer->address && buffer->host)
        buffer->be->ops->host_free(buffer->be, buffer->address);
    else if (buffer->address)
        buffer->be->ops->memory_free(buffer->be, buffer->address);
    *buffer = (struct buffer){0};
}

static bool inside(const struct buffer *buffer, size_t at, size_t bytes)
{
    return at <= buffer->bytes && bytes <= buffer->bytes - at;
}

err_t buffer_put(struct buffer *buffer, size_t at, const void *from, size_t bytes)
{
    char *to = (char *)buffer->address + at;
    assert(inside(buffer, at, bytes));
    if (!buffer->host)
        return buffer->be->ops->put(buffer->be, to, from, bytes);
    memcpy(to, from, bytes);
    return OK;
}

err_t buffer_get(const struct buffer *buffer, size_t at, size_t bytes, void *ret)
{
    const char *from = (const char *)buffer->address + at;
    assert(inside(buffer, at, bytes));
    if (!buffer->host)
        return buffer->be->ops->get(buffer->be, ret, from, bytes);
    memcpy(ret, from, bytes);
    return OK;
}
