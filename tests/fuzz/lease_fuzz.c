/* The bytes of a lease request or reply: what decodes encodes to what decodes to the same. */
#include "base/scoped.h"
#include "wire/lease.h"
#include <stdlib.h>
#include <string.h>

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void try_request(const uint8_t *data, size_t len)
{
    SCOPED_VALUE(lease_request) request = {0};
    SCOPED_VALUE(lease_request) again = {0};
    err_t e = lease_request_decode(data, len, &request);
    if (err_failed(e)) {
        err_free(e);
        return;
    }
    SCOPED_VALUE(bytes) out = {0};
    lease_request_encode(&request, &out);
    must(!err_failed(lease_request_decode(out.data, out.len, &again)));
    must(again.progresses == request.progresses && again.returns == request.returns);
}

static void try_reply(const uint8_t *data, size_t len)
{
    SCOPED_VALUE(lease_reply) reply = {0};
    SCOPED_VALUE(lease_reply) again = {0};
    err_t e = lease_reply_decode(data, len, &reply);
    if (err_failed(e)) {
        err_free(e);
        return;
    }
    SCOPED_VALUE(bytes) out = {0};
    lease_reply_encode(&reply, &out);
    must(!err_failed(lease_reply_decode(out.data, out.len, &again)));
    must(again.grants == reply.grants && again.revokes == reply.revokes);
    for (uint32_t i = 0; i < reply.grants; i++)
        must(strcmp(again.grant[i].row, reply.grant[i].row) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    try_request(data, len);
    try_reply(data, len);
    return 0;
}
