/* Clients that take what they can get: connections that do nothing, halves of messages, resets,
 * more requests than can be answered. The server closes them, and others do not notice. */
#include "loopback.h"
#include "svc/metrics.h"
#include "svc/security.h"
#include "testing/h2.h"
#include <dirent.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>

enum { MIB = 1 << 20 };

static void serve_with(struct loopback *lo, struct rpc_server_options options)
{
    *lo = (struct loopback){.half_close_ok = true};
    struct rpc_service services[] = {{loopback_methods, lo}};
    options.address = "127.0.0.1:0";
    options.services = services;
    options.service_count = 1;
    assert_ok(loop_new(&lo->loop));
    assert_ok(rpc_new(lo->loop, &lo->rpc));
    assert_ok(rpc_server_start(lo->rpc, &options, &lo->server));
    snprintf(lo->target, sizeof lo->target, "127.0.0.1:%d", rpc_server_port(lo->server));
    connect_to(lo, 0);
}

static void sum_named(void *arg, const char *name, double value)
{
    struct {
        const char *name;
        double value;
    } *wanted = arg;
    if (strcmp(name, wanted->name) == 0)
        wanted->value = value;
}

static double closed_for(const char *reason)
{
    SCOPED_MEM char *name = mem_printf("rlhfd_connections_closed_total{reason=\"%s\"}", reason);
    struct {
        const char *name;
        double value;
    } wanted = {name, 0};
    metrics_each(sum_named, &wanted);
    return wanted.value;
}

static int descriptors_open(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static void answers(struct loopback *lo)
{
    struct call_outcome out = {0};
    ask_status(lo, 60000, &out);
    until(lo, is_set, &out.closed);
    assert_int_equal(out.code, ERR_NONE);
    outcome_done(&out);
}

/* On a busy machine a new connection of a process that was flooded before may hang: both sides of
 * core have sent their settings, and neither goes on. The door cuts it as silent, and whoever
 * connects does so again, as the product's clients do. */
enum { CONNECT_MS = 120000 };

static bool tries_again(struct loopback *lo, const struct call_outcome *out, int64_t until_ms)
{
    if (out->code != ERR_UNAVAILABLE || clock_ms() > until_ms)
        return false;
    run_for(lo, 100); // core waits, too
    return true;
}

static void answers_in_the_end(struct loopback *lo)
{
    struct call_outcome out = {0};
    const int64_t until_ms = clock_ms() + CONNECT_MS;
    do {
        ask_status(lo, 60000, &out);
        until(lo, is_set, &out.closed);
    } while (tries_again(lo, &out, until_ms));
    assert_int_equal(out.code, ERR_NONE);
    outcome_done(&out);
}

static bool is_decided(void *arg)
{
    const struct call_outcome *out = arg;
    return out->opened || out->closed;
}

/* A stream that the server has accepted. */
static struct rpc_call *opened(struct loopback *lo, const struct rpc_method *method,
                               const struct rpc_call_options *options, struct call_outcome *out)
{
    struct rpc_call *call;
    const int64_t until_ms = clock_ms() + CONNECT_MS;
    do {
        outcome_done(out);
        call = rpc_call_stream(lo->channel, method, options, &outcome_handlers, out);
        until(lo, is_decided, out);
    } while (tries_again(lo, out, until_ms));
    assert_true(out->opened && !out->closed);
    return call;
}

/* An Append stream in use, and another request beside it. */
static void stream_goes_on(struct loopback *lo, struct rpc_call *call, struct call_outcome *out)
{
    SCOPED(rpc_message) group = group_message((uint64_t)out->messages, 100);
    assert_false(out->closed); // else the call is gone
    assert_true(rpc_call_send_message(call, group));
    until_count(lo, &out->messages, out->messages + 1);
    assert_false(out->closed);
}

static void idle_connections_give_way(void **)
{
    enum { LIMIT = 32, FLOOD = 200 };
    struct loopback lo;
    struct call_outcome out = {0};
    serve_with(&lo, (struct rpc_server_options){.connections = LIMIT});
    struct rpc_call *call = open_append(&lo, NULL, &out);
    stream_goes_on(&lo, call, &out);
    const double before = closed_for("full");
    const int open_before = descriptors_open();
    int fds[FLOOD];
    for (int i = 0; i < FLOOD; i++) {
        fds[i] = i % 2 ? h2_connect(lo.target) : tcp_connect(lo.target);
        assert_true(descriptors_open() - open_before <= i + 1 + LIMIT);
    }
    stream_goes_on(&lo, call, &out);
    rpc_channel_free(lo.channel);
    connect_to(&lo, 0);
    answers(&lo);
    stream_goes_on(&lo, call, &out);
    assert_true(closed_for("full") - before >= FLOOD - LIMIT - 1);
    for (int i = 0; i < FLOOD; i++)
        close(fds[i]);
    rpc_call_half_close(call);
    until(&lo, is_set, &out.closed);
    assert_int_equal(out.code, ERR_NONE);
    outcome_done(&out);
    loopback_done(&lo);
}

static void silence_ends_a_connection(void **)
{
    struct loopback lo;
    struct call_outcome out = {0};
    serve_with(&lo, (struct rpc_server_options){.idle_ms = 300});
    struct rpc_call *call =
        opened(&lo, &loopback_methods[1], NULL, &out); // open, though it says nothing
    int silent = h2_connect(lo.target), half = h2_connect(lo.target);
    h2_headers(half, 1, GET_STATUS); // and no request: this holds nothing open
    for (int i = 0; (tcp_is_open(silent) || tcp_is_open(half)) && i < 600; i++)
        run_for(&lo, 100);
    assert_false(tcp_is_open(silent));
    assert_false(tcp_is_open(half));
    stream_goes_on(&lo, call, &out);
    close(silent);
    close(half);
    rpc_call_cancel(call);
    until(&lo, is_set, &out.closed);
    outcome_done(&out);
    loopback_done(&lo);
}

/* ---- floods, on a thread of their own */

struct flood {
    char target[64];
    const char *path;
    bool resets;
    uint64_t sent;     // bytes, or streams
    double cut_before; // connections, for halves or silence, when it began
    atomic_bool over;
};

static bool send_block(struct flood *flood, int fd, struct h2_windows *windows, int i)
{
    enum { BLOCK = 16000 };
    static const uint8_t block[BLOCK];
    const bool fits = windows->all >= BLOCK && windows->stream[i] >= BLOCK;
    if (!h2_listen(fd, windows) ||
        (fits && !h2_frame(fd, H2_DATA, 0, (uint32_t)(2 * i + 1), block, BLOCK)))
        return false;
    if (!fits)
        return true;
    flood->sent += BLOCK;
    windows->all -= BLOCK;
    windows->stream[i] -= BLOCK;
    return true;
}

/* Many streams, each with a message that never ends, as fast as the windows allow. */
static void send_halves(struct flood *flood, int fd)
{
    enum { STREAMS = 60 };
    static const uint8_t begins[5] = {0, 0, 0x3f, 0xff, 0xff}; // of 4 MiB
    static struct h2_windows windows;
    h2_windows_init(&windows);
    for (int i = 0; i < STREAMS; i++)
        if (!h2_headers(fd, (uint32_t)(2 * i + 1), flood->path) ||
            !h2_frame(fd, H2_DATA, 0, (uint32_t)(2 * i + 1), begins, sizeof begins))
            return;
    const int64_t end = clock_ms() + 60000;
    for (int i = 0; send_block(flood, fd, &windows, i) && clock_ms() < end; i = (i + 1) % STREAMS)
        ;
}

/* Each connection would open so many streams if it was let. gRPC's core is not instrumented and
 * reads many times faster than our threads run under ThreadSanitizer, and what a flood costs there
 * says nothing of the door. There a short one looks for races alone. */
#ifdef __SANITIZE_THREAD__
enum { RESETS = 2000, IS_MEASURED = 0 };
#else
enum { RESETS = 1000000, IS_MEASURED = 1 };
#endif

static void send_resets(struct flood *flood, int fd)
{
    enum { TOGETHER = 50 };
    static const uint8_t cancel[4] = {0, 0, 0, 8};
    for (uint32_t stream = 1; stream < 2 * RESETS;) {
        uint8_t out[TOGETHER * 300];
        size_t len = 0;
        for (int i = 0; i < TOGETHER; i++, stream += 2, flood->sent++) {
            len += h2_put_call(out + len, stream, flood->path);
            len += h2_put(out + len, H2_RST, 0, stream, cancel, 4);
        }
        if (!tcp_send(fd, out, len) || !tcp_is_open(fd))
            return;
    }
}

static void *run_flood(void *arg)
{
    struct flood *flood = arg;
    for (int i = 0; i < 2; i++) {
        int fd = h2_connect(flood->target);
        (flood->resets ? send_resets : send_halves)(flood, fd);
        const bool waits = IS_MEASURED || !flood->resets;
        for (int n = 0; waits && tcp_is_open(fd) && n < 6000; n++)
            clock_sleep_ms(10);
        close(fd);
    }
    atomic_store(&flood->over, true);
    return NULL;
}

static double cut(void)
{
    return closed_for("unfinished") + closed_for("silent");
}

static bool flood_over(void *arg)
{
    return atomic_load(&((struct flood *)arg)->over);
}

static size_t in_use(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

struct watched {
    struct flood *flood;
    size_t most;
};

static bool watch_memory(void *arg)
{
    struct watched *watched = arg;
    const size_t now = in_use();
    watched->most = now > watched->most ? now : watched->most;
    return flood_over(watched->flood);
}

/* Runs a flood to its end beside a stream that goes on; *ret_grown: the most memory it took. */
static void survive(struct flood *flood, struct rpc_server_options options, size_t *ret_grown)
{
    struct loopback lo;
    struct call_outcome out = {0};
    serve_with(&lo, options);
    memcpy(flood->target, lo.target, sizeof flood->target);
    struct rpc_call *call = opened(&lo, &loopback_methods[1], NULL, &out);
    stream_goes_on(&lo, call, &out);
    flood->cut_before = cut();
    struct watched watched = {flood, 0};
    const size_t before = in_use();
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_flood, flood), 0);
    until(&lo, watch_memory, &watched);
    pthread_join(thread, NULL);
    *ret_grown = watched.most > before ? watched.most - before : 0;
    stream_goes_on(&lo, call, &out);
    answers(&lo);
    rpc_call_cancel(call);
    until(&lo, is_set, &out.closed);
    outcome_done(&out);
    loopback_done(&lo);
}

/* Sixty messages of 4 MiB are begun on each of two connections, one after the other. */
static void halves_of_messages_are_bounded(void **)
{
    static const char *const paths[] = {APPEND, GET_STATUS};
    for (int i = 0; i < 2; i++) {
        struct flood flood = {.path = paths[i]};
        size_t grown;
        survive(&flood, (struct rpc_server_options){.max_recv_bytes = 4 * MIB, .idle_ms = 3000},
                &grown);
        assert_true(cut() - flood.cut_before >= 2);
        assert_true(closed_for("unfinished") > 0);
        assert_true(grown < 200 * MIB);
    }
}

/* A million streams of five kilobytes on each of two connections would be 10 GB. A
 * loaded machine may run the thread that reads long before the thread that closes, so the memory is
 * the least of three floods. Without the door every flood takes all. */
static void resets_are_bounded(void **)
{
    static const char *const paths[] = {APPEND, GET_STATUS, "/rlhfd.v1.No/Such"};
    enum { TRIES = 3 };
    for (int i = 0; i < 3; i++) {
        size_t grown = SIZE_MAX;
        for (int n = 0; n < TRIES && grown >= 512 * MIB; n++) {
            struct flood flood = {.path = paths[i], .resets = true};
            const double before = closed_for("resets");
            survive(&flood, (struct rpc_server_options){.calls_per_s = i == 1 ? 500 : 0}, &grown);
            if (!IS_MEASURED)
                continue;
            assert_true(closed_for("resets") - before >= 2);
            assert_true(flood.sent < RESETS);
        }
        assert_true(grown < 512 * MIB);
    }
}

/* ---- answers that nobody reads */

static void count_message(struct rpc_call *call, struct rpc_message *,
                          const struct ProtobufCMessage *, void *user)
{
    struct loopback *lo = user;
    static const uint8_t answer[1 << 20];
    SCOPED(rpc_message) message = rpc_message_copy(answer, sizeof answer);
    lo->received++;
    rpc_call_send_message(call, message);
}

static void unread_answers_stop_the_questions(void **)
{
    static const struct rpc_method methods[] = {
        {APPEND, NULL, NULL, RPC_BIDI, CALLER_ANY, {.message = count_message}, 0}, {0}};
    enum { QUESTIONS = 200 };
    struct loopback lo = {0};
    struct call_outcome out = {0};
    struct rpc_service services[] = {{methods, &lo}};
    assert_ok(loop_new(&lo.loop));
    assert_ok(rpc_new(lo.loop, &lo.rpc));
    assert_ok(rpc_server_start(
        lo.rpc, &(struct rpc_server_options){.address = "127.0.0.1:0", RPC_SERVICES(services)},
        &lo.server));
    snprintf(lo.target, sizeof lo.target, "127.0.0.1:%d", rpc_server_port(lo.server));
    connect_to(&lo, 0);
    struct rpc_call *call = opened(&lo, &(struct rpc_method){APPEND, NULL, NULL, RPC_BIDI},
                                   &(struct rpc_call_options){.paused = true}, &out);
    SCOPED(rpc_message) question = group_message(0, 10);
    for (int i = 0; i < QUESTIONS; i++)
        assert_true(rpc_call_send_message(call, question));
    until_count(&lo, &lo.received, 2);
    run_for(&lo, 500);
    assert_true(lo.received < 20);
    rpc_call_resume(call);
    until_count(&lo, &out.messages, QUESTIONS);
    rpc_call_half_close(call);
    until(&lo, is_set, &out.closed);
    assert_int_equal(out.code, ERR_NONE);
    outcome_done(&out);
    rpc_message_free(STEAL(question));
    loopback_done(&lo);
}

/* ---- turns */

static void many_requests_wait_for_themselves(void **)
{
    enum { FLOOD = 60 };
    struct loopback lo;
    struct call_outcome flood[FLOOD] = {0}, one = {0};
    serve_with(&lo, (struct rpc_server_options){.calls_per_s = 10});
    struct rpc_channel *busy = lo.channel, *other;
    answers_in_the_end(&lo);
    connect_to(&lo, 0);
    answers_in_the_end(&lo);
    other = lo.channel;
    lo.channel = busy;
    for (int i = 0; i < FLOOD; i++)
        ask_status(&lo, 60000, &flood[i]);
    until_count(&lo, &lo.received, 20); // the burst; the rest has turns
    lo.channel = other;
    ask_status(&lo, 60000, &one);
    until(&lo, is_set, &one.closed);
    assert_int_equal(one.code, ERR_NONE);
    assert_true(lo.received < FLOOD); // it did not wait for all of them
    int served = 0;
    for (int i = 0; i < FLOOD; i++) {
        until(&lo, is_set, &flood[i].closed);
        served += flood[i].code == ERR_NONE;
    }
    assert_int_equal(served, FLOOD);
    rpc_channel_free(busy);
    outcome_done(&one);
    for (int i = 0; i < FLOOD; i++)
        outcome_done(&flood[i]);
    loopback_done(&lo);
}

static void a_server_stops_while_calls_wait(void **)
{
    enum { FLOOD = 40 };
    struct loopback lo;
    struct call_outcome flood[FLOOD] = {0};
    serve_with(&lo, (struct rpc_server_options){.calls_per_s = 1});
    answers_in_the_end(&lo);
    for (int i = 0; i < FLOOD; i++)
        ask_status(&lo, 60000, &flood[i]);
    until_count(&lo, &lo.received, 2);
    rpc_server_free(STEAL(lo.server));
    for (int i = 0; i < FLOOD; i++) {
        until(&lo, is_set, &flood[i].closed);
        outcome_done(&flood[i]);
    }
    loopback_done(&lo);
}

TESTS(cmocka_unit_test(idle_connections_give_way), cmocka_unit_test(silence_ends_a_connection),
      cmocka_unit_test(halves_of_messages_are_bounded), cmocka_unit_test(resets_are_bounded),
      cmocka_unit_test(unread_answers_stop_the_questions),
      cmocka_unit_test(many_requests_wait_for_themselves),
      cmocka_unit_test(a_server_stops_while_calls_wait))
