/* A learner killed with -9 around a rollback: before the new lineage is durable, before its line
 * and its weights are out, after its first rounds. Started again it stands in one of the two
 * lineages, every version of which keeps its digest; and as at lag 0 a branch repeats history, the
 * run ends with the same bytes as one that nothing happened to.
 *
 * ROLLBACK_KILLS=40 kills so often (default 8). Prints a JSON line: what the kills hit, judged by
 * what was on disk afterwards. */
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "learner/store/audit/audit.h"
#include "learner/store/history.h"
#include "model/files/checkpoints.h"
#include "testing/daemons.h"
#include "testing/rollback.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 160, GROUPS = 8, FROM = 20, KILLS_MAX = 200, END_MS = 120000 };
#define SETTINGS "checkpoint.every=4 checkpoint.keep=50"

static int kills_wanted(void)
{
    const char *text = getenv("ROLLBACK_KILLS");
    long n = text ? strtol(text, NULL, 10) : 8;
    return n < 1 ? 1 : n > KILLS_MAX ? KILLS_MAX : (int)n;
}

/* ---- what is durable */

struct durable {
    struct branch branch;
    uint64_t versions;
    struct trainee_digests version[ROUNDS + 1]; // by number, from 1, of this history
};

static struct durable durable_of(const struct ring *ring)
{
    struct durable now = {0};
    SCOPED(store) store = NULL;
    SCOPED_MEM char *path = file_join(ring->run, "store");
    assert_ok(store_read(path, &store));
    now.branch = store_branch(store);
    now.versions = store_last_version(store);
    assert_true(now.versions <= ROUNDS);
    for (uint64_t v = 1; v <= now.versions; v++)
        assert_ok(store_digests_of(store, v, &now.version[v]));
    return now;
}

/* Nothing that was recorded is another now. */
static void assert_continues(const struct durable *before, const struct durable *now)
{
    assert_int_equal(now->branch.lineage, before->branch.lineage);
    assert_true(now->versions >= before->versions);
    for (uint64_t v = 1; v <= before->versions; v++)
        assert_memory_equal(&now->version[v], &before->version[v], sizeof now->version[v]);
}

/* ---- when to kill */

struct life {
    const struct ring *ring;
    struct daemons daemons;
    struct rng rng;
    uint64_t draws;
    uint32_t lineage; // before the rollback
    int rollbacks;    // lines that said so before it
};

static void pause_below_ms(struct life *life, double most)
{
    double ms = most * rng_uniform(&life->rng, life->draws++);
    struct timespec wait = {0, (long)(1e6 * ms)};
    nanosleep(&wait, NULL);
}

static void at_once(struct life *life)
{
    pause_below_ms(life, 3);
}

static void around_its_fork(struct life *life)
{
    pause_below_ms(life, 30);
}

/* The line is written just before the weights are handed over. */
static void await_lines(const struct life *life, int rollbacks)
{
    for (int64_t until = clock_ms() + END_MS; ring_read(life->ring).rollbacks < rollbacks;)
        if (clock_ms() > until)
            fail_msg("not %d rollbacks after %d ms", rollbacks, END_MS);
}

static void at_its_line(struct life *life)
{
    await_lines(life, life->rollbacks + 1);
    pause_below_ms(life, 2);
}

static void after_its_first_rounds(struct life *life)
{
    at_its_line(life);
    int from = ring_read(life->ring).rounds;
    for (int64_t until = clock_ms() + END_MS; ring_read(life->ring).rounds < from + 2;)
        if (clock_ms() > until)
            fail_msg("no rounds after the rollback");
    pause_below_ms(life, 20);
}

static void (*const aims[])(struct life *) = {at_its_line, around_its_fork, at_once,
                                              after_its_first_rounds};
enum { AIMS = sizeof aims / sizeof *aims };

enum hit { OLD_LINEAGE, BEFORE_ITS_LINE, NOT_HELD, BEFORE_A_ROUND, AFTER_ROUNDS, HITS };
static const char *const hit_names[] = {"old lineage", "before its line", "weights not yet held",
                                        "before a round", "after rounds"};

static enum hit judge(const struct life *life, const struct durable *now)
{
    double held = daemons_metric(&life->daemons, GENERATOR, "rlhfd_weights_version");
    if (now->branch.lineage == life->lineage)
        return OLD_LINEAGE;
    if (ring_read(life->ring).rollbacks == life->rollbacks)
        return BEFORE_ITS_LINE;
    if (now->versions > now->branch.version)
        return AFTER_ROUNDS;
    return held > (double)now->versions ? NOT_HELD : BEFORE_A_ROUND;
}

/* ---- the test */

/* The version of the checkpoint so many back. */
static uint64_t kept(const struct ring *ring, size_t back)
{
    SCOPED_VALUE(checkpoint_list) list = {0};
    assert_ok(checkpoint_list(ring->run, &list));
    assert_true(list.count > back);
    return list.version[back];
}

static enum hit kill_once(struct life *life, int number)
{
    char name[64];
    ring_wait_rounds(life->ring, FROM, END_MS);
    life->lineage = durable_of(life->ring).branch.lineage;
    life->rollbacks = ring_read(life->ring).rollbacks;
    uint64_t to = kept(life->ring, 1 + (size_t)number % 3);
    assert_ok(rollback_begin(life->daemons.admin[LEARNER], to, "", name));
    aims[number % AIMS](life);
    daemons_kill(&life->daemons, LEARNER);
    struct durable before = durable_of(life->ring);
    bool forked = before.branch.lineage != life->lineage;
    assert_true(before.branch.lineage == life->lineage + forked);
    if (forked)
        assert_int_equal(before.branch.version, to);
    enum hit hit = judge(life, &before);
    daemons_start_one(&life->daemons, LEARNER, "");
    daemons_announced(&life->daemons, LEARNER);
    await_lines(life, life->rollbacks + forked); // a restart writes the one that is missing
    ring_wait_rounds(life->ring, (int)before.versions, END_MS);
    struct durable now = durable_of(life->ring);
    assert_continues(&before, &now);
    assert_int_equal(ring_read(life->ring).rollbacks, life->rollbacks + forked);
    return hit;
}

static void run_ends_with_the_same_bytes(const struct ring *a, const struct ring *b)
{
    static const char *const names[] = {"model.safetensors", "optimizer.safetensors"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        SCOPED_VALUE(bytes) x = {0}, y = {0};
        SCOPED_MEM char *path_a = mem_printf("%s/checkpoints/latest/%s", a->run, names[i]);
        SCOPED_MEM char *path_b = mem_printf("%s/checkpoints/latest/%s", b->run, names[i]);
        assert_ok(file_read(path_a, 1 << 30, &x));
        assert_ok(file_read(path_b, 1 << 30, &y));
        assert_true(x.len == y.len && x.len > 1000);
        assert_memory_equal(x.data, y.data, x.len);
    }
}

static void a_killed_rollback_ends_in_one_of_two_states(void **)
{
    struct ring_options options = {.rounds = ROUNDS, .groups = GROUPS, .lag = 0};
    struct ring undisturbed = ring_prepare(&options), ring = ring_prepare(&options);
    struct daemons daemons = daemons_start(&undisturbed, SETTINGS);
    assert_int_equal(daemons_wait_learner(&daemons, END_MS), 0);
    struct life life = {.ring = &ring, .rng = rng_keyed(3, RNG_TEST, 0, 0)};
    life.daemons = daemons_start(&ring, SETTINGS);
    int hits[HITS] = {0}, kills = kills_wanted();
    for (int i = 0; i < kills; i++)
        hits[kill_once(&life, i)]++;
    assert_int_equal(daemons_wait_learner(&life.daemons, END_MS), 0);
    print_message("{\"kills\": %d", kills);
    for (int i = 0; i < HITS; i++)
        print_message(", \"%s\": %d", hit_names[i], hits[i]);
    print_message("}\n");
    run_ends_with_the_same_bytes(&undisturbed, &ring);
    assert_int_equal((int)ring_read(&ring).logp_differing, 0);
    assert_int_equal(ring_read(&ring).rounds, ROUNDS);
    ring_audit(&ring);
}

TESTS(cmocka_unit_test(a_killed_rollback_ends_in_one_of_two_states))
