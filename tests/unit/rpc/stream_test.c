#include "loopback.h"

struct peer {
    struct rpc_stream *stream;
    int ups, downs, messages, writable;
    enum err_code code;
    char text[512];
    int break_at; // message at which the stream is broken by us; 0: never
};

static void peer_up(struct rpc_stream *stream, void *user)
{
    struct peer *peer = user;
    assert_true(rpc_stream_is_up(stream));
    peer->ups++;
}

static void peer_message(struct rpc_stream *stream, struct rpc_message *,
                         const struct ProtobufCMessage *pb, void *user)
{
    struct peer *peer = user;
    assert_non_null(pb);
    if (++peer->messages == peer->break_at)
        rpc_stream_break(stream, err_new(ERR_INVALID, "nonsense"));
}

static void peer_down(struct rpc_stream *stream, err_t why, void *user)
{
    struct peer *peer = user;
    assert_false(rpc_stream_is_up(stream));
    peer->downs++;
    peer->code = err_code(why);
    snprintf(peer->text, sizeof peer->text, "%s", err_message(why));
    err_free(why);
}

static void peer_writable(struct rpc_stream *, void *user)
{
    ((struct peer *)user)->writable++;
}

static const struct rpc_stream_handlers peer_handlers = {
    .up = peer_up, .message = peer_message, .writable = peer_writable, .down = peer_down};

static void open_stream(struct loopback *lo, struct peer *peer, size_t queue_bytes)
{
    *peer = (struct peer){0};
    assert_ok(rpc_stream_open(
        lo->rpc,
        &(struct rpc_stream_options){.channel = {.target = lo->target, .reconnect_min_ms = 20},
                                     .method = &loopback_methods[1],
                                     .queue_bytes = queue_bytes,
                                     .backoff_min_ms = 20,
                                     .backoff_max_ms = 100},
        &peer_handlers, peer, &peer->stream));
}

static bool send_group(struct peer *peer, uint64_t slot)
{
    SCOPED(rpc_message) group = group_message(slot, 100);
    return rpc_stream_send_message(peer->stream, group);
}

static void it_comes_back_when_the_server_does(void **)
{
    struct loopback lo;
    struct peer peer;
    loopback_init(&lo);
    open_stream(&lo, &peer, 0);
    assert_false(send_group(&peer, 0)); // not yet up
    until_count(&lo, &peer.ups, 1);
    assert_true(send_group(&peer, 0));
    until_count(&lo, &peer.messages, 1);
    const int port = rpc_server_port(lo.server);
    for (int round = 1; round <= 3; round++) {
        rpc_server_free(lo.server);
        lo.server = NULL;
        until_count(&lo, &peer.downs, round);
        assert_int_equal(peer.code, ERR_UNAVAILABLE);
        assert_false(send_group(&peer, 1));
        run_for(&lo, 250); // several attempts fail, and are not told
        assert_int_equal(peer.downs, round);
        serve(&lo, port, 0);
        until_count(&lo, &peer.ups, round + 1);
        assert_true(send_group(&peer, (uint64_t)round));
        until_count(&lo, &peer.messages, round + 1);
    }
    rpc_stream_free(peer.stream);
    loopback_done(&lo);
}

static void an_absent_server_is_told_once_then_found(void **)
{
    struct loopback lo;
    struct peer peer;
    loopback_init(&lo);
    const int port = rpc_server_port(lo.server);
    rpc_server_free(lo.server);
    lo.server = NULL;
    open_stream(&lo, &peer, 0);
    until_count(&lo, &peer.downs, 1);
    run_for(&lo, 300); // several attempts fail, and are not told
    assert_int_equal(peer.downs, 1);
    assert_int_equal(peer.ups, 0);
    assert_non_null(strstr(peer.text, lo.target));
    serve(&lo, port, 0);
    until_count(&lo, &peer.ups, 1);
    rpc_stream_free(peer.stream);
    loopback_done(&lo);
}

static void a_refusal_is_down_with_the_peers_code(void **)
{
    static const struct rpc_method unknown = {"/rlhfd.v1.Replay/Nope", NULL, NULL, RPC_BIDI};
    struct loopback lo;
    struct peer peer = {0};
    loopback_init(&lo);
    assert_ok(rpc_stream_open(lo.rpc,
                              &(struct rpc_stream_options){.channel = {.target = lo.target},
                                                           .method = &unknown,
                                                           .backoff_min_ms = 10,
                                                           .backoff_max_ms = 20},
                              &peer_handlers, &peer, &peer.stream));
    until_count(&lo, &peer.downs, 1);
    run_for(&lo, 200);
    assert_int_equal(peer.ups, 0);
    assert_int_equal(peer.downs, 1);
    assert_int_equal(peer.code, ERR_UNIMPLEMENTED);
    rpc_stream_free(peer.stream);
    loopback_done(&lo);
}

static void an_end_by_the_peer_is_a_loss(void **)
{
    struct loopback lo;
    struct peer peer;
    loopback_init(&lo);
    open_stream(&lo, &peer, 0);
    until_count(&lo, &peer.ups, 1);
    rpc_call_finish(lo.held, OK);
    until_count(&lo, &peer.downs, 1);
    assert_int_equal(peer.code, ERR_UNAVAILABLE);
    until_count(&lo, &peer.ups, 2);
    rpc_stream_free(peer.stream);
    loopback_done(&lo);
}

static void its_user_may_break_it(void **)
{
    struct loopback lo;
    struct peer peer;
    loopback_init(&lo);
    open_stream(&lo, &peer, 0);
    peer.break_at = 1;
    until_count(&lo, &peer.ups, 1);
    assert_true(send_group(&peer, 0));
    assert_true(send_group(&peer, 1));
    until_count(&lo, &peer.downs, 1);
    assert_int_equal(peer.code, ERR_INVALID);
    assert_string_equal(peer.text, "nonsense");
    until_count(&lo, &peer.ups, 2);
    assert_int_equal(peer.messages, 1); // nothing of the broken one came any more
    rpc_stream_free(peer.stream);
    loopback_done(&lo);
}

static void its_queue_fills_and_empties(void **)
{
    struct loopback lo;
    struct peer peer;
    loopback_init(&lo);
    lo.hold = lo.silent = true;
    open_stream(&lo, &peer, 100000);
    until_count(&lo, &peer.ups, 1);
    SCOPED(rpc_message) group = group_message(0, 50000);
    int sent = 0;
    for (int64_t quiet_since = clock_ms(); clock_ms() - quiet_since < 300;) {
        if (!rpc_stream_full(peer.stream)) {
            assert_true(rpc_stream_send_message(peer.stream, group));
            sent++;
            quiet_since = clock_ms();
        }
        run_for(&lo, 0);
    }
    assert_true(rpc_stream_queued(peer.stream) >= 100000);
    assert_in_range(sent, 2, 200);
    const int writable = peer.writable;
    rpc_call_resume(lo.held);
    until_count(&lo, &lo.received, sent);
    assert_int_equal(peer.writable, writable + 1);
    rpc_stream_free(peer.stream);
    loopback_done(&lo);
}

/* What came in the meantime is delivered after the stream is gone, to nobody. */
static void it_may_be_freed_with_messages_on_their_way(void **)
{
    struct loopback lo;
    struct peer peer;
    loopback_init(&lo);
    open_stream(&lo, &peer, 0);
    until_count(&lo, &peer.ups, 1);
    rpc_stream_pause(peer.stream);
    assert_true(send_group(&peer, 0));
    until_count(&lo, &lo.received, 1);
    run_for(&lo, 50); // the answer is here, and held
    rpc_stream_free(peer.stream);
    run_for(&lo, 50);
    assert_int_equal(peer.messages + peer.downs, 0);
    loopback_done(&lo);
}

static void a_pause_outlives_a_reconnection(void **)
{
    struct loopback lo;
    struct peer peer;
    loopback_init(&lo);
    open_stream(&lo, &peer, 0);
    rpc_stream_pause(peer.stream);
    until_count(&lo, &peer.ups, 1);
    assert_true(send_group(&peer, 0));
    until_count(&lo, &lo.received, 1);
    rpc_call_cancel(lo.held);
    until_count(&lo, &peer.ups, 2);
    assert_true(send_group(&peer, 1));
    until_count(&lo, &lo.received, 2);
    run_for(&lo, 30);
    assert_int_equal(peer.messages, 0);
    rpc_stream_resume(peer.stream);
    until_count(&lo, &peer.messages, 1);
    rpc_stream_free(peer.stream);
    loopback_done(&lo);
}

TESTS(cmocka_unit_test(it_comes_back_when_the_server_does),
      cmocka_unit_test(an_absent_server_is_told_once_then_found),
      cmocka_unit_test(a_refusal_is_down_with_the_peers_code),
      cmocka_unit_test(an_end_by_the_peer_is_a_loss), cmocka_unit_test(its_user_may_break_it),
      cmocka_unit_test(its_queue_fills_and_empties),
      cmocka_unit_test(it_may_be_freed_with_messages_on_their_way),
      cmocka_unit_test(a_pause_outlives_a_reconnection))
