/* A track with a real model: leases become stamped groups, each with the numerics, the version and
 * the text that it must have; and what evaluation's track forgets. */
#include "base/mem.h"
#include "generator/track.h"
#include "model/numerics.h"
#include "svc/recipe/recipe.h"
#include "testing/ring.h"
#include "testing/testing.h"
#include <string.h>

static struct recipe *recipe_of(const struct ring *ring)
{
    const char *sets[] = {"model.kv=bf16", "data.max_prompt_tokens=16", "generator.slots=8",
                          "generator.num_generations=4", "eval.every=1"};
    struct recipe_source source = {.file = ring->recipe, .sets = sets, .sets_count = 5};
    struct recipe *recipe = NULL;
    assert_ok(recipe_read(&source, &recipe));
    return recipe;
}

static struct lease_grant *grant_of(uint64_t slot, const char *row, bool evaluation,
                                    uint64_t version)
{
    struct lease_grant *grant = mem_new(sizeof *grant);
    *grant = (struct lease_grant){.id = group_id("test", 3, slot, 1),
                                  .lineage = 3,
                                  .slot = slot,
                                  .attempt = 1,
                                  .prompt = slot,
                                  .epoch = 2,
                                  .start_round = 5,
                                  .row = mem_string(row),
                                  .evaluation = evaluation,
                                  .version = version};
    return grant;
}

static void admit(struct track *track, struct lease_grant *grant)
{
    struct group *refused = NULL;
    assert_ok(track_admit(track, grant, &refused));
    assert_null(refused);
}

static void apply(struct track *track, uint64_t version)
{
    struct swapped done;
    bool in_force = false;
    track_offer(track);
    assert_true(track_wants(track));
    assert_false(track_wants(track));
    track_begin(track, &(struct track_weights){.lineage = 3, .version = version});
    assert_true(track_takes(track));
    assert_ok(track_bring(track, &done, &in_force));
    assert_true(in_force && !track_takes(track) && done.version == version);
}

static struct group *next(struct track *track)
{
    struct group *group;
    while (!(group = track_take(track))) {
        assert_true(track_busy(track));
        assert_ok(track_step(track));
    }
    return group;
}

#define ROW "{\"prompt\": \"hgfe>\", \"completion\": \"efgh\"}"

static void a_lease_becomes_a_stamped_group(void **state)
{
    (void)state;
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 1, .groups = 8, .lag = 0});
    SCOPED(recipe) recipe = recipe_of(&ring);
    SCOPED(track) track = NULL;
    assert_ok(track_open(recipe, "g", TRACK_TRAINING, &track));
    assert_int_equal(track_groups(track), 2);
    apply(track, 7);
    for (uint64_t slot = 0; slot < 3; slot++) // the third waits for slots
        admit(track, grant_of(slot, ROW, false, 0));
    SCOPED_MEM char *forward = model_forward_id(track_model(track));
    for (int i = 0; i < 3; i++) {
        SCOPED(group) group = next(track);
        assert_string_equal(group->generator, "g");
        assert_string_equal(group->run, recipe->run.name);
        assert_string_equal(group->forward, forward);
        assert_non_null(strstr(group->forward, "kv=bf16"));
        assert_string_equal(group->row, ROW);
        assert_int_equal(group->lineage, 3);
        assert_int_equal(group->start_round, 5);
        assert_int_equal(group->prompt_tokens, 5);
        assert_int_equal(group->completions, 4);
        for (uint32_t c = 0; c < 4; c++) {
            const struct completion *one = &group->completion[c];
            const float *logp = group_values(group, COLUMN_BEHAVIOUR_LOGP, c);
            assert_true(one->tokens > 0);
            assert_int_equal(one->spans, 1);
            assert_int_equal(one->span->version, 7);
            assert_int_equal(strlen(one->text), one->text_len);
            for (uint32_t t = 0; t < one->tokens; t++)
                assert_true(logp[t] < 0);
        }
        assert_null(group_values(group, COLUMN_SAMPLED_LOGP, 0)); // nothing is truncated
        SCOPED_VALUE(bytes) out = {0};
        SCOPED(group) again = NULL;
        group_encode(group, &out);
        assert_ok(group_decode(out.data, out.len, &GROUP_LIMITS, &again)); // every invariant
    }
    assert_false(track_busy(track));
    admit(track, grant_of(9, ROW, false, 0));
    const struct digest id = group_id("test", 3, 9, 1);
    assert_ok(track_step(track));
    track_cancel(track, &id);
    track_cancel(track, &id);
    assert_false(track_busy(track));
}

/* Kept until the version is in force, and then begun with it alone. */
static void what_is_leased_ahead_waits_for_its_version(void **state)
{
    (void)state;
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 1, .groups = 8, .lag = 0});
    SCOPED(recipe) recipe = recipe_of(&ring);
    SCOPED(track) track = NULL;
    assert_ok(track_open(recipe, "g", TRACK_TRAINING, &track));
    apply(track, 7);
    for (uint64_t slot = 0; slot < 4; slot++)
        admit(track, grant_of(slot, ROW, false, slot == 3 ? 9 : 8));
    assert_false(track_busy(track));
    assert_null(track_due(track));
    const struct digest gone = group_id("test", 3, 1, 1);
    track_cancel(track, &gone); // the round was voided, or the lease ran out
    apply(track, 8);
    uint64_t slot = 0;
    for (struct lease_grant *due; (due = track_due(track)); slot += 2) {
        assert_int_equal(due->slot, slot);
        admit(track, due);
    }
    assert_int_equal(slot, 4); // 0 and 2
    for (int i = 0; i < 2; i++) {
        SCOPED(group) group = next(track);
        for (uint32_t c = 0; c < group->completions; c++) {
            assert_int_equal(group->completion[c].spans, 1);
            assert_int_equal(group->completion[c].span->version, 8);
        }
    }
    assert_false(track_busy(track));
    apply(track, 12); // version 9 was passed over
    struct lease_grant *due = track_due(track);
    assert_int_equal(due->slot, 3);
    admit(track, due);
    assert_true(track_busy(track));
    admit(track, grant_of(5, ROW, false, 13)); // freed with the track
}

/* The same rule for every track: a longer prompt is refused, not cut. */
static void what_is_too_long_is_refused(void **state)
{
    (void)state;
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 1, .groups = 8, .lag = 0});
    SCOPED(recipe) recipe = recipe_of(&ring);
    for (enum track_kind kind = 0; kind < TRACKS; kind++) {
        SCOPED(track) track = NULL;
        SCOPED(group) refused = NULL;
        assert_ok(track_open(recipe, "g", kind, &track));
        apply(track, 1);
        admit(track, grant_of(1, "{\"prompt\": \"abcdefghabcdefgh\"}", kind, 1));
        assert_true(track_busy(track));
        assert_err(ERR_RANGE, "a prompt of 17 tokens; 1 to 16 are allowed",
                   track_admit(track, grant_of(2, "{\"prompt\": \"abcdefghabcdefgha\"}", kind, 1),
                               &refused));
        assert_int_equal(refused->slot, 2);
        assert_int_equal(refused->evaluation, kind);
        SCOPED(group) other = NULL;
        assert_err(ERR_INVALID, "prompt",
                   track_admit(track, grant_of(3, "{\"question\": \"a\"}", kind, 1), &other));
    }
}

static void evaluation_forgets_what_is_of_another_version(void **state)
{
    (void)state;
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 1, .groups = 8, .lag = 0});
    SCOPED(recipe) recipe = recipe_of(&ring);
    SCOPED(track) track = NULL;
    assert_ok(track_open(recipe, "g", TRACK_EVALUATION, &track));
    admit(track, grant_of(0, ROW, true, 4)); // no weights yet
    assert_false(track_busy(track));
    apply(track, 4);
    admit(track, grant_of(1, ROW, true, 3)); // late
    assert_false(track_busy(track));
    admit(track, grant_of(2, ROW, true, 4));
    SCOPED(group) group = next(track);
    assert_int_equal(group->slot, 2);
    assert_int_equal(group->completions, 1);
    assert_int_equal(group->completion->span->version, 4);
    assert_true(group->evaluation);
    for (uint64_t slot = 3; slot < 20; slot++) // some run, some wait
        admit(track, grant_of(slot, ROW, true, 4));
    assert_ok(track_step(track));
    apply(track, 8);
    assert_false(track_busy(track));
    assert_int_equal(track_figures(track).active_slots, 0);
    admit(track, grant_of(20, ROW, true, 8));
    SCOPED(group) newer = next(track);
    assert_int_equal(newer->completion->span->version, 8);
}

TESTS(cmocka_unit_test(a_lease_becomes_a_stamped_group),
      cmocka_unit_test(what_is_leased_ahead_waits_for_its_version),
      cmocka_unit_test(what_is_too_long_is_refused),
      cmocka_unit_test(evaluation_forgets_what_is_of_another_version))
