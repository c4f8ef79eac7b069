/* A pairwise preference model as a scorer, against PyTorch's probabilities by RLHFlow's way
 * (tests/golden/pairwise.py made the file): all pairs, a ring, the row's column, ties, and what is
 * refused. */
#include "base/file.h"
#include "base/json.h"
#include "testing/testing.h"
#include "unit/rewarder/score_kit.h"

#define MODEL TEST_GOLDEN "/pairwise"
enum { ANSWERS = 4, MOST = 16 };

struct golden {
    json_t *file, *entry; // of the row with four answers
    char *row;
    struct completion completion[MOST];
    struct group group;
};

static void golden_open(struct golden *g)
{
    *g = (struct golden){0};
    assert_ok(json_read_file(MODEL "/pairwise.json", 1 << 20, &g->file));
    g->entry = json_array_get(json_object_get(g->file, "rows"), 3);
    g->row = json_to_text(json_object_get(g->entry, "row"));
    g->group = (struct group){.row = g->row, .completions = ANSWERS, .completion = g->completion};
    for (uint32_t i = 0; i < MOST; i++) {
        const json_t *answer = json_array_get(json_object_get(g->entry, "answers"), i % ANSWERS);
        g->completion[i] = (struct completion){.text = (char *)json_string_value(answer),
                                               .text_len = (uint32_t)json_string_length(answer)};
    }
}

static void golden_close(struct golden *g)
{
    column_list_done(&g->group.columns);
    mem_free(g->row);
    json_decref(g->file);
}

static double wins(const struct golden *g, uint32_t i, uint32_t j)
{
    const json_t *of = json_array_get(json_object_get(g->file, "wins"), i % ANSWERS);
    return json_number_value(json_array_get(of, j % ANSWERS));
}

static err_t score(struct golden *g, const char *keys, struct score_kit *kit)
{
    SCOPED_MEM char *entry = mem_printf("[{kind: preference_model, path: '%s'%s}]", MODEL, keys);
    TRY(kit_open(entry, kit));
    return kit_score(kit, &g->group);
}

static double score_of(const struct golden *g, uint32_t i)
{
    return ((const double *)group_values(&g->group, COLUMN_SCORES, 0))[i];
}

/* The promise is 1e-4; log-odds are 5e-5 apart at most, and a quarter of that as probabilities. */
#define LIMIT 2e-5

static void a_score_is_the_mean_probability_to_win(void **)
{
    static const char *const ways[] = {"", ", compare: pairs, format: chat",
                                       ", compare: ring, opponents: 3",
                                       ", labels: [A, B], max_tokens: 100"};
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        SCOPED_VALUE(score_kit) kit = {0};
        struct golden g;
        golden_open(&g);
        const json_t *want = json_object_get(g.file, "scores");
        assert_ok(score(&g, ways[w], &kit));
        for (uint32_t i = 0; i < ANSWERS; i++)
            assert_near(score_of(&g, i), json_number_value(json_array_get(want, i)), LIMIT);
        assert_true(score_of(&g, 0) == score_of(&g, 3)); // equal texts, and a tie of each other
        golden_close(&g);
    }
}

/* More pairs than go at once. Each meets its opponents, and no other. */
static void opponents_are_the_neighbours_on_a_ring(void **)
{
    static const struct {
        const char *keys;
        uint32_t completions, half;
    } cases[] = {{", compare: ring", 5, 1},
                 {", compare: ring, opponents: 4", 9, 2},
                 {", compare: ring, opponents: 1", 2, 1},
                 {"", 15, 7}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        SCOPED_VALUE(score_kit) kit = {0};
        struct golden g;
        const uint32_t n = cases[c].completions;
        golden_open(&g);
        g.group.completions = n;
        assert_ok(score(&g, cases[c].keys, &kit));
        for (uint32_t i = 0; i < n; i++) {
            double sum = 0;
            uint32_t met = 0;
            for (uint32_t j = 0; j < n; j++) {
                const uint32_t apart = i < j ? j - i : i - j;
                if (i != j && (apart <= cases[c].half || n - apart <= cases[c].half)) {
                    sum += wins(&g, i, j);
                    met++;
                }
            }
            assert_near(score_of(&g, i), sum / met, LIMIT);
        }
        golden_close(&g);
    }
}

/* All of 16: half a ring meets the other half once. */
static void an_even_group_has_each_pair_once(void **)
{
    SCOPED_VALUE(score_kit) kit = {0};
    struct golden g;
    double all = 0;
    golden_open(&g);
    g.group.completions = MOST;
    assert_ok(score(&g, "", &kit));
    for (uint32_t i = 0; i < MOST; i++) {
        double sum = 0;
        for (uint32_t j = 0; j < MOST; j++)
            sum += i == j ? 0 : wins(&g, i, j);
        assert_near(score_of(&g, i), sum / (MOST - 1), LIMIT);
        all += score_of(&g, i);
    }
    assert_near(all / MOST, 0.5, 1e-12); // the wins of one are losses of others
    golden_close(&g);
}

/* The row's column is an answer as others are. */
static void the_opponent_may_be_the_rows_column(void **)
{
    for (int alone = 0; alone < 2; alone++) {
        SCOPED_VALUE(score_kit) kit = {0};
        struct golden g;
        golden_open(&g);
        SCOPED_JSON json_t *row = json_pack("{s:s, s:s}", "prompt", "2+2=", "best", "5");
        mem_free(g.row);
        g.group.row = g.row = json_to_text(row);
        g.group.completions = alone ? 1 : ANSWERS;
        assert_ok(score(&g, alone ? ", column: best" : ", compare: column, column: best", &kit));
        for (uint32_t i = 0; i < g.group.completions; i++)
            assert_near(score_of(&g, i), wins(&g, i, 2), LIMIT);
        golden_close(&g);
    }
}

static void what_cannot_be_compared_is_refused(void **)
{
    static const struct {
        const char *keys, *why;
        enum err_code code;
        uint32_t completions;
    } cases[] = {
        {"", "a group of 1 completion has no pairs, and there is no column", ERR_INVALID, 1},
        {", max_tokens: 70", "completions 0 and 1 are 7", ERR_RANGE, 2},
        {", compare: column", "compare: column needs column", ERR_INVALID, 2},
        {", labels: [A]", "labels: has 1; allowed: two", ERR_INVALID, 2},
        {", labels: [A, A]", "are the same token", ERR_INVALID, 2},
        {", template: '{{ nothing() }}'", "template:1", ERR_INVALID, 2},
        {", template: '{% if %}'", "template:1", ERR_INVALID, 2},
        {", column: best", "best", ERR_INVALID, 2},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        SCOPED_VALUE(score_kit) kit = {0};
        struct golden g;
        golden_open(&g);
        g.group.completions = cases[c].completions;
        assert_err(cases[c].code, cases[c].why, score(&g, cases[c].keys, &kit));
        golden_close(&g);
    }
    SCOPED_VALUE(score_kit) relative = {0};
    SCOPED_VALUE(score_kit) missing = {0};
    SCOPED_VALUE(score_kit) value = {0};
    assert_err(ERR_INVALID, "path: 'pm' is not absolute",
               kit_open("[{kind: preference_model, path: pm}]", &relative));
    assert_err(ERR_NOT_FOUND, "kind 'preference_model'",
               kit_open("[{kind: preference_model, path: /nowhere}]", &missing));
    assert_err(
        ERR_INVALID, "path",
        kit_open("[{kind: preference_model, path: '" TEST_GOLDEN "/scores/llama'}]", &value));
}

static void it_stops_between_comparisons(void **)
{
    SCOPED_VALUE(score_kit) kit = {0};
    struct golden g;
    struct cell stop;
    golden_open(&g);
    cell_set(&stop, 1);
    kit.stop = &stop;
    assert_err(ERR_DEADLINE, "stopped between comparisons", score(&g, "", &kit));
    golden_close(&g);
}

TESTS(cmocka_unit_test(a_score_is_the_mean_probability_to_win),
      cmocka_unit_test(opponents_are_the_neighbours_on_a_ring),
      cmocka_unit_test(an_even_group_has_each_pair_once),
      cmocka_unit_test(the_opponent_may_be_the_rows_column),
      cmocka_unit_test(what_cannot_be_compared_is_refused),
      cmocka_unit_test(it_stops_between_comparisons))
