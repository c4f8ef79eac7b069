#include "loopback.h"
#include "svc/security.h"
#include <pthread.h>
#include <stdatomic.h>

static void unary_is_answered(void **)
{
    struct loopback lo;
    struct call_outcome out = {0};
    loopback_init(&lo);
    ask_status(&lo, 60000, &out);
    until(&lo, is_set, &out.closed);
    assert_int_equal(out.code, ERR_NONE);
    assert_int_equal(out.messages, 1);
    assert_string_equal(out.daemon, "learner");
    until_count(&lo, &lo.closed, 1);
    assert_int_equal(lo.closed_code, ERR_NONE);
    outcome_done(&out);
    loopback_done(&lo);
}

static void every_status_code_comes_through(void **)
{
    struct loopback lo;
    struct call_outcome out = {0};
    loopback_init(&lo);
    for (int code = ERR_CANCELLED; code <= ERR_DATA_LOSS; code++) {
        lo.fail = (enum err_code)code;
        ask_status(&lo, 60000, &out);
        until(&lo, is_set, &out.closed);
        assert_int_equal(out.code, code);
        assert_int_equal(out.messages, 0);
        assert_non_null(strstr(out.text, "asked to fail: \"ünïcode\" 100 %"));
        assert_non_null(strstr(out.text, lo.target));
        assert_non_null(strstr(out.text, GET_STATUS));
    }
    outcome_done(&out);
    loopback_done(&lo);
}

static void deadline_ends_a_call_on_both_sides(void **)
{
    struct loopback lo;
    struct call_outcome out = {0};
    loopback_init(&lo);
    ask_status(&lo, 60000, &out); // connects
    until(&lo, is_set, &out.closed);
    until_count(&lo, &lo.closed, 1);
    lo.silent = true;
    const int64_t begin = clock_ms();
    ask_status(&lo, 200, &out);
    until(&lo, is_set, &out.closed);
    assert_int_equal(out.code, ERR_DEADLINE);
    assert_true(clock_ms() - begin >= 190);
    until_count(&lo, &lo.closed, 2);
    if (lo.closed_code !=
        ERR_CANCELLED) // the client's reset came before the server's deadline, which began later
        assert_int_equal(lo.closed_code, ERR_DEADLINE);
    outcome_done(&out);
    loopback_done(&lo);
}

static void cancel_reaches_the_server(void **)
{
    struct loopback lo;
    struct call_outcome out = {0};
    loopback_init(&lo);
    lo.silent = true;
    struct rpc_call *call = ask_status(&lo, 60000, &out);
    until_count(&lo, &lo.received, 1);
    rpc_call_cancel(call);
    until(&lo, is_set, &out.closed);
    assert_int_equal(out.code, ERR_CANCELLED);
    until_count(&lo, &lo.closed, 1);
    assert_int_equal(lo.closed_code, ERR_CANCELLED);
    outcome_done(&out);
    loopback_done(&lo);
}

static void a_dropped_call_calls_nobody(void **)
{
    struct loopback lo;
    struct call_outcome out = {0};
    loopback_init(&lo);
    struct rpc_call *call = open_append(&lo, &(struct rpc_call_options){.paused = true}, &out);
    until_count(&lo, &lo.opened, 1);
    SCOPED(rpc_message) group = group_message(0, 10);
    assert_true(rpc_call_send_message(call, group));
    until_count(&lo, &lo.received, 1);
    run_for(&lo, 20); // the disposition is there, unread
    out.opened = false;
    rpc_call_drop(call);
    until_count(&lo, &lo.closed, 1);
    run_for(&lo, 20);
    assert_false(out.opened || out.closed);
    assert_int_equal(out.messages, 0);
    outcome_done(&out);
    loopback_done(&lo);
}

static void a_thousand_messages_come_back_in_order(void **)
{
    enum { N = 1000 };
    struct loopback lo;
    struct call_outcome out = {0};
    loopback_init(&lo);
    struct rpc_call *call = open_append(&lo, NULL, &out);
    for (int i = 0; i < N; i++) {
        SCOPED(rpc_message) group = group_message((uint64_t)i, (size_t)i);
        assert_true(rpc_call_send_message(call, group));
    }
    rpc_call_half_close(call);
    SCOPED(rpc_message) late = group_message(N, 1);
    assert_false(rpc_call_send_message(call, late));
    until(&lo, is_set, &out.closed);
    assert_int_equal(out.code, ERR_NONE);
    assert_true(out.opened);
    assert_int_equal(out.messages, N);
    assert_int_equal(lo.received, N);
    assert_int_equal(lo.half_closed, 1);
    outcome_done(&out);
    loopback_done(&lo);
}

static void open_comes_before_any_message(void **)
{
    struct loopback lo;
    struct call_outcome out = {0};
    loopback_init(&lo);
    open_append(&lo, NULL, &out);
    until(&lo, is_set, &out.opened); // though nothing was sent
    assert_int_equal(lo.opened, 1);
    outcome_done(&out);
    loopback_done(&lo);
}

/* A reader that does not read fills the sender's queue: the sender is told to stop and little is
 * buffered in between. */
static void a_paused_reader_pushes_back(void **)
{
    enum { LEN = 64 << 10, LIMIT = 1 << 20 };
    struct loopback lo;
    struct call_outcome out = {0};
    loopback_init(&lo);
    lo.hold = lo.silent = true;
    struct rpc_call *call =
        open_append(&lo, &(struct rpc_call_options){.queue_bytes = LIMIT}, &out);
    until_count(&lo, &lo.opened, 1);
    int sent = 0;
    size_t sent_bytes = 0;
    for (int64_t quiet_since = clock_ms(); clock_ms() - quiet_since < 300;) {
        if (!rpc_call_full(call)) {
            SCOPED(rpc_message) group = group_message((uint64_t)sent, LEN);
            assert_true(rpc_call_send_message(call, group));
            sent++;
            sent_bytes += rpc_message_len(group);
            quiet_since = clock_ms();
        }
        run_for(&lo, 0);
    }
    assert_true(rpc_call_full(call));
    assert_in_range(rpc_call_queued(call), LIMIT, LIMIT + LEN + 200);
    const size_t taken = sent_bytes - rpc_call_queued(call); // by core and the system
    assert_in_range(taken, 0, 8 << 20);
    assert_int_equal(lo.received, 0);

    const int writable_before = out.writable;
    rpc_call_resume(lo.held);
    rpc_call_half_close(call);
    until(&lo, is_set, &out.closed);
    assert_int_equal(out.code, ERR_NONE);
    assert_int_equal(lo.received, sent);
    assert_int_equal(out.writable, writable_before + 1);
    outcome_done(&out);
    loopback_done(&lo);
}

static void nothing_is_delivered_while_paused(void **)
{
    enum { N = 50 };
    struct loopback lo;
    struct call_outcome out = {0};
    loopback_init(&lo);
    struct rpc_call *call = open_append(&lo, &(struct rpc_call_options){.paused = true}, &out);
    for (int i = 0; i < N; i++) {
        SCOPED(rpc_message) group = group_message((uint64_t)i, 10);
        rpc_call_send_message(call, group);
    }
    rpc_call_half_close(call);
    until_count(&lo, &lo.received, N);
    run_for(&lo, 50);
    assert_int_equal(out.messages, 0);
    assert_false(out.closed);
    /* Paused again from the first message's own callback on, and from outside: exactly what was let
     * through came. */
    rpc_call_resume(call);
    until_count(&lo, &out.messages, 1);
    rpc_call_pause(call);
    const int so_far = out.messages;
    run_for(&lo, 50);
    assert_int_equal(out.messages, so_far);
    rpc_call_resume(call);
    until(&lo, is_set, &out.closed);
    assert_int_equal(out.messages, N);
    assert_int_equal(out.code, ERR_NONE);
    outcome_done(&out);
    loopback_done(&lo);
}

static void nobody_listens_is_unavailable_and_named(void **)
{
    struct loopback lo;
    struct call_outcome out = {0};
    loopback_init(&lo);
    rpc_server_free(lo.server);
    lo.server = NULL;
    ask_status(&lo, 60000, &out);
    until(&lo, is_set, &out.closed);
    assert_int_equal(out.code, ERR_UNAVAILABLE);
    assert_non_null(strstr(out.text, lo.target));
    assert_non_null(strstr(out.text, "Connection refused"));
    outcome_done(&out);
    loopback_done(&lo);
}

static void a_call_left_open_ends_with_the_runtime(void **)
{
    struct loopback lo;
    struct call_outcome out = {0};
    loopback_init(&lo);
    open_append(&lo, NULL, &out);
    until(&lo, is_set, &out.opened);
    loopback_done(&lo);
    assert_true(out.closed);
    assert_true(out.code == ERR_CANCELLED || out.code == ERR_UNAVAILABLE); // whoever is first
    assert_int_equal(lo.closed, 1);
    outcome_done(&out);
}

/* A reference may outlive the call, its server and its channel: then nothing has an effect. */
static void a_kept_handle_outlives_everything_but_the_runtime(void **)
{
    struct loopback lo;
    struct call_outcome out = {0};
    loopback_init(&lo);
    struct rpc_call *client = rpc_call_ref(open_append(&lo, NULL, &out));
    until(&lo, is_set, &out.opened);
    struct rpc_call *server = rpc_call_ref(lo.held);
    rpc_channel_free(lo.channel);
    lo.channel = NULL;
    rpc_server_free(lo.server);
    lo.server = NULL;
    until(&lo, is_set, &out.closed);
    struct rpc_call *both[] = {client, server};
    SCOPED(rpc_message) group = group_message(0, 10);
    for (int i = 0; i < 2; i++) {
        assert_true(rpc_call_is_over(both[i]));
        assert_false(rpc_call_send_message(both[i], group));
        assert_int_equal(rpc_call_queued(both[i]), 0);
        rpc_call_finish(both[i], err_new(ERR_INVALID, "late"));
        rpc_call_half_close(both[i]);
        rpc_call_pause(both[i]);
        rpc_call_resume(both[i]);
        rpc_call_cancel(both[i]);
        SCOPED_MEM char *peer = rpc_call_peer(both[i]);
        assert_non_null(peer);
        rpc_call_unref(both[i]);
    }
    rpc_message_free(STEAL(group));
    outcome_done(&out);
    loopback_done(&lo);
}

/* ---- on the queue's thread */

struct inlined {
    pthread_t loop_thread;
    atomic_int requests, replies, closed;
};

static void inlined_request(struct rpc_call *call, struct rpc_message *message,
                            const struct ProtobufCMessage *, void *user)
{
    struct inlined *inlined = user;
    assert_false(pthread_equal(pthread_self(), inlined->loop_thread));
    atomic_fetch_add(&inlined->requests, 1);
    rpc_call_send_message(call, message);
}

static void inlined_reply(struct rpc_call *, struct rpc_message *, const struct ProtobufCMessage *,
                          void *user)
{
    struct inlined *inlined = user;
    assert_false(pthread_equal(pthread_self(), inlined->loop_thread));
    atomic_fetch_add(&inlined->replies, 1);
}

static void inlined_close(struct rpc_call *, err_t why, void *user)
{
    err_free(why);
    atomic_fetch_add(&((struct inlined *)user)->closed, 1);
}

static void inline_methods_run_on_the_queues_thread(void **)
{
    static const struct rpc_method methods[] = {
        {"/test.Echo/Inline",
         NULL,
         NULL,
         RPC_BIDI,
         CALLER_ANY,
         {.message = inlined_request, .close = inlined_close},
         RPC_INLINE},
        {0}};
    static const struct rpc_handlers handlers = {.message = inlined_reply, .close = inlined_close};
    enum { CALLS = 20, MESSAGES = 50 };
    struct loopback lo;
    struct inlined inlined = {.loop_thread = pthread_self()};
    loopback_init(&lo);
    rpc_server_free(lo.server);
    struct rpc_service services[] = {{methods, &inlined}};
    assert_ok(rpc_server_start(
        lo.rpc, &(struct rpc_server_options){.address = lo.target, RPC_SERVICES(services)},
        &lo.server));
    for (int i = 0; i < CALLS; i++) {
        const struct rpc_call_options options = {.wait_for_ready = true, .paused = true};
        struct rpc_call *call =
            rpc_call_stream(lo.channel, &methods[0], &options, &handlers, &inlined);
        for (int j = 0; j < MESSAGES; j++) {
            SCOPED(rpc_message) group = group_message(0, 10);
            rpc_call_send_message(call, group);
        }
        rpc_call_half_close(call);
        rpc_call_resume(call); // from here on it may be gone
    }
    while (atomic_load(&inlined.closed) < 2 * CALLS)
        clock_sleep_ms(1); // the loop does not run
    assert_int_equal(inlined.requests, CALLS * MESSAGES);
    assert_int_equal(inlined.replies, CALLS * MESSAGES);
    loopback_done(&lo);
}

TESTS(cmocka_unit_test(a_kept_handle_outlives_everything_but_the_runtime),
      cmocka_unit_test(inline_methods_run_on_the_queues_thread),
      cmocka_unit_test(unary_is_answered), cmocka_unit_test(every_status_code_comes_through),
      cmocka_unit_test(deadline_ends_a_call_on_both_sides),
      cmocka_unit_test(cancel_reaches_the_server), cmocka_unit_test(a_dropped_call_calls_nobody),
      cmocka_unit_test(a_thousand_messages_come_back_in_order),
      cmocka_unit_test(open_comes_before_any_message),
      cmocka_unit_test(a_paused_reader_pushes_back),
      cmocka_unit_test(nothing_is_delivered_while_paused),
      cmocka_unit_test(nobody_listens_is_unavailable_and_named),
      cmocka_unit_test(a_call_left_open_ends_with_the_runtime))
