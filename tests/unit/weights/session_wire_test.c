/* Messages about sessions: every step keeps its fields, and hostile bytes are refused with a
 * reason. */
#include "base/mem.h"
#include "base/rng.h"
#include "rpc/message.h"
#include "testing/testing.h"
#include "weights/broadcast/session_wire.h"
#include "weights/codec/manifest.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_down(enum session_step step)
{
    return step == SESSION_STEP_REFUSED || step == SESSION_STEP_INVITE ||
           step == SESSION_STEP_BEGIN || step == SESSION_STEP_ANNOUNCE ||
           step == SESSION_STEP_ABANDON;
}

static struct session_message example(enum session_step step)
{
    struct session_message message = {.step = step,
                                      .session = UINT64_MAX - 1,
                                      .library = 22809,
                                      .bucket = SESSION_BUCKET_MAX,
                                      .rank = 3,
                                      .ranks = 4,
                                      .lineage = 2,
                                      .version = 1ull << 60,
                                      .bytes = 1ull << 50,
                                      .mine = true};
    snprintf(message.why, sizeof message.why, "a reason");
    for (int i = 0; step == SESSION_STEP_BEGIN && i < NCCL_ID_BYTES; i++)
        message.id.byte[i] = (char)(i * 7);
    return message;
}

static err_t round_trip(const struct session_message *message, bool down,
                        struct session_message *ret)
{
    SCOPED(rpc_message)
    packed = down ? session_message_down(message) : session_message_up(message);
    const uint8_t *data = rpc_message_data(packed);
    const size_t len = rpc_message_len(packed);
    return down ? session_message_decode_down(data, len, ret)
                : session_message_decode_up(data, len, ret);
}

static void every_step_keeps_its_fields(void **state)
{
    (void)state;
    for (enum session_step step = SESSION_STEP_HELLO; step <= SESSION_STEP_ABANDONED; step++) {
        const struct session_message message = example(step);
        struct session_message got;
        assert_ok(round_trip(&message, is_down(step), &got));
        assert_int_equal(got.step, step);
        assert_true(got.session == message.session && got.version == message.version &&
                    got.bytes == message.bytes && got.bucket == message.bucket);
        assert_true(got.library == 22809 && got.rank == 3 && got.ranks == 4 && got.lineage == 2 &&
                    got.mine);
        assert_string_equal(got.why, "a reason");
        assert_memory_equal(&got.id, &message.id, sizeof got.id);
        assert_err(ERR_INVALID, "not one of the sender's",
                   round_trip(&message, !is_down(step), &got));
    }
}

static void what_is_out_of_range_is_refused(void **state)
{
    static const int ranks[][2] = {{0, 4}, {4, 4}, {1, 1}, {-1, 4}, {1, SESSION_RANKS_MAX + 1}};
    struct session_message got, message = example(SESSION_STEP_BEGIN);
    (void)state;
    for (size_t i = 0; i < sizeof ranks / sizeof *ranks; i++) {
        message.rank = ranks[i][0];
        message.ranks = ranks[i][1];
        assert_err(ERR_INVALID, "allowed: 1 to ranks - 1", round_trip(&message, true, &got));
    }
    message = example(SESSION_STEP_INVITE);
    message.bucket = 0;
    assert_err(ERR_INVALID, "buckets of 0 bytes", round_trip(&message, true, &got));
    message.bucket = (uint64_t)SESSION_BUCKET_MAX + 1;
    assert_err(ERR_INVALID, "allowed: 1 to", round_trip(&message, true, &got));
    message.step = (enum session_step)99;
    assert_err(ERR_INVALID, "step 99", round_trip(&message, false, &got));
}

static void other_messages_are_left_to_others(void **state)
{
    const struct manifest manifest = {
        .lineage = 1, .version = 2, .kind = WEIGHTS_FULL, .elements = 3};
    struct session_message got;
    (void)state;
    SCOPED(rpc_message) message = manifest_message(&manifest);
    assert_err(
        ERR_NOT_FOUND, "not about a session",
        session_message_decode_down(rpc_message_data(message), rpc_message_len(message), &got));
    SCOPED_MEM uint8_t *chunk = mem_new(1 << 20);
    assert_err(ERR_NOT_FOUND, "not about a session",
               session_message_decode_down(chunk, 1 << 20, &got));
}

static void damaged_messages_are_read_or_refused(void **state)
{
    const struct rng rng = rng_keyed(5, RNG_TEST, 0, 0);
    (void)state;
    for (uint64_t i = 0; i < 20000; i++) {
        const enum session_step step = (enum session_step)(1 + i % SESSION_STEP_ABANDONED);
        const struct session_message message = example(step);
        struct session_message got;
        SCOPED(rpc_message)
        packed = is_down(step) ? session_message_down(&message) : session_message_up(&message);
        const size_t len = rpc_message_len(packed) - rng_below(&rng, 3 * i, 8);
        SCOPED_MEM uint8_t *data = mem_copy(rpc_message_data(packed), len);
        data[rng_below(&rng, 3 * i + 1, len)] ^= (uint8_t)(1 << rng_below(&rng, 3 * i + 2, 8));
        err_t e = is_down(step) ? session_message_decode_down(data, len, &got)
                                : session_message_decode_up(data, len, &got);
        if (!err_failed(e) && got.step == SESSION_STEP_BEGIN)
            assert_true(got.rank > 0 && got.rank < got.ranks && got.ranks <= SESSION_RANKS_MAX);
        err_free(e);
    }
}

TESTS(cmocka_unit_test(every_step_keeps_its_fields),
      cmocka_unit_test(what_is_out_of_range_is_refused),
      cmocka_unit_test(other_messages_are_left_to_others),
      cmocka_unit_test(damaged_messages_are_read_or_refused))
