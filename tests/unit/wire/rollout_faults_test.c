/* Groups that break one invariant or limit each: decoding names it. */
#include "base/mem.h"
#include "testing/testing.h"
#include "unit/wire/rollout_kit.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct group_limits limits = GROUP_LIMITS;

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
static void long_forward(struct group *g)
{
    free(g->forward);
    g->forward = mem_new(257);
    memset(g->forward, 'f', 256);
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
    *(float *)group_add(g, COLUMN_BEHAVIOUR_LOGP, 1) = 1e-6f;
}
static void infinite_logp(struct group *g)
{
    *(float *)group_add(g, COLUMN_BEHAVIOUR_LOGP, 1) = -INFINITY;
}
static void not_a_sampled_logp(struct group *g)
{
    *(float *)group_add(g, COLUMN_SAMPLED_LOGP, 1) = NAN;
}
static void no_spans(struct group *g)
{
    g->completion[0].spans = 0;
}
static void no_turns(struct group *g)
{
    g->completion[0].turns = 0;
}
static void empty_turn(struct group *g)
{
    g->completion[0].turn = mem_grow(g->completion[0].turn, 2, sizeof(struct turn));
    g->completion[0].turn[1] = (struct turn){ROLE_TOOL, g->completion[0].tokens, false, false};
    g->completion[0].turns = 2;
}
static void nobodys_turn(struct group *g)
{
    g->completion[0].turn[0].role = (enum role)0;
}
static void nothing_trained(struct group *g)
{
    g->completion[0].turn[0].trained = false;
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
static struct column_values *reward_of(struct group *g)
{
    group_add(g, COLUMN_REWARD, 1);
    return column_list_find(&g->columns, COLUMN_REWARD);
}
static void infinite_reward(struct group *g)
{
    *(double *)reward_of(g)->data = INFINITY;
}
static void fewer_scores(struct group *g)
{
    group_add(g, COLUMN_SCORES, 3);
    column_list_find(&g->columns, COLUMN_SCORES)->bytes -= sizeof(double);
}
static void two_rewards(struct group *g)
{
    struct column_values *reward = reward_of(g);
    reward->data = mem_grow(reward->data, 2, reward->bytes);
    memset((uint8_t *)reward->data + reward->bytes, 0, reward->bytes);
    reward->bytes *= 2;
}
static void no_values(struct group *g)
{
    reward_of(g)->bytes = 0;
}
static void half_a_value(struct group *g)
{
    reward_of(g)->bytes -= 3;
}
static void reward_of_tokens(struct group *g)
{
    reward_of(g)->unit = UNIT_TOKEN;
}
static void reward_in_float(struct group *g)
{
    reward_of(g)->dtype = VALUE_F32;
}
static void odd_type(struct group *g)
{
    reward_of(g)->dtype = (enum column_dtype)9;
}
static void odd_unit(struct group *g)
{
    reward_of(g)->unit = (enum column_unit)0;
}
static void high_id(struct group *g)
{
    reward_of(g)->id = COLUMNS;
}
static void no_id(struct group *g)
{
    column_list_keep(&g->columns, (enum column_origin)0);
    reward_of(g)->id = 0;
}
static void twice_the_column(struct group *g)
{
    column_list_keep(&g->columns, (enum column_origin)0);
    group_add(g, COLUMN_SCORES, 1);
    reward_of(g)->id = COLUMN_SCORES;
}
static void learners_column(struct group *g)
{
    group_add(g, COLUMN_ADVANTAGE, 1);
}
static void cover(struct group *g, uint32_t count, uint32_t first)
{
    struct column_values *reward = reward_of(g);
    reward->covered = count;
    reward->completion = mem_array(count, sizeof *reward->completion);
    reward->completion[0] = first;
}
static void covers_all(struct group *g)
{
    cover(g, g->completions, 0);
}
static void covers_none_such(struct group *g)
{
    cover(g, 1, 1000);
}
static void covers_twice(struct group *g)
{
    cover(g, 2, 0);
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
        {long_forward, "forward has 256 bytes"},
        {cold, "temperature is 0"},
        {not_a_temperature, "temperature is"},
        {no_prompt, "0 prompt_tokens"},
        {nothing_completed, "0 completions"},
        {positive_logp, "behaviour_logp[0] is 1e-06; finite numbers <= 0 are allowed"},
        {infinite_logp, "behaviour_logp[0] is -inf"},
        {not_a_sampled_logp, "sampled_logp[0] is"},
        {no_spans, "0 spans"},
        {late_span, "spans[0].first_token is 1"},
        {far_span, "spans[1].first_token"},
        {twice_the_span, "spans[1].first_token is 0"},
        {unfinished, "finish is 0"},
        {odd_finish, "finish is 77"},
        {no_turns, "completions[0]: 0 turns; 1 to 1024"},
        {empty_turn, "turns[1]: it has no tokens"},
        {nobodys_turn, "turns[0]: role is 0"},
        {nothing_trained, "no turn is trained"},
        {infinite_reward, "reward[0] is inf; finite numbers are allowed"},
        {fewer_scores, "scores has"},
        {two_rewards, "reward has"},
        {no_values, "reward has 0 bytes"},
        {half_a_value, "for values of 8"},
        {reward_of_tokens, "reward is of unit 1 and type 2; its are 2 and 2"},
        {reward_in_float, "reward is of unit 2 and type 1; its are 2 and 2"},
        {odd_type, "is of unit 2 and type 9; 1 to 3"},
        {odd_unit, "is of unit 0 and type 2; 1 to 3"},
        {high_id, "id 64 after"},
        {no_id, "columns[0]: id 0 after 0"},
        {twice_the_column, "columns[1]: id 4 after 4; they ascend"},
        {learners_column, "advantage comes from the learner; from the rewarder it is not taken"},
        {covers_all, "where all have values none is"},
        {covers_none_such, "reward.completions[0] is 1000"},
        {covers_twice, "reward.completions[1] is 0; they ascend"},
        {broken_row, "row is not UTF-8"},
        {broken_run, "run is not UTF-8"},
    };
    SCOPED(group) untouched = NULL;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        SCOPED(group) group = three_completions();
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
    SCOPED(group) group = three_completions();
    SCOPED(group) back = NULL;
    SCOPED_VALUE(bytes) out = {0};
    group_add(group, COLUMN_SCORES, 3);
    group_encode(group, &out);
    struct group_limits one = limits;
    one.completions = group->completions - 1;
    assert_err(ERR_INVALID, "completions;", group_decode(out.data, out.len, &one, &back));
    one = limits;
    one.row_bytes = 3;
    assert_err(ERR_INVALID, "row has", group_decode(out.data, out.len, &one, &back));
    one = limits;
    one.width = 2;
    assert_err(ERR_INVALID, "scores has", group_decode(out.data, out.len, &one, &back));
    one = limits;
    one.turns = 0;
    assert_err(ERR_INVALID, "turns; 1 to 0", group_decode(out.data, out.len, &one, &back));
    one = limits;
    one.last = ORIGIN_GENERATOR; // what a rewarder takes
    assert_err(ERR_INVALID, "scores comes from the rewarder; from the generator",
               group_decode(out.data, out.len, &one, &back));
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

TESTS(cmocka_unit_test(every_broken_invariant_is_named), cmocka_unit_test(limits_hold))
