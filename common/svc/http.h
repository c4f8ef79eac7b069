/* The plain HTTP port of a daemon: GET /metrics, /livez (200 while the process lives), /readyz
 * (200, or 503 and why).
 *
 *     SCOPED(http) http = NULL;
 *     TRY(http_start("127.0.0.1:7101", &http));     -- port 0: any; http_address(http) says which
 *     http_set_ready(http, "waiting for weights");  -- it begins not ready: "starting"
 *     http_set_ready(http, NULL);                   -- ready
 *
 * The server has a thread of its own; every call from any thread. No TLS: Kubernetes' probes speak
 * none. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"

struct http;
enum { HTTP_CONNECTIONS = 64 }; // at a time: a connection beyond closes the oldest

/* Listens at host:port. INVALID: no address; UNAVAILABLE: the address is in use, or not ours. */
err_t http_start(const char *address, struct http **ret);

/* Why the daemon cannot serve now, in one line; NULL: it can. Copied. */
void http_set_ready(struct http *http, const char *reason);
/* Ready, but it waits: /readyz says "ok: WHY" */
void http_set_waiting(struct http *http, const char *why);
/* "127.0.0.1:43817": the port in use; borrowed until http_free */
const char *http_address(const struct http *http);
void http_free(struct http *http);
DEFINE_SCOPED(http)
