/* The http scorer against a real server of testing/reward_server.py, over real sockets and through
 * the real pipeline: each shape, each fault by its name, and limits. */
#include "base/file.h"
#include "rewarder/pipeline.h"
#include "svc/loop.h"
#include "testing/certificates.h"
#include "testing/reward_server.h"
#include <sys/stat.h>

enum { COMPLETIONS = 5, MOST = 400 };

static const char *const texts[COMPLETIONS] = {"abc", "cab", "\xc3\xbc \"q\"\n", "", "zyx"};

static struct reward_server server;

struct line {
    struct recipe *recipe;
    struct loop *loop;
    struct pipeline *pipeline;
    size_t wanted, left;
    char failure[MOST][400]; // by slot; "": it has left with its columns
    double reward[MOST][COMPLETIONS];
};

static void on_left(void *arg, const struct group *group, void *tag)
{
    struct line *line = arg;
    (void)tag;
    snprintf(line->failure[group->slot], sizeof *line->failure, "%s",
             group->failure ? group->failure : "");
    for (uint32_t i = 0; i < COMPLETIONS; i++)
        line->reward[group->slot][i] = group->failure ? -1 : group_value(group, COLUMN_REWARD, i);
    if (++line->left == line->wanted)
        loop_stop(line->loop);
}

static int breaker; // of the lines that are opened; 0: a group that fails always leaves

static err_t line_try(const char *keys, struct line **ret)
{
    struct line *line = *ret = mem_new(sizeof *line);
    SCOPED_MEM char *text =
        mem_printf("rewarder: {scorers: [{kind: http, breaker: %d, %s}]}\n", breaker, keys);
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

/* The server's path, and more keys. */
static struct line *line_open(const char *path, const char *more)
{
    struct line *line;
    SCOPED_MEM char *url = reward_server_url(&server, path);
    SCOPED_MEM char *keys = mem_printf("url: \"%s\", %s", url, more);
    assert_ok(line_try(keys, &line));
    return line;
}

static struct group *group_of(uint64_t slot)
{
    struct group *group = mem_new(sizeof *group);
    *group = (struct group){.slot = slot,
                            .row = mem_string("{\"prompt\": \"q=\", \"completion\": \"abc\"}"),
                            .completions = COMPLETIONS,
                            .completion = mem_array(COMPLETIONS, sizeof(struct completion))};
    be64_store(group->id.byte, (slot + 1) * 0x9e3779b97f4a7c15u);
    for (uint32_t i = 0; i < COMPLETIONS; i++)
        group->completion[i] = (struct completion){.tokens = 1,
                                                   .text = mem_string(texts[i]),
                                                   .text_len = (uint32_t)strlen(texts[i]),
                                                   .finish = FINISH_EOS};
    return group;
}

static void run(struct line *line, size_t count)
{
    const size_t first = line->wanted;
    line->wanted += count;
    for (size_t slot = first; slot < first + count; slot++)
        pipeline_put(line->pipeline, group_of(slot), line);
    if (line->left < line->wanted)
        assert_ok(loop_run(line->loop));
    assert_int_equal(line->left, line->wanted);
}

static void stop_loop(void *arg)
{
    loop_stop(((struct line *)arg)->loop);
}

static void assert_scored(const struct line *line, size_t slot, const char *label)
{
    assert_string_equal(line->failure[slot], "");
    for (size_t i = 0; i < COMPLETIONS; i++)
        assert_near(line->reward[slot][i], reward_server_score(texts[i], label), 0);
}

/* ---- shapes */

static void each_shape_is_asked_and_read(void **)
{
    static const struct {
        const char *path, *keys, *label;
        int requests;
    } cases[] = {
        {"rlhfd", "shape: rlhfd", "abc", 1},
        {"rlhfd", "shape: rlhfd, batch: 2", "abc", 3},
        {"openrlhf", "shape: openrlhf, label_column: completion", "abc", 1},
        {"openrlhf", "shape: openrlhf, batch: 1", NULL, 5},
        {"slime", "shape: slime, label_column: completion", "abc", 5},
        {"slime_key", "shape: slime, score_key: score", NULL, 5},
        {"classify", "shape: classify, model: rm", NULL, 5},
        {"classify", "shape: classify, model: rm, batch: 4", NULL, 2},
        {"embeddings", "shape: embeddings, model: rm", NULL, 5},
        {"embeddings", "shape: embeddings, model: rm, batch: 5", NULL, 1},
        {"nemo_gym", "shape: nemo_gym", "abc", 5},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int before = reward_server_count(&server, "requests");
        SCOPED(line) line = line_open(cases[i].path, cases[i].keys);
        run(line, 1);
        assert_scored(line, 0, cases[i].label);
        assert_int_equal(reward_server_count(&server, "requests") - before, cases[i].requests);
    }
}

/* ---- faults */

static void each_fault_is_named_and_no_score(void **)
{
    static const struct {
        const char *fault, *shape, *name;
    } cases[] = {
        {"closed", "rlhfd", "cut: "},
        {"reset", "rlhfd", "cut: "},
        {"half_body", "rlhfd", "cut: "},
        {"half_chunks", "slime", "cut: "},
        {"unframed", "slime", "cut: neither Content-Length nor chunks"},
        {"slow_loris", "rlhfd", "late: no whole answer in 300 ms"},
        {"slow_body", "rlhfd", "late: "},
        {"hang", "rlhfd", "late: no whole answer in 300 ms (0 bytes came)"},
        {"not_http", "rlhfd", "not_http: "},
        {"old_http", "rlhfd", "not_http: "},
        {"endless_headers", "rlhfd", "too_long: "},
        {"many_continues", "rlhfd", "too_long: "},
        {"endless_body", "rlhfd", "too_long: "},
        {"status_500", "rlhfd", "server_error: status 500"},
        {"status_502", "slime", "server_error: status 502: 0.0"},
        {"status_503", "rlhfd", "server_error: status 503"},
        {"status_999", "rlhfd", "server_error: status 999"},
        {"status_429", "rlhfd", "busy: status 429"},
        {"status_401", "rlhfd", "denied: status 401"},
        {"status_404", "rlhfd", "not_found: status 404"},
        {"status_302", "rlhfd", "redirected: status 302"},
        {"status_400", "rlhfd", "refused: status 400"},
        {"empty", "slime", "empty: "},
        {"blank", "rlhfd", "empty: "},
        {"html", "rlhfd", "not_json: "},
        {"half_json", "rlhfd", "not_json: "},
        {"behind_json", "slime", "not_json: "},
        {"twice", "rlhfd", "not_json: "},
        {"deep", "rlhfd", "not_json: "},
        {"not_utf8", "rlhfd", "not_json: "},
        {"no_member", "rlhfd", "no_scores: no 'id'; the answer has 'error'"},
        {"no_member", "openrlhf", "no_scores: no 'rewards'"},
        {"no_member", "slime", "not_a_number: the answer is an object"},
        {"no_member", "nemo_gym", "no_scores: no 'reward'"},
        {"no_member", "classify", "no_scores: no 'data'"},
        {"masked", "nemo_gym", "no_scores: mask_sample: "},
        {"short_list", "rlhfd", "short_list: scores has 4 values for 5"},
        {"short_list", "openrlhf", "short_list: rewards has 4"},
        {"short_list", "classify", "short_list: data has 0"},
        {"long_list", "rlhfd", "long_list: scores has 6"},
        {"long_list", "embeddings", "long_list: data has 2"},
        {"null", "rlhfd", "null: scores[0]"},
        {"null", "nemo_gym", "null: reward"},
        {"nan", "rlhfd", "nan: "},
        {"nan", "slime", "nan: "},
        {"infinite", "openrlhf", "infinite: "},
        {"overflow", "classify", "infinite: "},
        {"too_large", "embeddings", "too_large: embedding is 1e+300"},
        {"text_score", "rlhfd", "not_a_number: scores[0] is text"},
        {"truth_score", "slime", "not_a_number: the answer is a boolean"},
        {"list_score", "classify", "not_a_number: probs is a list"},
        {"wrong_id", "rlhfd", "wrong_id: "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        SCOPED_MEM char *path = mem_printf("fault/%s/%s", cases[i].fault, cases[i].shape);
        SCOPED_MEM char *keys = mem_printf(
            "shape: %s, tries: 1, attempts: 1, timeout_ms: 300, answer_mib: 1", cases[i].shape);
        SCOPED_MEM char *part = mem_printf("/%s: %s", cases[i].shape, cases[i].name);
        SCOPED(line) line = line_open(path, keys);
        run(line, 1);
        if (!strstr(line->failure[0], part))
            fail_msg("%s: '%s', wanted '%s'", path, line->failure[0], part);
    }
}

/* Each of these would give 0 for what the server scores with 1 at least. */
static void a_fault_is_tried_again_and_costs_nothing(void **)
{
    static const char *const faults[] = {"closed",     "half_body", "two_answers", "hang",
                                         "short_list", "nan",       "status_500"};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        SCOPED_MEM char *path = mem_printf("first/3/%s/rlhfd", faults[i]);
        SCOPED(line) line = line_open(path, "tries: 2, attempts: 2, timeout_ms: 300");
        run(line, 1);
        assert_scored(line, 0, "abc"); // the fourth try, in the second attempt
    }
    SCOPED(line) final = line_open("first/1/status_400/rlhfd", "tries: 2, attempts: 2");
    run(final, 1);
    assert_non_null(strstr(final->failure[0], "refused: status 400"));
    assert_null(strstr(final->failure[0], "try")); // the same bytes would be refused again
}

static void a_mix_of_faults_changes_no_reward(void **)
{
    static const char *const shapes[] = {"rlhfd", "slime"};
    for (size_t i = 0; i < 2; i++) {
        SCOPED_MEM char *path = mem_printf("mix/100/%s", shapes[i]);
        SCOPED_MEM char *keys = mem_printf(
            "shape: %s, tries: 6, attempts: 5, timeout_ms: 200, label_column: completion",
            shapes[i]);
        SCOPED(line) line = line_open(path, keys);
        run(line, i ? 60 : 250);
        for (size_t slot = 0; slot < line->wanted; slot++)
            assert_scored(line, slot, "abc");
    }
}

/* The server comes up once the stage is open. */
static void a_server_that_is_not_there_is_waited_for(void **)
{
    struct reward_server own = reward_server_start(NULL, NULL, NULL, NULL);
    SCOPED_MEM char *port = mem_printf("%d", own.port);
    SCOPED_MEM char *url = reward_server_url(&own, "rlhfd");
    SCOPED_MEM char *keys = mem_printf("url: \"%s\", tries: 1, deadline_ms: 300", url);
    struct line *line;
    breaker = 2;
    assert_ok(line_try(keys, &line));
    breaker = 0;
    run(line, 2);
    reward_server_stop(&own);
    line->wanted += 4;
    for (size_t slot = 2; slot < 6; slot++)
        pipeline_put(line->pipeline, group_of(slot), line);
    struct loop_timer *timer = loop_timer_new(line->loop, stop_loop, line);
    loop_timer_start(timer, 700, 0);
    assert_ok(loop_run(line->loop));
    assert_int_equal(line->left, 2); // beyond every deadline, and none has left
    own = reward_server_start("--port", port, NULL, NULL);
    assert_ok(loop_run(line->loop));
    loop_timer_free(timer);
    assert_int_equal(line->left, 6);
    for (size_t slot = 0; slot < 6; slot++)
        assert_scored(line, slot, "abc");
    line_free(line);
    reward_server_stop(&own);
}

static void nobody_there_is_named(void **)
{
    struct line *line;
    assert_ok(line_try("url: \"http://127.0.0.1:1/x\", tries: 2, attempts: 2", &line));
    run(line, 1);
    assert_non_null(strstr(line->failure[0], "rewarder.scorers[0]: kind 'http': attempt 2 of 2: "
                                             "try 2 of 2: http://127.0.0.1:1/x: unreachable: "));
    line_free(line);
    assert_ok(line_try("url: \"http://no.such.name.invalid/x\", tries: 1, attempts: 1", &line));
    run(line, 1);
    assert_non_null(strstr(line->failure[0], "unreachable: "));
    line_free(line);
}

/* ---- limits */

static void no_more_are_asked_at_a_time_than_allowed(void **)
{
    struct reward_server own = reward_server_start(NULL, NULL, NULL, NULL);
    SCOPED_MEM char *url = reward_server_url(&own, "slime");
    SCOPED_MEM char *keys = mem_printf("url: \"%s\", shape: slime, concurrency: 3", url);
    struct line *line;
    assert_ok(line_try(keys, &line));
    run(line, 40);
    for (size_t slot = 0; slot < 40; slot++)
        assert_scored(line, slot, NULL);
    line_free(line);
    assert_int_equal(reward_server_count(&own, "requests"), 40 * COMPLETIONS);
    assert_true(reward_server_count(&own, "most_under_way") <= 3);
    assert_true(reward_server_count(&own, "connections") <= 3 + 3); // and one for each look
    reward_server_stop(&own);
}

static void the_groups_deadline_ends_its_requests(void **)
{
    SCOPED(line) line = line_open("fault/hang/rlhfd", "deadline_ms: 200");
    const double begun = clock_s();
    run(line, 20);
    assert_true(clock_s() - begun < 10);
    for (size_t slot = 0; slot < 20; slot++)
        assert_true(strstr(line->failure[slot], "no answer in 200 ms (deadline_ms)") ||
                    strstr(line->failure[slot], "late: "));
}

static void it_ends_with_requests_under_way(void **)
{
    struct line *line = line_open("fault/hang/slime", "shape: slime, concurrency: 4");
    const double begun = clock_s();
    for (size_t slot = 0; slot < 30; slot++)
        pipeline_put(line->pipeline, group_of(slot), line);
    line_free(line);
    assert_true(clock_s() - begun < 5);
}

/* ---- keys and certificates */

static void a_key_that_rotates_is_read_again(void **)
{
    const char *path = testing_path(testing_directory(), "key");
    struct line *line;
    assert_ok(file_write_private(path, "first-key\n", 10));
    struct reward_server own = reward_server_start("--key", path, NULL, NULL);
    SCOPED_MEM char *url = reward_server_url(&own, "rlhfd");
    SCOPED_MEM char *keys = mem_printf("url: \"%s\", key_file: %s", url, path);
    assert_ok(line_try(keys, &line));
    run(line, 1);
    assert_ok(file_write_private(path, "another-key", 11));
    run(line, 1);
    assert_scored(line, 0, "abc");
    assert_scored(line, 1, "abc");
    assert_int_equal(reward_server_count(&own, "denied"), 0);
    assert_int_equal(chmod(path, 0644), 0);
    run(line, 1);
    assert_non_null(strstr(line->failure[2], "no_key: "));
    assert_non_null(strstr(line->failure[2], "is open to others (mode 644)"));
    assert_int_equal(chmod(path, 0600), 0);
    run(line, 1);
    assert_scored(line, 3, "abc");
    line_free(line);
    reward_server_stop(&own);
}

static void tls_is_held_to_its_authority(void **)
{
    const char *good = testing_directory(), *bad = testing_directory();
    struct authority *ours = authority_new("ours"), *others = authority_new("others");
    authority_issue(ours, &(struct certificate){.uri = "spiffe://t/r", .dns = "localhost"}, good);
    authority_issue(others, &(struct certificate){.uri = "spiffe://t/r", .dns = "localhost"}, bad);
    struct reward_server own = reward_server_start("--tls", good, NULL, NULL);
    static const struct {
        const char *host, *ca, *part;
    } cases[] = {{"localhost", "good", ""},
                 {"127.0.0.1", "good", "untrusted: "}, // the certificate does not name it
                 {"localhost", "bad", "untrusted: "},
                 {"localhost", NULL, "untrusted: "}};
    for (size_t i = 0; i < 4; i++) {
        const char *ca =
            cases[i].ca ? testing_path(*cases[i].ca == 'g' ? good : bad, "ca.crt") : "";
        SCOPED_MEM char *keys =
            mem_printf("url: \"https://%s:%d/rlhfd\", ca_file: \"%s\", tries: 1, attempts: 1",
                       cases[i].host, own.port, ca);
        struct line *line;
        assert_ok(line_try(keys, &line));
        run(line, 2);
        for (size_t slot = 0; slot < 2; slot++)
            if (!strstr(line->failure[slot], cases[i].part) ||
                (!*cases[i].part && *line->failure[slot]))
                fail_msg("case %zu: '%s', wanted '%s'", i, line->failure[slot], cases[i].part);
        line_free(line);
    }
    reward_server_stop(&own);
    authority_free(ours);
    authority_free(others);
}

/* ---- the recipe */

static void wrong_keys_are_refused(void **)
{
    static const struct {
        const char *keys, *part;
    } cases[] = {
        {"shape: rlhfd", "kind 'http' needs url"},
        {"url: \"ftp://h/x\"", "url: 'ftp://h/x': http and https are allowed"},
        {"url: \"nothing at all\"", "url: 'nothing at all' is none"},
        {"url: \"http://me:pw@h/x\"", "no user, password or fragment is allowed"},
        {"url: \"http://h/x\", shape: trl", "rewarder.scorers[0].shape: 'trl'"},
        {"url: \"http://h/x\", shape: slime, batch: 2", "shape 'slime' has 1"},
        {"url: \"http://h/x\", score_key: a", "score_key: shape 'rlhfd' does not read it"},
        {"url: \"http://h/x\", ca_file: /no/such", "ca_file: "},
        {"url: \"http://h/x\", key_file: /no/such", "key_file: "},
        {"url: \"http://h/x\", template: /no/such", "template: "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct line *line;
        err_t failed = line_try(cases[i].keys, &line);
        if (!strstr(err_message(failed), cases[i].part))
            fail_msg("'%s': '%s', wanted '%s'", cases[i].keys, err_message(failed), cases[i].part);
        err_free(failed);
        line_free(line);
    }
}

static int begin(void **)
{
    server = reward_server_start(NULL, NULL, NULL, NULL);
    return 0;
}

static int end(void **)
{
    reward_server_stop(&server);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_shape_is_asked_and_read),
        cmocka_unit_test(each_fault_is_named_and_no_score),
        cmocka_unit_test(a_fault_is_tried_again_and_costs_nothing),
        cmocka_unit_test(a_mix_of_faults_changes_no_reward),
        cmocka_unit_test(a_server_that_is_not_there_is_waited_for),
        cmocka_unit_test(nobody_there_is_named),
        cmocka_unit_test(no_more_are_asked_at_a_time_than_allowed),
        cmocka_unit_test(the_groups_deadline_ends_its_requests),
        cmocka_unit_test(it_ends_with_requests_under_way),
        cmocka_unit_test(a_key_that_rotates_is_read_again),
        cmocka_unit_test(tls_is_held_to_its_authority),
        cmocka_unit_test(wrong_keys_are_refused),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
