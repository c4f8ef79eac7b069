/* Items that one stop sends and the next cannot take: each ends by itself, and the ring goes on. A
 * reward that is no number, a group that its scores make too long, leases of rows that no reply has
 * room for together. */
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "rpc/server.h"
#include "svc/recipe/recipe_shared.h"
#include "svc/security.h"
#include "testing/foreign.h"
#include "testing/testing.h"
#include "wire/hello.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RUN_MS = 60000, SCORERS = 2, FAILURES = 5, BAD_SLOT = 2 };

/* ---- a rewarder that is not ours */

struct foreign {
    struct peer_loop peer;
    struct rpc_server *server;
    struct courier *learner;
    struct process *process; // the learner's
    int stored, rejected, downs, status;
};

static void on_group(struct rpc_call *call, struct rpc_message *message,
                     const struct ProtobufCMessage *pb, void *user)
{
    (void)pb;
    struct foreign *f = user;
    SCOPED(group) group = NULL;
    SCOPED_VALUE(bytes) out = {0};
    assert_ok(
        group_decode(rpc_message_data(message), rpc_message_len(message), &GROUP_LIMITS, &group));
    group_add(group, COLUMN_SCORES, SCORERS);
    double *reward = group_add(group, COLUMN_REWARD, 1);
    for (uint32_t i = 0; i < group->completions; i++)
        reward[i] = i % 2;
    if (group->slot == BAD_SLOT)
        reward[1] = NAN;
    group_encode(group, &out);
    courier_send(f->learner, &group->id, rpc_message_copy(out.data, out.len), rpc_call_ref(call));
}

static void on_settled(void *arg, const struct disposition *disposition, struct rpc_message *answer,
                       void *tag)
{
    struct foreign *f = arg;
    f->stored += disposition->outcome == OUTCOME_STORED;
    if (disposition->outcome == OUTCOME_REJECTED) {
        f->rejected++;
        assert_non_null(strstr(disposition->reason, "reward[1] is nan"));
    }
    rpc_call_send_message(tag, answer);
    rpc_call_unref(tag);
}

static void on_up(void *arg, size_t again)
{
    (void)arg, (void)again;
}

static void on_down(void *arg, err_t why)
{
    struct foreign *f = arg;
    f->downs++;
    err_free(why);
}

static void unref_call(void *tag)
{
    rpc_call_unref(tag);
}

static void foreign_open(struct foreign *f, const struct ring *ring, const char *learner,
                         char ret_address[64])
{
    static const struct rpc_method append = {.path = "/rlhfd.v1.Replay/Append", .kind = RPC_BIDI};
    static const struct rpc_method methods[] = {
        {"/rlhfd.v1.Rewards/Score", NULL, NULL, RPC_BIDI, CALLER_ANY, {.message = on_group}, 0},
        {0}};
    static struct hello hello; // as long as the courier
    SCOPED(recipe) recipe = NULL;
    *f = (struct foreign){0};
    peer_open(&f->peer);
    assert_ok(
        recipe_read(&(struct recipe_source){.file = ring->recipe, .run = ring->run}, &recipe));
    recipe_of_scores(recipe, hello_put, &hello);
    struct courier_options courier = {.rpc = f->peer.rpc,
                                      .peer = learner,
                                      .method = &append,
                                      .hello = &hello,
                                      .settled = on_settled,
                                      .up = on_up,
                                      .down = on_down,
                                      .arg = f};
    assert_ok(courier_open(&courier, &f->learner));
    struct rpc_service services[] = {{methods, f}};
    struct rpc_server_options server = {.address = "127.0.0.1:0", RPC_SERVICES(services)};
    assert_ok(rpc_server_start(f->peer.rpc, &server, &f->server));
    snprintf(ret_address, 64, "127.0.0.1:%d", rpc_server_port(f->server));
}

static void foreign_close(struct foreign *f)
{
    rpc_server_free(f->server);
    courier_close(f->learner, unref_call);
    peer_close(&f->peer);
}

static bool learner_ended(void *arg)
{
    struct foreign *f = arg;
    f->status = process_wait(f->process, 1);
    return f->status >= 0;
}

static void start(struct daemons *d, enum daemon_kind kind)
{
    daemons_start_one(d, kind, "");
    daemons_announced(d, kind);
}

/* It stopped all rounds: the stream ended at it, and it was sent again first. */
static void a_reward_that_is_no_number_costs_its_slot_alone(void **)
{
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 6, .groups = 8, .lag = 1});
    struct daemons d = {.ring = &ring, .settings = ""};
    struct foreign f;
    assert_ok(file_make_directories(ring.run));
    start(&d, LEARNER);
    foreign_open(&f, &ring, d.address[LEARNER], d.address[REWARDER]);
    start(&d, GENERATOR);
    f.process = &d.process[LEARNER];
    peer_until(&f.peer, learner_ended, &f);
    const int broken = f.downs;
    process_kill(&d.process[GENERATOR], SIGTERM);
    process_wait(&d.process[GENERATOR], RUN_MS);
    assert_int_equal(f.status, 0);
    assert_int_equal(ring_read(&ring).rounds, 6);
    assert_int_equal(f.rejected, FAILURES);
    assert_true(f.stored >= 6 * 8);
    assert_true(broken <= 1); // at the run's end
    ring_audit(&ring);
    foreign_close(&f);
}

/* ---- a generator that is not ours */

/* A text so long that the group has as many bytes as a message may have. */
static void fill(struct group *group, struct bytes *ret)
{
    struct completion *c = &group->completion[0];
    size_t text = 0;
    while (ret->len != GROUP_MAX_BYTES) {
        text += ret->len ? GROUP_MAX_BYTES - ret->len : GROUP_MAX_BYTES / 2;
        free(c->text);
        c->text = mem_new(text + 1);
        memset(c->text, 'a', text);
        c->text_len = (uint32_t)text;
        bytes_clear(ret);
        group_encode(group, ret);
    }
}

/* The rewarder may receive it; with scores the learner may not. It was the courier's oldest parcel
 * and broke each of its streams. */
static void a_group_at_the_limit_costs_its_attempt_alone(void **)
{
    struct ring ring =
        ring_prepare(&(struct ring_options){.rounds = 1000000, .groups = 8, .lag = 1});
    struct daemons d = daemons_start(&ring, "");
    struct giant g;
    ring_wait_rounds(&ring, 1, RUN_MS);
    const uint32_t lineage = lineage_of(&d);
    daemons_kill(&d, GENERATOR);
    giant_open(&g, &ring, &d, lineage);
    struct extra other = daemons_extra(&d, "other", "");
    SCOPED(group) group = group_of(&g);
    SCOPED_VALUE(bytes) out = {0};
    fill(group, &out);
    courier_send(g.rewarder, &group->id, rpc_message_copy(out.data, out.len), NULL);
    peer_until(&g.peer, is_settled, &g);
    assert_string_equal(outcome_name(g.outcome), "rejected");
    assert_non_null(
        strstr(g.why, "bytes, with 4 completions of 4 tokens in all; at most 67108864"));
    assert_int_equal(g.downs, 0);
    /* The next rounds wait for its slot, which is leased again. */
    ring_wait_rounds(&ring, ring_read(&ring).rounds + 3, RUN_MS);
    assert_near(daemons_metric(&d, LEARNER, "rlhfd_groups_appended_total{outcome=\"rejected\"}"), 1,
                0);
    giant_close(&g);
    process_kill(&d.process[LEARNER], SIGTERM);
    assert_int_equal(process_wait(&d.process[LEARNER], RUN_MS), 0);
    process_kill(&d.process[REWARDER], SIGTERM);
    process_kill(&other.process, SIGTERM);
    assert_int_equal(process_wait(&d.process[REWARDER], RUN_MS), 0);
    assert_int_equal(process_wait(&other.process, RUN_MS), 0);
    ring_audit(&ring);
}

/* A NUL is shown as three bytes: the answer would be longer than rlhfctl takes. */
static void an_answer_says_what_it_leaves_out(void **)
{
    enum { NULS = 24 << 20, LONG_MS = 60000 };
    struct ring ring =
        ring_prepare(&(struct ring_options){.rounds = 1000000, .groups = 8, .lag = 1});
    struct daemons d = daemons_start(&ring, "");
    struct giant g;
    char id[DIGEST_TEXT], *output;
    ring_wait_rounds(&ring, 1, RUN_MS);
    const uint32_t lineage = lineage_of(&d);
    daemons_kill(&d, GENERATOR);
    giant_open(&g, &ring, &d, lineage);
    assert_int_equal(process_run(NULL, LONG_MS, "rlhfctl", "pause", "training", "--address",
                                 d.admin[LEARNER], NULL),
                     0);
    SCOPED(group) group = group_of(&g);
    SCOPED_VALUE(bytes) out = {0};
    /* What the rewarder cannot read comes back rejected, over the same stream. */
    group->slot++;
    group_encode(group, &out);
    courier_send(g.rewarder, &group->id, rpc_message_copy(out.data, out.len), NULL);
    peer_until(&g.peer, is_settled, &g);
    assert_string_equal(outcome_name(g.outcome), "rejected");
    assert_non_null(strstr(g.why, "id is not that of run 'test'"));
    group->slot--;
    g.settled = false;
    bytes_clear(&out);
    struct completion *second = &group->completion[1];
    free(second->text);
    second->text = mem_new(NULS + 1);
    second->text_len = NULS;
    group_encode(group, &out);
    courier_send(g.rewarder, &group->id, rpc_message_copy(out.data, out.len), NULL);
    peer_until(&g.peer, is_settled, &g);
    if (g.outcome != OUTCOME_STORED)
        fail_msg("%s: %s", outcome_name(g.outcome), g.why);
    int status = process_run(&output, LONG_MS, "rlhfctl", "groups", "show",
                             digest_text(&group->id, id), "--address", d.admin[LEARNER], NULL);
    if (status || !strstr(output, "3 more completions: the answer had no room for them"))
        print_error("%s\n", output);
    assert_int_equal(status, 0);
    assert_non_null(strstr(output, "3 more completions: the answer had no room for them"));
    assert_non_null(strstr(output, "completion 0: "));
    assert_int_equal(g.downs, 0);
    free(output);
    giant_close(&g);
    daemons_kill(&d, LEARNER);
    daemons_kill(&d, REWARDER);
}

/* ---- leases */

enum { BIG_ROWS = 8, NOTE = 2900000 };

/* 24 of them are wanted at once, 70 MB. */
static void big_rows(const struct ring *ring)
{
    SCOPED_MEM char *path = file_join(ring->directory, "train.jsonl");
    SCOPED_MEM char *note = mem_new(NOTE + 1);
    SCOPED_VALUE(bytes) text = {0};
    memset(note, 'n', NOTE);
    for (int i = 0; i < BIG_ROWS; i++)
        bytes_printf(&text, "{\"prompt\": \"b%ca>\", \"completion\": \"ab%c\", \"note\": \"%s\"}\n",
                     'c' + i, 'c' + i, note);
    assert_ok(file_write(path, text.data, text.len));
}

/* The generator could not receive the reply, and asked for the same again for ever. */
static void leases_of_big_rows_come_in_several_replies(void **)
{
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 2, .groups = 8, .lag = 3});
    big_rows(&ring);
    struct daemons d = daemons_start(&ring, "");
    assert_int_equal(daemons_wait_learner(&d, RUN_MS), 0);
    assert_int_equal(ring_read(&ring).rounds, 2);
    SCOPED_MEM char *log = mem_printf("%s/generator.log", ring.run);
    SCOPED_MEM char *said = file_text(log);
    assert_null(strstr(said, "larger than max"));
    ring_audit(&ring);
}

TESTS(cmocka_unit_test(a_reward_that_is_no_number_costs_its_slot_alone),
      cmocka_unit_test(a_group_at_the_limit_costs_its_attempt_alone),
      cmocka_unit_test(an_answer_says_what_it_leaves_out),
      cmocka_unit_test(leases_of_big_rows_come_in_several_replies))
