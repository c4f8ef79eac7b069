/* One GET over HTTP/1.1, which waits: for commands, not for daemons.
 *
 *     SCOPED_VALUE(http_got) got = {0};
 *     TRY(http_get(&(struct http_get_options){.address = "learner:7203", .path = "/metrics", .timeout_ms = 5000}, &got));
 *     got.status, got.type, got.body
 *
 * Any thread. */
#pragma once
#include "base/bytes.h"
#include "base/err.h"
#include "svc/security.h"
#include <stdint.h>

enum { HTTP_GET_MAX_BYTES = 32 << 20, HTTP_GET_TYPE = 128 };

struct http_get_options {
    const char *address, *path;
    const struct security *security; // with keys, and beyond loopback: TLS; NULL: plaintext
    int64_t timeout_ms;              // of the whole
};

struct http_got {
    unsigned status;
    char type[HTTP_GET_TYPE]; // Content-Type; "": not said
    struct bytes body;
};

/* Any status is an answer. UNAVAILABLE, DEADLINE: nobody answers; DENIED: the server is not to be
 * trusted; DATA_LOSS: what came is no whole answer; RANGE: longer than HTTP_GET_MAX_BYTES. Each
 * names the address. */
err_t http_get(const struct http_get_options *options, struct http_got *ret);
void http_got_done(struct http_got *got);
