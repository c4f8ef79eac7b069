/* The replay store at rate. 16 senders append groups, which become durable in the batches that form
 * by themselves. Beside them stand raw RocksDB write batches under the same fsync policy, and the
 * disk's bare fsync. Other figures are draws, a scan of the live groups after a million deletions,
 * and opening a million groups. Output is JSON, a line per figure; figures named ratio/ are to be
 * compared with `want`.
 *
 *     TMPDIR=/var/tmp build/tests/bench_replay [--quick]
 *
 * Senders decode what they send, as the learner does when it comes; the writer takes whatever
 * waits. cpu: the writer thread's own processor time, which other load on the machine changes less
 * than the rates. */
#include "base/clock.h"
#include "base/file.h"
#include "learner/store/groups.h"
#include "learner/store/history.h"
#include "unit/learner/store_kit.h"
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <rocksdb/c.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>

enum {
    SENDERS = 16,
    WAITING_MAX = 256,
    RAW_BUFFER = 32 << 20,
    RAW_BUFFERS = 4,
    RAW_WAL = 128 << 20
};
static bool quick;

static void say(const char *name, double value, const char *unit)
{
    printf("{\"name\": \"replay/%s\", \"value\": %.4g, \"unit\": \"%s\"}\n", name, value, unit);
    fflush(stdout);
}

static void say_ratio(const char *name, double value, const char *want)
{
    printf("{\"name\": \"replay/ratio/%s\", \"value\": %.3f, \"want\": \"%s\"}\n", name, value,
           want);
    fflush(stdout);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double cpu_s(void)
{
    struct timespec at;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    return (double)at.tv_sec + 1e-9 * (double)at.tv_nsec;
}

/* --- the disk alone --- */

static double bench_fsync(void)
{
    char block[4096] = {1};
    double took[2000], begun = clock_s();
    int n = 0, fd = open(testing_path(testing_directory(), "file"), O_WRONLY | O_CREAT, 0600);
    while (n < 2000 && clock_s() - begun < (quick ? 0.5 : 2)) {
        double at = clock_s();
        if (write(fd, block, sizeof block) != sizeof block || fdatasync(fd))
            abort();
        took[n++] = clock_s() - at;
    }
    double rate = n / (clock_s() - begun);
    close(fd);
    qsort(took, (size_t)n, sizeof *took, ascending);
    say("fsync_4KiB", rate, "1/s");
    say("fsync_4KiB_p50", 1e3 * took[n / 2], "ms");
    return rate;
}

/* --- groups as they come --- */

struct sent {
    struct bytes bytes;
    struct group *group; // decoded
    double at;
};

/* A group of so many bytes: tokens and log-probabilities, as real ones are. */
static struct group *group_of(const struct grant *grant, size_t size)
{
    struct group *group = kit_group(grant, 0, 0);
    struct completion *c = group->completion;
    uint32_t tokens = size < 600 ? 2 : (uint32_t)((size - 200) / 8);
    free(c->token);
    c->tokens = tokens;
    c->token = mem_array(tokens, sizeof *c->token);
    float *logp = group_add(group, COLUMN_BEHAVIOUR_LOGP, 1);
    for (uint32_t i = 0; i < tokens; i++) {
        c->token[i] = (uint32_t)((grant->slot * 977 + i) * 2654435761u) % 50257;
        logp[i] = -(float)((i * 40503u) % 65536) / 8192;
    }
    return group;
}

static struct sent *prepare(const struct grants *grants, size_t size)
{
    struct sent *sent = mem_array(grants->count, sizeof *sent);
    for (size_t i = 0; i < grants->count; i++) {
        SCOPED(group) group = group_of(&grants->grant[i], size);
        group_encode(group, &sent[i].bytes);
    }
    return sent;
}

static struct grants lease_many(struct store *store, uint64_t version, size_t count)
{
    struct grants all = {.grant = mem_array(count, sizeof(struct grant))};
    while (all.count < count) {
        SCOPED_VALUE(grants) some = kit_lease(store, "g", version, count - all.count);
        assert_true(some.count > 0);
        memcpy(all.grant + all.count, some.grant, some.count * sizeof *some.grant);
        all.count += some.count;
    }
    return all;
}

static struct store *open_with(const char *dir, struct store_rules rules)
{
    struct store_options options = kit_options(1 << 22);
    struct store *store = NULL;
    rules.max_groups = 1 << 22;
    rules.lease_ms = 1 << 30;
    assert_ok(store_open(dir, &options, &rules, 0, &store));
    return store;
}

/* --- group commit --- */

/* The store under test, or the raw database. */
struct target {
    struct store *store; // NULL: raw
    rocksdb_t *db;
    rocksdb_writeoptions_t *durable;
};

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t taken, come;
    struct sent *waiting[WAITING_MAX];
    size_t n, batches, left, outstanding[SENDERS], window;
    struct sent *sent;
    size_t count, acked;
    double *took;
    const struct target *target;
};

struct sender {
    struct queue *queue;
    int number;
};

/* Every SENDERS-th group, at most `window` without an answer. */
static void *send_groups(void *arg)
{
    const struct sender *sender = arg;
    struct queue *q = sender->queue;
    for (size_t i = (size_t)sender->number; i < q->count; i += SENDERS) {
        struct sent *sent = &q->sent[i];
        sent->at = clock_s();
        if (q->target->store)
            assert_ok(group_decode(sent->bytes.data, sent->bytes.len, &GROUP_LIMITS, &sent->group));
        pthread_mutex_lock(&q->lock);
        while (q->n == WAITING_MAX || q->outstanding[sender->number] == q->window)
            pthread_cond_wait(&q->taken, &q->lock);
        q->outstanding[sender->number]++;
        q->waiting[q->n++] = sent;
        pthread_cond_signal(&q->come);
        pthread_mutex_unlock(&q->lock);
    }
    return NULL;
}

static void write_raw(const struct target *target, struct sent *const *batch, size_t n)
{
    char *message = NULL;
    rocksdb_writebatch_t *writes = rocksdb_writebatch_create();
    for (size_t i = 0; i < n; i++) {
        uint8_t key[8];
        be64_store(key, (uint64_t)(uintptr_t)batch[i]);
        rocksdb_writebatch_put(writes, (const char *)key, sizeof key,
                               (const char *)batch[i]->bytes.data, batch[i]->bytes.len);
    }
    rocksdb_write(target->db, target->durable, writes, &message);
    assert_null(message);
    rocksdb_writebatch_destroy(writes);
}

static void write_store(const struct target *target, struct sent *const *batch, size_t n)
{
    const struct group *groups[WAITING_MAX] = {0};
    struct encoded encoded[WAITING_MAX] = {0};
    struct verdict verdicts[WAITING_MAX];
    for (size_t i = 0; i < n; i++) {
        groups[i] = batch[i]->group;
        encoded[i] = (struct encoded){batch[i]->bytes.data, batch[i]->bytes.len};
    }
    assert_ok(store_append(target->store, groups, encoded, n, 0, verdicts));
    for (size_t i = 0; i < n; i++)
        assert_int_equal(verdicts[i].outcome, OUTCOME_STORED);
}

static void *write_batches(void *arg)
{
    struct queue *q = arg;
    struct sent *batch[WAITING_MAX];
    while (q->acked < q->count) {
        pthread_mutex_lock(&q->lock);
        while (!q->n)
            pthread_cond_wait(&q->come, &q->lock);
        size_t n = q->n;
        memcpy(batch, q->waiting, n * sizeof *batch);
        q->n = 0;
        pthread_mutex_unlock(&q->lock);
        (q->target->store ? write_store : write_raw)(q->target, batch, n);
        double now = clock_s();
        pthread_mutex_lock(&q->lock);
        for (size_t i = 0; i < n; i++) {
            q->took[q->acked++] = now - batch[i]->at;
            q->outstanding[(size_t)(batch[i] - q->sent) % SENDERS]--;
            group_free(STEAL(batch[i]->group));
        }
        q->batches++;
        pthread_cond_broadcast(&q->taken);
        pthread_mutex_unlock(&q->lock);
    }
    return NULL;
}

struct rate {
    double groups, cpu_us, p99_ms;
};

static struct rate run_senders(const struct target *target, struct sent *sent, size_t count,
                               size_t window, const char *name)
{
    struct queue q = {.lock = PTHREAD_MUTEX_INITIALIZER,
                      .taken = PTHREAD_COND_INITIALIZER,
                      .come = PTHREAD_COND_INITIALIZER,
                      .window = window,
                      .sent = sent,
                      .count = count,
                      .took = mem_array(count, sizeof(double)),
                      .target = target};
    struct sender sender[SENDERS];
    pthread_t thread[SENDERS];
    double begun = clock_s(), cpu = cpu_s();
    for (int i = 0; i < SENDERS; i++) {
        sender[i] = (struct sender){&q, i};
        pthread_create(&thread[i], NULL, send_groups, &sender[i]);
    }
    write_batches(&q);
    cpu = cpu_s() - cpu;
    double took = clock_s() - begun;
    for (int i = 0; i < SENDERS; i++)
        pthread_join(thread[i], NULL);
    qsort(q.took, count, sizeof *q.took, ascending);
    struct rate rate = {(double)count / took, 1e6 * cpu / (double)count,
                        1e3 * q.took[count * 99 / 100]};
    if (!name) {
        free(q.took);
        return rate;
    }
    char what[96];
#define SAY(part, value, unit)                                                                     \
    snprintf(what, sizeof what, "%s/" part, name);                                                 \
    say(what, value, unit)
    SAY("durable", rate.groups, "groups/s");
    SAY("ack_p50", 1e3 * q.took[count / 2], "ms");
    SAY("ack_p99", rate.p99_ms, "ms");
    SAY("batch", (double)count / (double)q.batches, "groups/write");
    SAY("writes", (double)q.batches / took, "1/s");
    SAY("writer_cpu", rate.cpu_us, "us/group");
#undef SAY
    free(q.took);
    return rate;
}

static struct rate bench_raw(struct sent *sent, size_t count, size_t window, const char *name)
{
    char *message = NULL;
    rocksdb_options_t *options = rocksdb_options_create();
    struct target target = {.durable = rocksdb_writeoptions_create()};
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_compression(options, rocksdb_no_compression);
    rocksdb_options_set_write_buffer_size(options, RAW_BUFFER);
    rocksdb_options_set_max_write_buffer_number(options, RAW_BUFFERS);
    rocksdb_options_set_max_total_wal_size(options, RAW_WAL);
    rocksdb_options_set_max_background_jobs(options, 2);
    rocksdb_writeoptions_set_sync(target.durable, 1);
    target.db = rocksdb_open(options, testing_directory(), &message);
    assert_null(message);
    struct rate rate = run_senders(&target, sent, count, window, name);
    rocksdb_close(target.db);
    rocksdb_writeoptions_destroy(target.durable);
    rocksdb_options_destroy(options);
    return rate;
}

static void bench_commits(size_t size, size_t count, size_t window, double fsyncs,
                          const char *label)
{
    char raw_name[32], store_name[32], ratio[64];
    snprintf(raw_name, sizeof raw_name, "raw_%s", label);
    snprintf(store_name, sizeof store_name, "store_%s", label);
    double ratios[3];
    struct rate raw = {0}, ours = {0};
    for (int i = 0; i < 3; i++) { // alternating: other load falls on both
        struct store *store = open_with(testing_directory(), kit_rules(count, 1));
        struct grants grants = lease_many(store, 0, count);
        struct sent *sent = prepare(&grants, size);
        raw = bench_raw(sent, count, window, raw_name);
        ours = run_senders(&(struct target){.store = store}, sent, count, window, store_name);
        ratios[i] = ours.groups / raw.groups;
        for (size_t j = 0; j < count; j++)
            bytes_done(&sent[j].bytes);
        free(sent);
        grants_done(&grants);
        store_free(store);
    }
    qsort(ratios, 3, sizeof *ratios, ascending);
    snprintf(ratio, sizeof ratio, "store_to_raw_%s", label);
    say_ratio(ratio, ratios[1], ">= 0.8");
    snprintf(ratio, sizeof ratio, "writer_cpu_to_raw_%s", label);
    say_ratio(ratio, ours.cpu_us / raw.cpu_us, "");
    snprintf(ratio, sizeof ratio, "groups_per_bare_fsync_%s", label);
    say_ratio(ratio, ours.groups / fsyncs, "");
}

/* --- draws --- */

static void bench_draws(enum replay_policy policy, const char *name)
{
    enum { POOL = 4096, ROUND = 64, DRAWN = 40 };
    struct store_rules rules = kit_rules(ROUND, POOL / ROUND - 1);
    rules.policy = policy;
    struct store *store = open_with(testing_directory(), rules);
    struct grants grants = lease_many(store, 0, POOL);
    struct sent *sent = prepare(&grants, 8192);
    run_senders(&(struct target){.store = store}, sent, POOL, 16, NULL);
    double begun = clock_s(), reading = 0;
    for (int i = 0; i < DRAWN; i++) {
        struct group **groups;
        SCOPED(round) round = kit_round(store, IDLE_NONE);
        double formed = clock_s();
        assert_ok(store_round_groups(store, round, &groups));
        reading += clock_s() - formed;
        round_groups_free(groups, round->groups);
    }
    char what[64];
    snprintf(what, sizeof what, "draw_%s_of_%d", name, POOL);
    say(what, DRAWN * ROUND / (clock_s() - begun), "groups/s");
    snprintf(what, sizeof what, "draw_%s_read_share", name);
    say(what, reading / (clock_s() - begun), "of the time");
    for (size_t i = 0; i < POOL; i++)
        bytes_done(&sent[i].bytes);
    free(sent);
    grants_done(&grants);
    store_free(store);
}

/* --- deletions, and opening --- */

static void append_many(struct store *store, const struct grants *grants, uint64_t version)
{
    enum { BATCH = 2048 };
    static struct group *groups[BATCH];
    static struct verdict verdicts[BATCH];
    for (size_t i = 0; i < grants->count; i += BATCH) {
        size_t n = grants->count - i < BATCH ? grants->count - i : BATCH;
        for (size_t j = 0; j < n; j++)
            groups[j] = kit_group(&grants->grant[i + j], version, version);
        // store_append compares a batch's members with one another: at most as many as ingest's
        for (size_t j = 0; j < n; j += WAITING_MAX)
            assert_ok(store_append(store, (const struct group *const *)groups + j, NULL,
                                   n - j < WAITING_MAX ? n - j : WAITING_MAX, 0, verdicts + j));
        for (size_t j = 0; j < n; j++)
            group_free(groups[j]);
    }
}

/* The fastest of some: what it costs, not what else the machine did. */
static double scan_ms(struct store *store, size_t wanted)
{
    double best = INFINITY;
    for (int i = 0; i < 7; i++) {
        size_t count = 0;
        double begun = clock_s();
        uint64_t at = 0, bytes;
        for (struct listed listed; store_list(store, &at, &listed); count++)
            assert_ok(store_group_bytes(store, listed.slot, &bytes));
        best = fmin(best, clock_s() - begun);
        assert_int_equal(count, wanted);
    }
    return 1e3 * best;
}

static double live_scan(size_t deletions, size_t live)
{
    enum { ROUND = 16384 };
    struct store *store = open_with(testing_directory(), kit_rules(ROUND, 3));
    uint64_t version = 0;
    for (size_t deleted = 0; deletions && deleted < deletions + 2 * ROUND; deleted += ROUND) {
        SCOPED_VALUE(grants) grants = lease_many(store, version, ROUND);
        append_many(store, &grants, version);
        SCOPED(round) round = kit_round(store, IDLE_NONE);
        kit_train(store, round);
        version++;
        assert_ok(store_checkpointed(store, version, version));
    }
    SCOPED_VALUE(grants) grants = lease_many(store, version, live);
    append_many(store, &grants, version);
    double ms = scan_ms(store, live);
    store_free(store);
    return ms;
}

static void bench_scan(void)
{
    size_t deletions = quick ? 100000 : 1000000, live = 10000;
    double fresh = live_scan(0, live), begun = clock_s(), after = live_scan(deletions, live);
    say("scan_fresh", fresh, "ms");
    say("scan_after_deletions", after, "ms");
    say("scan_deletions", (double)deletions, "groups");
    say("scan_made_in", clock_s() - begun, "s");
    say_ratio("scan_after_deletions", after / fresh, "<= 1.5");
}

static double resident_mib(void)
{
    long pages[2] = {0};
    SCOPED_FILE in = fopen("/proc/self/statm", "r");
    if (!in || fscanf(in, "%ld %ld", &pages[0], &pages[1]) != 2)
        return NAN;
    return (double)pages[1] * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

static void bench_open(void)
{
    size_t count = quick ? 100000 : 1000000;
    const char *dir = testing_directory();
    struct store_rules rules = kit_rules(1 << 16, 15);
    fflush(stdout);
    pid_t filler = fork();
    if (!filler) { // ends as if killed: what is not in tables is read from the log
        struct store *store = open_with(dir, rules);
        SCOPED_VALUE(grants) grants = lease_many(store, 0, count);
        append_many(store, &grants, 0);
        _exit(0);
    }
    int status;
    waitpid(filler, &status, 0);
    assert_int_equal(status, 0);
    for (int clean = 0; clean < 2; clean++) {
        double resident = resident_mib(), begun = clock_s();
        struct store *store = open_with(dir, rules);
        say(clean ? "open_clean" : "open_after_kill", clock_s() - begun, "s");
        say(clean ? "open_clean_resident" : "open_after_kill_resident", resident_mib() - resident,
            "MiB");
        struct store_counts counts;
        store_counts(store, &counts);
        assert_int_equal(counts.stored, count);
        store_free(store);
    }
    say("open_groups", (double)count, "groups");
}

int main(int argc, char **argv)
{
    quick = argc > 1 && !strcmp(argv[1], "--quick");
    bench_open(); // first: it forks, which RocksDB's threads would not survive
    double fsyncs = bench_fsync();
    bench_commits(8 << 10, quick ? 4000 : 20000, 16, fsyncs, "8KiB");
    bench_commits(256 << 10, quick ? 400 : 1600, 4, fsyncs, "256KiB");
    bench_draws(REPLAY_FIFO, "fifo");
    bench_draws(REPLAY_UNIFORM, "uniform");
    bench_draws(REPLAY_PRIORITY, "priority");
    bench_scan();
    return 0;
}
