/* Private to common/rpc: how a channel proves who it is, and whom it takes for its server. */
#pragma once
#include "rpc/core.h"
#include "svc/security.h"

/* Of the keys of one generation. servers: roles that may answer, 0 for any; run: NULL for any. NULL
 * set: plaintext. A server's certificate has to verify, and to have an identity; names of hosts
 * play no part. */
grpc_channel_credentials *credentials_new(struct tls_set *set, const char *run, unsigned servers);
