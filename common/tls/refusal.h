/* The answer to a client that may not come in, in its own protocol: HTTP/2 (gRPC) or HTTP/1.
 *
 *     struct refusal refusal = refusal_of("the certificate expired on ...");
 *     refusal_take(&refusal, data, len, &out);      -- its first bytes; out: what to answer
 *     if (refusal.done) ...                         -- the answer ends here
 *
 * A gRPC call is answered with its status, as its client then shows the text. Nothing of what the
 * client sends is kept; more than REFUSAL_TAKEN bytes end it. Owner: one thread. */
#pragma once
#include "base/bytes.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { REFUSAL_TEXT = 400, REFUSAL_TAKEN = 256 << 10, REFUSAL_STATUS = 16 /* UNAUTHENTICATED */ };

struct refusal {
    char text[REFUSAL_TEXT];
    bool done;
    size_t taken;
    uint8_t head[24]; // of the preface, or of a frame
    size_t head_len;
    size_t skip; // bytes of a frame that are passed over
    int stage, settings;
    uint32_t stream; // of the call that is answered; 0: none yet
};

struct refusal refusal_of(const char *why);
void refusal_take(struct refusal *refusal, const uint8_t *data, size_t len, struct bytes *ret);
