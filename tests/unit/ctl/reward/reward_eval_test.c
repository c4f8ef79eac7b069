/* `rlhfctl reward eval`: figures of whole files against SciPy and scikit-learn (made by
 * tests/golden/reward_eval.py), best of k and curves that are known, and lines that are refused. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "ctl/reward/eval/curve.h"
#include "ctl/reward/eval/eval_output.h"
#include "testing/testing.h"
#include <math.h>
#include <string.h>

#define TOLERANCE 1e-12

static const struct eval_columns columns = {
    .score = "score", .by = "kind", .prompt = "prompt", .completion = "completion"};

static json_t *golden(const char *name)
{
    json_t *all = NULL;
    assert_ok(json_read_file(TEST_GOLDEN "/reward_eval.json", 1 << 20, &all));
    json_t *cases = json_incref(json_object_get(all, name));
    json_decref(all);
    assert_true(json_array_size(cases) > 0);
    return cases;
}

static void measure(const json_t *lines, size_t draws, struct eval_data *data,
                    struct eval_figures *ret)
{
    size_t i;
    const json_t *line;
    *data = (struct eval_data){.columns = columns};
    json_array_foreach ((json_t *)lines, i, line)
        assert_ok(eval_data_add(data, line, "lines:1"));
    eval_data_end(data);
    eval_figures_of(data, &(struct bootstrap){.draws = draws, .seed = 1}, ret);
}

/* Every figure that the case names. */
static int compare(const json_t *one, const struct named_figure *named, const void *of)
{
    int compared = 0;
    for (; named->name; named++) {
        const json_t *want = json_object_get(one, named->name);
        const double got = named_estimate(named, of)->value;
        if (!want)
            continue;
        compared++;
        if (json_is_null(want))
            assert_true(isnan(got));
        else
            testing_near(got, json_number_value(want), TOLERANCE, named->name, __FILE__, __LINE__);
    }
    return compared;
}

static void figures_of_pairs_are_scikit_learns(void **state)
{
    (void)state;
    SCOPED_JSON json_t *cases = golden("pair_lines");
    const json_t *one = json_array_get(cases, 0);
    SCOPED_VALUE(eval_data) data = {0};
    SCOPED_VALUE(eval_figures) figures = {0};
    measure(json_object_get(one, "lines"), 200, &data, &figures);
    const struct pair_figures *p = &figures.pairs;
    assert_int_equal(compare(one, pair_names, p), 7);
    /* SciPy's bounded search ends within 1e-10 of the least, which is flat. */
    assert_near(p->scale, json_number_value(json_object_get(one, "scale")), 1e-6);
    assert_near(p->scaled_log_loss, json_number_value(json_object_get(one, "scaled_log_loss")),
                TOLERANCE);
    assert_int_equal(data.prompts, 60);
    assert_int_equal(p->groups, 3);
    for (size_t g = 0; g < 3; g++)
        assert_true(p->group[g].low < p->group[g].value && p->group[g].value < p->group[g].high);
    assert_int_equal(figures.answers.answers, 0);
    assert_int_equal(figures.league.models, 0);
}

static void figures_of_answers_are_scipys(void **state)
{
    (void)state;
    SCOPED_JSON json_t *cases = golden("answer_lines");
    size_t i;
    const json_t *one;
    json_array_foreach (cases, i, one) {
        SCOPED_VALUE(eval_data) data = {0};
        SCOPED_VALUE(eval_figures) figures = {0};
        measure(json_object_get(one, "lines"), 0, &data, &figures);
        assert_int_equal(compare(one, answer_names, &figures.answers), 11);
        assert_true(figures.answers.labels == (i == 1));
        assert_true(isnan(figures.answers.pearson.low)); // no draws
    }
}

/* The figures of a group are those of its lines alone. */
static void groups_are_measured_apart(void **state)
{
    (void)state;
    SCOPED_JSON json_t *cases = golden("answer_lines");
    json_t *lines = json_object_get(json_array_get(cases, 0), "lines"), *line;
    json_t *halves[2] = {json_array(), json_array()};
    SCOPED_VALUE(eval_data) data = {0};
    SCOPED_VALUE(eval_figures) figures = {0};
    size_t i;
    json_array_foreach (lines, i, line) {
        json_object_set_new(line, "kind", json_integer((json_int_t)(i % 2)));
        json_array_append(halves[i % 2], line);
    }
    measure(lines, 0, &data, &figures);
    assert_int_equal(figures.groups, 2);
    for (size_t g = 0; g < 2; g++) {
        SCOPED_VALUE(eval_data) own = {0};
        SCOPED_VALUE(eval_figures) apart = {0};
        measure(halves[g], 0, &own, &apart);
        const struct group_figures *group = &figures.group[g];
        assert_int_equal(group->answers.answers, apart.answers.answers);
        for (const struct named_figure *named = answer_names; named->name; named++) {
            const double want = named_estimate(named, &apart.answers)->value,
                         got = named_estimate(named, &group->answers)->value;
            assert_true(isnan(want) ? isnan(got) : fabs(got - want) <= TOLERANCE);
        }
        assert_int_equal(group->best.most, apart.best.most);
        assert_near(group->best.share.value, apart.best.share.value, TOLERANCE);
        json_decref(halves[g]);
    }
}

/* ---- best of k */

static json_t *line_of(const char *text)
{
    json_t *line = NULL;
    assert_ok(json_parse(text, strlen(text), "line", &line));
    return line;
}

static void best_of_k_of_a_perfect_and_of_a_wrong_score(void **state)
{
    (void)state;
    static const struct {
        const char *scores;
        double last, share;
    } cases[] = {{"[1, 2, 3, 4]", 4, 1}, {"[4, 3, 2, 1]", 1, -1}, {"[7, 7, 7, 7]", 2.5, 0}};
    for (int i = 0; i < 3; i++) {
        SCOPED_VALUE(eval_data) data = {.columns = columns};
        SCOPED_VALUE(eval_figures) figures = {0};
        for (int p = 0; p < 5; p++) {
            SCOPED_MEM char *text = mem_printf(
                "{\"prompt\": %d, \"completions\": [\"a\", \"b\", \"c\", \"d\"], \"scores\": %s, "
                "\"golds\": [1, 2, 3, 4]}",
                p, cases[i].scores);
            SCOPED_JSON json_t *line = line_of(text);
            assert_ok(eval_data_add(&data, line, "lines:1"));
        }
        eval_data_end(&data);
        eval_figures_of(&data, &(struct bootstrap){.draws = 50, .seed = 1}, &figures);
        const struct best_figures *b = &figures.best;
        assert_int_equal(b->most, 4);
        assert_int_equal(b->prompts, 5);
        assert_near(b->gold[0].value, 2.5, TOLERANCE);
        assert_near(b->gold[3].value, cases[i].last, TOLERANCE);
        assert_near(b->gold[3].low, cases[i].last, TOLERANCE); // all prompts are alike
        assert_near(b->share.value, cases[i].share, TOLERANCE);
        assert_near(b->regret[3].value, 4 - cases[i].last, TOLERANCE);
        if (i == 2)
            assert_near(b->pessimistic[3].value, 1, TOLERANCE);
        if (i == 0)
            assert_near(b->loss.value, 0, TOLERANCE);
    }
}

static void models_meet_in_rows_and_in_prompts(void **state)
{
    (void)state;
    SCOPED_VALUE(eval_data) data = {.columns = columns};
    SCOPED_VALUE(eval_figures) figures = {0};
    for (int p = 0; p < 60; p++)
        for (int m = 0; m < 3; m++) {
            SCOPED_MEM char *text =
                mem_printf("{\"prompt\": %d, \"completion\": \"a\", \"model\": \"m%d\", \"score\": "
                           "%d, \"gold\": %d}",
                           p, m, m + p % 2, m);
            SCOPED_JSON json_t *line = line_of(text);
            assert_ok(eval_data_add(&data, line, "lines:1"));
        }
    eval_data_end(&data);
    eval_figures_of(&data, &(struct bootstrap){.draws = 100, .seed = 1}, &figures);
    assert_int_equal(figures.battles, 60 * 3);
    assert_int_equal(figures.league.models, 3);
    assert_near(figures.league.kendall.value, 1, TOLERANCE);
    assert_near(figures.league.agreement, 1, 0);
}

/* ---- lines */

static void faulty_lines_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *line, *error;
    } cases[] = {
        {"{\"prompt\": \"a\"}", "f:1: no score: neither 'score_chosen' nor 'scores' nor 'score'"},
        {"{\"score\": \"7\"}", "f:1: 'score' is text; allowed: null, or from -1e+18"},
        {"{\"score\": 1e19}", "'score' is out of range"},
        {"{\"score\": 1, \"gold\": []}", "'gold' is a list"},
        {"{\"score_chosen\": 1, \"score_rejected\": {}}", "'score_rejected' is an object"},
        {"{\"score_chosen\": 1, \"score_rejected\": 1, \"labels\": [2]}", "labels[0]: allowed"},
        {"{\"score_chosen\": 1, \"score_rejected\": 1, \"labels\": []}", "'labels' is a list"},
        {"{\"score_chosen\": 1, \"score_rejected\": 1, \"labels\": true}", "'labels' is a boolean"},
        {"{\"score_chosen\": 1, \"score_rejected\": 1, \"model_chosen\": 3}",
         "'model_chosen' is a number; it must be a text"},
        {"{\"score\": 1, \"gold\": 1, \"kind\": [1]}", "'kind' is a list"},
        {"{\"scores\": [1, 2], \"golds\": [1]}", "'scores' has 2 numbers, and 'golds' 1"},
        {"{\"scores\": [1, true], \"golds\": [1, 1]}", "'scores' is a boolean"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        SCOPED_VALUE(eval_data) data = {.columns = columns};
        SCOPED_JSON json_t *line = line_of(cases[i].line);
        assert_err(ERR_INVALID, cases[i].error, eval_data_add(&data, line, "f:1"));
    }
}

static void too_many_groups_models_and_answers(void **state)
{
    (void)state;
    SCOPED_VALUE(eval_data) data = {.columns = columns};
    SCOPED_JSON json_t *line = line_of("{\"score\": 1, \"gold\": 1}");
    for (int i = 0; i < EVAL_GROUPS; i++) {
        json_object_set_new(line, "kind", json_integer(i));
        assert_ok(eval_data_add(&data, line, "f:1"));
    }
    json_object_set_new(line, "kind", json_string("one more"));
    assert_err(ERR_INVALID, "f:1: more than 256 different groups",
               eval_data_add(&data, line, "f:1"));
    json_object_del(line, "kind");
    for (int i = 0; i < BRADLEY_TERRY_PLAYERS; i++) {
        SCOPED_MEM char *name = mem_printf("m%d", i);
        json_object_set_new(line, "model", json_string(name));
        assert_ok(eval_data_add(&data, line, "f:1"));
    }
    json_object_set_new(line, "model", json_string("one more"));
    assert_err(ERR_INVALID, "f:1: more than 64 different models",
               eval_data_add(&data, line, "f:1"));
    SCOPED_JSON json_t *list = json_pack("{s:[]}", "scores");
    for (int i = 0; i < 65; i++)
        json_array_append_new(json_object_get(list, "scores"), json_integer(i));
    assert_err(ERR_INVALID, "'scores' has 65 of them; at most 64",
               eval_data_add(&data, list, "f:1"));
}

/* Completions as eval writes them have their scorers' list under "scores". */
static void what_has_no_score_is_counted(void **state)
{
    (void)state;
    SCOPED_VALUE(eval_data) data = {.columns = columns};
    static const char *const lines[] = {
        "{\"row\": {\"prompt\": \"a\", \"kind\": \"k\"}, \"scores\": [9], \"score\": 2, \"gold\": 3, "
        "\"prompt\": 0, \"completion\": 0, \"text\": \"xyz\"}",
        "{\"prompt\": \"a\", \"score\": null, \"gold\": 3}", "{\"prompt\": \"b\", \"score\": 1}",
        "{\"prompt\": \"b\", \"score_chosen\": 1, \"score_rejected\": null}",
        "{\"prompt\": \"b\", \"completion\": \"x\", \"score\": 1, \"label\": true}"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        SCOPED_JSON json_t *line = line_of(lines[i]);
        assert_ok(eval_data_add(&data, line, "f:1"));
    }
    assert_int_equal(data.answers, 2);
    assert_true(data.answer[0].score == 2 && data.answer[0].gold == 3 && data.answer[0].group == 0);
    assert_true(data.answer[0].length == 3 && data.answer[0].prompt == 0);
    assert_true(data.answer[1].gold == 1 && data.answer[1].length == 1);
    assert_int_equal(data.unscored, 2);
    assert_int_equal(data.without_gold, 1);
    assert_int_equal(data.prompts, 2);
}

/* ---- curves */

enum { PROMPTS = 50 };

/* A point: all prompts have this KL and these scores, but the gold of every second prompt is one
 * less. */
static void put_point(const char *directory, const char *name, double kl, double score, double gold)
{
    SCOPED_VALUE(bytes) text = {0};
    SCOPED_MEM char *path = file_join(directory, name);
    for (int p = 0; p < PROMPTS; p++)
        bytes_printf(&text,
                     "{\"row\": {\"prompt\": %d, \"gold\": 1.5}, \"kl\": %g, \"reward\": %g, "
                     "\"gold\": %g, \"tokens\": 4}\n",
                     p, kl, score, gold - p % 2);
    assert_ok(file_write(path, text.data, text.len));
}

static void a_curve_tells_where_it_turns(void **state)
{
    (void)state;
    const char *directory = testing_directory();
    struct curve curve = {.score = "reward", .gold = "gold", .prompt = "prompt"};
    const struct bootstrap bootstrap = {.draws = 200, .seed = 1};
    put_point(directory, "late.jsonl", 30, 9, 0.5);
    put_point(directory, "start.jsonl", 0, 0, 1);
    put_point(directory, "best.jsonl", 4, 2, 3);
    put_point(directory, "middle.jsonl", 12, 5, 2.9);
    assert_ok(curve_read(&curve, directory));
    assert_ok(curve_measure(&curve, NULL, &bootstrap));
    static const char *const names[] = {"start", "best", "middle", "late"}; // by KL
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(curve.point[i].name, names[i]);
    assert_int_equal(curve.base, 0);
    assert_int_equal(curve.best, 1);
    assert_int_equal(curve.prompts, PROMPTS);
    assert_near(curve.point[1].gold.value, 2.5, TOLERANCE);
    assert_near(curve.point[1].gold_gain.value, 2, TOLERANCE);
    assert_near(curve.point[1].gold_gain.low, 2, 1e-9); // the same prompts are drawn for both
    assert_true(curve.point[1].gold.low < 2.45 && curve.point[1].gold.high > 2.55);
    assert_near(curve.point[1].win_base.value, 1, TOLERANCE);
    assert_near(curve.point[3].win_base.value, 0, TOLERANCE);
    assert_near(curve.point[1].win_own.value, 1, TOLERANCE);
    assert_near(curve.point[3].win_own.value, 0, TOLERANCE);
    assert_true(!curve.point[2].over && curve.point[3].over);
    assert_int_equal(curve.drift.points, 3);
    assert_true(curve.drift.peak_kl > 1 && curve.drift.peak_kl < 12);
    assert_err(ERR_INVALID, "--base 'none' is none of the points; the first is 'start'",
               curve_measure(&curve, "none", &bootstrap));
    assert_ok(curve_measure(&curve, "best", &bootstrap));
    assert_near(curve.point[0].gold_gain.value, -2, TOLERANCE);
    curve_done(&curve);
}

static void read_fails(const char *where, const char *error)
{
    struct curve curve = {.score = "reward", .gold = "gold", .prompt = "prompt"};
    assert_err(ERR_INVALID, error, curve_read(&curve, where));
    curve_done(&curve);
}

static void faulty_points_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *line, *error;
    } cases[] = {
        {"{\"kl\": 1}", "a.jsonl:1: 'row' must be the row of data"},
        {"{\"row\": {}}", "a.jsonl:1: has no 'kl'; rlhfctl eval writes it"},
        {"{\"row\": {}, \"kl\": \"x\"}", "'kl' is text; allowed"},
        {"{\"row\": {}, \"kl\": 1}", "has no 'reward'; --score names another column"},
        {"{\"row\": {}, \"kl\": 1, \"reward\": 1}", "has no 'gold'; rlhfctl reward score --as"},
        {"{\"row\": {}, \"kl\": 1, \"reward\": 1, \"gold\": 1}", "has no 'tokens'"},
        {"{\"row\": {\"gold\": true}, \"kl\": 1, \"reward\": 1, \"gold\": 1, \"tokens\": 1}",
         "'gold' is a boolean"},
        {"{\"row\": {}, \"kl\": 1, \"reward\": 1, \"gold\": null, \"tokens\": 1}",
         "no line has KL, score and gold score"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path = testing_path(testing_directory(), "a.jsonl");
        SCOPED_MEM char *text = mem_printf("%s\n", cases[i].line);
        assert_ok(file_write(path, text, strlen(text)));
        read_fails(path, cases[i].error);
    }
    const char *directory = testing_directory();
    read_fails(directory, "has no file that ends in .jsonl");
    read_fails("", "--curve '' names no file");
    put_point(directory, "a.jsonl", 1, 1, 1);
    SCOPED_MEM char *path = file_join(directory, "a.jsonl");
    SCOPED_MEM char *twice = mem_printf("%s,%s", path, path);
    read_fails(twice, "two points are called 'a'");
}

TESTS(cmocka_unit_test(figures_of_pairs_are_scikit_learns),
      cmocka_unit_test(figures_of_answers_are_scipys), cmocka_unit_test(groups_are_measured_apart),
      cmocka_unit_test(best_of_k_of_a_perfect_and_of_a_wrong_score),
      cmocka_unit_test(models_meet_in_rows_and_in_prompts),
      cmocka_unit_test(faulty_lines_are_refused),
      cmocka_unit_test(too_many_groups_models_and_answers),
      cmocka_unit_test(what_has_no_score_is_counted),
      cmocka_unit_test(a_curve_tells_where_it_turns), cmocka_unit_test(faulty_points_are_refused))
