/* What cannot be taken keeps its names: enough to end its lease, and to be answered. */
#include "testing/testing.h"
#include "unit/wire/rollout_kit.h"
#include "wire/failed_group.h"

static void assert_names(const struct group *a, const struct group *b)
{
    assert_true(digest_equal(&a->id, &b->id));
    assert_string_equal(a->run, b->run);
    assert_string_equal(a->generator, b->generator);
    assert_true(a->lineage == b->lineage && a->slot == b->slot && a->attempt == b->attempt);
    assert_true(a->prompt == b->prompt && a->epoch == b->epoch);
    assert_true(a->start_round == b->start_round && a->evaluation == b->evaluation);
}

static void assert_bare(const struct group *group, const char *part)
{
    assert_int_equal(group->completions, 0);
    assert_int_equal(group->prompt_tokens, 0);
    assert_int_equal(group->columns.count, 0);
    assert_string_equal(group->row, "");
    assert_non_null(strstr(group->failure, part));
}

/* Every stop takes it, and what it is then is the same. */
static void a_failed_group_passes_every_stop(void **)
{
    static const enum column_origin stops[] = {ORIGIN_GENERATOR, ORIGIN_REWARDER};
    for (uint64_t seed = 0; seed < 20; seed++)
        for (size_t i = 0; i < 2; i++) {
            SCOPED(group) group = random_group(seed);
            group->evaluation = seed % 2;
            SCOPED(group) failed = failed_group(group, "it has no place");
            SCOPED(group) back = NULL;
            SCOPED_VALUE(bytes) out = {0};
            struct group_limits limits = GROUP_LIMITS;
            limits.last = stops[i];
            group_encode(failed, &out);
            assert_ok(group_decode(out.data, out.len, &limits, &back));
            assert_names(back, group);
            assert_bare(back, "it has no place");
        }
}

/* A failure lets nothing else through that would be refused without it. */
static void a_failure_with_contents_is_checked_as_any_group(void **)
{
    const struct group_limits limits = GROUP_LIMITS;
    SCOPED(group) group = random_group(1);
    SCOPED(group) back = NULL;
    SCOPED_VALUE(bytes) out = {0};
    const uint32_t completions = group->completions, columns = (uint32_t)group->columns.count;
    group->failure = mem_string("given up");
    group->completions = 0;
    group->columns.count = 0;
    group_encode(group, &out);
    group->completions = completions; // freed with it
    group->columns.count = columns;
    assert_err(ERR_INVALID, "0 completions", group_decode(out.data, out.len, &limits, &back));
    SCOPED(group) nameless = failed_group(group, "given up");
    nameless->attempt = 0;
    bytes_clear(&out);
    group_encode(nameless, &out);
    assert_err(ERR_INVALID, "attempt is 0", group_decode(out.data, out.len, &limits, &back));
}

static void a_reason_that_is_no_text_has_another(void **)
{
    SCOPED(group) group = random_group(1);
    SCOPED(group) odd = failed_group(group, "\xff");
    SCOPED(group) none = failed_group(group, "");
    assert_bare(odd, "it is malformed");
    assert_bare(none, "it is malformed");
}

/* One byte too many, and it goes on without its contents. */
static void what_is_too_long_goes_on_as_failed(void **)
{
    const struct group_limits limits = GROUP_LIMITS;
    SCOPED(group) group = random_group(5);
    SCOPED_VALUE(bytes) whole = {0};
    SCOPED_VALUE(bytes) same = {0};
    SCOPED_VALUE(bytes) cut = {0};
    SCOPED(group) back = NULL;
    group_encode(group, &whole);
    bytes_text(&same, "before");
    group_encode_within(group, whole.len, &same);
    assert_int_equal(same.len, 6 + whole.len);
    assert_memory_equal(same.data + 6, whole.data, whole.len);
    group_encode_within(group, whole.len - 1, &cut);
    assert_ok(group_decode(cut.data, cut.len, &limits, &back));
    assert_names(back, group);
    SCOPED_MEM char *says = mem_printf("the group has %zu bytes", whole.len);
    assert_bare(back, says);
    says[0] = 0;
    assert_non_null(strstr(back->failure, "go round the ring"));
}

/* Whatever is cut off behind the names. */
static void names_are_read_from_what_is_refused(void **)
{
    SCOPED(group) group = three_completions();
    SCOPED(group) before = failed_group(group, "x");
    SCOPED_VALUE(bytes) out = {0};
    SCOPED_VALUE(bytes) names = {0};
    group_encode(group, &out);
    before->failure[0] = 0;
    before->generator[0] = 0; // stands behind the completions
    group_encode(before, &names);
    for (size_t len = names.len; len <= out.len; len++) {
        SCOPED(group) failed = NULL;
        assert_ok(failed_group_decode(out.data, len, err_new(ERR_INVALID, "cut off"), &failed));
        assert_true(digest_equal(&failed->id, &group->id));
        assert_true(failed->slot == group->slot && failed->attempt == group->attempt);
        assert_string_equal(failed->run, group->run);
        assert_bare(failed, "cut off");
    }
}

static void without_an_id_there_is_no_group(void **)
{
    SCOPED(group) group = three_completions();
    SCOPED_VALUE(bytes) out = {0};
    SCOPED_VALUE(bytes) many = {0};
    SCOPED(group) failed = NULL;
    group_encode(group, &out);
    for (size_t len = 0; len < 18; len++) // field, length, 16 bytes
        assert_err(ERR_INVALID, "why",
                   failed_group_decode(out.data, len, err_new(ERR_INVALID, "why"), &failed));
    for (int i = 0; i < 1000; i++) // attempts in place of one
        bytes_put(&many, "\x28\x01", 2);
    bytes_put(&many, out.data, 18);
    assert_ok(failed_group_decode(many.data, many.len, err_new(ERR_INVALID, "why"), &failed));
    assert_true(digest_equal(&failed->id, &group->id));
    assert_string_equal(failed->run, "");
    assert_int_equal(failed->attempt, 0);
}

TESTS(cmocka_unit_test(a_failed_group_passes_every_stop),
      cmocka_unit_test(a_failure_with_contents_is_checked_as_any_group),
      cmocka_unit_test(a_reason_that_is_no_text_has_another),
      cmocka_unit_test(what_is_too_long_goes_on_as_failed),
      cmocka_unit_test(names_are_read_from_what_is_refused),
      cmocka_unit_test(without_an_id_there_is_no_group))
