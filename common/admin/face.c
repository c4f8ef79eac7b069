#include "admin/face.h"
#include "admin/announce.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "rpc/health.h"
#include "rpc/reflect.h"
#include "svc/address.h"
#include "svc/http_ports.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Calls that begin in a second: what takes the loop less than a tenth of its time. ADMIN:
 * connections of people and dashboards. */
enum { ADMIN_CALLS_PER_S = 100, CALLS_PER_S = 500, ADMIN_CONNECTIONS = 128 };

struct face {
    char *address;
    int announced; // keeps the announcement ours; -1: none
    struct http_ports *ports;
    struct held *held;
    struct rpc_admin *admin;
    struct rpc_health *health;
    struct rpc_reflect *reflect;
    struct rpc_server *server, *admin_server;
    int open; // servers not yet closed while stopping
    void (*closed)(void *arg);
    void *arg;
};

/* Admin services are never on the service port: what may call the one need not reach the other. */
static err_t start_admin(struct face *face, const struct face_options *o, const char *address,
                         int connections)
{
    enum { OWN = 3 };
    struct rpc_service services[FACE_SERVICES_MAX + OWN] = {rpc_admin_service(face->admin),
                                                            rpc_health_service(face->health),
                                                            rpc_reflect_service(face->reflect)};
    memcpy(services + OWN, o->admin_services, o->admin_service_count * sizeof *services);
    struct rpc_server_options options = {.address = address,
                                         .security = o->security,
                                         .connections = connections,
                                         .calls_per_s = ADMIN_CALLS_PER_S,
                                         .services = services,
                                         .service_count = OWN + o->admin_service_count};
    return rpc_server_start(o->rpc, &options, &face->admin_server);
}

static err_t start_own(struct face *face, const struct face_options *o, int connections)
{
    struct rpc_service services[FACE_SERVICES_MAX + 1] = {rpc_health_service(face->health)};
    memcpy(services + 1, o->services, o->service_count * sizeof *services);
    struct rpc_server_options options = {.address = o->at.listen,
                                         .security = o->security,
                                         .connections = connections,
                                         .calls_per_s = CALLS_PER_S,
                                         .services = services,
                                         .service_count = 1 + o->service_count,
                                         .max_recv_bytes =
                                             o->max_recv_bytes ? o->max_recv_bytes : 64 << 20};
    return rpc_server_start(o->rpc, &options, &face->server);
}

static err_t start_servers(struct face *face, const struct face_options *o,
                           const char *admin_address)
{
    const int connections = o->connections ? o->connections - HTTP_PORTS_CONNECTIONS : 0;
    const int admins = connections / 3 < ADMIN_CONNECTIONS ? connections / 3 : ADMIN_CONNECTIONS;
    TRY(start_admin(face, o, admin_address, admins));
    return start_own(face, o, connections - admins);
}

static err_t say_addresses(struct face *face, const struct face_options *o, const char *admin_host)
{
    struct address address, admin_address;
    TRY(address_parse(o->at.listen, &address));
    TRY(address_parse(admin_host, &admin_address));
    SCOPED_MEM char *listen = address_text(address.host, (uint16_t)rpc_server_port(face->server));
    SCOPED_MEM char *admin =
        address_text(admin_address.host, (uint16_t)rpc_server_port(face->admin_server));
    const char *probes = http_ports_probes(face->ports), *metrics = http_ports_metrics(face->ports);
    log_info("listening", "address=%s admin=%s probes=%s metrics=%s", listen, admin, probes,
             metrics);
    face->address = mem_string(listen);
    if (!o->announce)
        return OK;
    SCOPED_JSON json_t *object =
        json_pack("{s:i, s:s, s:s, s:s, s:s}", "pid", (int)getpid(), "listen", listen, "admin",
                  admin, "probes", probes, "metrics", metrics);
    SCOPED_MEM char *text = json_to_text(object);
    return announce_write(o->announce, text, &face->announced);
}

/* Next to the service's port; any free one where the addresses are announced: who reads them needs
 * no rule, and the port next door may be somebody's. */
static err_t side_address(const struct face_options *o, const char *given, int add, char **ret)
{
    struct address address;
    if (!o->announce || (given && *given))
        return address_beside(given ? given : "", o->at.listen, add, ret);
    TRY(address_parse(o->at.listen, &address));
    *ret = address_text(address.host, 0);
    return OK;
}

static err_t open_ports(struct face *face, const struct face_options *o)
{
    SCOPED_MEM char *probes = NULL;
    SCOPED_MEM char *metrics = NULL;
    TRY(side_address(o, o->at.probes, ADDRESS_PROBES, &probes));
    TRY(side_address(o, o->at.metrics, ADDRESS_METRICS, &metrics));
    return http_ports_open(&(struct http_ports_options){.probes = probes,
                                                        .metrics = metrics,
                                                        .tokens = o->at.tokens,
                                                        .stuck_ms = o->at.stuck_s * 1000,
                                                        .security = o->security},
                           &face->ports);
}

err_t face_open(const struct face_options *o, struct face **ret)
{
    SCOPED(face) face = mem_new(sizeof *face);
    face->announced = -1;
    SCOPED_MEM char *admin_address = NULL;
    TRY(side_address(o, o->at.admin, ADDRESS_ADMIN, &admin_address));
    face->held = held_new();
    struct admin_options admin = o->admin;
    if (o->security)
        admin.security = *o->security;
    face->admin = rpc_admin_new(&admin, face->held);
    face->health = rpc_health_new();
    TRY(rpc_reflect_new(descriptors, descriptors_len, &face->reflect));
    TRY(start_servers(face, o, admin_address));
    TRY(open_ports(face, o));
    face_ready(face, "starting");
    TRY(say_addresses(face, o, admin_address));
    *ret = STEAL(face);
    return OK;
}

const char *face_address(const struct face *face)
{
    return face->address;
}

void face_ready(struct face *face, const char *why_not)
{
    if (!face)
        return; // a peer's stream may break before it is open or after it is gone
    http_ports_set_ready(face->ports, why_not);
    rpc_health_set(face->health, "", why_not == NULL);
}

void face_hold(struct face *face, const struct hold *hold, double done)
{
    if (!face)
        return;
    held_say(face->held, hold, done, clock_s());
    const bool ready = hold_ready(hold->cause);
    if (ready)
        http_ports_set_waiting(face->ports, *hold->text ? hold->text : NULL);
    else
        http_ports_set_ready(face->ports, hold->text);
    rpc_health_set(face->health, "", ready);
}

static void one_closed(void *arg)
{
    struct face *face = arg;
    if (--face->open == 0 && face->closed)
        face->closed(face->arg);
}

void face_stop(struct face *face, int grace_ms, void (*closed)(void *arg), void *arg)
{
    face_ready(face, "draining");
    face->closed = closed;
    face->arg = arg;
    face->open = 2;
    rpc_server_stop(face->server, grace_ms, one_closed, face);
    rpc_server_stop(face->admin_server, grace_ms, one_closed, face);
}

void face_free(struct face *face)
{
    if (!face)
        return;
    http_ports_free(face->ports);
    rpc_server_free(face->server);
    rpc_server_free(face->admin_server);
    rpc_reflect_free(face->reflect);
    rpc_health_free(face->health);
    rpc_admin_free(face->admin);
    held_free(face->held);
    if (face->announced >= 0)
        close(face->announced);
    mem_free(face->address);
    mem_free(face);
}
