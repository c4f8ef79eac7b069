#include "base/mem.h"
#include "base/rng.h"
#include "rewarder/scorer.h"
#include "testing/testing.h"
#include <math.h>
#include <string.h>

/* Scores one text under one scorer. */
static err_t score(struct scorer_config config, const char *row, const char *text, size_t len,
                   double *ret)
{
    double one, reward;
    SCOPED(scorers) scorers = NULL;
    SCOPED_JSON json_t *object = NULL;
    if (config.weight == 0)
        config.weight = 1;
    TRY(scorers_new(&config, 1, &scorers));
    TRY(json_parse(row, strlen(row), "row", &object));
    const struct scorer_sample sample = {object, text, len, FINISH_EOS, (uint32_t)len + 1};
    TRY(scorers_sample(scorers, &sample, &one, &reward));
    assert_true(reward == config.weight * one);
    *ret = one;
    return OK;
}

static double scored(struct scorer_config config, const char *row, const char *text)
{
    double value = -1;
    assert_ok(score(config, row, text, strlen(text), &value));
    return value;
}

static const char row[] = "{\"prompt\": \"dcba>\", \"completion\": \" abcd\\n\", \"n\": 7}";

static void exact_compares_bytes(void **state)
{
    (void)state;
    struct scorer_config config = {.kind = "exact", .column = "completion", .strip = true};
    assert_near(scored(config, row, "abcd"), 1, 0);
    assert_near(scored(config, row, "\t\r abcd\v\f\n"), 1, 0);
    assert_near(scored(config, row, "abc d"), 0, 0);
    assert_near(scored(config, row, "ABCD"), 0, 0);
    assert_near(scored(config, row, ""), 0, 0);
    config.strip = false;
    assert_near(scored(config, row, "abcd"), 0, 0);
    assert_near(scored(config, row, " abcd\n"), 1, 0);
    double value;
    assert_ok(score(config, row, " abcd\n\0", 7, &value)); // a zero byte is a byte
    assert_near(value, 0, 0);
    config.strip = true;
    assert_near(scored(config, "{\"completion\": \" \"}", ""), 1, 0);
}

static void a_missing_column_names_those_present(void **state)
{
    (void)state;
    struct scorer_config config = {.kind = "exact", .column = "answer"};
    double value = 5;
    assert_err(ERR_INVALID, "no column 'answer'; it has 'prompt', 'completion', 'n'",
               score(config, row, "x", 1, &value));
    assert_err(ERR_INVALID, "it has none", score(config, "{}", "x", 1, &value));
    config.column = "n";
    assert_err(ERR_INVALID, "column 'n' is a number; text is needed",
               score(config, row, "x", 1, &value));
    config.kind = "rouge";
    assert_err(ERR_INVALID, "rewarder.scorers[0]: kind 'rouge': the row's column 'n'",
               score(config, row, "x", 1, &value));
    assert_true(value == 5); // untouched
}

static void a_row_cannot_break_the_message(void **state)
{
    (void)state;
    SCOPED_VALUE(bytes) wide = {0};
    bytes_text(&wide, "{\"a\\nb\\u0007\": 1");
    for (int i = 0; i < 1000; i++)
        bytes_printf(&wide, ", \"column%d\": \"x\"", i);
    bytes_text(&wide, "}");
    double value;
    err_t e = score((struct scorer_config){.kind = "exact", .column = "z"}, (const char *)wide.data,
                    "x", 1, &value);
    assert_int_equal(err_code(e), ERR_INVALID);
    assert_non_null(strstr(err_message(e), "'a?b?'"));
    assert_null(strchr(err_message(e), '\n'));
    assert_true(strlen(err_message(e)) < 600);
    err_free(e);
}

static void regex_searches(void **state)
{
    (void)state;
    struct scorer_config config = {.kind = "regex", .pattern = "b+c"};
    assert_near(scored(config, row, "abbbcd"), 1, 0);
    assert_near(scored(config, row, "acb"), 0, 0);
    assert_near(scored(config, row, ""), 0, 0);
    config.pattern = "^\\p{Lu}.$"; // characters, not bytes
    assert_near(scored(config, row, "Éß"), 1, 0);
    assert_near(scored(config, row, "É\xff"), 0, 0);
}

static void regex_compares_what_it_took(void **state)
{
    (void)state;
    const char *sum = "{\"answer\": \" 42\"}";
    struct scorer_config config = {
        .kind = "regex", .pattern = "answer is ([^.]*)\\.", .column = "answer", .strip = true};
    assert_near(scored(config, sum, "So the answer is 42 . Done"), 1, 0);
    assert_near(scored(config, sum, "the answer is 43."), 0, 0);
    assert_near(scored(config, sum, "42"), 0, 0);
    config.strip = false;
    assert_near(scored(config, sum, "the answer is 42."), 0, 0);
    config = (struct scorer_config){
        .kind = "regex", .pattern = "[0-9]+", .column = "answer", .strip = true};
    assert_near(scored(config, sum, "it is 42!"), 1, 0); // no group: the whole match
    config.pattern = "(x)?42";                           // a group that took no part is empty
    assert_near(scored(config, sum, "42"), 0, 0);
    assert_near(scored(config, "{\"answer\": \"\"}", "42"), 1, 0);
}

static void format_matches_from_end_to_end(void **state)
{
    (void)state;
    struct scorer_config config = {.kind = "format", .pattern = "a|ab"};
    assert_near(scored(config, row, "ab"), 1, 0);
    assert_near(scored(config, row, "a"), 1, 0);
    assert_near(scored(config, row, "xab"), 0, 0);
    assert_near(scored(config, row, "ab\n"), 0, 0);
    config.pattern = "(?s)<think>.*</think>\\d+";
    assert_near(scored(config, row, "<think>a\nb</think>12"), 1, 0);
    assert_near(scored(config, row, "<think>a\nb</think>12 "), 0, 0);
}

static void format_asks_for_an_end(void **state)
{
    (void)state;
    struct scorer_config config = {.kind = "format", .weight = 1, .eos = true};
    SCOPED(scorers) scorers = NULL;
    SCOPED_JSON json_t *object = json_object();
    double value, reward;
    assert_ok(scorers_new(&config, 1, &scorers));
    struct scorer_sample sample = {object, "ab", 2, FINISH_EOS, 3};
    assert_ok(scorers_sample(scorers, &sample, &value, &reward));
    assert_near(value, 1, 0);
    sample.finish = FINISH_LENGTH;
    assert_ok(scorers_sample(scorers, &sample, &value, &reward));
    assert_near(value, 0, 0);
    double unused;
    config.eos = false;
    assert_err(ERR_INVALID, "needs a pattern, or eos", score(config, row, "", 0, &unused));
}

static void length_falls_in_a_straight_line(void **state)
{
    (void)state;
    struct scorer_config config = {.kind = "length", .unit = LENGTH_CHARACTERS, .min = 4, .max = 6};
    static const double want[] = {0,       0.25,    0.5, 0.75,    1,       1, 1,
                                  5.0 / 6, 4.0 / 6, 0.5, 2.0 / 6, 1.0 / 6, 0, 0};
    for (size_t n = 0; n < sizeof want / sizeof *want; n++) {
        double value = -1;
        assert_ok(score(config, row, "aaaaaaaaaaaaaaaaa", n, &value));
        assert_near(value, want[n], 1e-15); // one rounding
    }
    assert_near(scored(config, row, "日本語é"), 1, 0); // characters, not bytes
    config.unit = LENGTH_TOKENS;                       // score() counts bytes + an end token
    assert_near(scored(config, row, "abc"), 1, 0);
    assert_near(scored(config, row, "ab"), 0.75, 0);
    config.min = 0, config.max = 2;
    assert_near(scored(config, row, ""), 1, 0);
    assert_near(scored(config, row, "abc"), 0, 0);
}

static void rouge_is_googles(void **state)
{
    (void)state;
    SCOPED_JSON json_t *cases = NULL;
    assert_ok(json_read_file(TEST_GOLDEN "/rouge.json", 1 << 20, &cases));
    assert_true(json_array_size(cases) > 40);
    struct scorer_config config = {.kind = "rouge", .column = "reference", .weight = 1};
    SCOPED(scorers) scorers = NULL;
    assert_ok(scorers_new(&config, 1, &scorers));
    size_t i;
    json_t *one;
    json_array_foreach (cases, i, one) {
        const json_t *text = json_object_get(one, "text");
        const struct scorer_sample sample = {
            .row = one, .text = json_string_value(text), .text_len = json_string_length(text)};
        double value, reward;
        assert_ok(scorers_sample(scorers, &sample, &value, &reward));
        assert_near(value, json_number_value(json_object_get(one, "f1")), 0); // the same operations
    }
}

/* The textbook table, as the second opinion on the bits. */
static size_t table_common(const uint8_t *a, size_t n, const uint8_t *b, size_t m)
{
    size_t best[2][256] = {0};
    for (size_t i = 1; i <= n; i++)
        for (size_t j = 1; j <= m; j++)
            best[i & 1][j] = a[i - 1] == b[j - 1] ? best[(i - 1) & 1][j - 1] + 1
                             : best[(i - 1) & 1][j] > best[i & 1][j - 1] ? best[(i - 1) & 1][j]
                                                                         : best[i & 1][j - 1];
    return best[n & 1][m];
}

static void rouge_equals_the_table(void **state)
{
    (void)state;
    struct rng rng = rng_keyed(1, RNG_TEST, 0, 0);
    uint64_t draw = 0;
    for (int trial = 0; trial < 300; trial++) {
        uint8_t a[200], b[200];
        const size_t n = 1 + rng_below(&rng, draw++, 200), m = 1 + rng_below(&rng, draw++, 200);
        const uint64_t letters = 1 + rng_below(&rng, draw++, 20);
        SCOPED_VALUE(bytes) json = {0}, text = {0};
        bytes_text(&json, "{\"r\": \"");
        for (size_t i = 0; i < n; i++)
            bytes_printf(&json, "%c ", a[i] = (uint8_t)('a' + rng_below(&rng, draw++, letters)));
        for (size_t i = 0; i < m; i++)
            bytes_printf(&text, "%c.", b[i] = (uint8_t)('A' + rng_below(&rng, draw++, letters)));
        for (size_t i = 0; i < m; i++)
            b[i] = (uint8_t)(b[i] + ('a' - 'A'));
        bytes_text(&json, "\"}");
        const double common = (double)table_common(a, n, b, m);
        const double value = scored((struct scorer_config){.kind = "rouge", .column = "r"},
                                    (const char *)json.data, (const char *)text.data);
        assert_near(value, 2 * common / (double)(n + m), 1e-12); // four roundings
    }
}

static void rouge_bounds_the_reference(void **state)
{
    (void)state;
    SCOPED_VALUE(bytes) json = {0};
    bytes_text(&json, "{\"r\": \"");
    for (int i = 0; i < 8192; i++)
        bytes_printf(&json, "%d ", i);
    const size_t at = json.len;
    bytes_text(&json, "\"}");
    struct scorer_config config = {.kind = "rouge", .column = "r"};
    assert_near(scored(config, (const char *)json.data, "17 18"), 2.0 * 2 / (8192 + 2), 1e-12);
    json.len = at;
    bytes_text(&json, "x\"}");
    double value;
    assert_err(ERR_INVALID, "has 8193 words; at most 8192",
               score(config, (const char *)json.data, "1", 1, &value));
}

/* Any bytes score without harm: the sanitizers and the range look. */
static void any_bytes_score(void **state)
{
    (void)state;
    const struct scorer_config config[] = {
        {.kind = "exact", .column = "completion", .weight = 1, .strip = true},
        {.kind = "regex", .pattern = "(\\w+)\\s(?<=x)\\w*", .column = "completion", .weight = 1},
        {.kind = "format", .pattern = "(?s).*", .weight = 1},
        {.kind = "length", .unit = LENGTH_CHARACTERS, .min = 3, .max = 9, .weight = 1},
        {.kind = "rouge", .column = "completion", .weight = 1},
    };
    SCOPED(scorers) scorers = NULL;
    SCOPED_JSON json_t *object = NULL;
    assert_ok(scorers_new(config, 5, &scorers));
    assert_ok(json_parse(row, strlen(row), "row", &object));
    struct rng rng = rng_keyed(2, RNG_TEST, 0, 0);
    for (uint64_t trial = 0, draw = 0; trial < 2000; trial++) {
        double value[5], reward;
        const size_t len = rng_below(&rng, draw++, 40);
        SCOPED_MEM uint8_t *text = mem_new(len); // its own block: reading past its end is seen
        for (size_t i = 0; i < len; i++)
            text[i] = (uint8_t)rng_below(&rng, draw++, 256);
        const struct scorer_sample sample = {object, (const char *)text, len, FINISH_LENGTH, 3};
        assert_ok(scorers_sample(scorers, &sample, value, &reward));
        for (int i = 0; i < 5; i++)
            assert_true(value[i] >= 0 && value[i] <= 1);
    }
    assert_int_equal(scorers_overruns(scorers), 0);
    const struct scorer_sample none = {object, NULL, 0, FINISH_LENGTH, 1};
    double value[5], reward;
    assert_ok(scorers_sample(scorers, &none, value, &reward));
}

static void a_match_without_end_is_given_up(void **state)
{
    (void)state;
    struct scorer_config config = {.kind = "format", .pattern = "(a+)+b", .weight = 1};
    SCOPED(scorers) scorers = NULL;
    SCOPED_JSON json_t *object = json_object();
    assert_ok(scorers_new(&config, 1, &scorers));
    char text[200];
    memset(text, 'a', sizeof text);
    memcpy(text + sizeof text - 2, "cb", 2); // without a b at all PCRE2 would not even try
    const struct scorer_sample sample = {object, text, sizeof text, FINISH_EOS, 200};
    double value = 5, reward;
    assert_ok(scorers_sample(scorers, &sample, &value, &reward));
    assert_near(value, 0, 0);
    assert_int_equal(scorers_overruns(scorers), 1);
}

static void configurations_are_checked(void **state)
{
    (void)state;
    static const struct {
        struct scorer_config config;
        const char *says;
    } wrong[] = {
        {{.kind = "exakt", .column = "c"},
         "rewarder.scorers[0]: kind: is 'exakt'; allowed: exact, regex, format, length, rouge"},
        {{.column = "c"}, "kind: is ''; allowed: exact"},
        {{.kind = "exact"}, "kind 'exact' needs column"},
        {{.kind = "exact", .column = "c", .pattern = "x"}, "kind 'exact' does not read pattern"},
        {{.kind = "rouge", .column = "c", .max = 3}, "kind 'rouge' does not read min, max"},
        {{.kind = "regex", .column = "c"}, "kind 'regex' needs pattern"},
        {{.kind = "exact", .column = "c", .eos = true}, "kind 'exact' does not read eos"},
        {{.kind = "rouge", .column = "c", .strip = true}, "kind 'rouge' does not read strip"},
        {{.kind = "format", .eos = true, .unit = LENGTH_CHARACTERS},
         "kind 'format' does not read unit"},
        {{.kind = "regex", .pattern = "a(b"}, "pattern: 'a(b': at byte 3: missing closing"},
        {{.kind = "format", .pattern = "\xff"}, "UTF-8 error"},
        {{.kind = "regex", .pattern = "\\C"}, "pattern"},
        {{.kind = "length"}, "kind 'length' needs min, max"},
        {{.kind = "length", .min = 3, .max = 2}, "min, max: are 3, 2; 0 <= min <= max"},
        {{.kind = "length", .min = -1, .max = 2}, "min, max: are -1, 2"},
        {{.kind = "length", .unit = (enum length_unit)7, .max = 2}, "unit"},
        {{.kind = "exact", .column = "c", .weight = INFINITY}, "weight: is inf"},
        {{.kind = "exact", .column = "c", .weight = NAN}, "weight: is"},
    };
    struct scorers *scorers = NULL;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_err(ERR_INVALID, wrong[i].says, scorers_new(&wrong[i].config, 1, &scorers));
        assert_null(scorers);
    }
    struct scorer_config two[] = {{.kind = "exact", .column = "c"}, {.kind = "no"}};
    assert_err(ERR_INVALID, "rewarder.scorers[1]: kind", scorers_new(two, 2, &scorers));
    assert_err(ERR_INVALID, "has 0 entries; 1 to 64", scorers_new(two, 0, &scorers));
    assert_err(ERR_INVALID, "has 65 entries; 1 to 64", scorers_new(two, 65, &scorers));
    SCOPED_MEM char *longest = mem_new(SCORER_PATTERN_MAX + 2);
    memset(longest, 'a', SCORER_PATTERN_MAX + 1);
    struct scorer_config pattern = {.kind = "regex", .pattern = longest};
    assert_err(ERR_INVALID, "has 16385 bytes", scorers_new(&pattern, 1, &scorers));
}

static void the_table_finds_its_rows(void **state)
{
    (void)state;
    size_t i = 0;
    for (const struct scorer_kind *kind; (kind = scorer_at(i)); i++) {
        assert_ptr_equal(scorer_find(kind->name), kind);
        assert_true((kind->required & ~kind->keys) == 0);
    }
    assert_int_equal(i, 5);
    assert_null(scorer_find("judge"));
    assert_null(scorer_find(NULL));
}

static void a_recipe_s_list_is_read(void **state)
{
    (void)state;
    struct recipe_scorer at[] = {
        {.kind = "length",
         .weight = 2,
         .column = "",
         .pattern = "",
         .unit = RECIPE_CHARACTERS,
         .min = 1,
         .max = 4},
        {.kind = "exact", .weight = 1, .column = "completion", .pattern = "", .strip = true},
    };
    const struct recipe recipe = {.rewarder.scorers = {2, at}, .file = "ring.yaml"};
    SCOPED(scorers) scorers = NULL;
    SCOPED_JSON json_t *object = NULL;
    double value[2], reward;
    assert_ok(scorers_from_recipe(&recipe, &scorers));
    assert_ok(json_parse(row, strlen(row), "row", &object));
    const struct scorer_sample sample = {object, " abcd", 5, FINISH_EOS, 99};
    assert_ok(scorers_sample(scorers, &sample, value, &reward));
    assert_near(reward, 2 * 0.75 + 1, 0);
    at[1].pattern = "x";
    struct scorers *none = NULL;
    assert_err(ERR_INVALID, "ring.yaml: rewarder.scorers[1]: kind 'exact' does not read pattern",
               scorers_from_recipe(&recipe, &none));
}

/* A group of two completions in the frame: the first ended by itself. */
struct pair {
    struct group group;
    struct completion completion[2];
};

static void pair_done(struct pair *pair)
{
    column_list_done(&pair->group.columns);
}

static void pair_init(const char *json, const char *first, const char *second, struct pair *ret)
{
    for (int i = 0; i < 2; i++) {
        struct completion *completion = &ret->completion[i];
        completion->text = (char *)(i ? second : first);
        completion->text_len = (uint32_t)strlen(completion->text);
        completion->tokens = completion->text_len + 1;
        completion->finish = i ? FINISH_LENGTH : FINISH_EOS;
    }
    ret->group.row = (char *)json;
    ret->group.completions = 2;
    ret->group.completion = ret->completion;
}

static void groups_get_weighted_sums(void **state)
{
    (void)state;
    const struct scorer_config config[] = {
        {.kind = "exact", .column = "completion", .weight = 2, .strip = true},
        {.kind = "format", .eos = true, .weight = -0.5},
        {.kind = "length", .min = 1, .max = 4, .weight = 0.25},
    };
    SCOPED(scorers) scorers = NULL;
    SCOPED_VALUE(pair) pair = {0};
    pair_init(row, "abcd", "ab", &pair);
    assert_ok(scorers_new(config, 3, &scorers));
    assert_int_equal(scorers_count(scorers), 3);
    uint32_t columns = 0;
    for (int again = 0; again < 2; again++) { // scoring again replaces
        assert_ok(scorers_group(scorers, &pair.group));
        assert_true(!again || pair.group.columns.count == columns);
        columns = pair.group.columns.count;
        assert_int_equal(group_width(&pair.group, COLUMN_SCORES), 3);
        const double *score = group_values(&pair.group, COLUMN_SCORES, 0);
        assert_near(score[0], 1, 0);
        assert_near(score[1], 1, 0);
        assert_near(score[2], 0.75, 0);
        assert_near(group_value(&pair.group, COLUMN_REWARD, 0), 2 - 0.5 + 0.1875, 0);
        assert_near(group_value(&pair.group, COLUMN_SCORES, 1), 0, 0);
        assert_near(group_value(&pair.group, COLUMN_REWARD, 1), 0.25, 0);
    }
}

static void a_failing_group_stays_as_it_was(void **state)
{
    (void)state;
    const struct scorer_config config = {.kind = "exact", .column = "answer", .weight = 1};
    static const char *const rows[] = {"{\"x\": 1}", "[1]", "{", "", "3"};
    SCOPED(scorers) scorers = NULL;
    assert_ok(scorers_new(&config, 1, &scorers));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        SCOPED_VALUE(pair) pair = {0};
        pair_init(rows[i], "a", "b", &pair);
        assert_err(ERR_INVALID, "row", scorers_group(scorers, &pair.group));
        assert_int_equal(pair.group.columns.count, 0);
    }
}

TESTS(cmocka_unit_test(exact_compares_bytes),
      cmocka_unit_test(a_missing_column_names_those_present),
      cmocka_unit_test(a_row_cannot_break_the_message), cmocka_unit_test(regex_searches),
      cmocka_unit_test(regex_compares_what_it_took),
      cmocka_unit_test(format_matches_from_end_to_end), cmocka_unit_test(format_asks_for_an_end),
      cmocka_unit_test(length_falls_in_a_straight_line), cmocka_unit_test(rouge_is_googles),
      cmocka_unit_test(rouge_equals_the_table), cmocka_unit_test(rouge_bounds_the_reference),
      cmocka_unit_test(any_bytes_score), cmocka_unit_test(a_match_without_end_is_given_up),
      cmocka_unit_test(configurations_are_checked), cmocka_unit_test(the_table_finds_its_rows),
      cmocka_unit_test(a_recipe_s_list_is_read), cmocka_unit_test(groups_get_weighted_sums),
      cmocka_unit_test(a_failing_group_stays_as_it_was))
