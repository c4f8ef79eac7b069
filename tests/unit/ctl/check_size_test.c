/* The largest group that a recipe allows is refused where no message has room for it, and what is
 * allowed fits, byte for byte. */
#include "base/mem.h"
#include "ctl/run/check_size.h"
#include "testing/testing.h"
#include "wire/rollout.h"
#include <stdlib.h>
#include <string.h>

enum { ROW_BYTES = 4 << 20 };

static struct recipe *recipe_of(int k, int max_tokens, const char *more)
{
    SCOPED_MEM char *text =
        mem_printf("generator: {slots: 65536, num_generations: %d, max_tokens: %d}\n"
                   "data: {max_prompt_tokens: 1000}\n"
                   "rewarder: {%sscorers: [{kind: length}, {kind: length}, {kind: length}]}\n",
                   k, max_tokens, more);
    struct recipe *recipe = NULL;
    assert_ok(recipe_parse(text, strlen(text), "r.yaml", ".", &(struct recipe_source){0}, &recipe));
    return recipe;
}

static const struct check_size plain = {.token_text = 4};

static void what_no_message_holds_is_refused(void **)
{
    SCOPED(recipe) small = recipe_of(16, 4096, "");
    SCOPED(recipe) large = recipe_of(1024, 6900, "");
    assert_ok(check_size(small, &plain));
    assert_err(ERR_INVALID,
               "r.yaml:1: generator.max_tokens: 6900 is too many for 1024 completions of a prompt "
               "(generator.num_generations): a group would have up to ",
               check_size(large, &plain));
    assert_err(ERR_INVALID, "12.0 a token, and 67108864 are allowed; at most 5445 tokens fit",
               check_size(large, &plain));
    SCOPED(recipe) fits = recipe_of(1024, 5445, "");
    SCOPED(recipe) one_more = recipe_of(1024, 5446, "");
    assert_ok(check_size(fits, &plain));
    assert_err(ERR_INVALID, "at most 5445 tokens fit", check_size(one_more, &plain));
}

/* Each thing that a stop adds leaves room for fewer tokens. */
static void all_that_is_added_counts(void **)
{
    static const struct {
        const char *rewarder;
        struct check_size facts;
        const char *says;
    } cases[] = {{"reference: frozen, ", {.token_text = 4}, "16.0 a token"},
                 {"", {.token_text = 4, .truncates = true}, "16.0 a token"},
                 {"", {.token_text = 9.5}, "17.5 a token"},
                 {"", {.token_text = 4, .row_bytes = ROW_BYTES}, "at most 5104 tokens fit"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        SCOPED(recipe) recipe = recipe_of(1024, 5445, cases[i].rewarder);
        assert_err(ERR_INVALID, cases[i].says, check_size(recipe, &cases[i].facts));
    }
}

/* As long as it may be, with every column. */
static struct group *largest(uint32_t k, uint32_t tokens, uint32_t text)
{
    struct group *group = mem_new(sizeof *group);
    group->run = mem_new(65);
    memset(group->run, 'r', 64);
    group->generator = mem_string(group->run);
    group->forward = mem_string("backend=cpu kernels=2 kv=bf16");
    group->lineage = group->attempt = group->epoch = UINT32_MAX;
    group->slot = group->prompt = group->start_round = UINT64_MAX;
    group->row = mem_new(ROW_BYTES + 1);
    memset(group->row, ' ', ROW_BYTES);
    group->prompt_tokens = 1000;
    group->prompt_token = mem_array(1000, sizeof *group->prompt_token);
    group->temperature = 1;
    group->completions = k;
    group->completion = mem_array(k, sizeof *group->completion);
    for (uint32_t i = 0; i < k; i++) {
        struct completion *c = &group->completion[i];
        *c = (struct completion){.tokens = tokens, .spans = 3, .finish = FINISH_LENGTH};
        c->token = mem_array(tokens, sizeof *c->token);
        c->span = mem_array(3, sizeof *c->span);
        for (uint32_t s = 0; s < 3; s++)
            c->span[s] = (struct span){s * (tokens / 3), UINT64_MAX};
        c->text = mem_new(text + 1);
        memset(c->text, 'a', text);
        c->text_len = text;
        completion_one_turn(c);
    }
    group_add(group, COLUMN_BEHAVIOUR_LOGP, 1);
    group_add(group, COLUMN_SAMPLED_LOGP, 1);
    group_add(group, COLUMN_REFERENCE_LOGP, 1);
    group_add(group, COLUMN_SCORES, 3);
    group_add(group, COLUMN_REWARD, 1);
    return group;
}

/* The most tokens that the check allows, found by asking it. */
static int most_tokens(int k, const struct check_size *facts)
{
    int low = 1, high = 1 << 20;
    while (low < high) {
        const int middle = low + (high - low + 1) / 2;
        SCOPED(recipe) recipe = recipe_of(k, middle, "reference: frozen, ");
        err_t refused = check_size(recipe, facts);
        if (err_failed(refused))
            high = middle - 1;
        else
            low = middle;
        err_free(refused);
    }
    return low;
}

static void what_is_allowed_fits_into_a_message(void **)
{
    static const struct check_size facts = {
        .token_text = 5, .row_bytes = ROW_BYTES, .truncates = true};
    static const int completions[] = {4, 1024};
    for (size_t i = 0; i < 2; i++) {
        const int most = most_tokens(completions[i], &facts);
        SCOPED_VALUE(bytes) out = {0};
        SCOPED(group) group = largest((uint32_t)completions[i], (uint32_t)most, 5 * (uint32_t)most);
        group_encode(group, &out);
        assert_true(out.len <= GROUP_MAX_BYTES);
        assert_true(out.len > GROUP_MAX_BYTES - GROUP_MAX_BYTES / 100);
    }
}

TESTS(cmocka_unit_test(what_no_message_holds_is_refused),
      cmocka_unit_test(all_that_is_added_counts),
      cmocka_unit_test(what_is_allowed_fits_into_a_message))
