/* What is said about generators that pass versions on. */
#include "base/bytes.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "rpc/message.h"
#include "testing/testing.h"
#include "weights/codec/manifest.h"
#include "weights/fanout/fanout_wire.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void messages_come_back_as_they_were(void **state)
{
    const struct fanout_message sent[] = {{.beat = 7}, {.address = "10.0.0.7:7001"}};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct fanout_message heard = {.beat = 99};
        SCOPED(rpc_message) message = fanout_message_pack(&sent[i]);
        assert_ok(fanout_message_decode(message, &heard));
        assert_string_equal(heard.address, sent[i].address);
        assert_int_equal(heard.beat, sent[i].beat);
    }
}

static void others_are_told_apart(void **state)
{
    struct fanout_message heard;
    (void)state;
    SCOPED(rpc_message) manifest = manifest_message(&(struct manifest){.kind = WEIGHTS_FULL});
    assert_err(ERR_NOT_FOUND, "not about the fanout", fanout_message_decode(manifest, &heard));
    SCOPED(rpc_message) junk = rpc_message_copy("\xff\xff\xff", 3);
    assert_err(ERR_INVALID, "", fanout_message_decode(junk, &heard));
    uint8_t raw[2 + 3 + 300] = {0x4a, 0, 0,
                                0x0a}; // relay, of address: by hand, for ours cannot be so long
    raw[1] = 0xaf, raw[2] = 0x02;      // 303 bytes
    raw[4] = 0xac, raw[5] = 0x02;      // 300
    memset(raw + 6, 'a', sizeof raw - 6);
    SCOPED(rpc_message) longer = rpc_message_copy(raw, 3 + 3 + 299);
    assert_err(ERR_INVALID, "", fanout_message_decode(longer, &heard));
}

static void a_hello_says_where_others_are_served(void **state)
{
    char run[] = "run", name[] = "g", serves[] = "127.0.0.1:9", lost[] = "127.0.0.1:8";
    const struct subscription hello = {
        .run = run, .generator = name, .serves = serves, .lost = lost};
    (void)state;
    SCOPED_VALUE(bytes) out = {0};
    SCOPED_VALUE(subscription) heard = {0};
    subscription_encode(&hello, &out);
    assert_ok(subscription_decode(out.data, out.len, &heard));
    assert_string_equal(heard.serves, serves);
    assert_string_equal(heard.lost, lost);
    SCOPED_MEM char *longer = calloc(1, 301);
    memset(longer, 'a', 300);
    const struct subscription hostile = {.run = run, .generator = name, .serves = longer};
    SCOPED_VALUE(bytes) bad = {0};
    struct subscription none = {0};
    subscription_encode(&hostile, &bad);
    assert_err(ERR_INVALID, "at most 255", subscription_decode(bad.data, bad.len, &none));
}

TESTS(cmocka_unit_test(messages_come_back_as_they_were), cmocka_unit_test(others_are_told_apart),
      cmocka_unit_test(a_hello_says_where_others_are_served))
