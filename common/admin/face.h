/* The face of a daemon: its ports, and the services that every daemon has. The service port has the
 * daemon's own services and health; the admin port has Admin, health and reflection. HTTP has two
 * ports: probes, and metrics (svc/http_ports.h). One file holds the addresses, for the process that
 * started the daemon.
 *
 *     struct face_options options = {.rpc = rpc, .daemon = "rewarder", .run = "sort", .at = {.listen = "127.0.0.1:7002"}, ...};
 *     TRY(face_open(&options, &face));
 *     face_ready(face, NULL);                    -- serving; or a reason why not
 *     face_stop(face, 2000, closed, daemon);     -- drain: nothing new, grace for what is open
 *
 * Owner: the loop's thread. */
#pragma once
#include "admin/admin.h"
#include "rpc/rpc.h"
#include "rpc/server.h"
#include "svc/held.h"

enum { FACE_SERVICES_MAX = 16 };

struct face;
struct security;
enum { ADMIN_REPLY_MAX_BYTES = 64 << 20 }; // the longest that rlhfctl takes
struct face_addresses {
    const char *listen; // of the services
    /* "" or NULL: the host of listen, at its port + 10, + 100, + 200. Where the addresses are
     * announced, any free port in place of those. */
    const char *admin, *probes, *metrics;
    const char *tokens; // file of bearer tokens for metrics; NULL, "": none
    int64_t stuck_s;    // /livez: as http_ports_options has it
};
/* Of a daemon's section of the recipe. */
#define FACE_AT(recipe, daemon)                                                                    \
    {                                                                                              \
        (recipe)->daemon.listen, (recipe)->daemon.admin, (recipe)->daemon.probes,                  \
            (recipe)->daemon.metrics, (recipe)->metrics.tokens, (recipe)->metrics.stuck_s          \
    }
struct face_options {
    struct rpc *rpc;
    struct face_addresses at;
    const struct security *security; // borrowed for the call
    /* All ports together (descriptors_plan); 0: as many as the servers take by default */
    int connections;
    /* File to write {"pid", "listen", "admin", "probes", "metrics"} to once all are bound; NULL: none */
    const char *announce;
    struct admin_options admin;
    struct rpc_service services[FACE_SERVICES_MAX]; // the daemon's own
    size_t service_count;
    struct rpc_service admin_services[FACE_SERVICES_MAX]; // on the admin port alone
    size_t admin_service_count;
    size_t max_recv_bytes; // longest message of the services; 0: 64 MiB
};

/* UNAVAILABLE: a port is taken; DENIED: security does not allow the address. Begins not ready:
 * "starting". */
err_t face_open(const struct face_options *options, struct face **ret);
const char *face_address(const struct face *face);       // of the services, as announced
void face_ready(struct face *face, const char *why_not); // NULL face: nothing
/* The same from the hold that is in force now, which status and log show, too: as held_say
 * (svc/held.h). NULL face: nothing. */
void face_hold(struct face *face, const struct hold *hold, double done);
void face_stop(struct face *face, int grace_ms, void (*closed)(void *arg), void *arg);
void face_free(struct face *face);
DEFINE_SCOPED(face)
