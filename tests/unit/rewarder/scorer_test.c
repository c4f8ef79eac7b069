#include "base/mem.h"
#include "base/rng.h"
#include "rewarder/scorers/pattern.h"
#include "svc/metrics.h"
#include "testing/testing.h"
#include "unit/rewarder/score_kit.h"
#include <math.h>
#include <string.h>

/* Scores one text under one entry of rewarder.scorers. */
static err_t score(const char *entry, const char *row, const char *text, size_t len, double *ret)
{
    double one, reward;
    SCOPED_VALUE(score_kit) kit = {0};
    SCOPED_JSON json_t *object = NULL;
    SCOPED_MEM char *list = mem_printf("[%s]", entry);
    TRY(kit_open(list, &kit));
    TRY(json_parse(row, strlen(row), "row", &object));
    TRY(kit_score_text(&kit, object, text, len, FINISH_EOS, &one, &reward));
    assert_true(reward == one);
    *ret = one;
    return OK;
}

static double scored(const char *entry, const char *row, const char *text)
{
    double value = -1;
    assert_ok(score(entry, row, text, strlen(text), &value));
    return value;
}

static const char row[] = "{\"prompt\": \"dcba>\", \"completion\": \" abcd\\n\", \"n\": 7}";

static void exact_compares_bytes(void **state)
{
    (void)state;
    const char *strip = "{kind: exact, column: completion, strip: true}";
    const char *bytes = "{kind: exact, column: completion}";
    assert_near(scored(strip, row, "abcd"), 1, 0);
    assert_near(scored(strip, row, "\t\r abcd\v\f\n"), 1, 0);
    assert_near(scored(strip, row, "abc d"), 0, 0);
    assert_near(scored(strip, row, "ABCD"), 0, 0);
    assert_near(scored(strip, row, ""), 0, 0);
    assert_near(scored(bytes, row, "abcd"), 0, 0);
    assert_near(scored(bytes, row, " abcd\n"), 1, 0);
    double value;
    assert_ok(score(bytes, row, " abcd\n\0", 7, &value)); // a zero byte is a byte
    assert_near(value, 0, 0);
    assert_near(scored(strip, "{\"completion\": \" \"}", ""), 1, 0);
}

static void a_missing_column_names_those_present(void **state)
{
    (void)state;
    double value = 5;
    const char *answer = "{kind: exact, column: answer}";
    assert_err(ERR_INVALID, "no column 'answer'; it has 'prompt', 'completion', 'n'",
               score(answer, row, "x", 1, &value));
    assert_err(ERR_INVALID, "it has none", score(answer, "{}", "x", 1, &value));
    assert_err(ERR_INVALID, "column 'n' is a number; text, or a list of one message, is needed",
               score("{kind: exact, column: n}", row, "x", 1, &value));
    assert_err(ERR_INVALID, "rewarder.scorers[0]: kind 'rouge': completion 0: the row's column 'n'",
               score("{kind: rouge, column: n}", row, "x", 1, &value));
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
    err_t e = score("{kind: exact, column: z}", (const char *)wide.data, "x", 1, &value);
    assert_int_equal(err_code(e), ERR_INVALID);
    assert_non_null(strstr(err_message(e), "'a?b?'"));
    assert_null(strchr(err_message(e), '\n'));
    assert_true(strlen(err_message(e)) < 600);
    err_free(e);
}

static void regex_searches(void **state)
{
    (void)state;
    const char *entry = "{kind: regex, pattern: b+c}";
    assert_near(scored(entry, row, "abbbcd"), 1, 0);
    assert_near(scored(entry, row, "acb"), 0, 0);
    assert_near(scored(entry, row, ""), 0, 0);
    entry = "{kind: regex, pattern: '^\\p{Lu}.$'}"; // characters, not bytes
    assert_near(scored(entry, row, "Éß"), 1, 0);
    assert_near(scored(entry, row, "É\xff"), 0, 0);
}

static void regex_compares_what_it_took(void **state)
{
    (void)state;
    const char *sum = "{\"answer\": \" 42\"}";
    const char *entry =
        "{kind: regex, pattern: 'answer is ([^.]*)\\.', column: answer, strip: true}";
    assert_near(scored(entry, sum, "So the answer is 42 . Done"), 1, 0);
    assert_near(scored(entry, sum, "the answer is 43."), 0, 0);
    assert_near(scored(entry, sum, "42"), 0, 0);
    entry = "{kind: regex, pattern: 'answer is ([^.]*)\\.', column: answer}";
    assert_near(scored(entry, sum, "the answer is 42."), 0, 0);
    entry = "{kind: regex, pattern: '[0-9]+', column: answer, strip: true}";
    assert_near(scored(entry, sum, "it is 42!"), 1, 0); // no group: the whole match
    entry = "{kind: regex, pattern: '(x)?42', column: answer, strip: true}";
    assert_near(scored(entry, sum, "42"), 0, 0); // a group that took no part is empty
    assert_near(scored(entry, "{\"answer\": \"\"}", "42"), 1, 0);
}

static void format_matches_from_end_to_end(void **state)
{
    (void)state;
    const char *entry = "{kind: format, pattern: a|ab}";
    assert_near(scored(entry, row, "ab"), 1, 0);
    assert_near(scored(entry, row, "a"), 1, 0);
    assert_near(scored(entry, row, "xab"), 0, 0);
    assert_near(scored(entry, row, "ab\n"), 0, 0);
    entry = "{kind: format, pattern: '(?s)<think>.*</think>\\d+'}";
    assert_near(scored(entry, row, "<think>a\nb</think>12"), 1, 0);
    assert_near(scored(entry, row, "<think>a\nb</think>12 "), 0, 0);
}

static void format_asks_for_an_end(void **state)
{
    (void)state;
    SCOPED_VALUE(score_kit) kit = {0};
    SCOPED_JSON json_t *object = json_object();
    double value, reward;
    assert_ok(kit_open("[{kind: format, eos: true}]", &kit));
    assert_ok(kit_score_text(&kit, object, "ab", 2, FINISH_EOS, &value, &reward));
    assert_near(value, 1, 0);
    assert_ok(kit_score_text(&kit, object, "ab", 2, FINISH_LENGTH, &value, &reward));
    assert_near(value, 0, 0);
    assert_err(ERR_INVALID, "needs a pattern, or eos", score("{kind: format}", row, "", 0, &value));
}

static void length_falls_in_a_straight_line(void **state)
{
    (void)state;
    const char *entry = "{kind: length, unit: characters, min: 4, max: 6}";
    static const double want[] = {0,       0.25,    0.5, 0.75,    1,       1, 1,
                                  5.0 / 6, 4.0 / 6, 0.5, 2.0 / 6, 1.0 / 6, 0, 0};
    for (size_t n = 0; n < sizeof want / sizeof *want; n++) {
        double value = -1;
        assert_ok(score(entry, row, "aaaaaaaaaaaaaaaaa", n, &value));
        assert_near(value, want[n], 1e-15); // one rounding
    }
    assert_near(scored(entry, row, "日本語é"), 1, 0); // characters, not bytes
    entry = "{kind: length, min: 4, max: 6}";         // bytes and an end token
    assert_near(scored(entry, row, "abc"), 1, 0);
    assert_near(scored(entry, row, "ab"), 0.75, 0);
    entry = "{kind: length, max: 2}";
    assert_near(scored(entry, row, ""), 1, 0);
    assert_near(scored(entry, row, "abc"), 0, 0);
}

static void rouge_is_googles(void **state)
{
    (void)state;
    SCOPED_JSON json_t *cases = NULL;
    assert_ok(json_read_file(TEST_GOLDEN "/rouge.json", 1 << 20, &cases));
    assert_true(json_array_size(cases) > 40);
    SCOPED_VALUE(score_kit) kit = {0};
    assert_ok(kit_open("[{kind: rouge, column: reference}]", &kit));
    size_t i;
    json_t *one;
    json_array_foreach (cases, i, one) {
        const json_t *text = json_object_get(one, "text");
        double value, reward;
        assert_ok(kit_score_text(&kit, one, json_string_value(text), json_string_length(text),
                                 FINISH_EOS, &value, &reward));
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
        const double value =
            scored("{kind: rouge, column: r}", (const char *)json.data, (const char *)text.data);
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
    const char *entry = "{kind: rouge, column: r}";
    assert_near(scored(entry, (const char *)json.data, "17 18"), 2.0 * 2 / (8192 + 2), 1e-12);
    json.len = at;
    bytes_text(&json, "x\"}");
    double value;
    assert_err(ERR_INVALID, "has 8193 words; at most 8192",
               score(entry, (const char *)json.data, "1", 1, &value));
}

/* Any bytes score without harm: the sanitizers and the range look. */
static void any_bytes_score(void **state)
{
    (void)state;
    SCOPED_VALUE(score_kit) kit = {0};
    SCOPED_JSON json_t *object = NULL;
    assert_ok(kit_open("[{kind: exact, column: completion, strip: true},"
                       " {kind: regex, pattern: '(\\w+)\\s(?<=x)\\w*', column: completion},"
                       " {kind: format, pattern: '(?s).*'},"
                       " {kind: length, unit: characters, min: 3, max: 9},"
                       " {kind: rouge, column: completion}]",
                       &kit));
    assert_ok(json_parse(row, strlen(row), "row", &object));
    struct rng rng = rng_keyed(2, RNG_TEST, 0, 0);
    double value[5], reward;
    for (uint64_t trial = 0, draw = 0; trial < 2000; trial++) {
        const size_t len = rng_below(&rng, draw++, 40);
        SCOPED_MEM uint8_t *text = mem_new(len); // its own block: reading past its end is seen
        for (size_t i = 0; i < len; i++)
            text[i] = (uint8_t)rng_below(&rng, draw++, 256);
        assert_ok(
            kit_score_text(&kit, object, (const char *)text, len, FINISH_LENGTH, value, &reward));
        for (int i = 0; i < 5; i++)
            assert_true(value[i] >= 0 && value[i] <= 1);
    }
    assert_ok(kit_score_text(&kit, object, NULL, 0, FINISH_LENGTH, value, &reward));
}

/* No score is made up for it: the group has none. */
static void a_search_without_end_is_no_score(void **state)
{
    (void)state;
    double value = 5;
    char text[200];
    memset(text, 'a', sizeof text);
    memcpy(text + sizeof text - 2, "cb", 2); // without a b at all PCRE2 would not even try
    assert_near(scored("{kind: format, pattern: (a+)+b}", "{}", "aab"), 1, 0);
    assert_err(ERR_RANGE,
               "rewarder.scorers[0]: kind 'format': completion 0: the pattern takes more than "
               "5000000 steps (match_limit) on 200 bytes of text",
               score("{kind: format, pattern: (a+)+b, match_limit: 5000000}", "{}", text,
                     sizeof text, &value));
    assert_true(value == 5);
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
    SCOPED_VALUE(score_kit) kit = {0};
    SCOPED_VALUE(pair) pair = {0};
    pair_init(row, "abcd", "ab", &pair);
    assert_ok(kit_open("[{kind: exact, column: completion, weight: 2, strip: true},"
                       " {kind: format, eos: true, weight: -0.5},"
                       " {kind: length, min: 1, max: 4, weight: 0.25}]",
                       &kit));
    assert_ok(kit_score(&kit, &pair.group));
    assert_int_equal(group_width(&pair.group, COLUMN_SCORES), 3);
    const double *score = group_values(&pair.group, COLUMN_SCORES, 0);
    assert_near(score[0], 1, 0);
    assert_near(score[1], 1, 0);
    assert_near(score[2], 0.75, 0);
    assert_near(group_value(&pair.group, COLUMN_REWARD, 0), 2 - 0.5 + 0.1875, 0);
    assert_near(group_value(&pair.group, COLUMN_SCORES, 1), 0, 0);
    assert_near(group_value(&pair.group, COLUMN_REWARD, 1), 0.25, 0);
}

/* CGPO's: whoever breaks a constraint gets the lowest reward, whatever the others say. */
static void gates_let_pass_or_not(void **state)
{
    (void)state;
    SCOPED_VALUE(score_kit) kit = {0};
    SCOPED_VALUE(pair) pair = {0};
    pair_init(row, "abcd", "ab", &pair);
    assert_ok(kit_open("[{kind: length, min: 1, max: 1, weight: 100, unit: characters},"
                       " {kind: exact, column: completion, strip: true, gate: true, gated: -3},"
                       " {kind: format, eos: true, weight: 2}]",
                       &kit));
    assert_ok(kit_score(&kit, &pair.group));
    assert_near(group_value(&pair.group, COLUMN_REWARD, 0), 2, 0); // passes
    assert_near(group_value(&pair.group, COLUMN_REWARD, 1), -3, 0);
    const double *score = group_values(&pair.group, COLUMN_SCORES, 0);
    assert_near(score[1], 1, 0); // scores stay as they were given
    SCOPED_VALUE(score_kit) half = {0};
    SCOPED_VALUE(pair) other = {0};
    pair_init(row, "abcd", "ab", &other);
    assert_ok(kit_open("[{kind: exact, column: completion, strip: true, gate: true, success: 0},"
                       " {kind: format, pattern: '.*'}]",
                       &half));
    assert_ok(kit_score(&half, &other.group));
    assert_near(group_value(&other.group, COLUMN_REWARD, 1), 1, 0);
    SCOPED_VALUE(score_kit) none = {0};
    assert_err(ERR_INVALID, "all 1 are gates",
               kit_open("[{kind: format, eos: true, gate: true}]", &none));
}

TESTS(cmocka_unit_test(exact_compares_bytes),
      cmocka_unit_test(a_missing_column_names_those_present),
      cmocka_unit_test(a_row_cannot_break_the_message), cmocka_unit_test(regex_searches),
      cmocka_unit_test(regex_compares_what_it_took),
      cmocka_unit_test(format_matches_from_end_to_end), cmocka_unit_test(format_asks_for_an_end),
      cmocka_unit_test(length_falls_in_a_straight_line), cmocka_unit_test(rouge_is_googles),
      cmocka_unit_test(rouge_equals_the_table), cmocka_unit_test(rouge_bounds_the_reference),
      cmocka_unit_test(any_bytes_score), cmocka_unit_test(a_search_without_end_is_no_score),
      cmocka_unit_test(groups_get_weighted_sums), cmocka_unit_test(gates_let_pass_or_not))
