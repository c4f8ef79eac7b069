/* A learner that comes back at another address, as a pod does: peers know it by a name, which is
 * resolved anew. The name stands in an /etc/hosts of the test's own, in a mount namespace. */
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "testing/daemons.h"
#include "testing/testing.h"
#include <arpa/inet.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

/* Core's default resolves a name at most every 30 s. */
enum { WAIT_MS = 60000, REJOIN_MS = 15000 };

static void put_host(const char *path, const char *address)
{
    FILE *hosts = fopen(path, "w"); // in place: the file that is mounted
    assert_non_null(hosts);
    fprintf(hosts, "127.0.0.1 localhost\n%s learner.test\n", address);
    assert_int_equal(fclose(hosts), 0);
}

/* False: not allowed here. */
static bool own_hosts(const char *path)
{
    put_host(path, "127.0.0.2");
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount(path, "/etc/hosts", NULL, MS_BIND, NULL) == 0;
}

/* Free at both addresses, and none that the system lends: those begin at 32768. */
static int free_port(void)
{
    for (int port = 20000 + getpid() % 12000;; port++) {
        bool free = true;
        for (int last = 2; last <= 3; last++) {
            const struct sockaddr_in at = {.sin_family = AF_INET,
                                           .sin_addr = {htonl(0x7f000000u + (uint32_t)last)},
                                           .sin_port = htons((uint16_t)port)};
            SCOPED_FD fd = socket(AF_INET, SOCK_STREAM, 0);
            free &= bind(fd, (const struct sockaddr *)&at, sizeof at) == 0;
        }
        if (free)
            return port;
    }
}

static double misses_learner(const struct daemons *d, enum daemon_kind kind)
{
    return daemons_metric(d, kind, "rlhfd_held_up{cause=\"no_learner\"}");
}

static void wait_until(const struct daemons *d, double missed, int64_t until)
{
    while (misses_learner(d, GENERATOR) != missed || misses_learner(d, REWARDER) != missed) {
        if (clock_ms() > until)
            fail_msg("no_learner is not %g", missed);
        clock_sleep_ms(20);
    }
}

static void a_learner_at_another_address(void **)
{
    struct ring ring =
        ring_prepare(&(struct ring_options){.rounds = 100000, .groups = 8, .lag = 1});
    SCOPED_MEM char *hosts = file_join(ring.directory, "hosts");
    if (!own_hosts(hosts))
        skip();
    const int port = free_port();
    SCOPED_MEM char *settings = mem_printf(
        "net.insecure=true generator.learner=learner.test:%d rewarder.learner=learner.test:%d "
        "learner.admin=127.0.0.1:0 learner.probes=127.0.0.1:0 learner.metrics=127.0.0.1:0 "
        "learner.listen=127.0.0.2:%d",
        port, port, port);
    SCOPED_MEM char *moved = mem_printf("learner.listen=127.0.0.3:%d", port);
    setenv("GRPC_DNS_RESOLVER", "native", 1); // the system's, which reads the file
    struct daemons d = daemons_start(&ring, settings);
    ring_wait_rounds(&ring, 2, WAIT_MS);

    daemons_kill(&d, LEARNER);
    wait_until(&d, 1, clock_ms() + WAIT_MS);
    clock_sleep_ms(1500); // the old address has been tried and resolved again
    put_host(hosts, "127.0.0.3");
    daemons_start_one(&d, LEARNER, moved);
    daemons_announced(&d, LEARNER);
    const int64_t begun_ms = clock_ms();
    wait_until(&d, 0, begun_ms + REJOIN_MS);
    print_message("both are back after %lld ms\n", (long long)(clock_ms() - begun_ms));
    for (int kind = GENERATOR; kind >= LEARNER; kind--)
        daemons_kill(&d, (enum daemon_kind)kind);
}

TESTS(cmocka_unit_test(a_learner_at_another_address))
