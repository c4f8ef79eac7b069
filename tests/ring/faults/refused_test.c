/* A worker that would burn the run's data is refused before it has a lease: by another recipe or
 * model, or at the wrong daemon. It ends with one line that names the difference. One whose peer
 * never answers ends as well. */
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "rpc/server.h"
#include "svc/loop.h"
#include "svc/security.h"
#include "svc/svc.h"
#include "testing/daemons.h"
#include "testing/testing.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WAIT_MS = 60000 };

struct stage {
    struct ring ring;
    struct daemons daemons;
};

static void open_stage(struct stage *stage)
{
    /* A short lease: of a grant that is on its way when a generator ends nobody hears any more. */
    stage->ring = ring_prepare(&(struct ring_options){
        .rounds = 1000000, .groups = 8, .lag = 1, .learner = "objective: rloo, lease_ms: 10000"});
    stage->daemons = daemons_start(&stage->ring, "");
    ring_wait_rounds(&stage->ring, 2, WAIT_MS);
}

/* Nothing was lost by those who were refused: the run goes on, and every group was trained or
 * waits. */
static void close_stage(struct stage *stage)
{
    ring_wait_rounds(&stage->ring, ring_read(&stage->ring).rounds + 3, WAIT_MS);
    assert_int_equal((int)daemons_metric(&stage->daemons, LEARNER,
                                         "rlhfd_groups_appended_total{outcome=\"rejected\"}"),
                     0);
    process_kill(&stage->daemons.process[LEARNER], SIGTERM);
    assert_int_equal(daemons_wait_learner(&stage->daemons, WAIT_MS), 0);
    ring_audit(&stage->ring);
}

/* One error is logged, and every part is in its line. */
static void assert_says(const char *output, int status, int wanted, const char *const *parts)
{
    const char *line = strstr(output, " error ");
    bool all = line && status == wanted;
    for (size_t i = 0; all && parts[i]; i++)
        all = strstr(line, parts[i]) != NULL;
    for (size_t i = 0; !all && parts[i]; i++)
        print_error("wanted '%s'\n", parts[i]);
    if (!all)
        print_error("status %d, wanted %d:\n%s\n", status, wanted, output);
    assert_true(all);
    assert_null(strstr(strchr(line, 10), " error "));
}

static char *to(const struct stage *stage, const char *key, enum daemon_kind kind)
{
    return mem_printf("%s=%s", key, stage->daemons.address[kind]);
}

static void generator_is_refused(const struct stage *stage, const char *set,
                                 const char *const *parts)
{
    char *output;
    SCOPED_MEM char *learner = to(stage, "generator.learner", LEARNER);
    SCOPED_MEM char *rewarder = to(stage, "generator.rewarder", REWARDER);
    int status = process_run(&output, WAIT_MS, "rlhfd-generator", stage->ring.recipe, "--set",
                             learner, "--set", rewarder, "--set", "generator.listen=127.0.0.1:0",
                             "--set", "generator.name=other", "--set", set, NULL);
    assert_says(output, status, EXIT_STATUS_REFUSED, parts);
    free(output);
}

static void rewarder_is_refused(const struct stage *stage, const char *set,
                                const char *const *parts)
{
    char *output;
    SCOPED_MEM char *learner = to(stage, "rewarder.learner", LEARNER);
    int status = process_run(&output, WAIT_MS, "rlhfd-rewarder", stage->ring.recipe, "--set",
                             learner, "--set", "rewarder.listen=127.0.0.1:0", "--set", set, NULL);
    assert_says(output, status, EXIT_STATUS_REFUSED, parts);
    free(output);
}

static void a_generator_of_another_recipe(void **state)
{
    (void)state;
    static const struct {
        const char *set, *key, *theirs, *ours;
    } rows[] = {
        {"generator.temperature=0.5", "generator.temperature", "0.5 there", "1 here"},
        {"generator.num_generations=2", "generator.num_generations", "2 there", "4 here"},
        {"generator.max_tokens=7", "generator.max_tokens", "7 there", "8 here"},
        {"generator.top_p=0.5", "generator.top_p", "0.5 there", "1 here"},
        {"generator.top_k=3", "generator.top_k", "3 there", "0 here"},
        {"generator.min_p=0.25", "generator.min_p", "0.25 there", "0 here"},
        {"generator.repetition_penalty=1.5", "generator.repetition_penalty", "1.5 there", "here"},
        {"generator.stop=a", "generator.stop ", "a", "[] here"},
        {"generator.in_flight=finish", "generator.in_flight", "finish there", "continue here"},
        {"run.seed=2", "run.seed", "2 there", "1 here"},
        {"model.kv=fp32", "model.kv", "fp32 there", "bf16 here"},
        {"data.prompt_column=completion", "data.prompt_column", "completion\" there",
         "prompt\" here"},
        {"data.max_prompt_tokens=9", "data.max_prompt_tokens", "9 there", "512 here"},
        {"eval.temperature=0.5", "eval.temperature", "0.5 there", "0 here"},
        {"run.name=another", "run", "another", "test"},
    };
    struct stage stage;
    open_stage(&stage);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        generator_is_refused(&stage, rows[i].set,
                             (const char *const[]){"code=PRECONDITION", "refused by the learner",
                                                   rows[i].key, rows[i].theirs, rows[i].ours,
                                                   NULL});
    close_stage(&stage);
}

/* The same shapes, but other texts by the same tokens; and other shapes. */
static void a_generator_of_another_model(void **state)
{
    (void)state;
    struct stage stage;
    char *output;
    open_stage(&stage);
    const char *other = testing_path(stage.ring.directory, "other");
    const char *text = testing_path(stage.ring.directory, "text.jsonl");
    static const char rows[] =
        "{\"prompt\": \"ZYXWVUTSRQPONMLKJIHGFEDCBA>\", \"completion\": \"\"}\n";
    assert_ok(file_write(text, rows, strlen(rows)));
    SCOPED_MEM char *set = mem_printf("model.path=%s", other);
    assert_int_equal(process_run(&output, WAIT_MS, "rlhfctl", "tokenizer", "train", text,
                                 "--alphabet", "data", "--vocab", "29", "--out", other, NULL),
                     0);
    free(output);
    assert_int_equal(process_run(&output, WAIT_MS, "rlhfctl", "model", "new", other, "--layers",
                                 "2", "--width", "32", "--heads", "2", "--ff", "64",
                                 "--max-positions", "128", "--seed", "3", NULL),
                     0);
    free(output);
    generator_is_refused(&stage, set,
                         (const char *const[]){"model.config is", "positions=128", "positions=256",
                                               "model.tokenizer is", NULL});
    close_stage(&stage);
}

static void a_rewarder_of_another_recipe(void **state)
{
    (void)state;
    struct stage stage;
    char *text;
    open_stage(&stage);
    rewarder_is_refused(&stage, "rewarder.reference=frozen",
                        (const char *const[]){"code=PRECONDITION",
                                              "rewarder.reference is frozen there, none here",
                                              NULL});
    rewarder_is_refused(
        &stage, "run.name=another",
        (const char *const[]){"run.name is \"another\" there, \"test\" here", NULL});
    text = file_text(stage.ring.recipe);
    char *weight = strstr(text, "max: 6");
    assert_non_null(weight);
    weight[5] = '7';
    assert_ok(file_write(stage.ring.recipe, text, strlen(text)));
    rewarder_is_refused(
        &stage, "run.seed=1",
        (const char *const[]){"rewarder.scorers is ", "7", " there, ", "6", " here", NULL});
    weight[5] = '6';
    assert_ok(file_write(stage.ring.recipe, text, strlen(text)));
    free(text);
    close_stage(&stage);
}

static void wait_file(const char *path)
{
    for (int64_t until = clock_ms() + WAIT_MS; !file_exists(path); clock_sleep_ms(10))
        assert_true(clock_ms() < until);
}

static void wait_metric(const char *http, const char *name, double least)
{
    for (int64_t until = clock_ms() + WAIT_MS; daemons_metric_at(http, name) < least;) {
        assert_true(clock_ms() < until);
        clock_sleep_ms(20);
    }
}

/* What may be changed while the run goes on may differ. */
static void what_is_live_may_differ(void **state)
{
    (void)state;
    struct stage stage;
    open_stage(&stage);
    struct extra extra = daemons_extra(
        &stage.daemons, "live", "lag.max=3 run.rounds=7 learner.optimizer.lr=0.5 publish.every=2");
    wait_metric(stage.daemons.metrics[LEARNER], "rlhfd_generators_connected", 2);
    wait_metric(extra.metrics, "rlhfd_groups_delivered_total", 3);
    process_kill(&extra.process, SIGTERM);
    assert_int_equal(process_wait(&extra.process, WAIT_MS), 0);
    close_stage(&stage);
}

/* ---- peers that do not answer */

/* Accepts connections in the system's name, and nobody reads them. The caller closes it. */
static int deaf_socket(char address[32])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    snprintf(address, 32, "127.0.0.1:%d", ntohs(at.sin_port));
    return fd;
}

/* Its first group is refused; it gives all leases back, so that nobody waits for them, and ends. */
static void a_generator_at_another_runs_rewarder(void **state)
{
    (void)state;
    struct stage stage;
    char address[32];
    open_stage(&stage);
    int fd = deaf_socket(address);
    SCOPED_MEM char *log = file_join(stage.ring.directory, "wrong.log");
    SCOPED_MEM char *announce = file_join(stage.ring.directory, "wrong.json");
    SCOPED_MEM char *learner = mem_printf("rewarder.learner=%s", address);
    struct process rewarder = process_start(log, "rlhfd-rewarder", stage.ring.recipe, "--announce",
                                            announce, "--set", learner, "--set", "run.name=another",
                                            "--set", "rewarder.listen=127.0.0.1:0", NULL);
    wait_file(announce);
    SCOPED_JSON json_t *at = NULL;
    const char *listen = NULL;
    assert_ok(json_read_file(announce, 1 << 16, &at));
    assert_ok(json_get_text(at, announce, "listen", &listen));
    snprintf(stage.daemons.address[REWARDER], sizeof stage.daemons.address[REWARDER], "%s", listen);
    generator_is_refused(&stage, "run.seed=1",
                         (const char *const[]){"code=PRECONDITION", "refused by the rewarder",
                                               "this rewarder scores run 'another', not 'test'",
                                               NULL});
    process_kill(&rewarder, SIGTERM);
    assert_int_equal(process_wait(&rewarder, WAIT_MS), 0);
    close(fd);
    close_stage(&stage);
}

static void ends_in_time(const char *daemon, const char *peer, const char *address,
                         const struct ring *ring, const char *who)
{
    char *output;
    SCOPED_MEM char *set = mem_printf("%s=%s", peer, address);
    SCOPED_MEM char *listen = mem_printf("%s.listen=127.0.0.1:0", daemon + strlen("rlhfd-"));
    SCOPED_MEM char *part = mem_printf("the %s was not reached in 2 s (net.join_timeout_s)", who);
    int status = process_run(&output, WAIT_MS, daemon, ring->recipe, "--set", set, "--set", listen,
                             "--set", "net.join_timeout_s=2", NULL);
    assert_says(output, status, EXIT_STATUS_UNREACHABLE, (const char *const[]){part, NULL});
    free(output);
}

static void a_socket_that_nobody_reads(void **state)
{
    (void)state;
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 2, .groups = 8, .lag = 1});
    char address[32];
    int fd = deaf_socket(address);
    ends_in_time("rlhfd-rewarder", "rewarder.learner", address, &ring, "learner");
    ends_in_time("rlhfd-generator", "generator.learner", address, &ring, "learner");
    close(fd);
}

/* A server that accepts every stream and never says a word. */
struct silence {
    struct loop *loop;
    struct process process;
    int status;
};

typedef void (*answer_fn)(struct rpc_call *call, struct rpc_message *message,
                          const struct ProtobufCMessage *pb, void *user);

static void say_nothing(struct rpc_call *call, struct rpc_message *message,
                        const struct ProtobufCMessage *pb, void *user)
{
    (void)call, (void)message, (void)pb, (void)user;
}

static void look_for_end(void *arg)
{
    struct silence *silence = arg;
    silence->status = process_wait(&silence->process, 1);
    if (silence->status >= 0)
        loop_stop(silence->loop);
}

/* Runs a rewarder and a generator against a learner that answers so; each ends with this status and
 * these words. */
static void end_at_learner(answer_fn append, answer_fn lease, int status, const char *says)
{
    const struct rpc_method methods[] = {
        {"/rlhfd.v1.Replay/Append", NULL, NULL, RPC_BIDI, CALLER_ANY, {.message = append}, 0},
        {"/rlhfd.v1.Prompts/Lease", NULL, NULL, RPC_BIDI, CALLER_ANY, {.message = lease}, 0},
        {.path = "/rlhfd.v1.Weights/Subscribe",
         .kind = RPC_BIDI,
         .callers = CALLER_ANY,
         .handlers = {.message = say_nothing}},
        {0},
    };
    static const struct {
        const char *daemon, *key, *listen;
    } rows[] = {{"rlhfd-rewarder", "rewarder.learner", "rewarder.listen=127.0.0.1:0"},
                {"rlhfd-generator", "generator.learner", "generator.listen=127.0.0.1:0"}};
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 2, .groups = 8, .lag = 1});
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct silence silence = {.status = -1};
        const struct rpc_service services[] = {{methods, NULL}};
        SCOPED(loop) loop = NULL;
        SCOPED(rpc) rpc = NULL;
        SCOPED(rpc_server) server = NULL;
        const char *log = testing_path(ring.directory, rows[i].daemon);
        assert_ok(loop_new(&loop));
        assert_ok(rpc_new(loop, &rpc));
        assert_ok(rpc_server_start(
            rpc, &(struct rpc_server_options){.address = "127.0.0.1:0", RPC_SERVICES(services)},
            &server));
        SCOPED_MEM char *set = mem_printf("%s=127.0.0.1:%d", rows[i].key, rpc_server_port(server));
        SCOPED(loop_timer) timer = loop_timer_new(loop, look_for_end, &silence);
        silence.loop = loop;
        silence.process = process_start(log, rows[i].daemon, ring.recipe, "--set", set, "--set",
                                        rows[i].listen, "--set", "net.join_timeout_s=2", NULL);
        loop_timer_start(timer, 20, 20);
        assert_ok(loop_run(loop));
        SCOPED_MEM char *output = file_text(log);
        assert_says(output, silence.status, status, (const char *const[]){says, NULL});
    }
}

static void a_peer_that_answers_no_hello(void **state)
{
    (void)state;
    end_at_learner(say_nothing, say_nothing, EXIT_STATUS_UNREACHABLE,
                   "the learner was not reached in 2 s");
}

/* Forged: the answer that a build of another protocol gives to a hello. */
static void answer(struct rpc_call *call, const struct bytes *bytes)
{
    SCOPED(rpc_message) message = rpc_message_copy(bytes->data, bytes->len);
    rpc_call_send_message(call, message);
}

static void welcome_otherwise(struct rpc_call *call, struct rpc_message *message,
                              const struct ProtobufCMessage *pb, void *user)
{
    (void)message, (void)pb, (void)user;
    SCOPED_VALUE(bytes) out = {0};
    bytes_put(&out, "\x20\x01\x28\x63", 4); // Disposition {welcome: true, protocol: 99}
    answer(call, &out);
}

static void grant_otherwise(struct rpc_call *call, struct rpc_message *message,
                            const struct ProtobufCMessage *pb, void *user)
{
    (void)message, (void)pb, (void)user;
    SCOPED_VALUE(bytes) out = {0};
    bytes_put(&out, "\x30\x01\x38\x63", 4); // LeaseReply {term: 1, protocol: 99}
    answer(call, &out);
}

static void a_learner_of_another_build(void **state)
{
    (void)state;
    end_at_learner(welcome_otherwise, grant_otherwise, 4,
                   "speaks protocol 99, this process 4: start daemons of one build");
}

/* A learner on a backend's module: its exit status and output. It is killed once it listens. */
static int learn_on(const char *module, char **ret_output)
{
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 2, .groups = 8, .lag = 1});
    SCOPED_MEM char *kept = mem_string(getenv("RLHFD_BACKEND"));
    SCOPED_MEM char *announce = file_join(ring.directory, "learner.json");
    setenv("RLHFD_BACKEND", module, 1);
    struct process learner =
        process_start(ring.log, "rlhfd-learner", ring.recipe, "--run", ring.run, "--announce",
                      announce, "--set", "learner.listen=127.0.0.1:0", NULL);
    unsetenv("RLHFD_BACKEND");
    if (kept)
        setenv("RLHFD_BACKEND", kept, 1);
    int status = -1;
    for (int64_t until = clock_ms() + WAIT_MS;
         status < 0 && clock_ms() < until && !file_exists(announce);)
        status = process_wait(&learner, 20);
    if (status < 0) {
        process_kill(&learner, SIGKILL);
        status = process_wait(&learner, WAIT_MS);
    }
    *ret_output = file_text(ring.log);
    return status;
}

static void a_learner_whose_training_does_not_repeat(void **state)
{
    (void)state;
    char *output;
    int status = learn_on(MODULE_UNREPEATABLE, &output);
    assert_says(output, status, EXIT_STATUS_USAGE,
                (const char *const[]){"code=INVALID", "the training of backend 'cpu'",
                                      "is not repeatable", "another backend", NULL});
    mem_free(output);
    status = learn_on(MODULE_WHOLE, &output); // the same way in, and training that repeats
    if (status != 128 + SIGKILL || !strstr(output, "listening") || strstr(output, " error "))
        fail_msg("status %d:\n%s", status, output);
    mem_free(output);
}

TESTS(cmocka_unit_test(a_generator_of_another_recipe),
      cmocka_unit_test(a_generator_of_another_model),
      cmocka_unit_test(a_rewarder_of_another_recipe), cmocka_unit_test(what_is_live_may_differ),
      cmocka_unit_test(a_generator_at_another_runs_rewarder),
      cmocka_unit_test(a_socket_that_nobody_reads), cmocka_unit_test(a_peer_that_answers_no_hello),
      cmocka_unit_test(a_learner_of_another_build),
      cmocka_unit_test(a_learner_whose_training_does_not_repeat))
