/* The learner of a running ring killed with -9 at moments chosen by what can be seen from outside,
 * and started again: every version that was recorded comes out with the same digest, and the run
 * ends with the same bytes as one that nothing happened to.
 *
 * LEARNER_KILLS=20 kills so often in each run (default 4). Each run prints a JSON line: what the
 * kills hit, judged by what was on disk afterwards. */
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "learner/store/db.h"
#include "learner/store/record.h"
#include "tensor/digest.h"
#include "testing/daemons.h"
#include "testing/testing.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { ROUNDS = 60, UPDATES = 2, VERSIONS = ROUNDS * UPDATES, KILLS_MAX = 64, END_MS = 200000 };
#define COMMON "learner.updates_per_round=2 checkpoint.keep=2"

static struct ring_options options_of(int lag)
{
    return (struct ring_options){.rounds = ROUNDS, .groups = 48, .lag = lag};
}

static int kills_wanted(void)
{
    const char *text = getenv("LEARNER_KILLS");
    long n = text ? strtol(text, NULL, 10) : 4;
    return n < 1 ? 1 : n > KILLS_MAX ? KILLS_MAX : (int)n;
}

/* ---- what is durable, read beside or after the learner */

struct durable {
    uint64_t next_round, rounds_done, versions, checkpoint_version;
    struct digest digest[VERSIONS + 1]; // by version, from 1: all trainees' together
};

static void read_digests(struct db *db, const struct counters *counters, struct durable *ret)
{
    uint8_t key[KEY_ROUND];
    struct db_row row;
    key_round('u', counters->lineage, 1, key);
    SCOPED(db_cursor) cursor = NULL;
    db_seek(db, DB_ROUNDS, key, sizeof key, &cursor);
    for (; ret->versions < counters->last_version && db_next(cursor, &row); ret->versions++) {
        struct update update;
        assert_true(ret->versions < VERSIONS);
        key_round('u', counters->lineage, ret->versions + 1, key);
        assert_memory_equal(row.key, key, sizeof key);
        assert_ok(update_decode(row.value, row.value_len, &update));
        for (uint32_t i = 0; i < update.trainees.count; i++)
            ret->digest[ret->versions + 1] =
                weights_digest_add(ret->digest[ret->versions + 1], update.trainees.at[i].weights);
    }
    assert_int_equal(ret->versions, counters->last_version);
}

static void read_durable(const struct ring *ring, struct durable *ret)
{
    SCOPED_MEM char *path = file_join(ring->run, "store");
    SCOPED(db) db = NULL;
    SCOPED_VALUE(bytes) value = {0};
    struct counters counters = {0};
    bool found = false;
    memset(ret, 0, sizeof *ret);
    if (!file_exists(path))
        return;
    assert_ok(db_open(path, true, &db));
    assert_ok(db_get(db, DB_META, KEY_COUNTERS, strlen(KEY_COUNTERS), &value, &found));
    if (!found)
        return;
    assert_ok(counters_decode(value.data, value.len, &counters));
    ret->next_round = counters.next_round;
    ret->rounds_done = counters.rounds_done;
    ret->checkpoint_version = counters.checkpoint_version[0];
    read_digests(db, &counters, ret);
}

/* What was recorded stands, whatever came after. */
static void assert_continues(const struct durable *before, const struct durable *now)
{
    assert_true(now->next_round >= before->next_round && now->versions >= before->versions);
    for (uint64_t v = 1; v <= before->versions; v++)
        assert_memory_equal(&now->digest[v], &before->digest[v], sizeof now->digest[v]);
}

static void assert_same_file(const char *a, const char *b, const char *name)
{
    SCOPED_VALUE(bytes) x = {0}, y = {0};
    SCOPED_MEM char *path_a = mem_printf("%s/checkpoints/latest/%s", a, name);
    SCOPED_MEM char *path_b = mem_printf("%s/checkpoints/latest/%s", b, name);
    assert_ok(file_read(path_a, 1 << 30, &x));
    assert_ok(file_read(path_b, 1 << 30, &y));
    assert_true(x.len > 100);
    assert_int_equal(x.len, y.len);
    assert_memory_equal(x.data, y.data, x.len);
}

static void assert_same_end(const char *a, const char *b)
{
    assert_same_file(a, b, "model.safetensors");
    assert_same_file(a, b, "optimizer.safetensors");
}

/* ---- one run, its kills */

enum hit {
    IN_START,
    IN_REPLAY,
    IN_CHECKPOINT,
    RECORDED,
    BETWEEN_UPDATES,
    UNPUBLISHED,
    WAITING,
    HITS
};
static const char *const hit_names[] = {"start",          "replay",          "checkpoint write",
                                        "round recorded", "between updates", "version not yet held",
                                        "waiting"};

struct life {
    const struct ring *ring;
    struct daemons daemons;
    struct durable at; // at the last kill
    struct rng rng;
    uint64_t draws;
    struct stat writing; // checkpoints/writing as the kill before left it
    bool checkpoints;    // are written before the end
    bool started;        // the learner listened before this kill
    int hits[HITS];
};

static double below_ms(struct life *life, double most)
{
    return most * rng_uniform(&life->rng, life->draws++);
}

static void pause_ms(double ms)
{
    struct timespec wait = {(time_t)(ms / 1000), (long)((ms - 1000.0 * (long)(ms / 1000)) * 1e6)};
    nanosleep(&wait, NULL);
}

static struct stat stat_of(const struct ring *ring, const char *name)
{
    SCOPED_MEM char *path = file_join(ring->run, name);
    struct stat got;
    return stat(path, &got) ? (struct stat){0} : got;
}

static bool another(const struct stat *a, const struct stat *b)
{
    return a->st_ino && (a->st_ino != b->st_ino || a->st_ctim.tv_sec != b->st_ctim.tv_sec ||
                         a->st_ctim.tv_nsec != b->st_ctim.tv_nsec);
}

/* Until a file of RUN is another one than before, or longer. */
static void await_change(struct life *life, const char *name, const struct stat *before)
{
    int64_t until = clock_ms() + END_MS;
    for (;; pause_ms(0.05)) {
        struct stat now = stat_of(life->ring, name);
        if (another(&now, before) || now.st_size > before->st_size)
            return;
        daemons_assert_running(&life->daemons, LEARNER);
        if (clock_ms() > until)
            fail_msg("%s/%s did not change", life->ring->run, name);
    }
}

static void await_rounds(struct life *life, int rounds)
{
    for (int64_t until = clock_ms() + END_MS; ring_read(life->ring).rounds < rounds; pause_ms(2)) {
        daemons_assert_running(&life->daemons, LEARNER);
        if (clock_ms() > until)
            fail_msg("fewer than %d rounds after %d ms", rounds, END_MS);
    }
}

/* Waits for the moment to kill at. Each aims at another one; what was hit is judged afterwards. */
static void aim_at_any(struct life *life)
{
    pause_ms(below_ms(life, 60));
}

static void aim_at_checkpoint(struct life *life)
{
    if (!life->checkpoints)
        return aim_at_any(life);
    await_change(life, "checkpoints/writing", &life->writing);
    pause_ms(below_ms(life, 20));
}

/* The line is written when a version has just been handed over. */
static void aim_at_publish(struct life *life)
{
    struct stat now = stat_of(life->ring, "metrics.jsonl");
    await_change(life, "metrics.jsonl", &now);
}

/* After a round that waited as rounds do, as long again and then somewhere in the updates. */
static void aim_at_round(struct life *life)
{
    struct ring_result last;
    do {
        aim_at_publish(life);
        last = ring_read(life->ring);
    } while (last.last_idle_s > 0.1);
    pause_ms(1000 * last.last_idle_s + below_ms(life, 1000 * last.last_busy_s));
}

static void (*const aims[])(struct life *) = {aim_at_round, aim_at_checkpoint, aim_at_round,
                                              aim_at_publish, aim_at_any};
enum { AIMS = sizeof aims / sizeof *aims };

/* It is renamed, but the store does not know yet. */
static bool unnoted_checkpoint(struct life *life, const struct durable *now)
{
    char name[64];
    uint64_t version = UPDATES * now->rounds_done;
    snprintf(name, sizeof name, "checkpoints/v%llu", (unsigned long long)version);
    return version > now->checkpoint_version && stat_of(life->ring, name).st_ino;
}

static enum hit judge(struct life *life, const struct durable *now)
{
    struct stat writing = stat_of(life->ring, "checkpoints/writing");
    double held = daemons_metric(&life->daemons, GENERATOR, "rlhfd_weights_version");
    int lines = ring_read(life->ring).rounds;
    assert_true(held <= (double)now->versions); // durable before anybody sees it
    bool fresh = another(&writing, &life->writing);
    life->writing = writing;
    if (!life->started)
        return IN_START;
    if (fresh || (life->checkpoints && unnoted_checkpoint(life, now)))
        return IN_CHECKPOINT;
    if ((uint64_t)lines + 1 < now->rounds_done)
        return IN_REPLAY;
    if (now->versions < UPDATES * now->rounds_done || now->versions % UPDATES)
        return BETWEEN_UPDATES;
    if (now->next_round > now->rounds_done)
        return RECORDED;
    return held < (double)now->versions ? UNPUBLISHED : WAITING;
}

/* Kills the learner, and compares what is on disk with what was there at the last kill. */
static void kill_learner(struct life *life)
{
    daemons_kill(&life->daemons, LEARNER);
    struct durable now;
    read_durable(life->ring, &now);
    assert_continues(&life->at, &now);
    life->hits[judge(life, &now)]++;
    life->at = now;
}

/* The first kills of a learner started again: before it listens, while it trains the recorded
 * rounds again. */
static void kill_early(struct life *life, int number, const char *settings)
{
    daemons_start_one(&life->daemons, LEARNER, settings);
    life->started = number % 3 != 1;
    if (life->started)
        daemons_announced(&life->daemons, LEARNER);
    pause_ms(below_ms(life, life->started ? 10 : 60));
    kill_learner(life);
    daemons_start_one(&life->daemons, LEARNER, settings);
    daemons_announced(&life->daemons, LEARNER);
    life->started = true;
}

static void start_again(struct life *life, int number, bool other_threads)
{
    const char *threads = other_threads && number % 2 ? "learner.threads=2" : "learner.threads=1";
    if (number % 5 == 3) {
        kill_early(life, number / 5, threads);
    } else {
        daemons_start_one(&life->daemons, LEARNER, threads);
        daemons_announced(&life->daemons, LEARNER);
    }
    if (!other_threads)
        return;
    daemons_kill(&life->daemons, GENERATOR);
    daemons_start_one(&life->daemons, GENERATOR,
                      number % 2 ? "generator.threads=2 generator.slots=40" : "");
    daemons_announced(&life->daemons, GENERATOR);
}

static void print_hits(const struct life *life, const char *name, int kills, double seconds)
{
    print_message("{\"run\": \"%s\", \"kills\": %d, \"seconds\": %.1f", name, kills, seconds);
    for (int i = 0; i < HITS; i++)
        print_message(", \"%s\": %d", hit_names[i], life->hits[i]);
    print_message("}\n");
}

/* A run with kills spread over its rounds. *ret: what is durable at its end. */
static void run_with_kills(const struct ring *ring, const char *settings, const char *name,
                           bool other_threads, bool checkpoints, struct durable *ret)
{
    int kills = kills_wanted(), done = 0;
    double begun = clock_s();
    struct life *life = mem_new(sizeof *life);
    *life = (struct life){.ring = ring,
                          .rng = rng_keyed(11, RNG_TEST, (uint64_t)other_threads, 0),
                          .checkpoints = checkpoints,
                          .started = true};
    life->daemons = daemons_start(ring, settings);
    for (int k = 0; done < kills; k++) {
        // Always below the last checkpoint's round, so that each aim is still to come.
        await_rounds(life, 1 + (ROUNDS - 12) * done / kills);
        aims[k % AIMS](life);
        kill_learner(life);
        start_again(life, k, other_threads);
        done += k % 5 == 3 ? 2 : 1;
    }
    assert_int_equal(daemons_wait_learner(&life->daemons, END_MS), 0);
    read_durable(ring, ret);
    assert_continues(&life->at, ret);
    assert_int_equal(ret->versions, VERSIONS);
    print_hits(life, name, done, clock_s() - begun);
    ring_audit(ring);
    mem_free(life);
}

/* ---- the tests */

static void killed_runs_end_with_the_same_bytes(void **state)
{
    (void)state;
    static const char settings[] = COMMON " checkpoint.every=7";
    struct ring_options options = options_of(0);
    struct durable *want = mem_new(sizeof *want), *got = mem_new(sizeof *got);
    struct ring undisturbed = ring_prepare(&options);
    struct daemons daemons = daemons_start(&undisturbed, settings);
    assert_int_equal(daemons_wait_learner(&daemons, END_MS), 0);
    read_durable(&undisturbed, want);
    assert_int_equal(want->versions, VERSIONS);
    for (int other_threads = 0; other_threads < 2; other_threads++) {
        struct ring ring = ring_prepare(&options);
        run_with_kills(&ring, settings, other_threads ? "lag 0, other threads" : "lag 0",
                       other_threads, true, got);
        assert_continues(want, got);
        assert_same_end(undisturbed.run, ring.run);
        struct ring_result result = ring_read(&ring);
        assert_int_equal(result.rounds, ROUNDS);
        assert_true(result.logp_compared > ROUNDS * 48.0);
        assert_int_equal((int)result.logp_differing, 0);
    }
    mem_free(want);
    mem_free(got);
}

/* No checkpoint before the end: each start trains every round again from version 0, and so does the
 * one after the end. */
static void at_lag_1_the_log_alone_makes_every_version_again(void **state)
{
    (void)state;
    static const char settings[] = COMMON " checkpoint.every=1000";
    struct ring_options options = options_of(1);
    struct durable *first = mem_new(sizeof *first), *again = mem_new(sizeof *again);
    struct ring ring = ring_prepare(&options);
    run_with_kills(&ring, settings, "lag 1, from the log alone", false, false, first);
    SCOPED_MEM char *checkpoints = file_join(ring.run, "checkpoints");
    SCOPED_MEM char *aside = file_join(ring.directory, "checkpoints");
    assert_int_equal(rename(checkpoints, aside), 0);
    struct daemons alone = {.ring = &ring, .settings = settings};
    daemons_start_one(&alone, LEARNER, "learner.threads=2");
    assert_int_equal(process_wait(&alone.process[LEARNER], END_MS), 0);
    read_durable(&ring, again);
    assert_continues(first, again);
    assert_same_end(ring.directory, ring.run);
    struct ring_result result = ring_read(&ring);
    assert_int_equal(result.rounds, ROUNDS);
    assert_true(result.lag_max <= 1);
    assert_int_equal((int)result.logp_differing, 0);
    ring_audit(&ring);
    mem_free(first);
    mem_free(again);
}

/* The critic too. Kills are spread over the run, so some come in the warm-up, whose versions change
 * nothing of the policy, and some after it. */
static void with_a_critic_both_end_with_the_same_bytes(void **state)
{
    (void)state;
    static const char settings[] = COMMON " checkpoint.every=7";
    static const char *const learner[] = {
        "objective: ppo, critic: {head: normal, warmup_rounds: 24}",
        "objective: ppo, critic: {model: shared, head: normal, warmup_rounds: 24}"};
    struct durable *want = mem_new(sizeof *want), *got = mem_new(sizeof *got);
    for (int shared = 0; shared < 2; shared++) {
        struct ring_options options = options_of(0);
        options.learner = learner[shared];
        struct ring undisturbed = ring_prepare(&options), ring = ring_prepare(&options);
        struct daemons daemons = daemons_start(&undisturbed, settings);
        assert_int_equal(daemons_wait_learner(&daemons, END_MS), 0);
        read_durable(&undisturbed, want);
        assert_int_equal(want->versions, VERSIONS);
        run_with_kills(&ring, settings, shared ? "a critic's head" : "a critic", true, true, got);
        assert_continues(want, got);
        assert_same_end(undisturbed.run, ring.run);
        assert_same_file(undisturbed.run, ring.run, "critic/model.safetensors");
        assert_same_file(undisturbed.run, ring.run, "critic/optimizer.safetensors");
        assert_int_equal((int)ring_read(&ring).logp_differing, 0);
    }
    mem_free(want);
    mem_free(got);
}

/* An adapter, and the reference that the learner computes without it. */
static void with_an_adapter_it_ends_with_the_same_bytes(void **state)
{
    (void)state;
    static const char settings[] = COMMON " checkpoint.every=7";
    struct durable *want = mem_new(sizeof *want), *got = mem_new(sizeof *got);
    struct ring_options options = options_of(0);
    options.learner = "objective: grpo, kl: {coef: 0.05}";
    options.extra = "lora: {r: 4, target_modules: [all-linear]}\n";
    struct ring undisturbed = ring_prepare(&options), ring = ring_prepare(&options);
    struct daemons daemons = daemons_start(&undisturbed, settings);
    assert_int_equal(daemons_wait_learner(&daemons, END_MS), 0);
    read_durable(&undisturbed, want);
    assert_int_equal(want->versions, VERSIONS);
    run_with_kills(&ring, settings, "an adapter", true, true, got);
    assert_continues(want, got);
    assert_same_file(undisturbed.run, ring.run, "adapter_model.safetensors");
    assert_same_file(undisturbed.run, ring.run, "optimizer.safetensors");
    const struct ring_result result = ring_read(&ring);
    assert_true(result.logp_compared > ROUNDS * 48.0);
    assert_int_equal((int)result.logp_differing, 0);
    mem_free(want);
    mem_free(got);
}

TESTS(cmocka_unit_test(killed_runs_end_with_the_same_bytes),
      cmocka_unit_test(at_lag_1_the_log_alone_makes_every_version_again),
      cmocka_unit_test(with_a_critic_both_end_with_the_same_bytes),
      cmocka_unit_test(with_an_adapter_it_ends_with_the_same_bytes))
