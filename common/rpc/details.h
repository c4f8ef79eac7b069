/* Private to common/rpc: the part of an error that programs read, as google.rpc.Status in trailing
 * metadata. BadRequest has the field and the values allowed there; ErrorInfo has the reason's word.
 *
 *     if (details_pack(e, message, &out))                 -- server: nothing if the error says neither
 *     e = details_attach(e, data, len);                   -- client: what is malformed is left out
 *
 * Any thread. */
#pragma once
#include "base/bytes.h"
#include "base/err.h"

#define DETAILS_KEY    "grpc-status-details-bin"
#define DETAILS_DOMAIN "rlhfd"
enum { DETAILS_FIELD_MAX = 200, DETAILS_ALLOWED_MAX = 600, DETAILS_MAX = 4096 };

/* message: as the status has it; UTF-8. */
bool details_pack(err_t e, const char *message, struct bytes *ret);
err_t details_attach(err_t e, const void *data, size_t len);
