/* A learner that grants more than was asked for, at once: the generator lives, keeps what it has
 * room for and gives the rest back. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "rpc/server.h"
#include "svc/loop.h"
#include "svc/security.h"
#include "testing/process.h"
#include "testing/ring.h"
#include "testing/testing.h"
#include "wire/lease.h"
#include "wire/rollout.h"
#include <stdlib.h>
#include <string.h>

enum { REPLIES = 12, GRANTS = REPLIES * LEASE_GRANTS_MAX, WAIT_MS = 120000, PROMPT = 200 };
enum { FEWEST = GRANTS - 2 * LEASE_GRANTS_MAX }; // come back

struct learner {
    struct loop *loop;
    struct loop_timer *poll;
    struct process *generator;
    bool granted;
    uint64_t returned;
    int64_t give_up_ms, quiet_ms; // since the last return
};

static void grant(struct rpc_call *call, uint64_t first)
{
    SCOPED_MEM struct lease_grant *grants = mem_array(LEASE_GRANTS_MAX, sizeof *grants);
    SCOPED_VALUE(bytes) out = {0};
    char row[PROMPT + 64], prompt[PROMPT + 1] = {0};
    memset(prompt, 'a', PROMPT);
    snprintf(row, sizeof row, "{\"prompt\": \"%s\", \"completion\": \"a\"}", prompt);
    for (uint64_t i = 0; i < LEASE_GRANTS_MAX; i++)
        grants[i] = (struct lease_grant){.id = group_id("test", 1, first + i, 1),
                                         .lineage = 1,
                                         .slot = first + i,
                                         .attempt = 1,
                                         .row = row,
                                         .deadline_ms = WAIT_MS};
    lease_reply_encode(&(struct lease_reply){.grants = LEASE_GRANTS_MAX, .grant = grants}, &out);
    SCOPED(rpc_message) message = rpc_message_copy(out.data, out.len);
    assert_true(rpc_call_send_message(call, message));
}

static void welcome(struct rpc_call *call)
{
    SCOPED_VALUE(bytes) out = {0};
    lease_reply_encode(&(struct lease_reply){.term = 1, .protocol = HELLO_PROTOCOL}, &out);
    SCOPED(rpc_message) message = rpc_message_copy(out.data, out.len);
    assert_true(rpc_call_send_message(call, message));
}

static void on_request(struct rpc_call *call, struct rpc_message *message,
                       const struct ProtobufCMessage *pb, void *user)
{
    (void)pb;
    struct learner *learner = user;
    struct lease_request request = {0};
    assert_ok(lease_request_decode(rpc_message_data(message), rpc_message_len(message), &request));
    if (!learner->granted)
        welcome(call);
    if (!learner->granted)
        for (uint64_t i = 0; i < REPLIES; i++)
            grant(call, i * LEASE_GRANTS_MAX);
    learner->granted = true;
    if (request.returns)
        learner->quiet_ms = clock_ms();
    learner->returned += request.returns;
    lease_request_done(&request);
}

/* Until what does not fit has come back, and nothing more for a while. */
static void poll(void *arg)
{
    enum { QUIET_MS = 2000 };
    struct learner *learner = arg;
    int status = process_wait(learner->generator, 5);
    if (status >= 0)
        fail_msg("the generator ended with status %d", status);
    if (clock_ms() > learner->give_up_ms)
        fail_msg("%d of %d grants came back", (int)learner->returned, GRANTS);
    if (learner->returned >= FEWEST && clock_ms() - learner->quiet_ms > QUIET_MS)
        loop_stop(learner->loop);
}

static void grants_beyond_what_fits_are_given_back(void **state)
{
    (void)state;
    static const struct rpc_method methods[] = {{.path = "/rlhfd.v1.Prompts/Lease",
                                                 .kind = RPC_BIDI,
                                                 .callers = CALLER_ANY,
                                                 .handlers = {.message = on_request}},
                                                {0}};
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 1, .groups = 8, .lag = 1});
    struct learner learner = {.give_up_ms = clock_ms() + WAIT_MS};
    struct rpc_service services[] = {{methods, &learner}};
    struct rpc *rpc;
    struct rpc_server *server;
    assert_ok(loop_new(&learner.loop));
    assert_ok(rpc_new(learner.loop, &rpc));
    assert_ok(rpc_server_start(
        rpc, &(struct rpc_server_options){.address = "127.0.0.1:0", RPC_SERVICES(services)},
        &server));
    SCOPED_MEM char *to = mem_printf("generator.learner=127.0.0.1:%d", rpc_server_port(server));
    SCOPED_MEM char *announce = mem_printf("%s/generator.json", ring.directory);
    struct process generator =
        process_start(ring.log, "rlhfd-generator", ring.recipe, "--announce", announce, "--set", to,
                      "--set", "generator.rewarder=127.0.0.1:9", "--set", "net.join_timeout_s=600",
                      "--set", "generator.listen=127.0.0.1:0", NULL);
    learner.generator = &generator;
    learner.poll = loop_timer_new(learner.loop, poll, &learner);
    loop_timer_start(learner.poll, 10, 10);
    assert_ok(loop_run(learner.loop));
    assert_in_range(learner.returned, FEWEST, GRANTS - 1);
    process_kill(&generator, SIGTERM);
    assert_int_equal(process_wait(&generator, WAIT_MS), 0);
    loop_timer_free(learner.poll);
    rpc_server_free(server);
    rpc_free(rpc);
    loop_free(learner.loop);
}

TESTS(cmocka_unit_test(grants_beyond_what_fits_are_given_back))
