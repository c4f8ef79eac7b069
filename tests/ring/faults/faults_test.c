/* Faults under a learner that works or waits: it ends by itself, with one line that names the file,
 * and the others go on. And floods: no daemon ends by them. */
#include "base/bytes.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "ring/steer/admin_client.h"
#include "svc/exit_status.h"
#include "testing/daemons.h"
#include "testing/testing.h"
#include "testing/weights.h"
#include "wire/rollout.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TRAIN_MS = 120000, END_MS = 60000 };

static struct ring endless_ring(int lag)
{
    return ring_prepare(&(struct ring_options){.rounds = 1000000, .groups = 8, .lag = lag});
}

static struct daemons start(const struct ring *ring, const char *settings)
{
    struct daemons d = daemons_start(ring, settings);
    ring_wait_rounds(ring, 3, TRAIN_MS);
    return d;
}

static size_t lines_with(const char *text, const char *part)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, part)); at++)
        count++;
    return count;
}

/* As much as cmocka prints. */
static const char *end_of(const char *text)
{
    enum { END = 800 };
    size_t len = strlen(text);
    return text + (len > END ? len - END : 0);
}

/* With a status that is not 0 and one line of an error, which contains both parts. */
static void assert_learner_ends(struct daemons *d, const char *part, const char *other)
{
    SCOPED_MEM char *log = mem_printf("%s/learner.log", d->ring->run);
    int status = process_wait(&d->process[LEARNER], END_MS);
    SCOPED_MEM char *text = file_text(log);
    const char *line = strstr(text, " error learner ");
    const bool right = status == EXIT_STATUS_FAILED || status == EXIT_STATUS_RESOURCES;
    if (!right || !line || !strstr(line, part) || !strstr(line, other))
        print_error("status %d, wanted '%s' and '%s':\n%s\n", status, part, other, end_of(text));
    assert_true(right);
    assert_non_null(line);
    assert_int_equal((int)lines_with(text, " error learner "), 1);
    assert_non_null(strstr(line, part));
    assert_non_null(strstr(line, other));
    daemons_assert_running(d, REWARDER);
    daemons_assert_running(d, GENERATOR);
}

static void stop_others(struct daemons *d)
{
    for (int kind = REWARDER; kind < DAEMON_KINDS; kind++) {
        process_kill(&d->process[kind], SIGTERM);
        assert_int_equal(process_wait(&d->process[kind], END_MS), 0);
    }
}

/* With the learner started again on a disk that is whole, the run goes on where it stood. */
static void assert_goes_on(struct daemons *d)
{
    int rounds = ring_read(d->ring).rounds;
    daemons_start_one(d, LEARNER, "");
    daemons_announced(d, LEARNER);
    ring_wait_rounds(d->ring, rounds + 2, TRAIN_MS);
    process_kill(&d->process[LEARNER], SIGTERM);
    assert_int_equal(process_wait(&d->process[LEARNER], END_MS), 0);
    stop_others(d);
    ring_audit(d->ring);
}

/* plan: fault_parse's, for the learner's disk and its RocksDB. */
static void disk_that_fails(const char *plan, const char *cause)
{
    struct ring ring = endless_ring(1);
    SCOPED_MEM char *path = file_join(ring.directory, "plan");
    setenv("FAULT_PLAN", path, 1);
    setenv("LD_PRELOAD", FAILING_CALLS_LIBRARY, 1);
    struct daemons d = start(&ring, "");
    unsetenv("LD_PRELOAD");
    assert_ok(file_write(path, plan, strlen(plan)));
    assert_learner_ends(&d, ring.run, cause);
    assert_goes_on(&d);
}

static void a_disk_that_does_not_sync(void **state)
{
    (void)state;
    disk_that_fails("sync 1 5 lasting /", "Input/output error");
}

/* Half of a batch is in the log then. */
static void a_disk_that_is_full_in_the_midst_of_a_batch(void **state)
{
    (void)state;
    disk_that_fails("write 1 28 half run/store/0", "No space left on device");
}

static void a_checkpoint_that_cannot_be_put_in_place(void **state)
{
    (void)state;
    disk_that_fails("rename 1 5 once checkpoints/writing", "Input/output error");
}

static void a_file_that_must_not_grow(void **state)
{
    (void)state;
    struct ring ring = endless_ring(1);
    signal(SIGXFSZ, SIG_DFL); // whoever runs the tests may ignore it, and the daemons would as well
    struct daemons d = start(&ring, "");
    const struct rlimit limit = {128 << 10, 128 << 10};
    assert_int_equal(prlimit(d.process[LEARNER].pid, RLIMIT_FSIZE, &limit, NULL), 0);
    assert_learner_ends(&d, ring.run, "File too large");
    assert_goes_on(&d);
}

/* ---- supervised training */

static int finetune(const struct ring *ring, const char *steps, char **ret_output)
{
    SCOPED_MEM char *data = mem_printf("sft.data=%s/train.jsonl", ring->directory);
    SCOPED_MEM char *output = mem_printf("sft.output=%s/out", ring->directory);
    SCOPED_MEM char *model = mem_printf("sft.model=%s", ring->model);
    return process_run(ret_output, TRAIN_MS, "rlhfctl", "sft", ring->recipe, "--set", data, "--set",
                       output, "--set", model, "--set", steps, NULL);
}

/* Each rename fails in turn: the model that stands there stays until the new one is whole. */
static void a_model_that_cannot_take_its_place(void **state)
{
    (void)state;
    struct ring ring = endless_ring(0);
    SCOPED_MEM char *path = file_join(ring.directory, "plan");
    SCOPED_MEM char *model = file_join(ring.directory, "out");
    setenv("FAULT_PLAN", path, 1);
    SCOPED_MEM char *first = NULL;
    if (finetune(&ring, "sft.steps=1", &first))
        fail_msg("%s", first);
    json_t *before = weights_of_directory(model);
    int status = 1, faults = 0;
    for (; status; faults++) {
        SCOPED_MEM char *plan = mem_printf("rename %d 5 once %s/out", faults + 1, ring.directory);
        SCOPED_MEM char *output = NULL;
        assert_ok(file_write(path, plan, strlen(plan)));
        setenv("LD_PRELOAD", FAILING_CALLS_LIBRARY, 1);
        status = finetune(&ring, "sft.steps=2", &output);
        unsetenv("LD_PRELOAD");
        SCOPED_JSON json_t *after = weights_of_directory(model);
        if (!status)
            assert_false(json_equal(before, after));
        else if (!json_equal(before, after) || !strstr(output, "Input/output error"))
            fail_msg("after rename %d: %s", faults + 1, output);
    }
    assert_true(faults > 4);
    json_decref(before);
}

/* ---- a flipped byte */

static void flip_in(const char *path)
{
    enum { EVERY = 512 };
    struct stat file;
    SCOPED_FD fd = open(path, O_RDWR);
    assert_int_equal(fstat(fd, &file), 0);
    for (off_t at = EVERY / 2; at < file.st_size; at += EVERY) {
        uint8_t byte;
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= 1;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    }
}

static int flip_tables(const struct ring *ring)
{
    SCOPED_MEM char *store = file_join(ring->run, "store");
    DIR *files = opendir(store);
    int flipped = 0;
    assert_non_null(files);
    for (struct dirent *entry; (entry = readdir(files));) {
        SCOPED_MEM char *path = file_join(store, entry->d_name);
        if (!strstr(entry->d_name, ".sst"))
            continue;
        flip_in(path);
        flipped++;
    }
    closedir(files);
    return flipped;
}

static void ended(struct rpc_call *call, err_t why, void *user)
{
    (void)call;
    err_free(why);
    loop_stop(user);
}

/* A group of the run's first slot, which was trained long ago: the learner looks that up. Returns
 * when its stream has ended. */
static void send_old_group(const char *learner, uint32_t lineage)
{
    static const struct rpc_method append = {.path = "/rlhfd.v1.Replay/Append", .kind = RPC_BIDI};
    enum { COMPLETIONS = 4, SCORES = 2 };
    uint32_t token = 1;
    struct span span = {0};
    struct completion completion[COMPLETIONS];
    struct turn turn = {ROLE_ASSISTANT, 0, true, true};
    for (int i = 0; i < COMPLETIONS; i++)
        completion[i] = (struct completion){.tokens = 1,
                                            .token = &token,
                                            .turns = 1,
                                            .turn = &turn,
                                            .spans = 1,
                                            .span = &span,
                                            .finish = FINISH_EOS,
                                            .text = (char *)""};
    struct group group = {.id = group_id("test", lineage, 0, 1),
                          .lineage = lineage,
                          .run = (char *)"test",
                          .attempt = 1,
                          .row = (char *)"{}",
                          .prompt_token = &token,
                          .prompt_tokens = 1,
                          .temperature = 1,
                          .completion = completion,
                          .completions = COMPLETIONS,
                          .generator = (char *)"generator"};
    struct loop *loop;
    struct rpc *rpc;
    struct rpc_channel *channel;
    SCOPED_VALUE(bytes) text = {0};
    group_add(&group, COLUMN_BEHAVIOUR_LOGP, 1);
    group_add(&group, COLUMN_SCORES, SCORES);
    group_add(&group, COLUMN_REWARD, 1);
    group_encode(&group, &text);
    column_list_done(&group.columns);
    SCOPED(rpc_message) message = rpc_message_copy(text.data, text.len);
    assert_ok(loop_new(&loop));
    assert_ok(rpc_new(loop, &rpc));
    assert_ok(rpc_channel_new(rpc, &(struct rpc_channel_options){.target = learner}, &channel));
    struct rpc_call *call =
        rpc_call_stream(channel, &append, NULL, &(struct rpc_handlers){.close = ended}, loop);
    assert_true(rpc_call_send_message(call, message));
    assert_ok(loop_run(loop));
    rpc_channel_free(channel);
    rpc_free(rpc);
    loop_free(loop);
}

static void wait_until_it_waits(struct daemons *d)
{
    const Rlhfd__Admin__V1__GetStatusRequest request = RLHFD__ADMIN__V1__GET_STATUS_REQUEST__INIT;
    struct client client = client_new(d, LEARNER);
    bool waits = false;
    for (int64_t until = clock_ms() + TRAIN_MS; !waits && clock_ms() < until;) {
        const Rlhfd__Admin__V1__Status *status =
            call_ok(&client, "/rlhfd.admin.v1.Admin/GetStatus", &request.base,
                    &rlhfd__admin__v1__status__descriptor);
        for (size_t i = 0; i < status->n_texts; i++)
            waits |= strcmp(status->texts[i]->name, "waits_for") == 0;
    }
    assert_true(waits);
    client_done(&client);
}

/* What is stored before a restart lies in tables after it. The learner waits for groups; the one
 * that comes makes it read. */
static void a_flipped_byte_under_a_waiting_learner(void **state)
{
    enum {
        MANY = 40
    }; // the block of the first slot is not that of the newest, which is read at the start
    (void)state;
    struct ring ring = endless_ring(1);
    struct daemons d = start(&ring, "");
    ring_wait_rounds(&ring, MANY, TRAIN_MS);
    Rlhfd__Admin__V1__PauseRequest pause = RLHFD__ADMIN__V1__PAUSE_REQUEST__INIT;
    pause.generation = true;
    struct client client = client_new(&d, LEARNER);
    (void)CALL(&client, "Pause", pause, pause_reply);
    const Rlhfd__Admin__V1__ListWorkersRequest list = RLHFD__ADMIN__V1__LIST_WORKERS_REQUEST__INIT;
    const Rlhfd__Admin__V1__ListWorkersReply *workers =
        CALL(&client, "ListWorkers", list, list_workers_reply);
    assert_true(workers->n_workers > 0);
    const uint32_t lineage = workers->workers[0]->lineage; // the generators come first
    client_done(&client);
    process_kill(&d.process[LEARNER], SIGTERM); // with a checkpoint: no round is trained again
    assert_int_equal(process_wait(&d.process[LEARNER], END_MS), 0);
    daemons_start_one(&d, LEARNER, "");
    daemons_announced(&d, LEARNER);
    wait_until_it_waits(&d);
    assert_true(flip_tables(&ring) > 0);
    send_old_group(d.address[LEARNER], lineage);
    assert_learner_ends(&d, ring.run, "checksum mismatch");
    stop_others(&d);
}

/* ---- floods */

enum { FLOODS = 16, CALLS = 24000, FLOOD_MS = 8000 };

struct flood {
    struct loop *loop;
    int open, answered, refused, late, other;
    char why[256];
};

static void asked(struct rpc_call *call, err_t why, void *user)
{
    (void)call;
    struct flood *flood = user;
    bool refused = err_code(why) == ERR_EXHAUSTED;
    flood->answered += !err_failed(why);
    /* A port begins so many calls a second, and closes the connection of who gives up a hundred of
     * those that wait. */
    bool late = err_code(why) == ERR_DEADLINE || err_code(why) == ERR_UNAVAILABLE;
    bool other = err_failed(why) && !refused && !late;
    flood->refused += refused;
    flood->late += late;
    flood->other += other;
    if (other)
        snprintf(flood->why, sizeof flood->why, "%s", err_message(why));
    err_free(why);
    if (--flood->open == 0)
        loop_stop(flood->loop);
}

/* Every call at once, over many connections. */
static void ask_all(struct rpc *rpc, const char *admin, struct flood *flood)
{
    static const struct rpc_method method = {.path = "/rlhfd.admin.v1.Admin/GetStatus",
                                             .kind = RPC_UNARY};
    const struct rpc_handlers handlers = {.close = asked};
    const Rlhfd__Admin__V1__GetStatusRequest request = RLHFD__ADMIN__V1__GET_STATUS_REQUEST__INIT;
    struct rpc_channel *channel[FLOODS];
    for (int i = 0; i < FLOODS; i++)
        assert_ok(rpc_channel_new(
            rpc, &(struct rpc_channel_options){.target = admin, .own_connection = true},
            &channel[i]));
    flood->open = CALLS;
    for (int i = 0; i < CALLS; i++)
        rpc_call_unary(channel[i % FLOODS], &method, &request.base,
                       &(struct rpc_call_options){.deadline_ms = FLOOD_MS}, &handlers, flood);
    assert_ok(loop_run(flood->loop));
    for (int i = 0; i < FLOODS; i++)
        rpc_channel_free(channel[i]);
}

/* Connections that were cut cost their address new ones: who comes from there next waits for some
 * seconds. */
static void wait_for_status(const struct daemons *d)
{
    for (int64_t until = clock_ms() + TRAIN_MS;; clock_sleep_ms(500)) {
        SCOPED_MEM char *output = NULL;
        if (process_run(&output, TRAIN_MS, "rlhfctl", "status", d->admin[LEARNER], NULL) == 0)
            return;
        if (clock_ms() > until)
            fail_msg("no status after the flood: %s", output);
    }
}

static void a_flood_of_status_requests(void **state)
{
    (void)state;
    struct ring ring = endless_ring(1);
    struct daemons d = start(&ring, "");
    for (int kind = LEARNER; kind < DAEMON_KINDS; kind++) {
        struct flood flood = {0};
        struct rpc *rpc;
        assert_ok(loop_new(&flood.loop));
        assert_ok(rpc_new(flood.loop, &rpc));
        ask_all(rpc, d.admin[kind], &flood);
        rpc_free(rpc);
        loop_free(flood.loop);
        daemons_assert_running(&d, (enum daemon_kind)kind);
        if (flood.other)
            print_error("%d calls ended with others: %s\n", flood.other, flood.why);
        assert_int_equal(flood.other, 0);
        assert_true(flood.answered > 0);
        print_message("daemon %d: %d answered, %d refused, %d late\n", kind, flood.answered,
                      flood.refused, flood.late);
    }
    wait_for_status(&d);
    ring_wait_rounds(&ring, ring_read(&ring).rounds + 2, TRAIN_MS);
    process_kill(&d.process[LEARNER], SIGTERM);
    assert_int_equal(process_wait(&d.process[LEARNER], END_MS), 0);
    stop_others(&d);
}

TESTS(cmocka_unit_test(a_disk_that_does_not_sync),
      cmocka_unit_test(a_disk_that_is_full_in_the_midst_of_a_batch),
      cmocka_unit_test(a_checkpoint_that_cannot_be_put_in_place),
      cmocka_unit_test(a_file_that_must_not_grow),
      cmocka_unit_test(a_model_that_cannot_take_its_place),
      cmocka_unit_test(a_flipped_byte_under_a_waiting_learner),
      cmocka_unit_test(a_flood_of_status_requests))
