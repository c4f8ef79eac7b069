/* Groups that nobody can read or count with: each is rejected with its reason and leaves its slot,
 * and those behind it over the same stream are taken. */
#include "unit/learner/ingest_kit.h"
#include "wire/failed_group.h"

static void nan_reward(struct group *group)
{
    ((double *)group_values(group, COLUMN_REWARD, 0))[1] = NAN;
}
static void infinite_score(struct group *group)
{
    ((double *)group_values(group, COLUMN_SCORES, 0))[2] = -INFINITY;
}
static void positive_logp(struct group *group)
{
    ((float *)group_values(group, COLUMN_BEHAVIOUR_LOGP, 0))[0] = 0.5f;
}
static void advantages(struct group *group)
{
    group_add(group, COLUMN_ADVANTAGE, 1);
}
static void half_a_reward(struct group *group)
{
    column_list_find(&group->columns, COLUMN_REWARD)->bytes -= 3;
}
static void huge_reward(struct group *group)
{
    ((double *)group_values(group, COLUMN_REWARD, 0))[2] = -1e19;
}
static void huge_score(struct group *group)
{
    ((double *)group_values(group, COLUMN_SCORES, 0))[0] = 1e300;
}
static void huge_logp(struct group *group)
{
    ((float *)group_values(group, COLUMN_BEHAVIOUR_LOGP, 0))[3] = -1e30f;
}
static void no_temperature(struct group *group)
{
    group->temperature = NAN;
}
static void broken_generator(struct group *group)
{
    group->generator[0] = (char)0xff;
}

static const struct unreadable {
    void (*apply)(struct group *);
    const char *says;
    bool nameless; // its lease cannot be told by its names
} unreadable[] = {
    {nan_reward, "reward[1] is nan; finite numbers are allowed", false},
    {infinite_score, "scores[2] is -inf; finite numbers are allowed", false},
    {positive_logp, "behaviour_logp[0] is 0.5; finite numbers <= 0 are allowed", false},
    {advantages, "advantage comes from the learner", false},
    {half_a_reward, "for values of 8", false},
    {huge_reward, "reward[2] is -1e+19; numbers from -1e+18 to 1e+18 can be trained", false},
    {huge_score, "scores[0] is 1e+300", false},
    {huge_logp, "behaviour_logp[3] is -1e+30", false},
    {no_temperature, "temperature is nan", false},
    {broken_generator, "generator is not UTF-8", true},
};

/* One such group cost the stream and all groups behind it: it was sent again for ever. */
static void what_cannot_be_read_is_rejected_and_the_stream_goes_on(void **)
{
    for (size_t kind = 0; kind < sizeof unreadable / sizeof *unreadable; kind++) {
        const struct unreadable *bad = &unreadable[kind];
        SCOPED(scene) s = scene_new("rloo", "none");
        SCOPED(group) other = group_for(&s->grants.grant[1]);
        SCOPED(group) group = group_for(&s->grants.grant[0]);
        bad->apply(group);
        answered(s, group, OUTCOME_REJECTED, bad->says);
        const bool again = counts(s)->gone[REASON_ERRORED] == 1;
        assert_true(again == !bad->nameless);
        answered(s, other, OUTCOME_STORED, "");
        assert_ok(storage_call(s->storage, lease_more, s));
        assert_int_equal(s->again.grant[0].slot, bad->nameless ? LEASED : 0);
    }
}

/* However often it comes, its slot has failed once. */
static void a_message_cut_off_is_rejected_once(void **)
{
    SCOPED(scene) s = scene_new("rloo", "none");
    SCOPED(group) group = group_for(&s->grants.grant[0]);
    SCOPED_VALUE(bytes) bytes = {0};
    group_encode(group, &bytes);
    bytes.len -= 5;
    for (int i = 0; i < 3; i++) {
        send_bytes(s, &bytes);
        assert_non_null(s->call);
        assert_int_equal(s->answer.outcome, OUTCOME_REJECTED);
        assert_true(digest_equal(&s->answer.id, &group->id));
        assert_non_null(strstr(s->answer.reason, "malformed"));
    }
    assert_int_equal(counts(s)->gone[REASON_ERRORED], 1);
    assert_int_equal(s->counts.leased, LEASED - 1);
}

/* Names that contradict the id end no lease: anybody could write them. */
static void a_forged_name_ends_no_lease(void **)
{
    SCOPED(scene) s = scene_new("rloo", "none");
    SCOPED(group) group = group_for(&s->grants.grant[0]);
    group->slot = 1;
    answered(s, group, OUTCOME_REJECTED, "id is not that of run");
    assert_int_equal(counts(s)->leased, LEASED);
    assert_int_equal(s->counts.gone[REASON_ERRORED], 0);
}

/* What a stop before could not take: its names and the reason. */
static void a_failed_group_is_rejected_with_its_reason(void **)
{
    SCOPED(scene) s = scene_new("rloo", "none");
    SCOPED(group) group = group_for(&s->grants.grant[0]);
    SCOPED(group) failed = failed_group(group, "it has 70000000 bytes");
    answered(s, failed, OUTCOME_REJECTED, "it has 70000000 bytes");
    assert_int_equal(counts(s)->gone[REASON_ERRORED], 1);
    assert_ok(storage_call(s->storage, lease_more, s));
    assert_int_equal(s->again.grant[0].attempt, 2);
}

TESTS(cmocka_unit_test(what_cannot_be_read_is_rejected_and_the_stream_goes_on),
      cmocka_unit_test(a_message_cut_off_is_rejected_once),
      cmocka_unit_test(a_forged_name_ends_no_lease),
      cmocka_unit_test(a_failed_group_is_rejected_with_its_reason))
