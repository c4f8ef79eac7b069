/* The four addresses of each daemon: what answers at which, and to whom. */
#include "base/file.h"
#include "base/mem.h"
#include "steer/admin_client.h"
#include "svc/exit_status.h"
#include "testing/daemons.h"
#include "testing/process.h"
#include "testing/testing.h"
#include <string.h>

#define TOKEN "viewer-token-0123456789"

/* The code that a call of the method ends with, at an address. */
static enum err_code code_at(const char *address, const char *method)
{
    struct client client = {0};
    Rlhfd__Admin__V1__GetStatusRequest empty = RLHFD__ADMIN__V1__GET_STATUS_REQUEST__INIT;
    assert_ok(loop_new(&client.loop));
    assert_ok(rpc_new(client.loop, &client.rpc));
    assert_ok(rpc_channel_new(client.rpc, &(struct rpc_channel_options){.target = address},
                              &client.channel));
    try_call(&client, method, &empty.base, empty.base.descriptor); // takes any fields
    const enum err_code code = err_code(client.failed);
    client_done(&client);
    return code;
}

static void admin_is_on_the_admin_port_alone(const struct daemons *d)
{
    static const char *const admin[] = {"/rlhfd.admin.v1.Admin/GetStatus",
                                        "/rlhfd.admin.v1.LearnerAdmin/ListWorkers"};
    static const char reflection[] = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    for (int kind = LEARNER; kind < DAEMON_KINDS; kind++) {
        assert_int_equal(code_at(d->admin[kind], admin[0]), ERR_NONE);
        assert_int_equal(code_at(d->address[kind], admin[0]), ERR_UNIMPLEMENTED);
        assert_int_equal(code_at(d->address[kind], admin[1]), ERR_UNIMPLEMENTED);
        assert_int_equal(code_at(d->address[kind], reflection), ERR_UNIMPLEMENTED);
        assert_int_equal(code_at(d->address[kind], "/grpc.health.v1.Health/Check"), ERR_NONE);
        assert_int_equal(code_at(d->admin[kind], "/grpc.health.v1.Health/Check"), ERR_NONE);
    }
    assert_int_equal(code_at(d->admin[LEARNER], admin[1]), ERR_NONE);
}

static void says(const char *address, const char *path, const char *status, const char *end)
{
    SCOPED_MEM char *answer = daemons_get(address, path);
    const size_t len = strlen(answer), tail = strlen(end);
    if (!strstr(answer, status) || len < tail || strcmp(answer + len - tail, end) != 0)
        fail_msg("%s%s: no '%s' with '%s' at the end: %s", address, path, status, end, answer);
}

static void probes_say_one_word(const struct daemons *d)
{
    for (int kind = LEARNER; kind < DAEMON_KINDS; kind++) {
        says(d->probes[kind], "/livez", " 200 ", "\r\n\r\nok\n");
        says(d->probes[kind], "/metrics", " 404 ", "not found; there are /livez /readyz\n");
        says(d->metrics[kind], "/metrics", " 401 ", "Authorization: Bearer TOKEN is needed\n");
        says(d->metrics[kind], "/readyz", " 401 ", "Authorization: Bearer TOKEN is needed\n");
        says(d->metrics[kind], "/metrics?token=" TOKEN, " 400 ", "Authorization: Bearer TOKEN\n");
    }
}

/* No word of what it waits for, which its log has. */
static void a_probe_tells_no_reason(struct daemons *d)
{
    const char *path = testing_path(d->ring->run, "learner.log");
    daemons_kill(d, GENERATOR);
    for (const int64_t until = clock_ms() + 60000;; clock_sleep_ms(20)) {
        SCOPED_MEM char *log = file_text(path);
        if (strstr(log, "cause=no_generator"))
            break;
        if (clock_ms() > until)
            fail_msg("the learner misses no generator: %s", log);
    }
    says(d->probes[LEARNER], "/readyz", " 200 ", "\r\n\r\nok\n");
}

static void each_address_has_its_own(void **)
{
    struct ring ring =
        ring_prepare(&(struct ring_options){.rounds = 1000000, .groups = 8, .lag = 1});
    char *tokens = testing_path(ring.directory, "tokens");
    assert_ok(file_write_private(tokens, "viewer " TOKEN "\n", strlen("viewer " TOKEN "\n")));
    SCOPED_MEM char *settings = mem_printf("metrics.tokens=%s", tokens);
    struct daemons d = daemons_start(&ring, settings);
    admin_is_on_the_admin_port_alone(&d);
    probes_say_one_word(&d);
    a_probe_tells_no_reason(&d);
    daemons_kill(&d, REWARDER);
    daemons_kill(&d, LEARNER);
}

/* A port of the recipe is bound, beside free ones for the others. */
static void an_address_of_its_own_is_taken(void **)
{
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 1, .groups = 8, .lag = 1});
    struct daemons d = daemons_start(&ring, "learner.probes=0.0.0.0:0 learner.metrics=[::1]:0");
    assert_non_null(strstr(d.probes[LEARNER], "0.0.0.0:"));
    assert_non_null(strstr(d.metrics[LEARNER], "[::1]:"));
    says(d.probes[LEARNER], "/livez", " 200 ", "\r\n\r\nok\n");
    for (int kind = LEARNER; kind < DAEMON_KINDS; kind++)
        daemons_kill(&d, (enum daemon_kind)kind);
}

static void an_open_port_is_refused(void **)
{
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 1, .groups = 8, .lag = 1});
    char *output = NULL;
    assert_int_equal(process_run(&output, 60000, "rlhfd-learner", ring.recipe, "--run", ring.run,
                                 "--set", "learner.metrics=0.0.0.0:0", NULL),
                     EXIT_STATUS_USAGE);
    assert_non_null(strstr(output, "learner.metrics: '0.0.0.0:0' is open beyond this machine"));
    free(output);
    assert_int_equal(process_run(&output, 60000, "rlhfd-learner", ring.recipe, "--run", ring.run,
                                 "--set", "metrics.tokens=/nowhere", "--set",
                                 "learner.listen=127.0.0.1:0", NULL),
                     EXIT_STATUS_USAGE);
    assert_non_null(strstr(output, "metrics.tokens: '/nowhere': no such file"));
    free(output);
}

TESTS(cmocka_unit_test(each_address_has_its_own), cmocka_unit_test(an_address_of_its_own_is_taken),
      cmocka_unit_test(an_open_port_is_refused))
