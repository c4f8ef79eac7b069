/* Sessions between processes: this one is the learner, with the real transport and a small
 * publisher over real gRPC; its generators are processes of the same program. NCCL and CUDA's
 * runtime are the stand-ins of tests/fake_nccl, opened as the real ones are. Generators are killed
 * and stopped in every state; versions arrive all the same, and only one is held up. */
#include "session_learner.h"
#include <dirent.h>

static void versions_reach_all_members(void **state)
{
    struct learner it;
    (void)state;
    learner_start(&it);
    for (int i = 0; i < 3; i++)
        generator_start(i, i == 1 ? "in_progress_ms=3,init_delay_ms=60" : "", -1, 0);
    wait_members(3);
    const uint64_t stood = transport_stats(it.transport).counts.stood; // 2, if one came late
    for (int i = 0; i < 5; i++)
        publish(&it);
    for (uint64_t id = 1; id <= 3; id++) {
        assert_int_equal(peer_of(id)->over_nccl, 5);
        assert_int_equal(peer_of(id)->over_grpc, 0);
        assert_int_equal(peer_of(id)->applied, 5);
    }
    const struct transport_stats stats = transport_stats(it.transport);
    assert_int_equal(stats.counts.stood, stood);
    assert_int_equal(stats.counts.failed, 0);
    assert_int_equal(stats.counts.carried, 5);
    assert_int_equal(stats.bytes, 5 * (ELEMENTS * 2));
    learner_end(&it);
}

/* Where the victim is hit. The first four are its own states; the last two inside its NCCL. */
struct hit {
    const char *name;
    int state;          // of the member's rules
    const char *inside; // or manners, with %d for the signal
    uint64_t later;     // sessions after those without the victim, at least
};
static const struct hit hits[] = {
    {"before READY", MEMBER_PREPARING, "", 1}, {"after READY", MEMBER_CONNECTING, "", 2},
    {"in init", -1, "signal_in_init=%d", 2},   {"at rest", MEMBER_STANDING, "", 2},
    {"announced", MEMBER_RECEIVING, "", 2},    {"in the broadcast", -1, "signal_at=4,signal=%d", 2},
};

static void hit_one(const struct hit *hit, int signal_number)
{
    struct learner it;
    char inside[64];
    learner_start(&it);
    silent_id = 0;
    generator_start(0, "", -1, 0);
    generator_start(1, "", -1, 0);
    wait_members(2);
    publish(&it);
    const uint64_t before = transport_stats(it.transport).session;
    snprintf(inside, sizeof inside, *hit->inside ? hit->inside : "%.0d", signal_number);
    generator_start(2, inside, hit->state, signal_number);
    silent_id = 3; // nobody waits for it: it dies or stops
    for (int i = 0; i < 12 || transport_stats(it.transport).session < before + hit->later; i++) {
        publish(&it);
        wait_ms(100);
        if (i == 150)
            complain("the sessions after the hit do not come");
    }
    wait_members(2); // the others are together again, or still
    publish(&it);
    const struct transport_stats stats = transport_stats(it.transport);
    print_message("%-16s %s: %d of %d offers held up, the longest release %lld ms, session %llu\n",
                  hit->name, signal_number == SIGKILL ? "killed " : "stopped", it.held_up,
                  it.carried, (long long)it.worst_ms, (unsigned long long)stats.session);
    assert_in_range(it.held_up, 0, 1);
    assert_true(it.carried >= 2);
    for (uint64_t id = 1; id <= 2; id++) {
        assert_int_equal(peer_of(id)->applied, it.manifest.version);
        assert_true(peer_of(id)->over_nccl >= 2);
    }
    if (strcmp(hit->name, "in the broadcast") == 0)
        assert_int_equal(it.held_up, 1);
    silent_id = 0;
    learner_end(&it);
}

static void killed_in_any_state_it_delays_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof hits / sizeof *hits; i++)
        hit_one(&hits[i], SIGKILL);
}

static void stopped_in_any_state_it_delays_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof hits / sizeof *hits; i++)
        hit_one(&hits[i], SIGSTOP);
}

static void who_goes_on_after_a_stop_comes_back(void **state)
{
    struct learner it;
    (void)state;
    learner_start(&it);
    for (int i = 0; i < 3; i++)
        generator_start(i, "", -1, 0);
    wait_members(3);
    publish(&it);
    process_kill(&it.process[2], SIGSTOP);
    make_version(&it);
    assert_true(offer(&it));
    until(all_but_one_are_released);
    wait_members(2);
    process_kill(&it.process[2], SIGCONT);
    wait_members(3);
    until(settled);
    for (int i = 0; i < 3; i++)
        publish(&it);
    for (uint64_t id = 1; id <= 3; id++)
        assert_int_equal(peer_of(id)->applied, it.manifest.version);
    learner_end(&it);
}

static void late_ones_enter_the_next_session(void **state)
{
    struct learner it;
    (void)state;
    learner_start(&it);
    generator_start(0, "", -1, 0);
    wait_members(1);
    publish(&it);
    const uint64_t first = transport_stats(it.transport).session;
    generator_start(1, "", -1, 0);
    wait_members(2);
    publish(&it);
    generator_start(2, "", -1, 0);
    wait_members(3);
    publish(&it);
    assert_int_equal(transport_stats(it.transport).session, first + 2);
    assert_int_equal(transport_stats(it.transport).counts.failed, 0);
    assert_int_equal(it.held_up, 0);
    assert_int_equal(peer_of(1)->over_nccl, 3);
    assert_int_equal(peer_of(3)->over_nccl, 1);
    learner_end(&it);
}

static bool is_refused(struct learner *it)
{
    return transport_stats(it->transport).refused == 1;
}

static void another_version_stays_on_grpc(void **state)
{
    struct learner it;
    (void)state;
    learner_start(&it);
    generator_start(0, "", -1, 0);
    wait_members(1);
    generator_start(1, "version=22810", -1, 0);
    until(is_refused);
    assert_non_null(strstr(it.notes, "22810 there and 22809 at the learner"));
    for (int i = 0; i < 3; i++)
        publish(&it);
    assert_int_equal(peer_of(1)->over_nccl, 3);
    assert_int_equal(peer_of(2)->over_nccl, 0);
    assert_int_equal(peer_of(2)->over_grpc, 3);
    assert_int_equal(peer_of(2)->applied, 3);
    learner_end(&it);
}

/* What a member's NCCL does wrong reaches the learner as a reason, and the version arrives all the
 * same. */
static void errors_of_a_member_end_the_session_with_a_reason(void **state)
{
    static const struct {
        const char *manner, *reason;
    } cases[] = {
        {"init_error=1", "unhandled cuda error"},
        {"init_error=3", "internal error"},
        {"bcast_error_at=3,error=5", "invalid usage"},
        {"async_error_at=2,error=1", "unhandled cuda error"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct learner it;
        learner_start(&it);
        generator_start(0, "", -1, 0);
        generator_start(1, "", -1, 0);
        wait_members(2);
        generator_start(2, cases[i].manner, -1, 0);
        for (int k = 0; k < 15; k++) {
            publish(&it);
            wait_ms(100);
        }
        if (!strstr(it.notes, cases[i].reason))
            fail_msg("'%s' is not in:\n%s", cases[i].reason, it.notes);
        assert_true(it.carried > 0);
        for (uint64_t id = 1; id <= it.peers; id++)
            assert_int_equal(peer_of(id)->applied, it.manifest.version);
        learner_end(&it);
    }
}

static bool both_are_here(struct learner *it)
{
    return it->peers == 2;
}

/* Hanging and damage: no error is ever said. */
static void silence_and_damage_fall_back_to_grpc(void **state)
{
    static const char *const manners[] = {"bcast_hang_at=3", "call_hang_at=3", "init_hang=1"};
    struct learner it;
    (void)state;
    for (size_t i = 0; i < sizeof manners / sizeof *manners; i++) {
        learner_start(&it);
        generator_start(0, "", -1, 0);
        generator_start(1, manners[i], -1, 0);
        if (i < 2)
            wait_members(2);
        until(both_are_here);
        for (int k = 0; k < 6; k++) {
            publish(&it);
            wait_ms(50);
        }
        for (uint64_t id = 1; id <= 2; id++)
            assert_int_equal(peer_of(id)->applied, 6);
        if (i < 2) { // its first two buckets had come, and were not sent again
            uint64_t most = 0;
            for (uint64_t id = 1; id <= 2; id++)
                most = peer_of(id)->resumed_bytes > most ? peer_of(id)->resumed_bytes : most;
            assert_in_range(most, BUCKET, 8 * BUCKET - 1);
        }
        learner_end(&it);
    }
    learner_start(&it);
    generator_start(0, "", -1, 0);
    generator_start(1, "", -1, 0);
    wait_members(2);
    setenv("FAKE_NCCL", "corrupt_at=3", 1); // ours: the learner's third bucket
    publish(&it);
    setenv("FAKE_NCCL", "", 1);
    for (uint64_t id = 1; id <= 2; id++) {
        assert_int_equal(peer_of(id)->applied, 1);
        assert_int_equal(peer_of(id)->over_grpc, 1);
    }
    publish(&it);
    assert_int_equal(peer_of(1)->over_nccl, 1); // the session stands: nothing was wrong with it
    learner_end(&it);
}

/* ---- fifty rebuilds leave nothing behind */

struct use {
    long fds, threads, kilobytes; // threads: not gRPC's own, which come and go with the load
};

static long threads_of(pid_t pid)
{
    static const char *const grpc[] = {"event_engine", "grpc_global_tim", "default-executo",
                                       "resolver-execut", "timer_manager"};
    SCOPED_MEM char *path = mem_printf("/proc/%d/task", (int)pid);
    DIR *directory = opendir(path);
    long count = 0;
    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory));) {
        SCOPED_MEM char *comm_path = mem_printf("%s/%s/comm", path, entry->d_name);
        char name[32] = "";
        FILE *file = entry->d_name[0] == '.' ? NULL : fopen(comm_path, "r");
        if (!file) // or it has just ended
            continue;
        bool ours = fgets(name, sizeof name, file) != NULL;
        fclose(file);
        name[strcspn(name, "\n")] = 0;
        for (size_t i = 0; i < sizeof grpc / sizeof *grpc; i++)
            ours = ours && strcmp(name, grpc[i]) != 0;
        count += ours;
    }
    closedir(directory);
    return count;
}

static struct use use_of(pid_t pid)
{
    struct use use = {0};
    SCOPED_MEM char *status_path = mem_printf("/proc/%d/status", (int)pid);
    SCOPED_MEM char *fd_path = mem_printf("/proc/%d/fd", (int)pid);
    SCOPED_MEM char *status = file_text(status_path);
    DIR *directory = opendir(fd_path);
    assert_non_null(directory);
    while (readdir(directory))
        use.fds++;
    closedir(directory);
    use.threads = threads_of(pid);
    use.kilobytes = strtol(strstr(status, "VmRSS:") + 6, NULL, 10);
    return use;
}

static void rebuild(struct learner *it)
{
    generator_start(2, "", -1, 0);
    wait_members(3);
    publish(it);
    process_kill(&it->process[2], SIGKILL);
    process_wait(&it->process[2], 10000);
    it->process[2].pid = 0;
    wait_members(2);
}

static void fifty_rebuilds_leave_nothing_behind(void **state)
{
    enum { WARM_UP = 5, REBUILDS = 50, MORE_KB = 24 << 10 };
    struct learner it;
    struct use before[3], after[3];
    (void)state;
    learner_start(&it);
    generator_start(0, "", -1, 0);
    generator_start(1, "", -1, 0);
    wait_members(2);
    for (int i = 0; i < REBUILDS / 2 + WARM_UP; i++) { // each is two: one comes, one goes
        if (i == WARM_UP)
            for (int k = 0; k < 3; k++)
                before[k] = use_of(k ? it.process[k - 1].pid : getpid());
        rebuild(&it);
    }
    for (int k = 0; k < 3; k++) {
        after[k] = use_of(k ? it.process[k - 1].pid : getpid());
        print_message("%s: descriptors %ld to %ld, threads %ld to %ld, memory %ld to %ld kB\n",
                      k ? "member " : "learner", before[k].fds, after[k].fds, before[k].threads,
                      after[k].threads, before[k].kilobytes, after[k].kilobytes);
        assert_true(after[k].fds <= before[k].fds + 2);
        assert_true(after[k].threads <= before[k].threads + 2);
        assert_true(after[k].kilobytes <= before[k].kilobytes + MORE_KB);
    }
    learner_end(&it);
}

int main(int argc, char **argv)
{
    if (argc > 3 && strcmp(argv[1], "member") == 0)
        return member_main(argc, argv);
    if (!TESTING_FORKS)
        return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions_reach_all_members),
        cmocka_unit_test(killed_in_any_state_it_delays_once),
        cmocka_unit_test(stopped_in_any_state_it_delays_once),
        cmocka_unit_test(who_goes_on_after_a_stop_comes_back),
        cmocka_unit_test(late_ones_enter_the_next_session),
        cmocka_unit_test(another_version_stays_on_grpc),
        cmocka_unit_test(errors_of_a_member_end_the_session_with_a_reason),
        cmocka_unit_test(silence_and_damage_fall_back_to_grpc),
        cmocka_unit_test(fifty_rebuilds_leave_nothing_behind),
    };
    setenv("FAKE_NCCL", "", 1);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
