#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "rollout.pb-c.h"
#include "testing/testing.h"
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
    assert_ok(file_read(TEST_GOLDEN "/group_v1.bin", 1 << 16, &golden));
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
    assert_int_equal(group->completions, 2);
    const struct completion *first = &group->completion[0], *second = &group->completion[1];
    assert_int_equal(first->tokens, 4);
    assert_int_equal(first->token[1], 3);
    assert_near(first->logp[3], -3.25, 0);
    assert_near(first->sampled_logp[3], -3, 0);
    assert_int_equal(first->spans, 2);
    assert_int_equal(first->span[1].first_token, 3);
    assert_int_equal(first->span[1].version, 42);
    assert_int_equal(first->finish, FINISH_EOS);
    assert_int_equal(first->scores, 2);
    assert_near(first->score[1], -0.5, 0);
    assert_near(first->reward, 0.75, 0);
    assert_int_equal(second->token[0], UINT32_MAX);
    assert_null(second->sampled_logp);
    assert_int_equal(second->finish, FINISH_LENGTH);
    assert_int_equal(second->text_len, 3); // a NUL and a byte that is no UTF-8
    assert_memory_equal(second->text, "\377\0z", 4);
    assert_int_equal(group_oldest_version(group), 40);
    assert_int_equal(group_tokens(group), 5);
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

static void *floats(const struct rng *rng, uint64_t *draw, uint32_t count)
{
    float *values = mem_array(count, sizeof *values);
    for (uint32_t i = 0; i < count; i++)
        values[i] = (float)-rng_uniform(rng, (*draw)++) * 9;
    return values;
}

static uint32_t *numbers(const struct rng *rng, uint64_t *draw, uint32_t count)
{
    uint32_t *values = mem_array(count, sizeof *values);
    for (uint32_t i = 0; i < count; i++)
        values[i] = (uint32_t)rng_u64(rng, (*draw)++);
    return values;
}

static void random_completion(const struct rng *rng, uint64_t *draw, uint32_t scores,
                              struct completion *ret)
{
    ret->tokens = 1 + (uint32_t)rng_below(rng, (*draw)++, 40);
    ret->token = numbers(rng, draw, ret->tokens);
    ret->logp = floats(rng, draw, ret->tokens);
    if (rng_below(rng, (*draw)++, 2))
        ret->sampled_logp = floats(rng, draw, ret->tokens);
    if (ret->tokens % 3 == 0)
        ret->reference_logp = floats(rng, draw, ret->tokens);
    ret->span = mem_array(ret->tokens, sizeof *ret->span);
    for (uint32_t t = 0; t < ret->tokens; t++)
        if (t == 0 || rng_below(rng, (*draw)++, 8) == 0)
            ret->span[ret->spans++] = (struct span){t, rng_u64(rng, (*draw)++)};
    ret->finish = (enum finish)(FINISH_EOS + (int)rng_below(rng, (*draw)++, 3));
    ret->text_len = (uint32_t)rng_below(rng, (*draw)++, 30);
    ret->text = mem_new(ret->text_len + 1);
    for (uint32_t i = 0; i < ret->text_len; i++)
        ret->text[i] = (char)rng_below(rng, (*draw)++, 256);
    ret->scores = scores;
    ret->score = mem_array(scores, sizeof *ret->score);
    for (uint32_t i = 0; i < scores; i++)
        ret->score[i] = rng_normal(rng, (*draw)++);
    ret->reward = rng_normal(rng, (*draw)++);
}

static struct group *random_group(uint64_t seed)
{
    const struct rng rng = rng_keyed(seed, RNG_TEST, 1, 0);
    uint64_t draw = 0;
    struct group *group = mem_new(sizeof *group);
    group->run = mem_printf("run-%llu", (unsigned long long)rng_below(&rng, draw++, 1000));
    group->generator = mem_string("gönerator");
    group->row = mem_string("{\"prompt\": \"ü\"}");
    group->lineage = (uint32_t)rng_u64(&rng, draw++);
    group->slot = rng_u64(&rng, draw++);
    group->attempt = 1 + (uint32_t)rng_below(&rng, draw++, 1000);
    group->prompt = rng_u64(&rng, draw++);
    group->epoch = (uint32_t)rng_u64(&rng, draw++);
    group->start_round = rng_u64(&rng, draw++);
    group->id = group_id(group->run, group->lineage, group->slot, group->attempt);
    group->prompt_tokens = 1 + (uint32_t)rng_below(&rng, draw++, 20);
    group->prompt_token = numbers(&rng, &draw, group->prompt_tokens);
    group->temperature = 0.5f + (float)rng_uniform(&rng, draw++);
    group->completions = 1 + (uint32_t)rng_below(&rng, draw++, 6);
    group->completion = mem_array(group->completions, sizeof *group->completion);
    uint32_t scores = (uint32_t)rng_below(&rng, draw++, 4);
    for (uint32_t i = 0; i < group->completions; i++)
        random_completion(&rng, &draw, scores, &group->completion[i]);
    return group;
}

static void assert_same_completion(const struct completion *a, const struct completion *b)
{
    assert_int_equal(a->tokens, b->tokens);
    assert_memory_equal(a->token, b->token, a->tokens * sizeof *a->token);
    assert_memory_equal(a->logp, b->logp, a->tokens * sizeof *a->logp);
    assert_int_equal(!a->sampled_logp, !b->sampled_logp);
    if (a->sampled_logp)
        assert_memory_equal(a->sampled_logp, b->sampled_logp, a->tokens * sizeof *a->logp);
    assert_int_equal(!a->reference_logp, !b->reference_logp);
    if (a->reference_logp)
        assert_memory_equal(a->reference_logp, b->reference_logp, a->tokens * sizeof *a->logp);
    assert_int_equal(a->spans, b->spans);
    for (uint32_t i = 0; i < a->spans; i++) {
        assert_int_equal(a->span[i].first_token, b->span[i].first_token);
        assert_int_equal(a->span[i].version, b->span[i].version);
    }
    assert_int_equal(a->finish, b->finish);
    assert_int_equal(a->text_len, b->text_len);
    assert_memory_equal(a->text, b->text, a->text_len + 1);
    assert_int_equal(a->scores, b->scores);
    if (a->scores)
        assert_memory_equal(a->score, b->score, a->scores * sizeof *a->score);
    assert_true(a->reward == b->reward);
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
        assert_string_equal(back->row, group->row);
        assert_true(back->slot == group->slot && back->prompt == group->prompt);
        assert_memory_equal(back->prompt_token, group->prompt_token, 4 * group->prompt_tokens);
        assert_int_equal(back->completions, group->completions);
        for (uint32_t i = 0; i < group->completions; i++)
            assert_same_completion(&back->completion[i], &group->completion[i]);
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
    /* Between two fields a cut leaves a valid message: the name at the end, or a completion. */
    assert_true(refused >= (int)out.len - (int)group->completions - 1);
}

/* A change to a valid group, and a part of what decoding says about it. */
struct fault {
    void (*apply)(struct group *);
    const char *says;
};
static void other_id(struct group *g)
{
    g->id.byte[3] ^= 1;
}
static void no_attempt(struct group *g)
{
    g->attempt = 0;
}
static void no_run(struct group *g)
{
    g->run[0] = 0;
}
static void long_generator(struct group *g)
{
    free(g->generator);
    g->generator = mem_new(257);
    memset(g->generator, 'g', 256);
}
static void cold(struct group *g)
{
    g->temperature = 0;
}
static void not_a_temperature(struct group *g)
{
    g->temperature = NAN;
}
static void no_prompt(struct group *g)
{
    g->prompt_tokens = 0;
}
static void nothing_completed(struct group *g)
{
    g->completions = 0;
}
static void positive_logp(struct group *g)
{
    g->completion[0].logp[0] = 1e-6f;
}
static void infinite_logp(struct group *g)
{
    g->completion[0].logp[0] = -INFINITY;
}
static void not_a_sampled_logp(struct group *g)
{
    free(g->completion[0].sampled_logp);
    g->completion[0].sampled_logp = mem_array(g->completion[0].tokens, sizeof(float));
    g->completion[0].sampled_logp[0] = NAN;
}
static void no_spans(struct group *g)
{
    g->completion[0].spans = 0;
}
static void late_span(struct group *g)
{
    g->completion[0].span[0].first_token = 1;
}
static void far_span(struct group *g)
{
    g->completion[0].span[0].first_token = 0;
    g->completion[0].span = mem_grow(g->completion[0].span, 2, sizeof(struct span));
    g->completion[0].span[1] = (struct span){g->completion[0].tokens, 1};
    g->completion[0].spans = 2;
}
static void twice_the_span(struct group *g)
{
    far_span(g);
    g->completion[0].span[1].first_token = 0;
}
static void unfinished(struct group *g)
{
    g->completion[0].finish = 0;
}
static void odd_finish(struct group *g)
{
    g->completion[0].finish = 77;
}
static void infinite_reward(struct group *g)
{
    g->completion[0].reward = INFINITY;
}
static void fewer_scores(struct group *g)
{
    g->completion[1].scores = 0;
}
static void broken_row(struct group *g)
{
    g->row[3] = (char)0xff;
}
static void broken_run(struct group *g)
{
    g->run[0] = (char)0xc0;
}

static void every_broken_invariant_is_named(void **state)
{
    (void)state;
    static const struct fault faults[] = {
        {other_id, "id is not that of run"},
        {no_attempt, "attempt"},
        {no_run, "run has 0 bytes"},
        {long_generator, "generator has 256 bytes"},
        {cold, "temperature is 0"},
        {not_a_temperature, "temperature is"},
        {no_prompt, "0 prompt_tokens"},
        {nothing_completed, "0 completions"},
        {positive_logp, "completions[0]: logp[0] is 1e-06"},
        {infinite_logp, "logp[0] is -inf"},
        {not_a_sampled_logp, "sampled_logp[0] is"},
        {no_spans, "0 spans"},
        {late_span, "spans[0].first_token is 1"},
        {far_span, "spans[1].first_token"},
        {twice_the_span, "spans[1].first_token is 0"},
        {unfinished, "finish is 0"},
        {odd_finish, "finish is 77"},
        {infinite_reward, "reward is not finite"},
        {fewer_scores, "completions[1] has 0 scores"},
        {broken_row, "row is not UTF-8"},
        {broken_run, "run is not UTF-8"},
    };
    SCOPED(group) untouched = NULL;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        SCOPED(group) group = random_group(3); // two or more completions with scores
        assert_true(group->completions > 1 && group->completion[0].scores);
        SCOPED_VALUE(bytes) out = {0};
        const uint32_t completions = group->completions; // for group_free
        faults[i].apply(group);
        group_encode(group, &out);
        group->completions = completions;
        assert_err(ERR_INVALID, faults[i].says,
                   group_decode(out.data, out.len, &limits, &untouched));
        assert_null(untouched);
    }
}

static void limits_hold(void **state)
{
    (void)state;
    SCOPED(group) group = random_group(3);
    SCOPED(group) back = NULL;
    SCOPED_VALUE(bytes) out = {0};
    group_encode(group, &out);
    struct group_limits one = limits;
    one.completions = group->completions - 1;
    assert_err(ERR_INVALID, "completions;", group_decode(out.data, out.len, &one, &back));
    one = limits;
    one.row_bytes = 3;
    assert_err(ERR_INVALID, "row has", group_decode(out.data, out.len, &one, &back));
    one = limits;
    one.scores = group->completion[0].scores - 1;
    assert_err(ERR_INVALID, "scores", group_decode(out.data, out.len, &one, &back));
    one = limits;
    one.tokens = 1;
    assert_err(ERR_INVALID, "tokens", group_decode(out.data, out.len, &one, &back));
    one = limits;
    one.spans = 0;
    assert_err(ERR_INVALID, "spans", group_decode(out.data, out.len, &one, &back));
    one = limits;
    one.bytes = out.len - 1;
    assert_err(ERR_INVALID, "bytes; at most", group_decode(out.data, out.len, &one, &back));
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
    const struct disposition odd = {group_id("r", 0, 0, 1), 6, NULL};
    SCOPED_VALUE(disposition) none = {0};
    bytes_clear(&out);
    disposition_encode(&odd, &out);
    assert_err(ERR_INVALID, "outcome is 6", disposition_decode(out.data, out.len, &none));
}

TESTS(cmocka_unit_test(a_group_written_by_another_encoder_reads_and_writes_the_same),
      cmocka_unit_test(ids_differ_by_every_part),
      cmocka_unit_test(random_groups_come_back_as_they_went),
      cmocka_unit_test(a_greedy_evaluation_comes_back_as_it_went),
      cmocka_unit_test(a_cut_message_is_an_error_or_a_shorter_group),
      cmocka_unit_test(every_broken_invariant_is_named), cmocka_unit_test(limits_hold),
      cmocka_unit_test(floods_of_fields_are_refused),
      cmocka_unit_test(unknown_fields_are_passed_over),
      cmocka_unit_test(a_nul_in_a_name_is_refused), cmocka_unit_test(dispositions_come_back),
      cmocka_unit_test(a_long_reason_is_cut_between_characters))
