/* The ports of a ring's daemons, the tables of what each serves, and every method there is.
 *
 *     struct port ports[PORTS];
 *     ports_list(&daemons, ports);
 *     struct methods methods = methods_list(ports);       -- methods_done
 *     const struct rpc_method *row = port_find(&ports[0], methods.path[i]);     -- NULL: not served there
 *
 * The ring has publish.fanout and eval.every. Owner: the test's thread. */
#pragma once
#include "learner/admin/services.h"
#include "learner/lease/leasing.h"
#include "learner/replay/ingest.h"
#include "rewarder/score.h"
#include "rpc/descset.h"
#include "rpc/health.h"
#include "rpc/reflect.h"
#include "testing/guarded.h"
#include "weights/publisher.h"

enum { TABLES = 16, METHODS = 64 };

/* A port, and the tables of what it serves. */
struct port {
    const char *name, *address;
    const struct rpc_method *tables[TABLES];
    size_t count;
};

static inline void port_add(struct port *port, const struct rpc_method *table)
{
    assert_true(port->count < TABLES);
    port->tables[port->count++] = table;
}

static inline struct port port_of(const char *name, const char *address)
{
    struct port port = {.name = name, .address = address};
    port_add(&port, rpc_health_service(NULL).methods);
    return port;
}

enum { PORTS = 2 * DAEMON_KINDS };
static inline void ports_list(const struct daemons *d, struct port ret[PORTS])
{
    struct rpc_service admin[FACE_SERVICES_MAX];
    for (int kind = 0; kind < DAEMON_KINDS; kind++) {
        ret[2 * kind] = port_of(guarded_daemons[kind], d->address[kind]);
        ret[2 * kind + 1] = port_of(guarded_daemons[kind], d->admin[kind]);
        port_add(&ret[2 * kind + 1], rpc_admin_service(NULL).methods);
        port_add(&ret[2 * kind + 1], rpc_reflect_service(NULL).methods);
    }
    port_add(&ret[2 * LEARNER], leasing_methods);
    port_add(&ret[2 * LEARNER], ingest_service(NULL).methods);
    port_add(&ret[2 * LEARNER], publisher_methods(false));
    port_add(&ret[2 * LEARNER], publisher_methods(true));
    port_add(&ret[2 * REWARDER], score_service(NULL).methods);
    port_add(&ret[2 * GENERATOR], publisher_methods(false)); // publish.fanout
    for (size_t i = learner_services(NULL, admin); i-- > 0;)
        port_add(&ret[2 * LEARNER + 1], admin[i].methods);
}

static inline const struct rpc_method *port_find(const struct port *port, const char *path)
{
    for (size_t i = 0; i < port->count; i++)
        for (const struct rpc_method *m = port->tables[i]; m->path; m++)
            if (strcmp(m->path, path) == 0)
                return m;
    return NULL;
}

/* ---- every method there is */

struct methods {
    char *path[METHODS];
    size_t count;
};

static inline void methods_add(struct methods *methods, const char *path)
{
    for (size_t i = 0; i < methods->count; i++)
        if (strcmp(methods->path[i], path) == 0)
            return;
    assert_true(methods->count < METHODS);
    methods->path[methods->count++] = mem_string(path);
}

/* "package.Service.Method" of the descriptors where "/package.Service/..." is known: a method that
 * has no row is called, too. */
static inline void methods_add_described(struct methods *methods)
{
    SCOPED(descset) set = NULL;
    assert_ok(descset_new(descriptors, descriptors_len, &set));
    const size_t known = methods->count;
    for (size_t i = 0; i < known; i++) {
        const char *service = methods->path[i] + 1;
        const size_t len = strcspn(service, "/");
        for (int j = 0; j < set->symbol_count; j++) {
            const char *symbol = set->symbols[j].name;
            if (strncmp(symbol, service, len) == 0 && symbol[len] == '.') {
                SCOPED_MEM char *path = mem_printf("/%.*s/%s", (int)len, service, symbol + len + 1);
                methods_add(methods, path);
            }
        }
    }
}

static inline struct methods methods_list(const struct port ports[PORTS])
{
    struct methods methods = {0};
    for (size_t i = 0; i < PORTS; i++)
        for (size_t j = 0; j < ports[i].count; j++)
            for (const struct rpc_method *m = ports[i].tables[j]; m->path; m++)
                methods_add(&methods, m->path);
    methods_add_described(&methods);
    methods_add(&methods, "/rlhfd.v1.Prompts/None");
    return methods;
}

static inline void methods_done(struct methods *methods)
{
    while (methods->count)
        mem_free(methods->path[--methods->count]);
}
