/* A generator's request, or the learner's reply, by the first byte: what is taken encodes to bytes that mean the same. */
#include "base/scoped.h"
#include "wire/lease.h"
#include <stdlib.h>
#include <string.h>

static void request(const uint8_t *data, size_t len)
{
    SCOPED_VALUE(lease_request) first = {0}, second = {0};
    SCOPED_VALUE(bytes) one = {0}, two = {0};
    err_t e = lease_request_decode(data, len, &first);
    if (!err_failed(e)) {
        lease_request_encode(&first, &one);
        e = lease_request_decode(one.data, one.len, &second);
        if (err_failed(e))
            abort();
        lease_request_encode(&second, &two);
        if (one.len != two.len || (one.len && memcmp(one.data, two.data, one.len) != 0))
            abort();
    }
    err_free(e);
}

static void reply(const uint8_t *data, size_t len)
{
    SCOPED_VALUE(lease_reply) first = {0}, second = {0};
    SCOPED_VALUE(bytes) one = {0}, two = {0};
    err_t e = lease_reply_decode(data, len, &first);
    if (!err_failed(e)) {
        lease_reply_encode(&first, &one);
        e = lease_reply_decode(one.data, one.len, &second);
        if (err_failed(e))
            abort();
        lease_reply_encode(&second, &two);
        if (one.len != two.len || (one.len && memcmp(one.data, two.data, one.len) != 0))
            abort();
    }
    err_free(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len)
        (data[0] & 1 ? reply : request)(data + 1, len - 1);
    return 0;
}
