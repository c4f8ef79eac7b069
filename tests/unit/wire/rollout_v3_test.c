/* Groups as a store of format 3 has them become what today's are. */
#include "base/file.h"
#include "base/mem.h"
#include "rollout_v3.pb-c.h"
#include "testing/testing.h"
#include "wire/rollout_v3.h"
#include "wire/unpack.h"
#include <stdlib.h>
#include <string.h>

static const struct group_limits limits = GROUP_LIMITS;

static struct bytes golden(void)
{
    struct bytes bytes = {0};
    assert_ok(file_read(TEST_GOLDEN "/group_v1.bin", 1 << 16, &bytes));
    return bytes;
}

static void what_another_encoder_wrote_becomes_columns_and_a_turn(void **)
{
    SCOPED_VALUE(bytes) old = golden();
    SCOPED(group) group = NULL;
    assert_ok(group_decode_v3(old.data, old.len, &limits, &group));
    struct digest id = group_id("sort-1", 2, 5000000000, 3);
    assert_true(digest_equal(&group->id, &id));
    assert_int_equal(group->prompt, 904);
    assert_int_equal(group->start_round, 41);
    assert_string_equal(group->generator, "generator-0");
    assert_null(group->forward);
    assert_string_equal(group->row, "{\"prompt\": \"hgfedcba>\", \"completion\": \"abcdefgh\"}");
    assert_int_equal(group->prompt_token[8], 28);
    assert_near(group->temperature, 0.7f, 0);
    assert_int_equal(group->completions, 2);
    const struct completion *first = &group->completion[0], *second = &group->completion[1];
    assert_int_equal(first->tokens, 4);
    assert_int_equal(first->token[1], 3);
    assert_int_equal(first->turns, 1);
    assert_int_equal(first->turn->role, ROLE_ASSISTANT);
    assert_true(first->turn->trained && first->turn->drawn);
    assert_int_equal(first->spans, 2);
    assert_int_equal(first->span[1].first_token, 3);
    assert_int_equal(first->span[1].version, 42);
    assert_int_equal(first->finish, FINISH_EOS);
    assert_string_equal(first->text, "abc");
    assert_int_equal(second->finish, FINISH_LENGTH);
    assert_memory_equal(second->text, "\377\0z", 4);
    static const float logp[] = {-0.5f, -0.125f, 0, -3.25f}, sampled[] = {-0.25f, -0.125f, 0, -3};
    static const double scores[] = {1, -0.5, 0, 0.25};
    assert_int_equal(group->columns.count, 4);
    assert_memory_equal(group_values(group, COLUMN_BEHAVIOUR_LOGP, 0), logp, sizeof logp);
    assert_near(group_value(group, COLUMN_BEHAVIOUR_LOGP, 1), -11.5, 0);
    assert_memory_equal(group_values(group, COLUMN_SAMPLED_LOGP, 0), sampled, sizeof sampled);
    assert_null(group_values(group, COLUMN_SAMPLED_LOGP, 1));
    assert_null(group_values(group, COLUMN_REFERENCE_LOGP, 0));
    assert_int_equal(group_width(group, COLUMN_SCORES), 2);
    assert_memory_equal(group_values(group, COLUMN_SCORES, 0), scores, sizeof scores);
    assert_near(group_value(group, COLUMN_REWARD, 0), 0.75, 0);
    assert_near(group_value(group, COLUMN_REWARD, 1), 0, 0);
}

static void what_is_cut_or_wrong_is_an_error(void **)
{
    SCOPED_VALUE(bytes) old = golden();
    SCOPED(group) none = NULL;
    for (size_t len = 0; len < old.len; len++) {
        SCOPED_MEM uint8_t *cut = mem_copy(old.data, len);
        SCOPED(group) group = NULL;
        err_t e = group_decode_v3(cut, len, &limits, &group);
        assert_true(!err_failed(e) || err_code(e) == ERR_INVALID);
        err_free(e);
    }
    SCOPED_PB ProtobufCMessage *base = NULL;
    const struct wire_bounds bounds = {1 << 16, 1000};
    assert_ok(wire_unpack(&rlhfd__v3__group__descriptor, old.data, old.len, &bounds, &base));
    Rlhfd__V3__Group *pb = (void *)base;
    Rlhfd__V3__Completion *first = pb->completions[0];
    SCOPED_VALUE(bytes) out = {0};
    first->n_logp = 3; // of four tokens
    wire_pack(base, &out);
    assert_err(ERR_INVALID, "completions[0] has 3 values of behaviour_logp; 4 are due",
               group_decode_v3(out.data, out.len, &limits, &none));
    first->n_logp = 4;
    first->n_scores = 1; // of two
    bytes_clear(&out);
    wire_pack(base, &out);
    assert_err(ERR_INVALID, "completions[1] has 2 values of scores; 1 are due",
               group_decode_v3(out.data, out.len, &limits, &none));
    first->n_scores = 2;
    first->logp[0] = 1;
    bytes_clear(&out);
    wire_pack(base, &out);
    assert_err(ERR_INVALID, "behaviour_logp[0] is 1",
               group_decode_v3(out.data, out.len, &limits, &none));
    first->logp[0] = -1;
    first->spans[0]->first_token = 1;
    bytes_clear(&out);
    wire_pack(base, &out);
    assert_err(ERR_INVALID, "spans[0].first_token is 1",
               group_decode_v3(out.data, out.len, &limits, &none));
    assert_null(none);
}

/* A completion's surplus does not make up for another's lack, though their sum is right. */
static void each_completion_has_its_own_length(void **)
{
    SCOPED_VALUE(bytes) old = golden();
    SCOPED_VALUE(bytes) out = {0};
    SCOPED_PB ProtobufCMessage *base = NULL;
    SCOPED(group) none = NULL;
    const struct wire_bounds bounds = {1 << 16, 1000};
    assert_ok(wire_unpack(&rlhfd__v3__group__descriptor, old.data, old.len, &bounds, &base));
    Rlhfd__V3__Group *pb = (void *)base;
    pb->completions[0]->n_tokens = 3;
    pb->completions[1]->logp = mem_grow(pb->completions[1]->logp, 2, sizeof(float));
    pb->completions[1]->n_logp = 2;
    pb->completions[1]->logp[1] = -1;
    pb->completions[0]->n_logp = 2;
    pb->completions[0]->n_sampled_logp = 3;
    pb->completions[0]->n_spans = 1;
    wire_pack(base, &out);
    pb->completions[0]->n_spans = 2;
    assert_err(ERR_INVALID, "completions[0] has 2 values of behaviour_logp; 3 are due",
               group_decode_v3(out.data, out.len, &limits, &none));
    assert_null(none);
}

/* A recipe without scorers: rewards were 0, and are there. */
static void rewards_do_not_need_scores(void **)
{
    SCOPED_VALUE(bytes) old = golden();
    SCOPED_VALUE(bytes) out = {0};
    SCOPED_PB ProtobufCMessage *base = NULL;
    SCOPED(group) group = NULL;
    const struct wire_bounds bounds = {1 << 16, 1000};
    assert_ok(wire_unpack(&rlhfd__v3__group__descriptor, old.data, old.len, &bounds, &base));
    Rlhfd__V3__Group *pb = (void *)base;
    for (size_t i = 0; i < pb->n_completions; i++) {
        pb->completions[i]->n_scores = 0;
        pb->completions[i]->reward = 0;
    }
    wire_pack(base, &out);
    assert_ok(group_decode_v3(out.data, out.len, &limits, &group));
    assert_int_equal(group_width(group, COLUMN_SCORES), 0);
    assert_non_null(group_values(group, COLUMN_REWARD, 1));
    assert_near(group_value(group, COLUMN_REWARD, 1), 0, 0);
}

TESTS(cmocka_unit_test(what_another_encoder_wrote_becomes_columns_and_a_turn),
      cmocka_unit_test(what_is_cut_or_wrong_is_an_error),
      cmocka_unit_test(each_completion_has_its_own_length),
      cmocka_unit_test(rewards_do_not_need_scores))
