/* A learner's storage killed with -9 at random moments, and the machine's power cut with it: files
 * are cut back to what was really synced, or to somewhere between that and what was written.
 * Whatever a call had acknowledged must be there when the store opens again, and nothing by half.
 *
 * STORE_KILLS=50 kills so often under each policy (default 5); with STORE_UNSYNCED=1 no sync
 * counts, and the test must fail. */
#include "base/rng.h"
#include "unit/learner/store_kit.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

enum { KILLS_MAX = 1000, LIFE_MAX_MS = 60, MESSAGES_MAX = 400, BATCH = 8, SLOTS_MAX = 1 << 16 };

/* --- what was synced: these take the place of libc's, also for RocksDB --- */

static int sync_log = -1;

struct synced {
    int64_t size;
    char path[248];
};

static int record_sync(int fd, int result, int64_t size)
{
    char link[64];
    struct synced synced = {.size = size};
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (result == 0 && sync_log >= 0 && !getenv("STORE_UNSYNCED") &&
        readlink(link, synced.path, sizeof synced.path - 1) > 0 &&
        write(sync_log, &synced, sizeof synced) != sizeof synced)
        abort();
    return result;
}

static int64_t size_of(int fd)
{
    struct stat file;
    return fstat(fd, &file) ? -1 : file.st_size;
}

int fsync(int fd)
{
    int64_t size = size_of(fd);
    return record_sync(fd, (int)syscall(SYS_fsync, fd), size);
}

int fdatasync(int fd)
{
    int64_t size = size_of(fd);
    return record_sync(fd, (int)syscall(SYS_fdatasync, fd), size);
}

/* Cuts write-ahead logs, tables and manifests back to their last sync; half of them keep some of
 * what was written after it, as a disk may have. Returns the bytes cut. */
static int64_t cut_power(const char *dir, const char *log, const struct rng *rng, uint64_t *at)
{
    int64_t cut = 0;
    SCOPED_FILE in = fopen(log, "r");
    DIR *files = opendir(dir);
    for (struct dirent *entry; (entry = readdir(files));) {
        const char *dot = strrchr(entry->d_name, '.');
        if (strncmp(entry->d_name, "MANIFEST", 8) &&
            (!dot || (strcmp(dot, ".log") && strcmp(dot, ".sst"))))
            continue;
        SCOPED_MEM char *path = mem_printf("%s/%s", dir, entry->d_name);
        int64_t kept = 0;
        struct stat file;
        struct synced synced;
        for (rewind(in); fread(&synced, sizeof synced, 1, in) == 1;)
            if (!strcmp(synced.path, path))
                kept = synced.size > kept ? synced.size : kept;
        if (stat(path, &file) == 0 && file.st_size > kept && rng_below(rng, (*at)++, 2))
            kept += (int64_t)rng_below(rng, (*at)++, (uint64_t)(file.st_size - kept));
        if (stat(path, &file) == 0 && file.st_size > kept) {
            cut += file.st_size - kept;
            assert_int_equal(truncate(path, kept), 0);
        }
    }
    closedir(files);
    return cut;
}

/* --- the child: leases, appends, forms, trains, and says so after each call has returned --- */

enum said { SAID_GRANT, SAID_STORED, SAID_ROUND, SAID_VERSION };

struct message {
    enum said said;
    struct grant grant;
    uint64_t number, slots[BATCH];
};

static void say(int out, struct message message)
{
    if (write(out, &message, sizeof message) != sizeof message)
        abort();
}

static void child_batch(struct store *store, int out, const struct rng *rng, uint64_t *at)
{
    SCOPED_VALUE(grants) grants = kit_lease(store, "g", store_last_version(store), BATCH);
    struct group *groups[BATCH];
    struct verdict verdicts[BATCH];
    for (size_t i = 0; i < grants.count; i++)
        say(out, (struct message){SAID_GRANT, grants.grant[i], 0, {0}});
    uint64_t version = store_last_version(store);
    size_t n = 0;
    for (size_t i = 0; i < grants.count; i++)
        if (rng_below(rng, (*at)++, 8)) // the others are left to expire
            groups[n++] = kit_group(&grants.grant[i], version, version);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < grants.count; j++)
            if (grants.grant[j].slot == groups[i]->slot)
                grants.grant[i] = grants.grant[j];
    assert_ok(store_append(store, (const struct group *const *)groups, NULL, n, 0, verdicts));
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(verdicts[i].outcome, OUTCOME_STORED);
        say(out, (struct message){SAID_STORED, grants.grant[i], 0, {0}});
        group_free(groups[i]);
    }
}

/* Rules under which each replay policy is at work. */
static struct store_rules rules_of(enum replay_policy policy)
{
    struct store_rules rules = kit_rules(BATCH, 1);
    rules.epochs = 0;
    rules.policy = policy;
    rules.max_uses = policy == REPLAY_FIFO ? 1 : 2;
    return rules;
}

static void child_train(struct store *store, int out)
{
    enum idle idle;
    SCOPED(round) round = NULL;
    if (store_rounds_done(store) == store_next_round(store))
        assert_ok(store_form_round(store, 0, &plan, &idle, &round));
    else
        assert_ok(store_round(store, store_rounds_done(store), &round)); // where the last one died
    if (!round)
        return;
    struct message formed = {.said = SAID_ROUND, .number = round->round};
    for (size_t i = 0; i < round->groups; i++)
        formed.slots[i] = round->group[i].slot;
    say(out, formed);
    kit_train(store, round);
    say(out, (struct message){.said = SAID_VERSION, .number = round->first_version + 1});
    if (round->round % 4 == 3)
        assert_ok(store_checkpointed(store, round->round + 1, round->first_version + 1));
}

static void child(const char *dir, const char *log, int out, uint64_t life,
                  enum replay_policy policy)
{
    struct store_options options = kit_options(100);
    struct store_rules rules = rules_of(policy);
    struct rng rng = rng_keyed(5, RNG_TEST, life, policy);
    struct store *store = NULL;
    int64_t now_ms = 0;
    uint64_t at = 0;
    sync_log = open(log, O_WRONLY | O_APPEND | O_CREAT, 0600);
    assert_ok(store_open(dir, &options, &rules, now_ms, &store));
    assert_ok(store_holder_gone(store, &(struct store_holder){"g", 2 + life}, now_ms));
    for (;;) {
        child_batch(store, out, &rng, &at);
        child_train(store, out);
        assert_ok(store_expire(store, now_ms += 100));
    }
}

/* --- the parent: kills, cuts, and holds the store to what was said --- */

struct history {
    struct grant stored[SLOTS_MAX]; // by slot; attempt 0: nothing was acknowledged
    uint32_t granted[SLOTS_MAX];    // the newest attempt acknowledged
    uint64_t slots, round_slots[SLOTS_MAX / BATCH][BATCH], rounds, versions, messages;
};

/* Until the child is dead. It is killed when it has said so much; 0: somebody else kills it. */
static void listen_to(struct history *history, int in, pid_t pid, uint64_t much,
                      enum replay_policy policy)
{
    struct message message;
    while (read(in, &message, sizeof message) == sizeof message) {
        if (++history->messages && much && --much == 0)
            kill(pid, SIGKILL);
        uint64_t slot = message.grant.slot;
        assert_true(slot < SLOTS_MAX && message.number < SLOTS_MAX / BATCH);
        if (message.said == SAID_GRANT) {
            assert_true(message.grant.attempt > history->granted[slot]); // attempts only rise
            if (policy == REPLAY_FIFO) // and stop at a stored group; else it may become stale
                assert_int_equal(history->stored[slot].attempt, 0);
            history->stored[slot] = (struct grant){0};
            history->granted[slot] = message.grant.attempt;
            history->slots = slot + 1 > history->slots ? slot + 1 : history->slots;
        } else if (message.said == SAID_STORED) {
            history->stored[slot] = message.grant;
        } else if (message.said == SAID_ROUND) {
            memcpy(history->round_slots[message.number], message.slots, sizeof message.slots);
            history->rounds = message.number + 1;
        } else {
            history->versions = message.number;
        }
    }
}

/* Sent again, what was acknowledged is known. */
static void check_stored(struct store *store, const struct grant stored[BATCH])
{
    struct group *groups[BATCH];
    struct verdict verdicts[BATCH];
    size_t n = 0;
    for (size_t i = 0; i < BATCH; i++)
        if (stored[i].attempt)
            groups[n++] = kit_group(&stored[i], 0, 0);
    assert_ok(store_append(store, (const struct group *const *)groups, NULL, n, 0, verdicts));
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(verdicts[i].outcome, OUTCOME_DUPLICATE);
        group_free(groups[i]);
    }
}

static void check(const char *dir, const struct history *history, enum replay_policy policy)
{
    struct store_options options = kit_options(100);
    struct store_rules rules = rules_of(policy);
    SCOPED(store) store = NULL;
    assert_ok(store_open(dir, &options, &rules, 0, &store));
    assert_true(store_next_round(store) >= history->rounds);
    assert_true(store_last_version(store) >= history->versions);
    for (uint64_t r = 0; r < history->rounds; r++) {
        SCOPED(round) round = NULL;
        assert_ok(store_round(store, r, &round));
        for (size_t i = 0; i < round->groups; i++)
            assert_int_equal(round->group[i].slot, history->round_slots[r][i]);
    }
    for (uint64_t slot = 0; slot < history->slots; slot += BATCH)
        check_stored(store, &history->stored[slot]);
    store_free(STEAL(store));
    kit_audit(dir);
}

static uint64_t kills_wanted(void)
{
    const char *text = getenv("STORE_KILLS");
    unsigned long n = text ? strtoul(text, NULL, 10) : 5;
    return n < 1 ? 1 : n > KILLS_MAX ? KILLS_MAX : n;
}

static void kill_often(enum replay_policy policy)
{
    const char *dir = kit_directory();
    SCOPED_MEM char *store = mem_printf("%s/store", dir), *log = mem_printf("%s/sync", dir);
    struct history *history = mem_new(sizeof *history);
    struct rng rng = rng_keyed(1, RNG_TEST, policy, 0), torn = rng_keyed(1, RNG_TEST, policy, 1);
    int64_t cut = 0;
    uint64_t kills = kills_wanted(), cuts = 0;
    for (uint64_t life = 0; life < kills; life++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        pid_t pid = fork();
        if (!pid) {
            close(ends[0]);
            child(store, log, ends[1], life, policy);
        }
        close(ends[1]);
        uint64_t much = life % 2 ? 0 : 1 + rng_below(&rng, life, MESSAGES_MAX);
        struct timespec wait = {0, (long)(1 + rng_below(&rng, life, LIFE_MAX_MS)) * 1000000};
        pid_t killer = fork();
        if (!killer) {
            nanosleep(&wait, NULL);
            if (!much)
                kill(pid, SIGKILL);
            _exit(0);
        }
        int status;
        listen_to(history, ends[0], pid, much, policy);
        close(ends[0]);
        waitpid(pid, &status, 0);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        waitpid(killer, &status, 0);
        sync_log = -1;
        cut += cut_power(store, log, &torn, &cuts);
        sync_log = open(log, O_WRONLY | O_APPEND | O_CREAT, 0600);
        check(store, history, policy);
        close(sync_log);
        sync_log = -1;
    }
    print_message(
        "policy %d: %llu kills, %llu acknowledgements, %llu slots, %llu rounds; %lld unsynced bytes cut\n",
        (int)policy, (unsigned long long)kills, (unsigned long long)history->messages,
        (unsigned long long)history->slots, (unsigned long long)history->rounds, (long long)cut);
    assert_true(history->rounds > kills / 2);
    free(history);
}

static void nothing_acknowledged_is_lost(void **)
{
    if (!TESTING_FORKS)
        skip();
    for (int policy = REPLAY_FIFO; policy <= REPLAY_PRIORITY; policy++)
        kill_often((enum replay_policy)policy);
}

TESTS(cmocka_unit_test(nothing_acknowledged_is_lost))
