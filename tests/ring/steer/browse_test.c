/* Looking into the replay buffer of a running learner, and taking groups out, over real RPC; then
 * the ends of runs whose store was full, empty or all too old when they were drained. */
#include "admin.pb-c.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "learner/store/audit/audit.h"
#include "testing/asking.h"
#include "testing/daemons.h"
#include "testing/testing.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GROUPS = 8, LAG = 3, FULL = (LAG + 1) * GROUPS, MORE = 20, END_MS = 120000 };
#define SETTINGS "checkpoint.keep=9"

typedef Rlhfd__Admin__V1__ListGroupsReply list_reply;
typedef Rlhfd__Admin__V1__GroupDetail group_reply;

/* ---- calls */

static void release(void *message)
{
    protobuf_c_message_free_unpacked(message, NULL);
}

static err_t list(const struct daemons *d, const char *filter, uint32_t size, const char *token,
                  list_reply **ret)
{
    Rlhfd__Admin__V1__ListGroupsRequest request = RLHFD__ADMIN__V1__LIST_GROUPS_REQUEST__INIT;
    request.filter = (char *)filter;
    request.page_size = size;
    request.page_token = (char *)token;
    return ask(d->admin[LEARNER], "LearnerAdmin/ListGroups", &request.base,
               &rlhfd__admin__v1__list_groups_reply__descriptor, (void **)ret);
}

static size_t count(const struct daemons *d, const char *filter)
{
    list_reply *reply = NULL;
    assert_ok(list(d, filter, 1000, "", &reply));
    assert_string_equal(reply->next_page_token, "");
    size_t n = reply->n_groups;
    release(reply);
    return n;
}

static err_t get(const struct daemons *d, const uint8_t *id, size_t len, group_reply **ret)
{
    Rlhfd__Admin__V1__GetGroupRequest request = RLHFD__ADMIN__V1__GET_GROUP_REQUEST__INIT;
    request.id = (ProtobufCBinaryData){len, (uint8_t *)id};
    return ask(d->admin[LEARNER], "LearnerAdmin/GetGroup", &request.base,
               &rlhfd__admin__v1__group_detail__descriptor, (void **)ret);
}

static err_t evict(const struct daemons *d, const char *filter, bool validate_only,
                   const char *request_id, uint64_t *ret, uint64_t *ret_change)
{
    Rlhfd__Admin__V1__EvictGroupsRequest request = RLHFD__ADMIN__V1__EVICT_GROUPS_REQUEST__INIT;
    Rlhfd__Admin__V1__EvictGroupsReply *reply = NULL;
    request.filter = (char *)filter;
    request.validate_only = validate_only;
    request.request_id = (char *)request_id;
    request.author = (char *)"test";
    TRY(ask(d->admin[LEARNER], "LearnerAdmin/EvictGroups", &request.base,
            &rlhfd__admin__v1__evict_groups_reply__descriptor, (void **)&reply));
    *ret = reply->groups;
    *ret_change = reply->change;
    release(reply);
    return OK;
}

static void pausing(const struct daemons *d, const char *method, bool generation, bool training)
{
    Rlhfd__Admin__V1__PauseRequest request = RLHFD__ADMIN__V1__PAUSE_REQUEST__INIT;
    Rlhfd__Admin__V1__PauseReply *reply = NULL;
    request.generation = generation;
    request.training = training;
    assert_ok(ask(d->admin[LEARNER], method, &request.base,
                  &rlhfd__admin__v1__pause_reply__descriptor, (void **)&reply));
    release(reply);
}

/* ---- */

static void wait_count(const struct daemons *d, const char *filter, size_t wanted)
{
    for (int64_t until = clock_ms() + END_MS; clock_ms() < until; clock_sleep_ms(20))
        if (count(d, filter) == wanted)
            return;
    fail_msg("not %zu groups of '%s', but %zu", wanted, filter, count(d, filter));
}

/* A live run.rounds. */
static void set_rounds(const struct daemons *d, int rounds)
{
    Rlhfd__Admin__V1__UpdateSettingsRequest request =
        RLHFD__ADMIN__V1__UPDATE_SETTINGS_REQUEST__INIT;
    Rlhfd__Admin__V1__Assignment one = RLHFD__ADMIN__V1__ASSIGNMENT__INIT, *all[] = {&one};
    Rlhfd__Admin__V1__UpdateSettingsReply *reply = NULL;
    SCOPED_MEM char *value = mem_printf("%d", rounds);
    one.key = "run.rounds";
    one.value = value;
    request.settings = all;
    request.n_settings = 1;
    assert_ok(ask(d->admin[LEARNER], "LearnerAdmin/UpdateSettings", &request.base,
                  &rlhfd__admin__v1__update_settings_reply__descriptor, (void **)&reply));
    release(reply);
}

/* Training stands still and generation is as far ahead as it may be. Only now the run gets an end:
 * when it is paused depends on the machine. */
static struct daemons fill(struct ring *ring)
{
    struct daemons d = daemons_start(ring, SETTINGS);
    ring_wait_rounds(ring, 3, END_MS);
    pausing(&d, "LearnerAdmin/Pause", false, true);
    wait_count(&d, "state=stored", FULL);
    wait_count(&d, "", FULL);
    ring->options.rounds = (int)daemons_metric(&d, LEARNER, "rlhfd_round") + MORE;
    set_rounds(&d, ring->options.rounds);
    return d;
}

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

static struct ring prepare(void)
{
    return ring_prepare(&(struct ring_options){.rounds = 1000000, .groups = GROUPS, .lag = LAG});
}

static void assert_ended(const struct ring *ring, const struct audit *audit)
{
    const uint64_t rounds = (uint64_t)ring->options.rounds;
    assert_true(audit->rounds_done == rounds && audit->trained == rounds * GROUPS);
    assert_int_equal(audit->leased + audit->stored + audit->free, 0);
}

static void drain(struct daemons *d)
{
    process_kill(&d->process[LEARNER], SIGTERM);
    assert_int_equal(daemons_wait_learner(d, END_MS), 0);
}

/* ---- looking */

static void pages_have_every_group_once(void **)
{
    struct ring ring = prepare();
    struct daemons d = fill(&ring);
    char token[64] = "";
    uint64_t next = 0;
    size_t seen = 0;
    do {
        list_reply *page = NULL;
        assert_ok(list(&d, "lag>=0 tokens>0", 5, token, &page));
        assert_true(page->n_groups == 5 || !*page->next_page_token);
        for (size_t i = 0; i < page->n_groups; i++, seen++) {
            const Rlhfd__Admin__V1__GroupSummary *g = page->groups[i];
            assert_true(g->slot >= next && g->bytes > 100 && g->id.len == 16);
            assert_string_equal(g->state, "stored");
            next = g->slot + 1;
        }
        snprintf(token, sizeof token, "%s", page->next_page_token);
        release(page);
    } while (*token);
    assert_int_equal(seen, FULL);
    list_reply *reply = NULL;
    assert_err(ERR_INVALID, "KEY one of state", list(&d, "shoe=9", 0, "", &reply));
    assert_err(ERR_INVALID, "page_size", list(&d, "", 1001, "", &reply));
    assert_err(ERR_INVALID, "page_token", list(&d, "", 0, "7", &reply));
    assert_err(ERR_INVALID, "page_token", list(&d, "", 0, "0123456789abcdef-7", &reply));
    pausing(&d, "LearnerAdmin/Resume", false, true);
    assert_int_equal(daemons_wait_learner(&d, END_MS), 0);
}

static void a_group_is_shown_with_its_texts(void **)
{
    struct ring ring = prepare();
    struct daemons d = fill(&ring);
    list_reply *all = NULL;
    assert_ok(list(&d, "state=stored", 0, "", &all));
    for (size_t i = 0; i < all->n_groups; i += 7) {
        group_reply *group = NULL;
        assert_ok(get(&d, all->groups[i]->id.data, 16, &group));
        SCOPED_JSON json_t *row = json_loadb((char *)group->row.data, group->row.len, 0, NULL);
        const char *prompt = json_string_value(json_object_get(row, "prompt"));
        assert_non_null(prompt);
        assert_string_equal(group->prompt, prompt);
        assert_string_equal(group->forward, "backend=cpu kernels=2 kv=bf16");
        assert_int_equal(group->summary->slot, all->groups[i]->slot);
        double reward = 0;
        uint64_t tokens = 0;
        for (size_t c = 0; c < group->n_completions; c++) {
            const Rlhfd__Admin__V1__Completion *completion = group->completions[c];
            assert_true(completion->n_tokens && completion->n_logp == completion->n_tokens);
            assert_true(completion->n_versions == completion->n_tokens &&
                        completion->n_scores == 2);
            assert_true(strlen(completion->text) <= 10);
            reward += completion->reward / (double)group->n_completions;
            tokens += completion->n_tokens;
        }
        assert_float_equal(reward, group->summary->reward_mean, 1e-12); // the same sum
        assert_int_equal(tokens, group->summary->tokens);
        release(group);
    }
    group_reply *none = NULL;
    assert_err(ERR_NOT_FOUND, "is leased, stored or quarantined",
               get(&d, (const uint8_t[16]){1}, 16, &none));
    assert_err(ERR_INVALID, "id", get(&d, (const uint8_t[16]){1}, 15, &none));
    release(all);
    pausing(&d, "LearnerAdmin/Resume", false, true);
    assert_int_equal(daemons_wait_learner(&d, END_MS), 0);
}

static void what_made_a_version(void **)
{
    struct ring ring = prepare();
    struct daemons d = fill(&ring);
    Rlhfd__Admin__V1__ExplainVersionRequest request =
        RLHFD__ADMIN__V1__EXPLAIN_VERSION_REQUEST__INIT;
    Rlhfd__Admin__V1__Explanation *reply = NULL;
    request.version = 2;
    assert_ok(ask(d.admin[LEARNER], "LearnerAdmin/ExplainVersion", &request.base,
                  &rlhfd__admin__v1__explanation__descriptor, (void **)&reply));
    SCOPED_JSON json_t *object = json_loads(reply->json, 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(object, "round")), 1);
    assert_int_equal(json_array_size(json_object_get(object, "groups")), GROUPS);
    assert_non_null(strstr(reply->text, "made by      round 1, update 1, from version 1"));
    release(reply);
    request.version = 4000;
    assert_err(ERR_NOT_FOUND, "was never made here",
               ask(d.admin[LEARNER], "LearnerAdmin/ExplainVersion", &request.base,
                   &rlhfd__admin__v1__explanation__descriptor, (void **)&reply));
    pausing(&d, "LearnerAdmin/Resume", false, true);
    assert_int_equal(daemons_wait_learner(&d, END_MS), 0);
}

/* ---- taking out, and ends */

static void evicted_groups_are_made_again(void **)
{
    struct ring ring = prepare();
    struct daemons d = fill(&ring);
    uint64_t groups = 0, change = 0, first = 0;
    assert_err(ERR_INVALID, "at least one term", evict(&d, " ", false, "", &groups, &change));
    assert_err(ERR_INVALID, "whole number", evict(&d, "lag=x", false, "", &groups, &change));
    assert_ok(evict(&d, "lag>=0 slot!=77", true, "", &groups, &change));
    assert_true(groups >= FULL - 1 && change == 0);
    pausing(&d, "LearnerAdmin/Pause", true, false);
    assert_int_equal(count(&d, "state=stored"), FULL);
    assert_ok(evict(&d, "state=stored", false, "mine", &groups, &first));
    assert_true(groups == FULL && first > 0);
    assert_int_equal(count(&d, ""), 0);
    assert_ok(evict(&d, "state=stored", false, "mine", &groups, &change)); // as before
    assert_true(groups == FULL && change == first);
    drain(&d);
    struct audit empty = audit_of(&ring);
    assert_true(empty.stored == 0 && empty.free >= FULL && empty.groups[REASON_OPERATOR] == FULL);
    d = daemons_start(&ring, SETTINGS); // paused still
    clock_sleep_ms(300);
    assert_int_equal(count(&d, ""), 0);
    pausing(&d, "LearnerAdmin/Resume", true, true);
    assert_int_equal(daemons_wait_learner(&d, END_MS), 0);
    struct audit audit = audit_of(&ring);
    assert_ended(&ring, &audit);
}

/* Drained with as many groups as fit; started again, with the same limit on lag or one that makes
 * all but the youngest too old. */
static void a_full_store(const char *settings, uint64_t stale)
{
    struct ring ring = prepare();
    struct daemons d = fill(&ring);
    drain(&d);
    struct audit full = audit_of(&ring);
    assert_true(full.stored == FULL && full.leased == 0); // not one more fits
    d = daemons_start(&ring, settings);
    pausing(&d, "LearnerAdmin/Resume", false, true);
    assert_int_equal(daemons_wait_learner(&d, END_MS), 0);
    struct audit audit = audit_of(&ring);
    assert_ended(&ring, &audit);
    assert_true(audit.groups[REASON_STALE] >= stale);
}

static void a_full_store_is_used_up(void **)
{
    a_full_store(SETTINGS " replay.max_groups=32", 0);
}

static void a_store_of_groups_that_are_too_old(void **)
{
    a_full_store(SETTINGS " lag.max=0", FULL - GROUPS);
}

TESTS(cmocka_unit_test(pages_have_every_group_once),
      cmocka_unit_test(a_group_is_shown_with_its_texts), cmocka_unit_test(what_made_a_version),
      cmocka_unit_test(evicted_groups_are_made_again), cmocka_unit_test(a_full_store_is_used_up),
      cmocka_unit_test(a_store_of_groups_that_are_too_old))
