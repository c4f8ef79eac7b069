/* The store on the disk under $TMPDIR: leases and appends a second by batch, rounds, and opening it
 * with many groups.
 *
 *     TMPDIR=/var/tmp build/tests/bench_store */
#include "base/clock.h"
#include "unit/learner/store_kit.h"
#include <stdio.h>

enum { GROUPS = 10000, GROUP_BYTES = 8192, ROUND = 64, ROUNDS = 50 };

static void say(const char *name, double value, const char *unit, int batch)
{
    printf("{\"name\": \"store/%s\", \"batch\": %d, \"value\": %.4g, \"unit\": \"%s\"}\n", name,
           batch, value, unit);
    fflush(stdout);
}

static struct store *open_store(const char *dir)
{
    struct store_options options = kit_options(1 << 20);
    struct store_rules rules = kit_rules(ROUND, 1000);
    struct store *store = NULL;
    rules.max_groups = 1 << 20;
    rules.lease_ms = 1 << 30;
    assert_ok(store_open(dir, &options, &rules, 0, &store));
    return store;
}

static struct group *large_group(const struct grant *grant)
{
    struct group *group = kit_group(grant, 0, 0);
    free(group->row);
    group->row = mem_array(GROUP_BYTES, 1);
    memset(group->row, 'x', GROUP_BYTES - 200);
    return group;
}

static struct grants bench_lease(struct store *store, int batch)
{
    struct grants all = {.grant = mem_array(GROUPS + 256, sizeof(struct grant))};
    double begun = clock_s();
    int calls = 0;
    for (; all.count < GROUPS && (batch > 1 || calls < 200); calls++) {
        SCOPED_VALUE(grants) some = kit_lease(store, "g", 0, (size_t)batch);
        memcpy(all.grant + all.count, some.grant, some.count * sizeof *some.grant);
        all.count += some.count;
    }
    say("lease", (double)all.count / (clock_s() - begun), "slots/s", batch);
    say("lease_call", 1e3 * (clock_s() - begun) / calls, "ms", batch);
    return all;
}

static void bench_append(struct store *store, const struct grants *grants, int batch)
{
    double spent = 0;
    for (size_t i = 0; i + (size_t)batch <= grants->count; i += (size_t)batch) {
        struct group *groups[256];
        struct verdict verdicts[256];
        for (int j = 0; j < batch; j++)
            groups[j] = large_group(&grants->grant[i + (size_t)j]);
        double begun = clock_s();
        assert_ok(store_append(store, (const struct group *const *)groups, NULL, (size_t)batch, 0,
                               verdicts));
        spent += clock_s() - begun;
        for (int j = 0; j < batch; j++)
            group_free(groups[j]);
    }
    size_t done = grants->count - grants->count % (size_t)batch;
    say("append_8KiB", (double)done / spent, "groups/s", batch);
    say("append_call", 1e3 * spent * batch / (double)done, "ms", batch);
}

static void bench_rounds(struct store *store)
{
    double forming = 0, reading = 0;
    for (int i = 0; i < ROUNDS; i++) {
        struct group **groups;
        double begun = clock_s();
        SCOPED(round) round = kit_round(store, IDLE_NONE);
        double formed = clock_s();
        assert_ok(store_round_groups(store, round, &groups));
        forming += formed - begun;
        reading += clock_s() - formed;
        round_groups_free(groups, round->groups);
    }
    say("form_round", 1e3 * forming / ROUNDS, "ms", ROUND);
    say("read_round", 1e3 * reading / ROUNDS, "ms", ROUND);
}

int main(void)
{
    static const int batches[] = {1, 16, 64};
    for (int i = 0; i < 3; i++) {
        const char *dir = testing_directory();
        struct store *store = open_store(dir);
        struct grants grants = bench_lease(store, batches[i]);
        bench_append(store, &grants, batches[i]);
        if (grants.count >= GROUPS) {
            store_free(store);
            double begun = clock_s();
            store = open_store(dir);
            say("open_with_10000_groups", 1e3 * (clock_s() - begun), "ms", batches[i]);
            bench_rounds(store);
        }
        grants_done(&grants);
        store_free(store);
    }
    return 0;
}
