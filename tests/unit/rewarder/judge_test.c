/* The judge scorer against a real server whose liking and bias are known (testing/judge_server.py),
 * over real sockets and through the real pipeline. */
#include "base/mem.h"
#include "rewarder/pipeline.h"
#include "svc/loop.h"
#include "testing/judge_server.h"
#include <math.h>
#include <string.h>

enum { MOST = 8 };
#define BIAS 1.5

static struct judge_server server;

/* A group's end. */
struct line {
    struct recipe *recipe;
    struct loop *loop;
    struct pipeline *pipeline;
    char failure[600];
    double score[MOST];
};

static void on_left(void *arg, const struct group *group, void *tag)
{
    struct line *line = arg;
    (void)tag;
    snprintf(line->failure, sizeof line->failure, "%s", group->failure ? group->failure : "");
    for (uint32_t i = 0; i < group->completions; i++)
        line->score[i] = group->failure ? -1 : group_value(group, COLUMN_REWARD, i);
    loop_stop(line->loop);
}

static err_t line_try(const char *keys, struct line **ret)
{
    struct line *line = *ret = mem_new(sizeof *line);
    SCOPED_MEM char *text =
        mem_printf("rewarder: {scorers: [{kind: judge, attempts: 1, tries: 1, breaker: 0, url: "
                   "\"http://127.0.0.1:%d/v1/chat/completions\", %s}]}\n",
                   server.port, keys);
    TRY(recipe_parse(text, strlen(text), "ring.yaml", ".", NULL, &line->recipe));
    TRY(loop_new(&line->loop));
    struct pipeline_options options = {.loop = line->loop, .left = on_left, .arg = line};
    const struct stage_list_options list = {.recipe = line->recipe, .loop = line->loop};
    TRY(stage_list_open(&list, &options.list));
    return pipeline_open(&options, &line->pipeline);
}

static void line_free(struct line *line)
{
    pipeline_free(line->pipeline);
    loop_free(line->loop);
    recipe_free(line->recipe);
    mem_free(line);
}
DEFINE_SCOPED(line)

static struct line *line_open(const char *keys)
{
    struct line *line;
    assert_ok(line_try(keys, &line));
    return line;
}

/* texts: up to the first NULL. */
static void run(struct line *line, const char *row, const char *const *texts)
{
    struct group *group = mem_new(sizeof *group);
    group->row = mem_string(row);
    group->id.byte[3] = 7;
    group->completion = mem_array(MOST, sizeof *group->completion);
    for (; texts[group->completions]; group->completions++)
        group->completion[group->completions] =
            (struct completion){.tokens = 1,
                                .text = mem_string(texts[group->completions]),
                                .text_len = (uint32_t)strlen(texts[group->completions]),
                                .finish = FINISH_EOS};
    pipeline_put(line->pipeline, group, line);
    assert_ok(loop_run(line->loop));
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

#define ROW "{\"prompt\": \"q\", \"completion\": \"aa\", \"say\": \"Rating: 7 of 10\"}"
#define PAIRS                                                                                      \
    "labels: [A=1, B=0], template: '{{ {\"first\": first, \"second\": second} | tojson }}'"
#define EACH "template: '{{ {\"completion\": completion} | tojson }}'"

/* ---- verdicts */

static void labels_weigh_by_their_share(void **state)
{
    (void)state;
    SCOPED(line) line = line_open(EACH ", labels: ['1=0', '2=0.5', '3=1']");
    run(line, ROW, (const char *const[]){"xyz", "xa", "aaa", NULL});
    assert_string_equal(line->failure, "");
    assert_near(line->score[0], (0.6 * 0 + 0.2 * 0.5) / 0.8, 1e-12);
    assert_near(line->score[1], (0.6 * 0.5 + 0.2 * 1) / 0.8, 1e-12);
    assert_near(line->score[2], (0.6 * 1 + 0.2 * 0) / 0.8, 1e-12);
}

static void texts_are_read_by_a_pattern(void **state)
{
    (void)state;
    static const char *const one[] = {"x", NULL};
    SCOPED(line)
    number = line_open("template: '{{ {\"say\": row.say} | tojson }}', verdict: regex, "
                       "pattern: 'Rating: (\\d+)', range: [0, 10]");
    run(number, ROW, one);
    assert_near(number->score[0], 0.7, 1e-12);
    run(number, "{\"prompt\": \"q\", \"say\": \"Rating: 11\"}", one);
    assert_non_null(
        strstr(number->failure, "no_scores: the reply has no number of the range: '11'"));
    run(number, "{\"prompt\": \"q\", \"say\": \"I would rather not\"}", one);
    assert_non_null(strstr(number->failure, "no_scores: the pattern does not occur in the reply: "
                                            "'I would rather not'"));
    SCOPED(line)
    label = line_open("template: '{{ {\"say\": completion} | tojson }}', verdict: regex, "
                      "pattern: '(?i)verdict: (\\w+)', labels: ['yes=1', 'no=-1']");
    run(label, ROW, (const char *const[]){"Verdict: YES", "So, verdict: no.", NULL});
    assert_near(label->score[0], 1, 0);
    assert_near(label->score[1], -1, 0);
    run(label, ROW, (const char *const[]){"Verdict: perhaps", NULL});
    assert_non_null(strstr(label->failure, "no_scores: the reply has none of the labels"));
}

/* ---- pairs */

static const char *const four[] = {"a b", "aaa", "b", "aa c", NULL};
static const int likings[] = {1, 3, 0, 2};

static void both_orders_leave_no_bias(void **state)
{
    (void)state;
    SCOPED(line) line = line_open(PAIRS ", compare: pairs");
    run(line, ROW, four);
    assert_string_equal(line->failure, "");
    double sum = 0;
    for (int i = 0; i < 4; i++) {
        double want = 0;
        for (int j = 0; j < 4; j++)
            if (i != j)
                want += (sigmoid(likings[i] - likings[j] + BIAS) +
                         sigmoid(likings[i] - likings[j] - BIAS)) /
                        2 / 3;
        assert_near(line->score[i], want, 1e-12);
        sum += line->score[i];
    }
    assert_near(sum, 2, 1e-12);
    /* The places of the completions do not count; the sum goes another way round. */
    SCOPED(line) turned = line_open(PAIRS ", compare: pairs");
    run(turned, ROW, (const char *const[]){four[3], four[2], four[1], four[0], NULL});
    for (int i = 0; i < 4; i++)
        assert_near(turned->score[3 - i], line->score[i], 1e-12);
}

static void one_order_has_the_bias(void **state)
{
    (void)state;
    static const char *const two[] = {"one", "two", NULL};
    SCOPED(line) first = line_open(PAIRS ", compare: pairs, order: first");
    SCOPED(line) second = line_open(PAIRS ", compare: pairs, order: second");
    SCOPED(line) both = line_open(PAIRS ", compare: pairs");
    run(first, ROW, two);
    run(second, ROW, two);
    run(both, ROW, two);
    assert_near(first->score[0], sigmoid(BIAS), 1e-12);
    assert_near(first->score[1], 1 - sigmoid(BIAS), 1e-12);
    assert_near(second->score[0], 1 - sigmoid(BIAS), 1e-12);
    assert_near(both->score[0], 0.5, 1e-12);
    assert_near(both->score[1], 0.5, 1e-12);
}

static void rings_and_columns(void **state)
{
    (void)state;
    SCOPED(line) ring = line_open(PAIRS ", compare: ring");
    int before = judge_server_requests(&server);
    run(ring, ROW, four);
    assert_int_equal(judge_server_requests(&server) - before, 8);
    const double d = (sigmoid(1 - 3 + BIAS) + sigmoid(1 - 3 - BIAS)) / 2; // with "aaa"
    const double e = (sigmoid(1 - 2 + BIAS) + sigmoid(1 - 2 - BIAS)) / 2; // with "aa c"
    assert_near(ring->score[0], (d + e) / 2, 1e-12);
    SCOPED(line) column = line_open(PAIRS ", compare: column, column: completion");
    run(column, ROW, (const char *const[]){"aab", "aaaa", "aa", NULL});
    assert_near(column->score[0], 0.5, 1e-12);
    assert_near(column->score[1], (sigmoid(2 + BIAS) + sigmoid(2 - BIAS)) / 2, 1e-12);
    SCOPED(line) alone = line_open(PAIRS ", compare: pairs, column: completion");
    run(alone, ROW, (const char *const[]){"aaaa", NULL}); // as in evaluation
    assert_near(alone->score[0], column->score[1], 0);
    run(ring, ROW, (const char *const[]){"aaaa", NULL});
    assert_non_null(strstr(ring->failure, "a group of 1 completion has no pairs"));
    run(column, "{\"prompt\": \"q\"}", four);
    assert_non_null(strstr(column->failure, "no column 'completion'"));
}

/* ---- what is asked */

static void equal_questions_are_asked_once(void **state)
{
    (void)state;
    SCOPED(line) line = line_open(PAIRS ", compare: pairs");
    int before = judge_server_requests(&server);
    run(line, ROW, (const char *const[]){"b", "b", "a", NULL});
    assert_int_equal(judge_server_requests(&server) - before, 2); // b and b tie; b, a and a, b
    assert_near(line->score[0], line->score[1], 0);
    run(line, ROW, (const char *const[]){"a", "b", NULL});
    assert_int_equal(judge_server_requests(&server) - before, 2); // known
    SCOPED(line) none = line_open(PAIRS ", compare: pairs, cache: 0");
    run(none, ROW, (const char *const[]){"a", "b", NULL});
    run(none, ROW, (const char *const[]){"a", "b", NULL});
    assert_int_equal(judge_server_requests(&server) - before, 6);
}

static void votes_differ_by_their_seed(void **state)
{
    (void)state;
    SCOPED(line)
    line = line_open(EACH ", labels: ['1=0', '2=1', '3=2'], votes: 3, vote: median, "
                          "temperature: 0.7, model: m, extra: '{\"top_k\": 5}', "
                          "system_prompt: 'Obey {{ principle }}', principles: [kindness]");
    int before = judge_server_requests(&server);
    run(line, ROW, (const char *const[]){"a", NULL});
    assert_int_equal(judge_server_requests(&server) - before, 3);
    SCOPED_JSON json_t *last = judge_server_get(&server, "/last");
    assert_string_equal(json_string_value(json_object_get(last, "model")), "m");
    assert_int_equal(json_integer_value(json_object_get(last, "top_k")), 5);
    assert_int_equal(json_integer_value(json_object_get(last, "max_tokens")), 1);
    const json_t *preface = json_array_get(json_object_get(last, "messages"), 0);
    assert_string_equal(json_string_value(json_object_get(preface, "content")), "Obey kindness");
}

/* ---- faults */

static void an_answer_without_a_verdict_is_no_score(void **state)
{
    (void)state;
    static const struct {
        const char *raw, *fault;
    } cases[] = {
        {"{}", "no_scores: choices[0].logprobs.content[0].top_logprobs is missing"},
        {"{\\\"choices\\\": [{\\\"logprobs\\\": null}]}", "no_scores"},
        {"{\\\"choices\\\": [{\\\"logprobs\\\": {\\\"content\\\": [{\\\"top_logprobs\\\": "
         "[{\\\"token\\\": 1}]}]}}]}",
         "no_scores: top_logprobs[0].token is no text"},
        {"{\\\"choices\\\": [{\\\"logprobs\\\": {\\\"content\\\": [{\\\"top_logprobs\\\": "
         "[{\\\"token\\\": \\\"The\\\", \\\"logprob\\\": -0.1}]}]}}]}",
         "no_scores: the labels have 0 of the probability"},
        {"{\\\"choices\\\": [{\\\"logprobs\\\": {\\\"content\\\": [{\\\"top_logprobs\\\": "
         "[{\\\"token\\\": \\\"A\\\", \\\"logprob\\\": null}]}]}}]}",
         "null: "},
        {"{\\\"choices\\\": [{\\\"logprobs\\\": {\\\"content\\\": [{\\\"top_logprobs\\\": "
         "[{\\\"token\\\": \\\"A\\\", \\\"logprob\\\": NaN}]}]}}]}",
         "nan: "},
        {"", "empty: "},
        {"[", "not_json: "},
    };
    SCOPED(line)
    line = line_open("labels: [A=1, B=0], template: '{{ {\"raw\": row.raw} | tojson }}'");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        SCOPED_MEM char *row = mem_printf("{\"prompt\": \"q\", \"raw\": \"%s\"}", cases[i].raw);
        run(line, row, (const char *const[]){"x", NULL});
        if (!strstr(line->failure, cases[i].fault))
            fail_msg("case %zu: '%s' has no '%s'", i, line->failure, cases[i].fault);
    }
}

static void hostile_texts_stay_data(void **state)
{
    (void)state;
    SCOPED(line) line = line_open(EACH ", labels: ['1=0', '2=0.5', '3=1']");
    run(line, ROW, (const char *const[]){"{{ row }}{% raw %}", "\"}, {\"", "aa\\\x01", NULL});
    assert_string_equal(line->failure, "");
    run(line, ROW, (const char *const[]){"\xff", NULL});
    assert_non_null(strstr(line->failure, "completion 0: not UTF-8"));
}

static void keys_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *keys, *part;
    } cases[] = {
        {"labels: [A=1, B=0]", "needs template or template_file"},
        {"template: x, template_file: /x, labels: [A=1, B=0]", "needs template or template_file"},
        {"template: x", "labels: verdict: logprobs needs two or more"},
        {"template: x, labels: [AAA, BBB]", "labels: 'AAA' is no label; allowed: TEXT=VALUE"},
        {"template: x, labels: [A=x, B=1]", "the value is no finite number"},
        {"template: x, labels: [A=1, a=0]", "labels: 'a' comes twice"},
        {"template: x, labels: [A=2, B=0], compare: pairs", "of pairs the value is 1 where"},
        {"template: x, verdict: regex", "pattern: verdict: regex needs one"},
        {"template: '{{', labels: [A=1, B=0]", "template:1"},
        {"template: x, labels: [A=1, B=0], compare: column", "column: compare: column needs one"},
        {"template: x, labels: [A=1, B=0], column: x", "column: compare: none reads none"},
        {"template: x, labels: [A=1, B=0], extra: '[]'", "extra: a list; an object is needed"},
        {"template: x, verdict: regex, pattern: x, range: [1, 1]", "range: [1, 1]"},
        {"template: x, labels: [A=1, B=0], key_file: k", "key_file"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct line *line;
        assert_err(ERR_INVALID, cases[i].part, line_try(cases[i].keys, &line));
        line_free(line);
    }
}

static int start(void **state)
{
    (void)state;
    server = judge_server_start("1.5");
    return 0;
}

static int stop(void **state)
{
    (void)state;
    judge_server_stop(&server);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_weigh_by_their_share),
        cmocka_unit_test(texts_are_read_by_a_pattern),
        cmocka_unit_test(both_orders_leave_no_bias),
        cmocka_unit_test(one_order_has_the_bias),
        cmocka_unit_test(rings_and_columns),
        cmocka_unit_test(equal_questions_are_asked_once),
        cmocka_unit_test(votes_differ_by_their_seed),
        cmocka_unit_test(an_answer_without_a_verdict_is_no_score),
        cmocka_unit_test(hostile_texts_stay_data),
        cmocka_unit_test(keys_are_checked),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
