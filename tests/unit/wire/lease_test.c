#include "base/file.h"
#include "base/mem.h"
#include "testing/testing.h"
#include "wire/lease.h"
#include "wire/rollout.h"
#include <string.h>

static void requests_of_another_encoder_read_and_write_the_same(void **state)
{
    (void)state;
    SCOPED_VALUE(bytes) golden = {0};
    SCOPED_VALUE(bytes) again = {0};
    SCOPED_VALUE(lease_request) request = {0};
    assert_ok(file_read(TEST_GOLDEN "/lease_request_v1.bin", 1 << 16, &golden));
    assert_ok(lease_request_decode(golden.data, golden.len, &request));
    assert_string_equal(request.run, "sort-1");
    assert_string_equal(request.generator, "generator-0");
    assert_true(request.incarnation == 12345678901234567890u);
    assert_int_equal(request.lineage, 2);
    assert_int_equal(request.version, 42);
    assert_int_equal(request.want, 16);
    assert_int_equal(request.progresses, 2);
    assert_int_equal(request.progress[0].tokens, 7);
    assert_int_equal(request.progress[1].tokens, 0);
    assert_int_equal(request.returns, 1);
    assert_true(digest_equal(&request.returned[0], &request.progress[1].id));
    lease_request_encode(&request, &again);
    assert_int_equal(again.len, golden.len);
    assert_memory_equal(again.data, golden.data, golden.len);
}

static void replies_of_another_encoder_read_and_write_the_same(void **state)
{
    (void)state;
    SCOPED_VALUE(bytes) golden = {0};
    SCOPED_VALUE(bytes) again = {0};
    SCOPED_VALUE(lease_reply) reply = {0};
    assert_ok(file_read(TEST_GOLDEN "/lease_reply_v1.bin", 1 << 16, &golden));
    assert_ok(lease_reply_decode(golden.data, golden.len, &reply));
    assert_int_equal(reply.grants, 2);
    const struct lease_grant *grant = &reply.grant[0];
    struct digest id = group_id("sort-1", grant->lineage, grant->slot, grant->attempt);
    assert_true(digest_equal(&id, &grant->id));
    assert_int_equal(grant->slot, 5000000000);
    assert_int_equal(grant->prompt, 904);
    assert_int_equal(grant->epoch, 1);
    assert_int_equal(grant->start_round, 41);
    assert_int_equal(grant->deadline_ms, 60000);
    assert_string_equal(reply.grant[1].row, "{\"a\": 1}");
    assert_int_equal(reply.revokes, 1);
    assert_true(reply.ended);
    assert_false(reply.draining);
    lease_reply_encode(&reply, &again);
    assert_int_equal(again.len, golden.len);
    assert_memory_equal(again.data, golden.data, golden.len);
}

static void who_must_leave_is_told(void **state)
{
    (void)state;
    SCOPED_VALUE(bytes) out = {0};
    SCOPED_VALUE(lease_reply) reply = {0};
    lease_reply_encode(&(struct lease_reply){.leave = true}, &out);
    assert_ok(lease_reply_decode(out.data, out.len, &reply));
    assert_true(reply.leave);
    assert_false(reply.ended || reply.draining);
}

static void a_hold_is_told_and_answered(void **)
{
    for (int holds = 0; holds < 2; holds++) {
        SCOPED_VALUE(bytes) asked = {0};
        SCOPED_VALUE(bytes) said = {0};
        SCOPED_VALUE(lease_reply) reply = {0};
        SCOPED_VALUE(lease_request) request = {0};
        lease_reply_encode(&(struct lease_reply){.hold = holds, .go_on = !holds}, &asked);
        assert_ok(lease_reply_decode(asked.data, asked.len, &reply));
        assert_true(reply.hold == holds && reply.go_on == !holds);
        lease_request_encode(&(struct lease_request){.held = holds}, &said);
        assert_ok(lease_request_decode(said.data, said.len, &request));
        assert_int_equal(request.held, holds);
    }
}

static void evaluation_goes_both_ways(void **state)
{
    (void)state;
    SCOPED_VALUE(lease_request) request = {0};
    SCOPED_VALUE(lease_reply) reply = {0};
    SCOPED_VALUE(bytes) out = {0};
    uint64_t slots[] = {UINT64_MAX, 0, 7};
    lease_request_encode(&(struct lease_request){.want_ahead = 31,
                                                 .evaluation_lineage = 3,
                                                 .evaluation_version = 1ull << 40,
                                                 .evaluation_want = 64,
                                                 .evaluation_unusables = 3,
                                                 .evaluation_unusable = slots,
                                                 .unusable_why = (char[]){"row 3: too long"}},
                         &out);
    assert_ok(lease_request_decode(out.data, out.len, &request));
    assert_int_equal(request.want_ahead, 31);
    assert_int_equal(request.evaluation_lineage, 3);
    assert_true(request.evaluation_version == 1ull << 40);
    assert_int_equal(request.evaluation_want, 64);
    assert_int_equal(request.evaluation_unusables, 3);
    assert_memory_equal(request.evaluation_unusable, slots, sizeof slots);
    assert_string_equal(request.unusable_why, "row 3: too long");
    struct lease_grant grant = {.id = group_id("r", 0, 0, 1),
                                .attempt = 1,
                                .deadline_ms = 1,
                                .row = (char[]){"{}"},
                                .evaluation = true,
                                .version = 9};
    bytes_clear(&out);
    lease_reply_encode(&(struct lease_reply){.grants = 1, .grant = &grant}, &out);
    assert_ok(lease_reply_decode(out.data, out.len, &reply));
    assert_true(reply.grant[0].evaluation);
    assert_int_equal(reply.grant[0].version, 9);
    SCOPED_MEM uint64_t *many = mem_array(LEASE_IDS_MAX + 1, sizeof *many);
    SCOPED_VALUE(lease_request) none = {0};
    bytes_clear(&out);
    lease_request_encode(&(struct lease_request){.evaluation_unusables = LEASE_IDS_MAX + 1,
                                                 .evaluation_unusable = many},
                         &out);
    assert_err(ERR_INVALID, "in evaluation_unusable; at most",
               lease_request_decode(out.data, out.len, &none));
}

static void an_empty_request_is_a_heartbeat_without_a_name(void **state)
{
    (void)state;
    SCOPED_VALUE(lease_request) request = {0};
    SCOPED_VALUE(bytes) out = {0};
    lease_request_encode(&request, &out);
    assert_int_equal(out.len, 0);
    assert_ok(lease_request_decode(out.data, out.len, &request));
    assert_null(request.run);
    assert_null(request.generator);
    assert_int_equal(request.want, 0);
}

static void faults_are_named(void **state)
{
    (void)state;
    SCOPED_VALUE(lease_request) request = {0};
    SCOPED_VALUE(lease_reply) reply = {0};
    SCOPED_VALUE(bytes) out = {0};
    struct lease_grant grant = {group_id("r", 0, 0, 1), .attempt = 1, .row = (char[]){"{}"}};
    struct lease_reply bad = {.grants = 1, .grant = &grant};
    lease_reply_encode(&bad, &out);
    assert_err(ERR_INVALID, "grants[0]: attempt is 1, deadline_ms 0",
               lease_reply_decode(out.data, out.len, &reply));
    grant.deadline_ms = 5;
    grant.row = (char[]){"{\xff}"};
    bytes_clear(&out);
    lease_reply_encode(&bad, &out);
    assert_err(ERR_INVALID, "grants[0]: row of 3 bytes",
               lease_reply_decode(out.data, out.len, &reply));
    const uint8_t short_id[] = {0x42, 2, 1, 2}; // give_back of two bytes
    assert_err(ERR_INVALID, "give_back[0]: id has 2 bytes",
               lease_request_decode(short_id, sizeof short_id, &request));
    bytes_clear(&out);
    SCOPED_MEM char *name = mem_new(300);
    memset(name, 'n', 299);
    lease_request_encode(&(struct lease_request){.run = name}, &out);
    assert_err(ERR_INVALID, "run has 299 bytes", lease_request_decode(out.data, out.len, &request));
    assert_null(request.run);
}

static void counts_are_bounded(void **state)
{
    (void)state;
    SCOPED_VALUE(lease_request) request = {0};
    SCOPED_VALUE(lease_reply) reply = {0};
    SCOPED_VALUE(bytes) out = {0};
    static char row[] = "{}";
    uint32_t many = LEASE_IDS_MAX;
    SCOPED_MEM struct lease_progress *progress = mem_array(many + 1, sizeof *progress);
    SCOPED_MEM struct digest *ids = mem_array(many + 1, sizeof *ids);
    for (uint32_t i = 0; i < many; i++)
        progress[i].tokens = i;
    struct lease_request full = {
        .progresses = many, .progress = progress, .returns = many, .returned = ids};
    lease_request_encode(&full, &out);
    assert_ok(lease_request_decode(out.data, out.len, &request));
    assert_int_equal(request.progresses, many);
    assert_int_equal(request.returns, many);
    full.returns++;
    bytes_clear(&out);
    lease_request_encode(&full, &out);
    SCOPED_VALUE(lease_request) none = {0};
    assert_err(ERR_INVALID, "give_back; at most", lease_request_decode(out.data, out.len, &none));
    SCOPED_MEM struct lease_grant *grants = mem_array(LEASE_GRANTS_MAX + 1, sizeof *grants);
    for (int i = 0; i <= LEASE_GRANTS_MAX; i++)
        grants[i] = (struct lease_grant){.lineage = 1,
                                         .slot = 1,
                                         .attempt = 1,
                                         .prompt = 1,
                                         .epoch = 1,
                                         .start_round = 1,
                                         .row = row,
                                         .deadline_ms = 1};
    struct lease_reply all = {
        .grants = LEASE_GRANTS_MAX, .grant = grants, .revokes = many, .revoked = ids};
    bytes_clear(&out);
    lease_reply_encode(&all, &out);
    assert_ok(lease_reply_decode(out.data, out.len, &reply));
    assert_int_equal(reply.grants, LEASE_GRANTS_MAX);
    all.grants++;
    bytes_clear(&out);
    lease_reply_encode(&all, &out);
    SCOPED_VALUE(lease_reply) nothing = {0};
    assert_err(ERR_INVALID, "grants; at most", lease_reply_decode(out.data, out.len, &nothing));
}

static void cut_messages_never_crash(void **state)
{
    (void)state;
    SCOPED_VALUE(bytes) request = {0};
    SCOPED_VALUE(bytes) reply = {0};
    assert_ok(file_read(TEST_GOLDEN "/lease_request_v1.bin", 1 << 16, &request));
    assert_ok(file_read(TEST_GOLDEN "/lease_reply_v1.bin", 1 << 16, &reply));
    int refused = 0;
    for (size_t len = 0; len < request.len || len < reply.len; len++) {
        SCOPED_VALUE(lease_request) a = {0};
        SCOPED_VALUE(lease_reply) b = {0};
        SCOPED_MEM uint8_t *first = mem_copy(request.data, len < request.len ? len : 0);
        SCOPED_MEM uint8_t *second = mem_copy(reply.data, len < reply.len ? len : 0);
        err_t e = lease_request_decode(first, len < request.len ? len : 0, &a);
        refused += err_failed(e);
        err_free(e);
        e = lease_reply_decode(second, len < reply.len ? len : 0, &b);
        refused += err_failed(e);
        err_free(e);
    }
    assert_true(refused > 100);
}

TESTS(cmocka_unit_test(requests_of_another_encoder_read_and_write_the_same),
      cmocka_unit_test(replies_of_another_encoder_read_and_write_the_same),
      cmocka_unit_test(a_hold_is_told_and_answered), cmocka_unit_test(who_must_leave_is_told),
      cmocka_unit_test(evaluation_goes_both_ways),
      cmocka_unit_test(an_empty_request_is_a_heartbeat_without_a_name),
      cmocka_unit_test(faults_are_named), cmocka_unit_test(counts_are_bounded),
      cmocka_unit_test(cut_messages_never_crash))
