#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "rollout.pb-c.h"
#include "testing/testing.h"
#include "unit/wire/rollout_kit.h"
#include "wire/rollout.h"
#include "wire/unpack.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct group_limits limits = GROUP_LIMITS;

static struct group *decoded(const struct bytes *bytes)
{
    struct group *group = NULL;
    assert_ok(group_decode(bytes->data, bytes->len, &limits, &group));
    return group;
}

static void a_group_written_by_another_encoder_reads_and_writes_the_same(void **state)
{
    (void)state;
    SCOPED_VALUE(bytes) golden = {0};
    SCOPED_VALUE(bytes) again = {0};
    assert_ok(file_read(TEST_GOLDEN "/group_v2.bin", 1 << 16, &golden));
    SCOPED(group) group = decoded(&golden);
    assert_string_equal(group->run, "sort-1");
    assert_int_equal(group->lineage, 2);
    assert_int_equal(group->slot, 5000000000);
    assert_int_equal(group->attempt, 3);
    assert_int_equal(group->prompt, 904);
    assert_int_equal(group->epoch, 1);
    assert_int_equal(group->start_round, 41);
    assert_string_equal(group->row, "{\"prompt\": \"hgfedcba>\", \"completion\": \"abcdefgh\"}");
    assert_int_equal(group->prompt_tokens, 9);
    assert_int_equal(group->prompt_token[8], 28);
    assert_near(group->temperature, 0.7f, 0);
    assert_string_equal(group->generator, "generator-0");
    assert_null(group->forward); // of a build that did not write it
    assert_int_equal(group->completions, 2);
    const struct completion *first = &group->completion[0], *second = &group->completion[1];
    assert_int_equal(first->tokens, 4);
    assert_int_equal(first->token[1], 3);
    const float *logp = group_values(group, COLUMN_BEHAVIOUR_LOGP, 0);
    assert_near(logp[3], -3.25, 0);
    assert_near(group_value(group, COLUMN_BEHAVIOUR_LOGP, 1), -11.5, 0);
    assert_near(((const float *)group_values(group, COLUMN_SAMPLED_LOGP, 0))[3], -3, 0);
    assert_int_equal(first->turns, 1);
    assert_int_equal(first->turn[0].role, ROLE_ASSISTANT);
    assert_true(first->turn[0].trained && first->turn[0].drawn);
    assert_int_equal(first->spans, 2);
    assert_int_equal(first->span[1].first_token, 3);
    assert_int_equal(first->span[1].version, 42);
    assert_int_equal(first->finish, FINISH_EOS);
    assert_int_equal(group_width(group, COLUMN_SCORES), 2);
    assert_near(((const double *)group_values(group, COLUMN_SCORES, 0))[1], -0.5, 0);
    assert_near(((const double *)group_values(group, COLUMN_SCORES, 1))[1], 0.25, 0);
    assert_near(group_value(group, COLUMN_REWARD, 0), 0.75, 0);
    assert_null(group_values(group, COLUMN_SAMPLED_LOGP, 1)); // the first completion alone has it
    assert_near(group_value(group, COLUMN_SAMPLED_LOGP, 1), 0, 0);
    const struct column_values *unknown = column_list_find(&group->columns, 63);
    assert_int_equal(unknown->unit, UNIT_GROUP); // it goes on as it came
    assert_memory_equal(unknown->data, "\1\2\3", 3);
    assert_int_equal(second->token[0], UINT32_MAX);
    assert_int_equal(second->turns, 3);
    assert_int_equal(second->turn[1].role, ROLE_TOOL);
    assert_int_equal(second->turn[1].first_token, 1);
    assert_false(second->turn[1].trained || second->turn[1].drawn);
    assert_int_equal(second->turn[2].first_token, 3);
    assert_int_equal(second->spans, 3);
    assert_int_equal(second->span[2].first_token, 4);
    assert_int_equal(second->span[2].version, 43);
    assert_int_equal(span_end(second, 0), 1);
    assert_int_equal(span_end(second, 1), 4);
    assert_int_equal(span_end(second, 2), 5);
    assert_int_equal(second->finish, FINISH_LENGTH);
    assert_int_equal(second->text_len, 3); // a NUL and a byte that is no UTF-8
    assert_memory_equal(second->text, "\377\0z", 4);
    assert_int_equal(group_oldest_version(group), 40);
    assert_int_equal(group_tokens(group), 9);
    group_encode(group, &again);
    assert_int_equal(again.len, golden.len);
    assert_memory_equal(again.data, golden.data, golden.len);
}

static void ids_differ_by_every_part(void **state)
{
    (void)state;
    char hex[DIGEST_TEXT];
    struct digest id = group_id("sort-1", 2, 5000000000, 3);
    const struct digest other[] = {
        group_id("sort-2", 2, 5000000000, 3), group_id("sort-1", 1, 5000000000, 3),
        group_id("sort-1", 2, 5000000001, 3), group_id("sort-1", 2, 5000000000, 4)};
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        assert_false(digest_equal(&id, &other[i]));
    assert_string_equal(digest_text(&id, hex), "441fd7b356b78382e6d97515799f8055");
}

static void assert_same_completion(const struct completion *a, const struct completion *b)
{
    assert_int_equal(a->tokens, b->tokens);
    assert_memory_equal(a->token, b->token, a->tokens * sizeof *a->token);
    assert_int_equal(a->turns, b->turns);
    for (uint32_t i = 0; i < a->turns; i++) {
        assert_int_equal(a->turn[i].role, b->turn[i].role);
        assert_int_equal(a->turn[i].first_token, b->turn[i].first_token);
        assert_int_equal(a->turn[i].trained, b->turn[i].trained);
        assert_int_equal(a->turn[i].drawn, b->turn[i].drawn);
    }
    assert_int_equal(a->spans, b->spans);
    for (uint32_t i = 0; i < a->spans; i++) {
        assert_int_equal(a->span[i].first_token, b->span[i].first_token);
        assert_int_equal(a->span[i].version, b->span[i].version);
    }
    assert_int_equal(a->finish, b->finish);
    assert_int_equal(a->text_len, b->text_len);
    assert_memory_equal(a->text, b->text, a->text_len + 1);
}

static void assert_same_columns(const struct column_list *a, const struct column_list *b)
{
    assert_int_equal(a->count, b->count);
    for (uint32_t k = 0; k < a->count; k++) {
        const struct column_values *x = &a->at[k], *y = &b->at[k];
        assert_true(x->id == y->id && x->unit == y->unit && x->dtype == y->dtype);
        assert_true(x->width == y->width && x->covered == y->covered && x->bytes == y->bytes);
        if (x->covered)
            assert_memory_equal(x->completion, y->completion, x->covered * sizeof *x->completion);
        assert_memory_equal(x->data, y->data, x->bytes);
    }
}

/* A failure is cut to what a disposition carries; its generator has none. */
static void a_failure_is_the_rewarders_to_tell(void **state)
{
    (void)state;
    SCOPED(group) group = random_group(1);
    SCOPED_VALUE(bytes) out = {0};
    SCOPED_VALUE(bytes) broken = {0};
    struct group_limits generators = GROUP_LIMITS;
    struct group *none = NULL;
    free(group->failure);
    group->failure = mem_new(2 * REASON_MAX_BYTES + 1);
    for (size_t i = 0; i < REASON_MAX_BYTES; i++)
        memcpy(group->failure + 2 * i, "\xc3\xa9", 2);
    group->failure[0] = ' '; // no text any more: nothing is told
    group_encode(group, &broken);
    SCOPED(group) untold = decoded(&broken);
    assert_null(untold->failure);
    group->failure[1] = ' ';
    group_encode(group, &out);
    SCOPED(group) back = decoded(&out);
    assert_int_equal(strlen(back->failure), REASON_MAX_BYTES);
    assert_memory_equal(back->failure, group->failure, REASON_MAX_BYTES);
    column_list_keep(&group->columns, ORIGIN_GENERATOR);
    out.len = 0;
    group_encode(group, &out);
    generators.last = ORIGIN_GENERATOR;
    assert_err(ERR_INVALID, "failure is there, which a later stop fills",
               group_decode(out.data, out.len, &generators, &none));
}

static void random_groups_come_back_as_they_went(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 300; seed++) {
        SCOPED(group) group = random_group(seed);
        SCOPED_VALUE(bytes) out = {0};
        SCOPED_VALUE(bytes) again = {0};
        group_encode(group, &out);
        SCOPED(group) back = decoded(&out);
        assert_string_equal(back->run, group->run);
        assert_string_equal(back->generator, group->generator);
        assert_string_equal(back->forward ? back->forward : "",
                            group->forward ? group->forward : "");
        assert_string_equal(back->failure ? back->failure : "",
                            group->failure ? group->failure : "");
        assert_string_equal(back->row, group->row);
        assert_true(back->slot == group->slot && back->prompt == group->prompt);
        assert_memory_equal(back->prompt_token, group->prompt_token, 4 * group->prompt_tokens);
        assert_int_equal(back->completions, group->completions);
        for (uint32_t i = 0; i < group->completions; i++)
            assert_same_completion(&back->completion[i], &group->completion[i]);
        assert_same_columns(&back->columns, &group->columns);
        group_encode(back, &again);
        assert_int_equal(again.len, out.len);
        assert_memory_equal(again.data, out.data, out.len);
    }
}

static void a_greedy_evaluation_comes_back_as_it_went(void **state)
{
    (void)state;
    SCOPED(group) group = random_group(4);
    SCOPED_VALUE(bytes) out = {0};
    group->evaluation = true;
    group->temperature = 0; // "temperature is 0" unless it is one: every_broken_invariant_is_named
    group_encode(group, &out);
    SCOPED(group) back = decoded(&out);
    assert_true(back->evaluation);
    assert_true(back->temperature == 0);
    group->evaluation = false;
    group->temperature = 1;
    bytes_clear(&out);
    group_encode(group, &out);
    SCOPED(group) training = decoded(&out);
    assert_false(training->evaluation);
}

static void a_cut_message_is_an_error_or_a_shorter_group(void **state)
{
    (void)state;
    SCOPED(group) group = random_group(7);
    SCOPED_VALUE(bytes) out = {0};
    group_encode(group, &out);
    int refused = 0;
    for (size_t len = 0; len < out.len; len++) {
        SCOPED_MEM uint8_t *cut = mem_copy(out.data, len); // its own block: reading on is seen
        struct group *back = NULL;
        err_t e = group_decode(cut, len, &limits, &back);
        refused += err_failed(e);
        assert_true(!err_failed(e) || err_code(e) == ERR_INVALID);
        assert_true(err_failed(e) == !back);
        err_free(e);
        group_free(back);
    }
    /* Between two fields a cut leaves a valid message: without columns, the name or completions at
     * its end. */
    assert_true(refused >= (int)out.len - (int)(group->completions + group->columns.count) - 1);
}

/* 4 MiB of empty submessages take protobuf-c 80 MiB: they are counted before it sees them. */
static void floods_of_fields_are_refused(void **state)
{
    (void)state;
    SCOPED_VALUE(bytes) out = {0};
    SCOPED(group) back = NULL;
    for (int i = 0; i < 2 << 20; i++)
        bytes_put(&out, "\x62\0", 2); // completions {}
    assert_err(ERR_INVALID, "too many fields", group_decode(out.data, out.len, &limits, &back));
    bytes_clear(&out);
    for (int i = 0; i < 2 << 20; i++)
        bytes_put(&out, "\xf8\x07\x01", 3); // field 127, unknown here
    assert_err(ERR_INVALID, "too many fields", group_decode(out.data, out.len, &limits, &back));
}

static void unknown_fields_are_passed_over(void **state)
{
    (void)state;
    SCOPED(group) group = random_group(5);
    SCOPED_VALUE(bytes) out = {0};
    group_encode(group, &out);
    bytes_put(&out, "\xf8\x07\x01", 3);
    bytes_put(&out, "\xfa\x07\x02hi", 5);
    SCOPED(group) back = decoded(&out);
    assert_int_equal(back->completions, group->completions);
}

static void a_nul_in_a_name_is_refused(void **state)
{
    (void)state;
    SCOPED_VALUE(bytes) out = {0};
    SCOPED(group) back = NULL;
    bytes_put(&out,
              "\x12\x03"
              "a\0b",
              5); // run
    assert_err(ERR_INVALID, "run is not UTF-8 without a NUL",
               group_decode(out.data, out.len, &limits, &back));
}

static void dispositions_come_back(void **state)
{
    (void)state;
    SCOPED_VALUE(bytes) golden = {0};
    SCOPED_VALUE(bytes) again = {0};
    SCOPED_VALUE(disposition) disposition = {0};
    assert_ok(file_read(TEST_GOLDEN "/disposition_v1.bin", 1 << 16, &golden));
    assert_ok(disposition_decode(golden.data, golden.len, &disposition));
    assert_int_equal(disposition.outcome, OUTCOME_SUPERSEDED);
    assert_string_equal(outcome_name(disposition.outcome), "superseded");
    assert_string_equal(outcome_name(9), "?");
    assert_string_equal(disposition.reason, "the slot holds attempt 4");
    struct digest id = group_id("sort-1", 2, 5000000000, 3);
    assert_true(digest_equal(&id, &disposition.id));
    disposition_encode(&disposition, &again);
    assert_int_equal(again.len, golden.len);
    assert_memory_equal(again.data, golden.data, golden.len);
    for (size_t len = 0; len < golden.len; len++) {
        SCOPED_MEM uint8_t *cut = mem_copy(golden.data, len);
        SCOPED_VALUE(disposition) back = {0};
        err_free(disposition_decode(cut, len, &back));
    }
}

static void a_long_reason_is_cut_between_characters(void **state)
{
    (void)state;
    SCOPED_VALUE(bytes) out = {0};
    SCOPED_VALUE(disposition) back = {0};
    SCOPED_MEM char *reason = mem_new(3002);
    reason[0] = 'x';
    for (int i = 0; i < 1500; i++)
        memcpy(reason + 1 + 2 * i, "ü", 2);
    const struct disposition sent = {group_id("r", 0, 0, 1), OUTCOME_REJECTED, reason};
    disposition_encode(&sent, &out);
    assert_ok(disposition_decode(out.data, out.len, &back));
    assert_int_equal(strlen(back.reason), REASON_MAX_BYTES - 1);
    assert_memory_equal(back.reason, reason, REASON_MAX_BYTES - 1);
    /* One of another build, with a reason that is longer still. */
    enum { LONG = 20000 };
    Rlhfd__V1__Disposition pb = RLHFD__V1__DISPOSITION__INIT;
    SCOPED_MEM char *text = mem_new(LONG + 1);
    SCOPED_VALUE(disposition) cut = {0};
    SCOPED_VALUE(bytes) longer = {0};
    memset(text, 'w', LONG);
    pb.id = (ProtobufCBinaryData){sizeof sent.id.byte, (uint8_t *)sent.id.byte};
    pb.outcome = RLHFD__V1__OUTCOME__OUTCOME_REJECTED;
    pb.reason = text;
    wire_pack(&pb.base, &longer);
    assert_ok(disposition_decode(longer.data, longer.len, &cut));
    assert_int_equal(strlen(cut.reason), REASON_MAX_BYTES);
    const struct disposition odd = {group_id("r", 0, 0, 1), 6, NULL};
    SCOPED_VALUE(disposition) none = {0};
    bytes_clear(&out);
    disposition_encode(&odd, &out);
    assert_err(ERR_INVALID, "outcome is 6", disposition_decode(out.data, out.len, &none));
}

TESTS(cmocka_unit_test(a_group_written_by_another_encoder_reads_and_writes_the_same),
      cmocka_unit_test(ids_differ_by_every_part),
      cmocka_unit_test(a_failure_is_the_rewarders_to_tell),
      cmocka_unit_test(random_groups_come_back_as_they_went),
      cmocka_unit_test(a_greedy_evaluation_comes_back_as_it_went),
      cmocka_unit_test(a_cut_message_is_an_error_or_a_shorter_group),
      cmocka_unit_test(floods_of_fields_are_refused),
      cmocka_unit_test(unknown_fields_are_passed_over),
      cmocka_unit_test(a_nul_in_a_name_is_refused), cmocka_unit_test(dispositions_come_back),
      cmocka_unit_test(a_long_reason_is_cut_between_characters))
