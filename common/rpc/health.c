#include "rpc/health.h"
#include "base/mem.h"
#include "grpc/health/v1/health.pb-c.h"
#include "svc/security.h"
#include <stdlib.h>
#include <string.h>

#define STATUS(name) GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__##name

enum { WATCHERS_MAX = 1024, NAME_MAX_BYTES = 256 };

struct service {
    struct service *next;
    char *name;
    int status;
};

struct watcher {
    struct watcher *next;
    struct rpc_call *call;
    char *service;
    int told; // the status last sent
};

struct rpc_health {
    struct service *services;
    struct watcher *watchers;
    int watcher_count;
};

struct rpc_health *rpc_health_new(void)
{
    return mem_new(sizeof(struct rpc_health));
}

static struct service *find(struct rpc_health *health, const char *name)
{
    struct service *service = health->services;
    while (service && strcmp(service->name, name) != 0)
        service = service->next;
    return service;
}

static Grpc__Health__V1__HealthCheckResponse response(int status)
{
    Grpc__Health__V1__HealthCheckResponse reply = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    reply.status = (Grpc__Health__V1__HealthCheckResponse__ServingStatus)status;
    return reply;
}

static void tell(struct watcher *watcher, int status)
{
    if (watcher->told == status)
        return;
    watcher->told = status;
    const Grpc__Health__V1__HealthCheckResponse reply = response(status);
    rpc_call_send(watcher->call, &reply.base);
}

void rpc_health_set(struct rpc_health *health, const char *name, bool serving)
{
    struct service *service = find(health, name);
    if (!service) {
        service = mem_new(sizeof *service);
        service->name = mem_string(name);
        service->next = health->services;
        health->services = service;
    }
    service->status = serving ? STATUS(SERVING) : STATUS(NOT_SERVING);
    for (struct watcher *watcher = health->watchers; watcher; watcher = watcher->next)
        if (strcmp(watcher->service, name) == 0)
            tell(watcher, service->status);
}

static void check(struct rpc_call *call, struct rpc_message *, const struct ProtobufCMessage *pb,
                  void *user)
{
    const Grpc__Health__V1__HealthCheckRequest *request = (const void *)pb;
    const struct service *service = find(user, request->service);
    if (!service) {
        rpc_call_finish(call, err_new(ERR_NOT_FOUND, "unknown service '%s'", request->service));
        return;
    }
    const Grpc__Health__V1__HealthCheckResponse reply = response(service->status);
    rpc_call_reply(call, &reply.base);
}

static void watch(struct rpc_call *call, struct rpc_message *, const struct ProtobufCMessage *pb,
                  void *user)
{
    const Grpc__Health__V1__HealthCheckRequest *request = (const void *)pb;
    struct rpc_health *health = user;
    if (health->watcher_count == WATCHERS_MAX) {
        rpc_call_finish(
            call, err_new(ERR_EXHAUSTED, "health: %d watchers are all there may be", WATCHERS_MAX));
        return;
    }
    if (strlen(request->service) > NAME_MAX_BYTES) {
        rpc_call_finish(call, err_new(ERR_INVALID, "health: a service's name has at most %d bytes",
                                      NAME_MAX_BYTES));
        return;
    }
    struct watcher *watcher = mem_new(sizeof *watcher);
    watcher->call = call;
    watcher->service = mem_string(request->service);
    watcher->told = -1;
    watcher->next = health->watchers;
    health->watchers = watcher;
    health->watcher_count++;
    const struct service *service = find(health, request->service);
    tell(watcher, service ? service->status : STATUS(SERVICE_UNKNOWN));
}

static void watch_close(struct rpc_call *call, err_t why, void *user)
{
    err_free(why);
    struct rpc_health *health = user;
    struct watcher **at = &health->watchers;
    while (*at && (*at)->call != call)
        at = &(*at)->next;
    struct watcher *watcher = *at;
    if (!watcher)
        return;
    *at = watcher->next;
    health->watcher_count--;
    free(watcher->service);
    free(watcher);
}

struct rpc_service rpc_health_service(struct rpc_health *health)
{
#define TYPES                                                                                      \
    &grpc__health__v1__health_check_request__descriptor,                                           \
        &grpc__health__v1__health_check_response__descriptor
    static const struct rpc_method methods[] = {
        {"/grpc.health.v1.Health/Check", TYPES, RPC_UNARY, CALLER_ANY, {.message = check}},
        {"/grpc.health.v1.Health/Watch",
         TYPES,
         RPC_SERVER_STREAM,
         CALLER_ANY,
         {.message = watch, .close = watch_close}},
        {0},
    };
#undef TYPES
    return (struct rpc_service){methods, health};
}

void rpc_health_free(struct rpc_health *health)
{
    if (!health)
        return;
    for (struct service *service = health->services, *next; service; service = next) {
        next = service->next;
        free(service->name);
        free(service);
    }
    free(health);
}
