/* Messages beside groups and dispositions on Replay.Append. */
#include "base/mem.h"
#include "testing/testing.h"
#include "wire/waiting.h"
#include <string.h>

static struct group *group_of(uint32_t completions)
{
    struct group *group = mem_new(sizeof *group);
    *group = (struct group){.run = mem_string("run"),
                            .lineage = 1,
                            .slot = 7,
                            .attempt = 2,
                            .row = mem_string("{\"a\": 1}"),
                            .prompt_tokens = 1,
                            .prompt_token = mem_array(1, sizeof(uint32_t)),
                            .temperature = 1,
                            .completions = completions,
                            .completion = mem_array(completions, sizeof(struct completion)),
                            .generator = mem_string("g"),
                            .failure = mem_string("rewarder.scorers[0]: status 500"),
                            .unscored = true};
    group->id = group_id(group->run, group->lineage, group->slot, group->attempt);
    for (uint32_t i = 0; i < completions; i++) {
        struct completion *c = &group->completion[i];
        *c = (struct completion){.tokens = 1,
                                 .token = mem_array(1, sizeof(uint32_t)),
                                 .spans = 1,
                                 .span = mem_array(1, sizeof(struct span)),
                                 .finish = FINISH_EOS,
                                 .text = mem_string("x"),
                                 .text_len = 1};
        completion_one_turn(c);
    }
    group_add(group, COLUMN_BEHAVIOUR_LOGP, 1);
    group_add(group, COLUMN_REWARD, 1);
    return group;
}

static void a_word_about_stages_is_no_group(void **)
{
    char why[WAITING_TEXT];
    char longer[2000];
    SCOPED_VALUE(bytes) out = {0};
    waiting_encode("rewarder.scorers[0] does not answer", &out);
    assert_true(waiting_decode(out.data, out.len, why));
    assert_string_equal(why, "rewarder.scorers[0] does not answer");
    bytes_clear(&out);
    waiting_encode("", &out);
    assert_true(waiting_decode(out.data, out.len, why));
    assert_string_equal(why, "");
    memset(longer, 'a', sizeof longer);
    longer[sizeof longer - 1] = 0;
    bytes_clear(&out);
    waiting_encode(longer, &out);
    assert_true(waiting_decode(out.data, out.len, why));
    assert_int_equal(strlen(why), WAITING_TEXT - 1);
    SCOPED(group) group = group_of(1);
    bytes_clear(&out);
    group_encode(group, &out);
    assert_false(waiting_decode(out.data, out.len, why));
    assert_false(waiting_decode(out.data, out.len - 1, why));
    assert_false(waiting_decode(NULL, 0, why));
}

static void a_group_goes_back_as_its_generator_sent_it(void **)
{
    SCOPED(group) group = group_of(3), *found = NULL;
    SCOPED_VALUE(bytes) out = {0};
    again_encode(group, &out);
    assert_ok(again_decode(out.data, out.len, &found));
    assert_true(digest_equal(&found->id, &group->id));
    assert_null(found->failure);
    assert_false(found->unscored);
    assert_int_equal(found->completions, 3);
    assert_non_null(group_values(found, COLUMN_BEHAVIOUR_LOGP, 2));
    assert_null(group_values(found, COLUMN_REWARD, 0));
    assert_non_null(group_values(group, COLUMN_REWARD, 0)); // the caller's is as it was
    SCOPED(group) none = NULL;
    assert_err(ERR_INVALID, "", again_decode(out.data, out.len - 1, &none));
    SCOPED_VALUE(bytes) disposition = {0};
    disposition_encode(&(struct disposition){group->id, OUTCOME_REJECTED, NULL}, &disposition);
    assert_err(ERR_NOT_FOUND, "no group", again_decode(disposition.data, disposition.len, &none));
}

/* A group that is kept goes with its contents; names alone can never be scored. */
static void unscored_groups_have_a_failure_and_contents(void **)
{
    const struct group_limits limits = GROUP_LIMITS;
    SCOPED(group) group = group_of(1), *found = NULL, *none = NULL;
    SCOPED_VALUE(bytes) out = {0};
    column_list_done(&group->columns);
    group->columns = (struct column_list){0};
    group_encode(group, &out);
    assert_ok(group_decode(out.data, out.len, &limits, &found));
    assert_true(found->unscored);
    struct group_limits generator = limits;
    generator.last = ORIGIN_GENERATOR;
    assert_err(ERR_INVALID, "failure is there", group_decode(out.data, out.len, &generator, &none));
    mem_free(STEAL(group->failure));
    bytes_clear(&out);
    group_encode(group, &out);
    assert_err(ERR_INVALID, "unscored is there", group_decode(out.data, out.len, &limits, &none));
}

TESTS(cmocka_unit_test(a_word_about_stages_is_no_group),
      cmocka_unit_test(a_group_goes_back_as_its_generator_sent_it),
      cmocka_unit_test(unscored_groups_have_a_failure_and_contents))
