/* A peer that is alive but does not answer: a server in another process, which is stopped and
 * continued. */
#include "loopback.h"
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* The child: serves until it is killed. Forked before this process has started gRPC. */
static void serve_in_child(int to_parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct loopback lo = {.half_close_ok = true};
    struct rpc_service services[] = {{loopback_methods, &lo}};
    struct rpc_server_options options = {
        .address = "127.0.0.1:0", .min_ping_ms = 50, RPC_SERVICES(services)};
    assert_ok(loop_new(&lo.loop));
    assert_ok(rpc_new(lo.loop, &lo.rpc));
    assert_ok(rpc_server_start(lo.rpc, &options, &lo.server));
    const int port = rpc_server_port(lo.server);
    assert_int_equal(write(to_parent, &port, sizeof port), sizeof port);
    assert_ok(loop_run(lo.loop));
}

static int ups, downs;
static enum err_code down_code;

static void on_up(struct rpc_stream *, void *)
{
    ups++;
}

static void on_down(struct rpc_stream *, err_t why, void *)
{
    downs++;
    down_code = err_code(why);
    err_free(why);
}

static void a_frozen_server_is_noticed_and_found_again(void **)
{
    int ends[2], port = 0;
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
        serve_in_child(ends[1]);
        _exit(0);
    }
    assert_int_equal(read(ends[0], &port, sizeof port), sizeof port);
    struct loopback lo = {0};
    snprintf(lo.target, sizeof lo.target, "127.0.0.1:%d", port);
    assert_ok(loop_new(&lo.loop));
    assert_ok(rpc_new(lo.loop, &lo.rpc));
    struct rpc_stream *stream = NULL;
    const struct rpc_stream_options options = {
        .channel = {.target = lo.target, .keepalive_ms = 200, .keepalive_timeout_ms = 500},
        .method = &loopback_methods[1],
        .backoff_max_ms = 200};
    const struct rpc_stream_handlers handlers = {.up = on_up, .down = on_down};
    assert_ok(rpc_stream_open(lo.rpc, &options, &handlers, NULL, &stream));
    until_count(&lo, &ups, 1);
    run_for(&lo, 1500); // several pings, all answered, none too many
    assert_int_equal(downs, 0);
    kill(child, SIGSTOP);
    const int64_t begin = clock_ms();
    until_count(&lo, &downs, 1);
    assert_int_equal(down_code, ERR_UNAVAILABLE);
    assert_true(clock_ms() - begin < 30000);
    kill(child, SIGCONT);
    until_count(&lo, &ups, 2);
    rpc_stream_free(stream);
    rpc_free(lo.rpc);
    loop_free(lo.loop);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(ends[0]);
    close(ends[1]);
}

TESTS(cmocka_unit_test(a_frozen_server_is_noticed_and_found_again))
