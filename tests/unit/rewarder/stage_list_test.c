/* The recipe's entries of stages: what is refused, with the place; what older runs have in theirs;
 * and the docs, which are the stages' own tables. */
#include "base/file.h"
#include "rewarder/scorers/pattern.h"
#include "svc/recipe/recipe_cli.h"
#include "testing/testing.h"
#include "unit/rewarder/score_kit.h"
#include <stdlib.h>

static err_t open_text(const char *text, const char *set)
{
    SCOPED_VALUE(score_kit) kit = {0};
    const char *sets[] = {set};
    const struct recipe_source source = {.sets = sets, .sets_count = set != NULL};
    TRY(recipe_parse(text, strlen(text), "ring.yaml", ".", &source, &kit.recipe));
    return kit_of(kit.recipe, &kit);
}

static void entries_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *entry, *says;
    } wrong[] = {
        {"{kind: exakt, column: c}",
         "ring.yaml:2: rewarder.scorers[0].kind: 'exakt' is not known, did "
         "you mean 'exact'?; allowed: exact, regex, format, length, rouge"},
        {"{kind: frozen}", "rewarder.scorers[0].kind: 'frozen' is not known"},
        {"{kind: exact}", "ring.yaml:2: rewarder.scorers[0]: kind 'exact' needs column: column of"},
        {"{kind: exact, column: ''}", "rewarder.scorers[0].column: '' is too long or too short"},
        {"{kind: exact, column: }", "rewarder.scorers[0].column: has no value; allowed: text of 1"},
        {"{kind: exact, column: [c]}", "rewarder.scorers[0].column: is a list; allowed: text of 1"},
        {"{kind: exact, colum: c}",
         "rewarder.scorers[0].colum: kind 'exact' does not read colum, did you mean 'column'?; "
         "allowed: column, strip, deadline_ms, attempts"},
        {"{kind: exact, column: c, pattern: x}", "kind 'exact' does not read pattern"},
        {"{kind: rouge, column: c, max: 3}", "kind 'rouge' does not read max"},
        {"{kind: regex, column: c}", "kind 'regex' needs pattern"},
        {"{kind: exact, column: c, eos: true}", "kind 'exact' does not read eos"},
        {"{kind: exact, column: c, strip: yes}",
         "rewarder.scorers[0].strip: 'yes' is not a flag; allowed: true, false"},
        {"{kind: rouge, column: c, strip: true}", "kind 'rouge' does not read strip"},
        {"{kind: format, eos: true, unit: characters}", "kind 'format' does not read unit"},
        {"{kind: regex, pattern: 'a(b'}",
         "rewarder.scorers[0]: kind 'regex': pattern: 'a(b': at byte 3: missing closing"},
        {"{kind: regex, pattern: '\\C'}", "pattern"},
        {"{kind: length}", "kind 'length' needs max"},
        {"{kind: length, min: 3, max: 2}", "min, max: are 3, 2; 0 <= min <= max"},
        {"{kind: length, min: -1, max: 2}", "rewarder.scorers[0].min: '-1' is out of range"},
        {"{kind: length, unit: words, max: 2}",
         "rewarder.scorers[0].unit: 'words' is not known; allowed: tokens, characters"},
        {"{kind: length, max: 2, deadline_ms: 0}",
         "rewarder.scorers[0].deadline_ms: '0' is out of range; allowed: a whole number from 1"},
        {"{kind: length, max: 2, attempts: many}",
         "rewarder.scorers[0].attempts: 'many' is not a whole number"},
        {"{kind: length, max: 2}\n    - {kind: no}", "ring.yaml:3: rewarder.scorers[1].kind: 'no'"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        SCOPED_MEM char *text = mem_printf("rewarder: {scorers:\n  [%s]}\n", wrong[i].entry);
        SCOPED_MEM char *list = mem_printf("rewarder: \n  scorers: \n    - %s\n", wrong[i].entry);
        if (strchr(wrong[i].entry, '\n'))
            assert_err(ERR_INVALID, "rewarder.scorers[1].kind: 'no'", open_text(list, NULL));
        else
            assert_err(ERR_INVALID, wrong[i].says, open_text(text, NULL));
    }
    assert_err(ERR_INVALID, "rewarder.scorers: has 0 entries; 1 to 16", open_text("", NULL));
    SCOPED_MEM char *longest = mem_new(PATTERN_BYTES + 2);
    memset(longest, 'a', PATTERN_BYTES + 1);
    SCOPED_MEM char *entry =
        mem_printf("rewarder: {scorers: [{kind: regex, pattern: %s}]}", longest);
    assert_err(ERR_INVALID, "is too long or too short; allowed: text of 1 to 16384 bytes",
               open_text(entry, NULL));
}

static void the_reference_has_keys_as_well(void **state)
{
    (void)state;
    static const char scorers[] = "rewarder:\n  scorers: [{kind: length, max: 2}]\n";
    assert_ok(open_text(scorers, "rewarder.reference=frozen"));
    assert_ok(open_text(scorers, "rewarder.reference={kind: frozen, deadline_ms: 5, attempts: 1}"));
    assert_err(
        ERR_INVALID,
        "--set: rewarder.reference.deadline_ms: '1.5' is not a whole number; allowed: a whole",
        open_text(scorers, "rewarder.reference={kind: frozen, deadline_ms: 1.5}"));
    assert_err(ERR_INVALID,
               "--set: rewarder.reference.paths: kind 'frozen' does not read paths; allowed: "
               "deadline_ms, attempts",
               open_text(scorers, "rewarder.reference={kind: frozen, paths: x}"));
    assert_err(ERR_INVALID, "--set: rewarder.reference: 'a map' has no kind; allowed: none, frozen",
               open_text(scorers, "rewarder.reference={deadline_ms: 1}"));
    assert_err(ERR_INVALID,
               "--set: rewarder.reference: 'frosen' is not known, did you mean 'frozen'?",
               open_text(scorers, "rewarder.reference=frosen"));
}

/* A recipe that an older build has written into a run has every key of every kind. */
static void keys_without_a_meaning_are_let_pass(void **state)
{
    (void)state;
    static const char entry[] =
        "rewarder:\n  scorers: [{kind: \"%s\", name: \"\", weight: 1, success: 1, column: \"%s\","
        " pattern: \"%s\", strip: false, eos: false, unit: tokens, min: %d, max: %d}]\n"
        "  reference: none\n";
    static const struct {
        const char *kind, *column, *pattern;
        int min, max;
    } old[] = {
        {"exact", "c", "", 0, 0},  {"rouge", "c", "", 0, 0},  {"regex", "", "a", 0, 0},
        {"regex", "c", "a", 0, 0}, {"format", "", "a", 0, 0}, {"length", "", "", 1, 4},
    };
    for (size_t i = 0; i < sizeof old / sizeof *old; i++) {
        SCOPED_MEM char *text =
            mem_printf(entry, old[i].kind, old[i].column, old[i].pattern, old[i].min, old[i].max);
        assert_ok(open_text(text, NULL));
    }
    SCOPED_MEM char *text = mem_printf(entry, "exact", "c", "", 1, 0);
    assert_err(ERR_INVALID, "kind 'exact' does not read min", open_text(text, NULL));
}

static err_t later_open(const struct stage_context *context, void **ret_state)
{
    (void)context;
    *ret_state = NULL;
    return OK;
}

static uint64_t needs_reference(const struct recipe *recipe)
{
    (void)recipe;
    return COLUMN_BIT(COLUMN_REFERENCE_LOGP);
}

static void a_stage_after_which_nothing_comes_is_refused(void **state)
{
    (void)state;
    static const struct stage_class early = {.name = "early",
                                             .under = "rewarder.scorers",
                                             .fills = STAGE_SCORES,
                                             .needs = needs_reference,
                                             .open = later_open};
    static const struct stage_class *const classes[] = {&early, NULL};
    SCOPED(recipe) recipe = NULL;
    static const char text[] = "rewarder: {scorers: [{kind: early}]}";
    struct stage_list *list = NULL;
    assert_ok(recipe_parse(text, sizeof text - 1, "ring.yaml", ".", NULL, &recipe));
    assert_err(
        ERR_INVALID,
        "rewarder.scorers[0]: kind 'early' needs reference_logp, which no stage before it",
        stage_list_open(&(struct stage_list_options){.recipe = recipe, .classes = classes}, &list));
    assert_null(list);
}

static uint64_t needs_scores(const struct recipe *recipe)
{
    (void)recipe;
    return COLUMN_BIT(COLUMN_SCORES);
}

/* The first scorer fills scores, but a group has them only after the last one. */
static void no_scorer_reads_the_scores_of_another(void **state)
{
    (void)state;
    static const struct stage_class second = {.name = "second",
                                              .under = "rewarder.scorers",
                                              .fills = STAGE_SCORES,
                                              .needs = needs_scores,
                                              .open = later_open};
    static const struct stage_class *const classes[] = {&scorer_length, &second, NULL};
    SCOPED(recipe) recipe = NULL;
    static const char text[] = "rewarder: {scorers: [{kind: length, max: 2}, {kind: second}]}";
    struct stage_list *list = NULL;
    assert_ok(recipe_parse(text, sizeof text - 1, "ring.yaml", ".", NULL, &recipe));
    assert_err(
        ERR_INVALID,
        "rewarder.scorers[1]: kind 'second' needs scores, which no stage before it fills",
        stage_list_open(&(struct stage_list_options){.recipe = recipe, .classes = classes}, &list));
    assert_null(list);
}

static void never_scores(void *state, struct stage_call *call)
{
    (void)state;
    call->done(call, OK);
}

/* A check scores a thousand rows: of a model that would be as many forwards. */
static void a_check_opens_a_model_and_runs_no_forward(void **state)
{
    (void)state;
    static const struct stage_class model = {.name = "model",
                                             .under = "rewarder.scorers",
                                             .forwards = true,
                                             .fills = STAGE_SCORES,
                                             .open = later_open,
                                             .start = never_scores};
    static const struct stage_class *const classes[] = {&model, NULL};
    static const char text[] = "rewarder: {scorers: [{kind: model}]}";
    SCOPED(recipe) recipe = NULL;
    assert_ok(recipe_parse(text, sizeof text - 1, "ring.yaml", ".", NULL, &recipe));
    for (int check = 0; check < 2; check++) {
        SCOPED(stage_list) list = NULL;
        assert_ok(stage_list_open(
            &(struct stage_list_options){.recipe = recipe, .check = check, .classes = classes},
            &list));
        assert_int_equal(list->at[0].start == never_scores, !check);
    }
    assert_true(scorer_reward_model.forwards);
    assert_true(scorer_preference_model.forwards);
}

/* docs/recipe.md is the text that the tables make. After a change of a table: rlhfctl recipe >
 * docs/recipe.md. */
static void the_docs_are_those_of_the_tables(void **state)
{
    (void)state;
    SCOPED_VALUE(bytes) docs = {0}, file = {0}, stages = {0};
    stage_list_document(&stages);
    assert_non_null(strstr((char *)stages.data, "### `regex`, under `rewarder.scorers`"));
    assert_non_null(
        strstr((char *)stages.data, "| `pattern` | required | text | text of 1 to 16384"));
    assert_non_null(strstr((char *)stages.data, "| `deadline_ms` | `60000` | count |"));
    recipe_markdown((char *)stages.data, &docs);
    assert_ok(file_read(TEST_GOLDEN "/../../docs/recipe.md", 1 << 20, &file));
    const char *a = (const char *)docs.data, *b = (const char *)file.data;
    for (size_t line = 1; *a || *b; line++) {
        const size_t len = strcspn(a, "\n"), other = strcspn(b, "\n");
        if (len != other || memcmp(a, b, len) != 0)
            fail_msg("docs/recipe.md:%zu: '%.*s' where the tables have '%.*s'", line, (int)other, b,
                     (int)len, a);
        a += len + (a[len] == '\n');
        b += other + (b[other] == '\n');
    }
}

TESTS(cmocka_unit_test(entries_are_checked), cmocka_unit_test(the_reference_has_keys_as_well),
      cmocka_unit_test(keys_without_a_meaning_are_let_pass),
      cmocka_unit_test(a_stage_after_which_nothing_comes_is_refused),
      cmocka_unit_test(no_scorer_reads_the_scores_of_another),
      cmocka_unit_test(a_check_opens_a_model_and_runs_no_forward),
      cmocka_unit_test(the_docs_are_those_of_the_tables))
