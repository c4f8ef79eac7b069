/* Opening the libraries, and lanes: two or more of them in one process, over the stand-ins for NCCL
 * and CUDA. The last tests run on the real libraries where these are installed, without a GPU. */
#include "base/clock.h"
#include "base/mem.h"
#include "gpu/nccl.h"
#include "tensor/digest.h"
#include "testing/testing.h"
#include "weights/broadcast/lane.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { LANES = 4, BUCKET = 1 << 20, LEN = 8 * BUCKET + 12346, GIVE_UP_MS = 60000 };

struct party {
    struct nccl *nccl;
    struct lane *lane[LANES];
    int lanes;
    uint8_t *from, *to[LANES];
};

static void behave(const char *settings)
{
    assert_int_equal(setenv("FAKE_NCCL", settings, 1), 0);
}

static struct lane_event expect(struct lane *lane, enum lane_event_kind kind)
{
    struct lane_event event = {0};
    uint64_t part = 0;
    for (const int64_t until = clock_ms() + GIVE_UP_MS; clock_ms() < until; clock_sleep_ms(1))
        if (lane_poll(lane, &event)) {
            if (event.kind == LANE_PART) {
                assert_true(event.bytes > part && lane_busy(lane));
                part = event.bytes;
                continue;
            }
            assert_true(!part || event.kind != LANE_DONE || event.bytes == part);
            if (event.kind != kind)
                fail_msg("event %d (%s) instead of %d", (int)event.kind, event.why, (int)kind);
            return event;
        }
    fail_msg("no event; %d was expected", (int)kind);
    return event;
}

static void gather(struct party *party, int lanes)
{
    *party = (struct party){.lanes = lanes};
    assert_ok(nccl_open(FAKE_NCCL_LIBRARY, FAKE_CUDART_LIBRARY, &party->nccl));
    assert_ok(nccl_check_device(party->nccl, 0));
    party->from = mem_new(LEN);
    for (int i = 0; i < LEN; i++)
        party->from[i] = (uint8_t)(i * 31 + (i >> 13));
    for (int i = 0; i < lanes; i++) {
        party->to[i] = mem_new(LEN);
        assert_ok(lane_new(&(struct lane_options){.nccl = party->nccl}, &party->lane[i]));
        lane_prepare(party->lane[i], BUCKET);
        expect(party->lane[i], LANE_PREPARED);
    }
}

static struct lane_event mint(struct party *party)
{
    lane_mint(party->lane[0]);
    return expect(party->lane[0], LANE_MINTED);
}

static void init_all(struct party *party)
{
    const struct lane_event minted = mint(party);
    for (int i = 0; i < party->lanes; i++)
        lane_init(party->lane[i], &(struct lane_init){minted.id, party->lanes, i});
}

static void build(struct party *party)
{
    init_all(party);
    for (int i = 0; i < party->lanes; i++)
        expect(party->lane[i], LANE_UP);
}

static void broadcast(struct party *party)
{
    lane_move(party->lane[0], &(struct lane_move){.from = party->from, .len = LEN});
    for (int i = 1; i < party->lanes; i++) {
        memset(party->to[i], 0, LEN);
        lane_move(party->lane[i], &(struct lane_move){.to = party->to[i], .len = LEN});
    }
}

static void check(struct party *party)
{
    const struct digest want = weights_digest((const uint16_t *)(void *)party->from, 0, LEN / 2);
    for (int i = 0; i < party->lanes; i++)
        assert_int_equal(expect(party->lane[i], LANE_DONE).bytes, LEN);
    for (int i = 1; i < party->lanes; i++) {
        const struct digest got =
            weights_digest((const uint16_t *)(void *)party->to[i], 0, LEN / 2);
        assert_true(digest_equal(&got, &want));
    }
}

/* What was under way may still fail by it first. */
static uint64_t abort_one(struct party *party, int i)
{
    struct lane_event event = {0};
    lane_abort(party->lane[i]);
    for (const int64_t until = clock_ms() + GIVE_UP_MS; clock_ms() < until; clock_sleep_ms(1))
        if (lane_poll(party->lane[i], &event) && event.kind == LANE_ABORTED)
            break;
    assert_int_equal(event.kind, LANE_ABORTED);
    assert_false(lane_busy(party->lane[i]));
    return event.bytes;
}

static void part(struct party *party)
{
    for (int i = 0; i < party->lanes; i++) {
        assert_true(lane_free(party->lane[i]));
        free(party->to[i]);
    }
    free(party->from);
    nccl_free(party->nccl);
    behave("");
}

/* ---- memory of the device: the stand-in's is the host's */

/* Each rank chooses: rank 0 sends from the device; others receive there and get a copy, or on the
 * host alone, or drop it. */
static void what_lies_on_the_device_is_moved_there(void **state)
{
    struct party party;
    (void)state;
    behave("");
    gather(&party, LANES);
    build(&party);
    SCOPED_MEM uint8_t *there = mem_copy(party.from, LEN);
    SCOPED_MEM uint8_t *first = mem_new(LEN);
    lane_move(party.lane[0], &(struct lane_move){.device = there, .len = LEN});
    lane_move(party.lane[1], &(struct lane_move){.to = party.to[1], .device = first, .len = LEN});
    lane_move(party.lane[2], &(struct lane_move){.to = party.to[2], .len = LEN});
    lane_move(party.lane[3], &(struct lane_move){.len = LEN});
    for (int i = 0; i < LANES; i++)
        assert_int_equal(expect(party.lane[i], LANE_DONE).bytes, LEN);
    assert_memory_equal(first, party.from, LEN);
    assert_memory_equal(party.to[1], party.from, LEN);
    assert_memory_equal(party.to[2], party.from, LEN);
    assert_memory_equal(there, party.from, LEN);
    part(&party);
}

/* A use after munmap ends the process by a signal. */
static uint8_t *mapped(void)
{
    void *at = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(at != MAP_FAILED);
    return at;
}

/* An aborted broadcast gives the device's memory back when nothing on the stream uses it. That
 * memory is gone at once here, while the stand-in's stream still has a copy behind the
 * broadcast. */
static void an_abort_waits_for_the_stream(void **state)
{
    struct party party;
    (void)state;
    behave("bcast_hang_at=4");
    gather(&party, 2);
    build(&party);
    uint8_t *there = mapped(), *first = mapped();
    lane_move(party.lane[0], &(struct lane_move){.device = there, .len = LEN});
    lane_move(party.lane[1], &(struct lane_move){.to = party.to[1], .device = first, .len = LEN});
    struct lane_event event;
    for (bool some = false; !some; clock_sleep_ms(1))
        some = lane_poll(party.lane[1], &event) && event.kind == LANE_PART;
    abort_one(&party, 0);
    munmap(there, LEN);
    abort_one(&party, 1);
    munmap(first, LEN);
    part(&party);
}

/* A call of CUDA's runtime takes longer than the grace of an abort: the communicator that is gone
 * by then is not asked for its state. */
static void a_slow_call_comes_back_after_the_abort(void **state)
{
    struct party party;
    (void)state;
    behave("bcast_hang_at=2");
    gather(&party, 2);
    build(&party);
    assert_int_equal(setenv("FAKE_CUDA", "query_ms=400", 1), 0);
    broadcast(&party);
    clock_sleep_ms(50);
    for (int i = 0; i < 2; i++)
        abort_one(&party, i);
    assert_int_equal(setenv("FAKE_CUDA", "", 1), 0);
    part(&party);
}

/* ---- libraries */

static void what_is_missing_is_named(void **state)
{
    struct nccl *nccl = NULL;
    (void)state;
    behave("");
    assert_err(ERR_NOT_FOUND, "publish.nccl_library",
               nccl_open("/nowhere/libnccl.so.2", FAKE_CUDART_LIBRARY, &nccl));
    assert_err(ERR_NOT_FOUND, "publish.cudart_library",
               nccl_open(FAKE_NCCL_LIBRARY, "/nowhere/libcudart.so", &nccl));
    assert_err(ERR_NOT_FOUND, "no function ncclGetVersion",
               nccl_open(FAKE_CUDART_LIBRARY, FAKE_CUDART_LIBRARY, &nccl));
    behave("version=2708");
    assert_err(ERR_UNAVAILABLE, "version 2708; at least 21800",
               nccl_open(FAKE_NCCL_LIBRARY, FAKE_CUDART_LIBRARY, &nccl));
    behave("version=23001");
    assert_ok(nccl_open(FAKE_NCCL_LIBRARY, FAKE_CUDART_LIBRARY, &nccl));
    assert_int_equal(nccl->version, 23001);
    setenv("FAKE_CUDA", "devices=0", 1);
    assert_err(ERR_UNAVAILABLE, "no CUDA-capable device", nccl_check_device(nccl, 0));
    setenv("FAKE_CUDA", "devices=2", 1);
    assert_ok(nccl_check_device(nccl, 1));
    assert_err(ERR_UNAVAILABLE, "device 2 of 2", nccl_check_device(nccl, 2));
    unsetenv("FAKE_CUDA");
    nccl_free(nccl);
    behave("");
}

/* An earlier case let a call hang: from then on nccl_free keeps tables for NCCL's threads, which
 * have none of this one. */
static void free_table(struct nccl *nccl)
{
    if (nccl_is_stuck())
        free(nccl);
    else
        nccl_free(nccl);
}

/* A backend's module has loaded CUDA's runtime: no second one joins it, whatever this machine has.
 */
static void a_runtime_that_is_there_is_the_one(void **state)
{
    struct nccl *nccl = NULL;
    (void)state;
    behave("");
    void *runtime = dlopen(FAKE_RUNTIME_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    assert_non_null(runtime);
    assert_ok(nccl_open(FAKE_NCCL_LIBRARY, "", &nccl));
    assert_ptr_equal((void *)nccl->call.malloc, dlsym(runtime, "cudaMalloc"));
    free_table(nccl);
}

/* ---- lanes */

static void versions_come_whole(void **state)
{
    static const char *const manners[] = {"", "in_progress_ms=5", "bcast_delay_ms=3",
                                          "init_delay_ms=50,in_progress_ms=2,bcast_delay_ms=2"};
    (void)state;
    for (size_t i = 0; i < sizeof manners / sizeof *manners; i++) {
        struct party party;
        behave(manners[i]);
        gather(&party, LANES);
        build(&party);
        for (int k = 0; k < 3; k++) {
            party.from[k]++;
            broadcast(&party);
            check(&party);
        }
        part(&party);
    }
}

static void one_that_has_no_room_takes_part(void **state)
{
    struct party party;
    (void)state;
    gather(&party, 3);
    build(&party);
    lane_move(party.lane[0], &(struct lane_move){.from = party.from, .len = LEN});
    lane_move(party.lane[1], &(struct lane_move){.to = NULL, .len = LEN});
    lane_move(party.lane[2], &(struct lane_move){.to = party.to[2], .len = LEN});
    for (int i = 0; i < 3; i++)
        expect(party.lane[i], LANE_DONE);
    assert_memory_equal(party.to[2], party.from, LEN);
    part(&party);
}

/* Each way to hang ends by an abort, keeps what came before it, and the same lanes build the next
 * communicator. */
static void what_hangs_is_aborted(void **state)
{
    static const char *const manners[] = {"init_hang=1", "bcast_hang_at=3", "call_hang_at=3"};
    (void)state;
    for (size_t i = 0; i < sizeof manners / sizeof *manners; i++) {
        struct party party;
        gather(&party, 3);
        behave(manners[i]);
        if (i == 0) {
            init_all(&party);
        } else {
            build(&party);
            broadcast(&party);
        }
        clock_sleep_ms(150);
        for (int k = 0; k < 3; k++) {
            const uint64_t bytes = abort_one(&party, k);
            assert_true(bytes <= (i ? 2 * BUCKET : 0));
            if (k)
                assert_memory_equal(party.to[k], party.from, bytes);
        }
        behave("");
        build(&party);
        broadcast(&party);
        check(&party);
        part(&party);
    }
}

static void errors_say_what_and_whose(void **state)
{
    static const struct {
        const char *manner, *why;
        bool mine, in_init;
    } cases[] = {
        {"init_error=1", "unhandled cuda error", true, true},
        {"init_error=2", "unhandled system error", false, true},
        {"init_error=6", "remote process exited", false, true},
        {"bcast_error_at=2,error=3", "internal error", true, false},
        {"bcast_error_at=1,error=5", "invalid usage", true, false},
        {"async_error_at=2,error=1", "unhandled cuda error", true, false},
        {"async_error_at=1,error=6", "remote process exited", false, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct party party;
        gather(&party, 2);
        behave(cases[i].manner);
        if (cases[i].in_init) {
            init_all(&party);
        } else {
            build(&party);
            broadcast(&party);
        }
        const struct lane_event failed = expect(party.lane[1], LANE_FAILED);
        assert_non_null(strstr(failed.why, cases[i].why));
        assert_int_equal(failed.mine, cases[i].mine);
        expect(party.lane[0], LANE_FAILED);
        behave("");
        abort_one(&party, 0);
        abort_one(&party, 1);
        build(&party);
        broadcast(&party);
        check(&party);
        part(&party);
    }
}

static void memory_that_runs_out_is_said(void **state)
{
    struct party party;
    (void)state;
    gather(&party, 1);
    setenv("FAKE_CUDA", "malloc_error=1", 1);
    lane_prepare(party.lane[0], 2 * BUCKET);
    const struct lane_event failed = expect(party.lane[0], LANE_FAILED);
    assert_non_null(strstr(failed.why, "out of memory"));
    assert_true(failed.mine);
    unsetenv("FAKE_CUDA");
    lane_prepare(party.lane[0], 2 * BUCKET);
    expect(party.lane[0], LANE_PREPARED);
    part(&party);
}

static void an_abort_with_nothing_to_abort_is_answered(void **state)
{
    struct party party;
    (void)state;
    gather(&party, 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(abort_one(&party, 0), 0);
    part(&party);
}

/* The call that never returned keeps its thread; nothing else waits for it. */
static void a_call_that_never_returns_is_left_behind(void **state)
{
    struct party party;
    (void)state;
    gather(&party, 2);
    const struct lane_event minted = mint(&party);
    behave("init_call_hang=1");
    lane_init(party.lane[1], &(struct lane_init){minted.id, 2, 1});
    clock_sleep_ms(50);
    lane_abort(party.lane[1]);
    assert_false(lane_free(party.lane[1]));
    party.lane[1] = NULL;
    free(party.to[1]);
    party.lanes = 1;
    assert_true(lane_free(party.lane[0]));
    free(party.to[0]);
    free(party.from); // and not the table: the thread may still look at it
}

/* ---- the real libraries */

static void the_real_library_fails_cleanly_without_a_gpu(void **state)
{
    struct nccl *nccl = NULL;
    struct lane *lane = NULL;
    (void)state;
    err_t e = *REAL_NCCL_LIBRARY ? nccl_open(REAL_NCCL_LIBRARY, REAL_CUDART_LIBRARY, &nccl)
                                 : err_new(ERR_NOT_FOUND, "no libnccl.so.2 is installed");
    if (err_failed(e)) {
        print_message("skipped: %s\n", err_message(e));
        err_free(e);
        skip();
    }
    print_message("real NCCL %d\n", nccl->version);
    assert_in_range(nccl->version, 21800, 99999);
    err_t device = nccl_check_device(nccl, 0);
    if (!err_failed(device)) {
        print_message("skipped: there is a GPU\n");
        nccl_free(nccl);
        skip();
    }
    assert_int_equal(err_code(device), ERR_UNAVAILABLE);
    assert_non_null(strstr(err_message(device), "CUDA: no devices"));
    err_free(device);
    /* The lane says so too, where nobody asked before. */
    assert_ok(lane_new(&(struct lane_options){.nccl = nccl}, &lane));
    lane_prepare(lane, BUCKET);
    assert_true(expect(lane, LANE_FAILED).mine);
    assert_true(lane_free(lane));
    /* And the library itself: an id, and an init that fails with an error that is not about its
     * arguments. */
    struct nccl_id id = {0}, none = {0};
    setenv("NCCL_SOCKET_IFNAME", "lo", 0);
    assert_int_equal(nccl->call.unique_id(&id), NCCL_SUCCESS);
    assert_memory_not_equal(&id, &none, sizeof id);
    struct nccl_config config = nccl_config_default();
    void *comm = NULL;
    int rc = nccl->call.init(&comm, 1, id, 0, &config);
    for (int i = 0; comm && rc == NCCL_IN_PROGRESS && i < 10000; i++, clock_sleep_ms(1))
        if (nccl->call.async_error(comm, &rc) != NCCL_SUCCESS)
            break;
    print_message("init without a GPU: %s\n", nccl->call.error_text(rc));
    assert_int_equal(rc, 1); // ncclUnhandledCudaError
    if (comm)
        (void)nccl->call.abort(comm);
    free_table(nccl);
}

TESTS(cmocka_unit_test(what_is_missing_is_named),
      cmocka_unit_test(what_lies_on_the_device_is_moved_there),
      cmocka_unit_test(an_abort_waits_for_the_stream),
      cmocka_unit_test(a_slow_call_comes_back_after_the_abort),
      cmocka_unit_test(versions_come_whole), cmocka_unit_test(one_that_has_no_room_takes_part),
      cmocka_unit_test(what_hangs_is_aborted), cmocka_unit_test(errors_say_what_and_whose),
      cmocka_unit_test(memory_that_runs_out_is_said),
      cmocka_unit_test(an_abort_with_nothing_to_abort_is_answered),
      cmocka_unit_test(a_call_that_never_returns_is_left_behind),
      cmocka_unit_test(a_runtime_that_is_there_is_the_one), // before a real one is loaded
      cmocka_unit_test(the_real_library_fails_cleanly_without_a_gpu))
