#include "grpc/health/v1/health.pb-c.h"
#include "loopback.h"

#define STATUS(name) GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__##name

struct seen {
    int count, status[16];
    bool closed;
    enum err_code code;
};

static void on_status(struct rpc_call *, struct rpc_message *, const struct ProtobufCMessage *pb,
                      void *user)
{
    struct seen *seen = user;
    seen->status[seen->count++] = (int)((const Grpc__Health__V1__HealthCheckResponse *)pb)->status;
}

static void on_end(struct rpc_call *, err_t why, void *user)
{
    struct seen *seen = user;
    seen->closed = true;
    seen->code = err_code(why);
    err_free(why);
}

static struct rpc_call *ask(struct loopback *lo, const struct rpc_method *method,
                            const char *service, struct seen *seen)
{
    static const struct rpc_handlers handlers = {.message = on_status, .close = on_end};
    *seen = (struct seen){0};
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    request.service = (char *)service;
    if (method->kind == RPC_UNARY)
        return rpc_call_unary(lo->channel, method, &request.base, NULL, &handlers, seen);
    struct rpc_call *call = rpc_call_stream(lo->channel, method, NULL, &handlers, seen);
    rpc_call_send(call, &request.base);
    rpc_call_half_close(call);
    return call;
}

struct fixture {
    struct loopback lo;
    struct rpc_health *health;
    const struct rpc_method *check, *watch;
};

static void begin(struct fixture *fixture)
{
    loopback_init(&fixture->lo);
    rpc_server_free(fixture->lo.server);
    fixture->health = rpc_health_new();
    struct rpc_service services[] = {rpc_health_service(fixture->health)};
    fixture->check = &services[0].methods[0];
    fixture->watch = &services[0].methods[1];
    rpc_channel_free(fixture->lo.channel);
    assert_ok(rpc_server_start(
        fixture->lo.rpc,
        &(struct rpc_server_options){.address = fixture->lo.target, RPC_SERVICES(services)},
        &fixture->lo.server));
    connect_to(&fixture->lo, 0);
}

static void end(struct fixture *fixture)
{
    loopback_done(&fixture->lo);
    rpc_health_free(fixture->health);
}

static void check_says_what_was_set(void **)
{
    struct fixture f;
    struct seen seen;
    begin(&f);
    ask(&f.lo, f.check, "", &seen);
    until(&f.lo, is_set, &seen.closed);
    assert_int_equal(seen.code, ERR_NOT_FOUND);
    rpc_health_set(f.health, "", true);
    rpc_health_set(f.health, "rlhfd.v1.Replay", false);
    ask(&f.lo, f.check, "", &seen);
    until(&f.lo, is_set, &seen.closed);
    assert_int_equal(seen.code, ERR_NONE);
    assert_int_equal(seen.status[0], STATUS(SERVING));
    ask(&f.lo, f.check, "rlhfd.v1.Replay", &seen);
    until(&f.lo, is_set, &seen.closed);
    assert_int_equal(seen.status[0], STATUS(NOT_SERVING));
    end(&f);
}

static void watch_tells_of_changes_only(void **)
{
    struct fixture f;
    struct seen a, b;
    begin(&f);
    struct rpc_call *call = ask(&f.lo, f.watch, "a", &a);
    ask(&f.lo, f.watch, "b", &b);
    until_count(&f.lo, &a.count, 1);
    until_count(&f.lo, &b.count, 1);
    assert_int_equal(a.status[0], STATUS(SERVICE_UNKNOWN));
    rpc_health_set(f.health, "a", true);
    until_count(&f.lo, &a.count, 2);
    rpc_health_set(f.health, "a", true);
    rpc_health_set(f.health, "a", false);
    until_count(&f.lo, &a.count, 3);
    run_for(&f.lo, 20);
    assert_int_equal(a.count, 3);
    assert_int_equal(a.status[1], STATUS(SERVING));
    assert_int_equal(a.status[2], STATUS(NOT_SERVING));
    assert_int_equal(b.count, 1);
    rpc_call_cancel(call);
    until(&f.lo, is_set, &a.closed);
    run_for(&f.lo, 20);
    rpc_health_set(f.health, "a", true); // nobody listens any more
    rpc_health_set(f.health, "b", true);
    until_count(&f.lo, &b.count, 2);
    assert_false(b.closed);
    end(&f);
    assert_true(b.closed);
}

static void long_names_are_refused(void **)
{
    struct fixture f;
    struct seen seen;
    begin(&f);
    char name[300];
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = 0;
    ask(&f.lo, f.watch, name, &seen);
    until(&f.lo, is_set, &seen.closed);
    assert_int_equal(seen.code, ERR_INVALID);
    end(&f);
}

TESTS(cmocka_unit_test(check_says_what_was_set), cmocka_unit_test(watch_tells_of_changes_only),
      cmocka_unit_test(long_names_are_refused))
