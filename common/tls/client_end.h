/* A client's side of one TLS connection, which waits: for commands, not for daemons.
 *
 *     TRY(tls_client_open(set, fd, &(struct tls_client_options){.run = "sort", .until_ms = until_ms}, &client));
 *     TRY(tls_client_write(client, request, len));
 *     TRY(tls_client_read(client, piece, sizeof piece, &got));        -- 0: the server has said its last
 *
 * The set's certificate is shown, and the server's is verified by its roots. The server has to be a
 * daemon of our domain and of the run; the name of its host is not looked at. Every wait ends at
 * until_ms, of the monotonic clock. Owner: one thread. */
#pragma once
#include "base/scoped.h"
#include "tls/keyring.h"
#include <stddef.h>
#include <stdint.h>

struct tls_client;
struct tls_client_options {
    const char *alpn; // the protocol inside; NULL: none is named
    const char *run;  // the server's; NULL: any
    int64_t until_ms;
};

/* fd does not block, and stays the caller's. DENIED: why the server is not to be trusted;
 * UNAVAILABLE, DEADLINE: it left, or was silent. */
err_t tls_client_open(struct tls_set *set, int fd, const struct tls_client_options *options,
                      struct tls_client **ret);
err_t tls_client_write(struct tls_client *client, const void *data, size_t len);
/* At least one byte, or 0 at the end. UNAVAILABLE: cut off, which is no end. */
err_t tls_client_read(struct tls_client *client, void *to, size_t len, size_t *ret);
void tls_client_free(struct tls_client *client);
DEFINE_SCOPED(tls_client)
