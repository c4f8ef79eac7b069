/* A real ring whose rewards are the verdicts of a judge that likes the first place, on pairs in
 * both orders. The way of asking changes no weights: with the cache or without, two requests at a
 * time or many. One order alone trains others. */
#include "testing/daemons.h"
#include "testing/golden.h"
#include "testing/judge_server.h"

enum { ROUNDS = 6, GROUPS = 8, RUN_MS = 180000 };

/* A ring whose judge has these keys; its versions' digests. */
static json_t *train(const struct judge_server *server, const char *keys)
{
    SCOPED_MEM char *scorers = mem_printf(
        "[{kind: judge, url: \"http://127.0.0.1:%d/v1/chat/completions\", compare: pairs, labels: "
        "[A=1, B=0], template: '{{ {\"first\": first, \"second\": second} | tojson }}', %s}]",
        server->port, keys);
    struct ring ring = ring_prepare(&(struct ring_options){
        .rounds = ROUNDS, .groups = GROUPS, .prompts = ROUNDS * GROUPS, .scorers = scorers});
    struct process up =
        process_start(ring.log, "rlhfctl", "up", ring.recipe, "--run", ring.run, NULL);
    const int status = process_wait(&up, RUN_MS);
    if (status)
        file_print_end(keys, ring.log);
    assert_int_equal(status, 0);
    assert_int_equal(ring_read(&ring).rounds, ROUNDS);
    ring_audit(&ring);
    return golden_versions(ring.recipe, ring.run, "policy", ROUNDS);
}

static void both_orders_train_without_the_bias(void **state)
{
    (void)state;
    struct judge_server server = judge_server_start("1.5");
    SCOPED_JSON json_t *cached = train(&server, "concurrency: 32");
    const int asked = judge_server_requests(&server);
    SCOPED_JSON json_t *again = train(&server, "cache: 0, concurrency: 2");
    const int asked_again = judge_server_requests(&server) - asked;
    SCOPED_JSON json_t *one = train(&server, "order: first");
    print_message("%d requests with the cache, %d without\n", asked, asked_again);
    assert_true(asked > 0 && asked <= asked_again);
    assert_true(json_equal(cached, again));
    assert_false(json_equal(cached, one));
    judge_server_stop(&server);
}

TESTS(cmocka_unit_test(both_orders_train_without_the_bias))
