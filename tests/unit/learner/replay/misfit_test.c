/* Ids that the model has rows for, but the tokenizer no token, do not come into the store. The
 * other reasons are held by ingest_test.c. */
#include "learner/replay/misfit.h"
#include "testing/testing.h"
#include "unit/learner/store_kit.h"

static const struct token_range vacant[] = {{40, 1}, {48, 2}};

static struct misfit_rules rules_of(const struct recipe *recipe)
{
    const struct misfit_vocabulary vocabulary = {50, vacant, 2};
    return misfit_rules(recipe, vocabulary, 16);
}

static void ids_without_a_token_do_not_fit(void **)
{
    static const char text[] =
        "run: {name: run}\nmodel: {path: m}\ndata: {train: t}\ngenerator: {num_generations: 1}\n"
        "rewarder: {scorers: [{kind: exact}]}\nlearner: {objective: sft}\n";
    const struct recipe_source source = {0};
    SCOPED(recipe) recipe = NULL;
    char why[MISFIT_WHY];
    assert_ok(recipe_parse(text, strlen(text), "r.yaml", ".", &source, &recipe));
    struct misfit_rules rules = rules_of(recipe);
    rules.needs = rules.trained_needs = rules.scores = 0; // tokens alone
    for (uint32_t id = 0; id < 52; id++) {
        const bool good = id < 50 && id != 40 && id < 48;
        SCOPED(group) prompt = kit_group(&(struct grant){0}, 0, 0);
        SCOPED(group) completion = kit_group(&(struct grant){0}, 0, 0);
        prompt->prompt_token[0] = id;
        completion->completion[0].token[1] = id;
        assert_int_equal(misfit(&rules, prompt, why) == NULL, good);
        assert_int_equal(misfit(&rules, completion, why) == NULL, good);
        if (id == 40)
            assert_string_equal(why, "completion 0: token 40 is none of the tokenizer's");
        if (id == 49) {
            misfit(&rules, prompt, why);
            assert_string_equal(why, "prompt token 49 is none of the tokenizer's");
        }
        if (id == 50)
            assert_string_equal(why, "completion 0: token 50 is outside the vocabulary of 50");
    }
}

TESTS(cmocka_unit_test(ids_without_a_token_do_not_fit))
