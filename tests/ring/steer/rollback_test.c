/* A run rolled back while it goes on, with real daemons: a new lineage from a checkpoint on, which
 * generators follow. At lag 0 a branch in which nothing else changed repeats history, so the end
 * must have the same bytes as that of a run that nothing happened to. */
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "learner/store/audit/audit.h"
#include "learner/store/history.h"
#include "model/files/checkpoints.h"
#include "testing/daemons.h"
#include "testing/rollback.h"
#include <stdio.h>
#include <stdlib.h>

enum { GROUPS = 8, END_MS = 120000 };
#define SETTINGS "checkpoint.every=4 checkpoint.keep=50"

static struct audit audit_of(const struct ring *ring)
{
    struct audit audit;
    SCOPED_MEM char *store = file_join(ring->run, "store");
    assert_ok(store_audit(store, NULL, &audit));
    if (audit.errors)
        assert_ok(store_audit(store, stderr, &audit));
    assert_int_equal(audit.errors, 0);
    return audit;
}

static uint32_t lineage_of(const struct ring *ring)
{
    SCOPED(store) store = NULL;
    SCOPED_MEM char *path = file_join(ring->run, "store");
    assert_ok(store_read(path, &store));
    return store_lineage(store);
}

static void assert_same_file(const struct ring *a, const struct ring *b, const char *name)
{
    SCOPED_VALUE(bytes) x = {0}, y = {0};
    SCOPED_MEM char *path_a = mem_printf("%s/checkpoints/latest/%s", a->run, name);
    SCOPED_MEM char *path_b = mem_printf("%s/checkpoints/latest/%s", b->run, name);
    assert_ok(file_read(path_a, 1 << 30, &x));
    assert_ok(file_read(path_b, 1 << 30, &y));
    assert_int_equal(x.len, y.len);
    assert_memory_equal(x.data, y.data, x.len);
}

static void assert_same_end(const struct ring *a, const struct ring *b)
{
    assert_same_file(a, b, "model.safetensors");
    assert_same_file(a, b, "optimizer.safetensors");
    assert_same_file(a, b, "tokenizer.json");
}

/* Refused: the code, a part of what it says. */
static void refuse(const struct daemons *d, uint64_t version, enum err_code code, const char *part)
{
    char name[64];
    assert_err(code, part, rollback_begin(d->admin[LEARNER], version, "", name));
}

/* ---- what comes of it */

static void at_lag_0_history_repeats_itself(void **)
{
    enum { ROUNDS = 100 };
    struct ring_options options = {.rounds = ROUNDS, .groups = GROUPS, .lag = 0};
    struct ring undisturbed = ring_prepare(&options), ring = ring_prepare(&options);
    struct daemons d = daemons_start(&undisturbed, SETTINGS);
    assert_int_equal(daemons_wait_learner(&d, END_MS), 0);
    d = daemons_start(&ring, SETTINGS);
    uint32_t first = 0;
    uint64_t to[] = {8, 16, 4};
    for (int i = 0; i < 3; i++) {
        char name[64];
        struct rollback_end end;
        ring_wait_rounds(&ring, 20, END_MS);
        first = first ? first : lineage_of(&ring);
        assert_ok(rollback_begin(d.admin[LEARNER], to[i], "", name));
        rollback_wait(d.admin[LEARNER], name, "DONE", &end);
        assert_true(end.lineage == first + 1 + (uint32_t)i && end.version == to[i] &&
                    end.round == to[i]);
    }
    assert_int_equal(daemons_wait_learner(&d, END_MS), 0);
    assert_same_end(&undisturbed, &ring);
    struct audit audit = audit_of(&ring);
    assert_true(audit.rounds_done == ROUNDS && audit.trained == ROUNDS * GROUPS);
    assert_true(audit.lineages == 4 && audit.cut_off >= 12 + 4 + 16 && audit.lag_max == 0);
    struct ring_result result = ring_read(&ring);
    assert_int_equal(result.rounds, ROUNDS);
    assert_int_equal(result.rollbacks, 3);
    assert_true(result.logp_compared > ROUNDS * GROUPS);
    assert_int_equal((int)result.logp_differing, 0); // in all lineages
}

/* The lineage and version that the last round's groups were leased at. */
static void assert_last_round_is_of(const struct ring *ring, uint32_t lineage)
{
    SCOPED(store) store = NULL;
    SCOPED(round) round = NULL;
    SCOPED_MEM char *path = file_join(ring->run, "store");
    assert_ok(store_read(path, &store));
    assert_ok(store_round(store, store_next_round(store) - 1, &round));
    assert_int_equal(round->lineage, lineage);
}

static void pausing(const struct daemons *d, const char *method)
{
    Rlhfd__Admin__V1__PauseRequest request = RLHFD__ADMIN__V1__PAUSE_REQUEST__INIT;
    Rlhfd__Admin__V1__PauseReply *reply = NULL;
    request.training = true;
    assert_ok(ask(d->admin[LEARNER], method, &request.base,
                  &rlhfd__admin__v1__pause_reply__descriptor, (void **)&reply));
    protobuf_c_message_free_unpacked(&reply->base, NULL);
}

static void wait_stored(const struct daemons *d)
{
    for (int64_t until = clock_ms() + END_MS;
         daemons_metric(d, LEARNER, "rlhfd_slots{state=\"stored\"}") < GROUPS; clock_sleep_ms(20))
        if (clock_ms() > until)
            fail_msg("no groups are stored");
}

/* As the one change after the pause. */
static void assert_noted(const struct daemons *d, uint32_t before, uint64_t version)
{
    Rlhfd__Admin__V1__ListChangesRequest request = RLHFD__ADMIN__V1__LIST_CHANGES_REQUEST__INIT;
    Rlhfd__Admin__V1__ListChangesReply *reply = NULL;
    assert_ok(ask(d->admin[LEARNER], "LearnerAdmin/ListChanges", &request.base,
                  &rlhfd__admin__v1__list_changes_reply__descriptor, (void **)&reply));
    assert_int_equal(reply->n_changes, 2);
    const Rlhfd__Admin__V1__Change *change = reply->changes[1];
    assert_string_equal(change->kind, "rollback");
    assert_string_equal(change->author, "test");
    assert_string_equal(change->request_id, "once");
    assert_int_equal(change->first_round, version);
    assert_int_equal(change->n_values, 3);
    assert_true(strtoull(change->values[0]->before, NULL, 10) >= 22);
    assert_int_equal(strtoull(change->values[0]->after, NULL, 10), version);
    assert_int_equal(strtoull(change->values[2]->before, NULL, 10), before);
    protobuf_c_message_free_unpacked(&reply->base, NULL);
}

/* Groups are on their way and stored, of versions on both sides of the fork, when it happens; then
 * the learner alone makes the branch's last versions again from its log. */
static void with_generation_ahead(void **)
{
    enum { ROUNDS = 60, LAG = 4 };
    char name[64];
    struct rollback_end end;
    struct ring ring =
        ring_prepare(&(struct ring_options){.rounds = ROUNDS, .groups = GROUPS, .lag = LAG});
    struct daemons d = daemons_start(&ring, SETTINGS);
    ring_wait_rounds(&ring, 22, END_MS);
    pausing(&d, "LearnerAdmin/Pause"); // so that the branch is looked at before it grows
    wait_stored(&d);
    refuse(&d, 0, ERR_INVALID, "version");
    refuse(&d, 7, ERR_NOT_FOUND, "version 7 has no whole checkpoint (there are: ");
    refuse(&d, 4000, ERR_NOT_FOUND, "8, 4)");
    uint32_t first = lineage_of(&ring);
    assert_ok(rollback_begin(d.admin[LEARNER], 16, "", NULL));
    assert_err(ERR_NOT_FOUND, "no whole checkpoint", rollback_begin(d.admin[LEARNER], 7, "", NULL));
    assert_int_equal(lineage_of(&ring), first);
    assert_ok(rollback_begin(d.admin[LEARNER], 16, "once", name));
    rollback_wait(d.admin[LEARNER], name, "DONE", &end);
    char again[64];
    assert_ok(
        rollback_begin(d.admin[LEARNER], 16, "once", again)); // the same: nothing more happens
    assert_int_equal(lineage_of(&ring), end.lineage);
    assert_err(ERR_INVALID, "request_id", rollback_begin(d.admin[LEARNER], 12, "once", again));
    refuse(&d, 20, ERR_NOT_FOUND, "16, 12, 8, 4)"); // it was cut off
    assert_noted(&d, first, 16);
    daemons_kill(&d, LEARNER);
    daemons_start_one(&d, LEARNER, "");
    daemons_announced(&d, LEARNER);
    assert_ok(rollback_begin(d.admin[LEARNER], 16, "once", again)); // as before, in another process
    assert_string_equal(again, "");
    assert_int_equal(lineage_of(&ring), end.lineage);
    pausing(&d, "LearnerAdmin/Resume");
    assert_int_equal(daemons_wait_learner(&d, END_MS), 0);
    struct audit audit = audit_of(&ring);
    assert_true(audit.rounds_done == ROUNDS && audit.lag_max <= LAG && audit.lineages == 2);
    assert_int_equal(audit.groups[REASON_LINEAGE] > audit.cut_off * GROUPS,
                     true); // stored ones, too
    assert_last_round_is_of(&ring, end.lineage);
    struct ring_result result = ring_read(&ring);
    assert_true(result.rounds == ROUNDS && result.rollbacks == 1);
    assert_int_equal((int)result.logp_differing, 0);
    SCOPED_VALUE(checkpoint_list) list = {0};
    assert_ok(checkpoint_list(ring.run, &list));
    assert_int_equal(list.version[0], ROUNDS);
    SCOPED_MEM char *newest = checkpoint_path(ring.run, ROUNDS);
    SCOPED_MEM char *aside = file_join(ring.directory, "v");
    assert_int_equal(rename(newest, aside), 0);
    struct daemons alone = {.ring = &ring, .settings = SETTINGS};
    daemons_start_one(&alone, LEARNER, "learner.threads=2");
    assert_int_equal(process_wait(&alone.process[LEARNER], END_MS), 0); // every digest as recorded
    SCOPED_VALUE(bytes) x = {0}, y = {0};
    SCOPED_MEM char *was = file_join(aside, "model.safetensors");
    SCOPED_MEM char *is = file_join(newest, "model.safetensors");
    assert_ok(file_read(was, 1 << 30, &x));
    assert_ok(file_read(is, 1 << 30, &y));
    assert_memory_equal(x.data, y.data, x.len);
}

TESTS(cmocka_unit_test(at_lag_0_history_repeats_itself), cmocka_unit_test(with_generation_ahead))
