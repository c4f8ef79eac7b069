/* A courier keeps a message until its disposition is back, and sends it again after a server that
 * was lost. */
#include "hop/courier.h"
#include "svc/security.h"
#include "unit/rpc/loopback.h"
#include "wire/hello.h"

struct sender {
    struct courier *courier;
    int settled, ups, downs, released;
    size_t again;
};

static void on_settled(void *arg, const struct disposition *disposition, struct rpc_message *answer,
                       void *tag)
{
    struct sender *sender = arg;
    assert_int_equal(disposition->outcome, OUTCOME_STORED);
    assert_true(rpc_message_len(answer) > 16);
    assert_ptr_equal(tag, sender);
    sender->settled++;
}

static void on_up(void *arg, size_t again)
{
    struct sender *sender = arg;
    sender->ups++;
    sender->again += again;
}

static void on_down(void *arg, err_t why)
{
    struct sender *sender = arg;
    sender->downs++;
    err_free(why);
}

static struct sender *released;
static void count_release(void *tag)
{
    assert_ptr_equal(tag, released);
    released->released++;
}

/* A group of the wire with the id that the real one would have. */
static void post_group(struct sender *sender, uint64_t slot)
{
    Rlhfd__V1__Group pb = RLHFD__V1__GROUP__INIT;
    struct digest id = group_id("run", 1, slot, 1);
    pb.id = (ProtobufCBinaryData){sizeof id.byte, id.byte};
    pb.slot = slot;
    courier_send(sender->courier, &id, rpc_message_pack(&pb.base), sender);
    assert_non_null(courier_tag(sender->courier, &id));
}

static void open_courier(struct loopback *lo, struct sender *sender)
{
    *sender = (struct sender){0};
    struct courier_options options = {.rpc = lo->rpc,
                                      .peer = lo->target,
                                      .method = &loopback_methods[1],
                                      .settled = on_settled,
                                      .up = on_up,
                                      .down = on_down,
                                      .arg = sender};
    assert_ok(courier_open(&options, &sender->courier));
}

static bool three_received(void *arg)
{
    return ((struct loopback *)arg)->received == 3;
}

static bool is_down(void *arg)
{
    return ((struct sender *)arg)->downs > 0;
}

static bool five_settled(void *arg)
{
    return ((struct sender *)arg)->settled == 5;
}

static void what_has_no_disposition_is_sent_again(void **state)
{
    (void)state;
    struct loopback lo;
    struct sender sender;
    loopback_init(&lo);
    lo.silent = true; // it takes groups and dies before it answers
    open_courier(&lo, &sender);
    for (uint64_t slot = 0; slot < 3; slot++)
        post_group(&sender, slot);
    until(&lo, three_received, &lo);
    assert_int_equal(courier_waiting(sender.courier), 3);
    int port = rpc_server_port(lo.server);
    rpc_server_free(lo.server);
    lo.silent = false;
    until(&lo, is_down, &sender);
    post_group(&sender, 3); // while nobody listens
    serve(&lo, port, 0);
    post_group(&sender, 4);
    until(&lo, five_settled, &sender);
    assert_int_equal(courier_waiting(sender.courier), 0);
    assert_int_equal((int)sender.again, 3);
    assert_true(sender.ups >= 2 && sender.downs >= 1);
    struct digest id = group_id("run", 1, 0, 1);
    assert_null(courier_tag(sender.courier, &id));
    courier_close(sender.courier, NULL);
    loopback_done(&lo);
}

static void closing_hands_back_what_is_left(void **state)
{
    (void)state;
    struct loopback lo;
    struct sender sender;
    loopback_init(&lo);
    lo.silent = true;
    open_courier(&lo, &sender);
    for (uint64_t slot = 0; slot < 3; slot++)
        post_group(&sender, slot);
    until(&lo, three_received, &lo);
    released = &sender;
    courier_close(sender.courier, count_release);
    assert_int_equal(sender.released, 3);
    assert_int_equal(sender.settled, 0);
    loopback_done(&lo);
}

/* ---- with a hello */

struct door {
    int hellos, groups;
    bool open;
    enum err_code refuse;
};

static void at_the_door(struct rpc_call *call, struct rpc_message *message,
                        const struct ProtobufCMessage *pb, void *user)
{
    (void)pb;
    struct door *door = user;
    SCOPED_VALUE(hello) hello = {0};
    SCOPED_VALUE(bytes) out = {0};
    err_t e = hello_decode(rpc_message_data(message), rpc_message_len(message), &hello);
    if (err_failed(e)) {
        err_free(e);
        door->groups++;
        return;
    }
    door->hellos++;
    if (door->refuse) {
        rpc_call_finish(call, err_new(door->refuse, "not you"));
        return;
    }
    if (!door->open)
        return;
    welcome_encode(HELLO_PROTOCOL, &out);
    SCOPED(rpc_message) answer = rpc_message_copy(out.data, out.len);
    rpc_call_send_message(call, answer);
}

static bool two_groups(void *arg)
{
    return ((struct door *)arg)->groups == 2;
}

static bool said_hello(void *arg)
{
    return ((struct door *)arg)->hellos > 0;
}

static bool twice_down(void *arg)
{
    return ((struct sender *)arg)->downs >= 2;
}

static void begin(struct loopback *lo, struct door *door, struct sender *sender,
                  const struct hello *hello, struct rpc_server **ret)
{
    static const struct rpc_method methods[] = {
        {"/rlhfd.v1.Replay/Append", NULL, NULL, RPC_BIDI, CALLER_ANY, {.message = at_the_door}, 0},
        {0}};
    static struct rpc_service services[1];
    char address[64];
    services[0] = (struct rpc_service){methods, door};
    assert_ok(rpc_server_start(
        lo->rpc, &(struct rpc_server_options){.address = "127.0.0.1:0", RPC_SERVICES(services)},
        ret));
    snprintf(address, sizeof address, "127.0.0.1:%d", rpc_server_port(*ret));
    *sender = (struct sender){0};
    struct courier_options options = {.rpc = lo->rpc,
                                      .peer = address,
                                      .method = &methods[0],
                                      .hello = hello,
                                      .settled = on_settled,
                                      .up = on_up,
                                      .down = on_down,
                                      .arg = sender};
    assert_ok(courier_open(&options, &sender->courier));
    post_group(sender, 0);
    post_group(sender, 1);
}

static void groups_follow_when_the_hello_is_accepted(void **state)
{
    (void)state;
    struct loopback lo;
    struct sender sender;
    struct door door = {0};
    struct rpc_server *server = NULL;
    SCOPED_VALUE(hello) hello = {0};
    hello_put(&hello, "k", "v");
    loopback_init(&lo);
    begin(&lo, &door, &sender, &hello, &server);
    until(&lo, said_hello, &door);
    run_for(&lo, 100);
    assert_int_equal(door.groups, 0); // and nobody was told that it is up
    assert_int_equal(sender.ups, 0);
    rpc_server_free(server);
    courier_close(sender.courier, NULL);
    door = (struct door){.open = true};
    begin(&lo, &door, &sender, &hello, &server);
    until(&lo, two_groups, &door);
    assert_int_equal(door.hellos, 1);
    assert_int_equal(sender.ups, 1);
    rpc_server_free(server);
    courier_close(sender.courier, NULL);
    loopback_done(&lo);
}

/* Each refusal is told, as its owner has to decide. */
static void a_refusal_is_told_each_time(void **state)
{
    (void)state;
    struct loopback lo;
    struct sender sender;
    struct door door = {.refuse = ERR_PRECONDITION};
    struct rpc_server *server = NULL;
    SCOPED_VALUE(hello) hello = {0};
    hello_put(&hello, "k", "v");
    loopback_init(&lo);
    begin(&lo, &door, &sender, &hello, &server);
    until(&lo, twice_down, &sender);
    assert_int_equal(sender.ups, 0);
    assert_int_equal(door.groups, 0);
    rpc_server_free(server);
    courier_close(sender.courier, NULL);
    loopback_done(&lo);
}

TESTS(cmocka_unit_test(groups_follow_when_the_hello_is_accepted),
      cmocka_unit_test(a_refusal_is_told_each_time),
      cmocka_unit_test(what_has_no_disposition_is_sent_again),
      cmocka_unit_test(closing_hands_back_what_is_left))
