/* The two HTTP ports of a daemon. Probes have one for themselves, plain and open to
 * all, because a kubelet shows no certificate: /livez and /readyz say one word. The reasons, and
 * /metrics, are on the other one.
 *
 *     TRY(http_ports_open(&(struct http_ports_options){.probes = "127.0.0.1:7101", .metrics = "127.0.0.1:7201"}, &ports));
 *     http_ports_set_ready(ports, "waiting for weights");  -- it begins not ready: "starting"
 *     http_ports_set_ready(ports, NULL);                   -- ready
 *
 * probes:  GET /livez                  200 "ok"; 503 "not ready" while a thread is stuck
 *              /readyz                 200 "ok", 503 "not ready"
 * metrics: GET /metrics                Prometheus' text
 *              /livez                  200 "ok", 503 and which thread (base/heartbeat.h)
 *              /readyz                 200 "ok" or "ok: what it waits for", 503 and why
 *
 * Every call from any thread. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include "svc/http.h"

enum { HTTP_PORTS_CONNECTIONS = 2 * HTTP_CONNECTIONS }; // of both ports

struct http_ports;
struct http_ports_options {
    const char *probes, *metrics; // addresses
    const char *tokens; // file of bearer tokens (svc/tokens.h), asked for at the metrics port
    int64_t stuck_ms;   // without a step of a thread: it is stuck; 0: none ever is
    const struct security *security; // borrowed for the call
};

/* UNAVAILABLE: a port is taken; DENIED: the metrics port would be plaintext beyond loopback. */
err_t http_ports_open(const struct http_ports_options *options, struct http_ports **ret);

/* Why the daemon cannot serve now, in one line; NULL: it can. Copied. */
void http_ports_set_ready(struct http_ports *ports, const char *reason);
/* Ready, but it waits: the reasons say "ok: WHY" */
void http_ports_set_waiting(struct http_ports *ports, const char *why);
/* With the ports in use; borrowed until http_ports_free. */
const char *http_ports_probes(const struct http_ports *ports);
const char *http_ports_metrics(const struct http_ports *ports);
void http_ports_free(struct http_ports *ports);
DEFINE_SCOPED(http_ports)
