/* What is sent is kept until its disposition is back, and sent again when the server was lost before. */
#include "loopback.h"
#include "rpc/courier.h"

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

TESTS(cmocka_unit_test(what_has_no_disposition_is_sent_again),
      cmocka_unit_test(closing_hands_back_what_is_left))
