/* Shared by the store's tests: options, rules, and groups made for a grant. */
#pragma once
#include "base/mem.h"
#include "learner/store/audit/audit.h"
#include "learner/store/changes.h"
#include "learner/store/db.h"
#include "learner/store/leases.h"
#include "learner/store/rounds.h"
#include "learner/store/store.h"
#include "testing/testing.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct round_plan plan = {1, 7, "lr: 1e-3", "portable"};

/* In memory where the system has it: these tests are about what is written, not about how fast a
 * disk syncs. */
static inline const char *kit_directory(void)
{
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
    return testing_directory();
}

static inline struct store_options kit_options(uint64_t rows)
{
    return (struct store_options){.run = "run", .rows = rows, .seed = 3, .shuffle = true};
}

/* B groups a round, eta of lag, one epoch. */
static inline struct store_rules kit_rules(uint64_t groups, uint64_t eta)
{
    return (struct store_rules){.eta = eta,
                                .limit = eta,
                                .groups = groups,
                                .max_groups = 100 * groups,
                                .epochs = 1,
                                .max_uses = 1,
                                .priority_exponent = 1,
                                .filter_truncated = 1,
                                .lease_ms = 250};
}

/* A group of one completion of two tokens, drawn by these two versions. */
static inline struct group *kit_group(const struct grant *grant, uint64_t oldest, uint64_t newest)
{
    struct group *group = mem_new(sizeof *group);
    struct completion *completion = mem_new(sizeof *completion);
    *completion = (struct completion){.tokens = 2,
                                      .token = mem_array(2, sizeof(uint32_t)),
                                      .spans = oldest == newest ? 1 : 2,
                                      .span = mem_array(2, sizeof(struct span)),
                                      .finish = FINISH_EOS,
                                      .text = mem_string("ab"),
                                      .text_len = 2};
    completion->span[0] = (struct span){0, oldest};
    completion->span[1] = (struct span){1, newest};
    completion_one_turn(completion);
    *group = (struct group){.id = grant->id,
                            .run = mem_string("run"),
                            .lineage = grant->lineage,
                            .slot = grant->slot,
                            .attempt = grant->attempt,
                            .prompt = grant->prompt,
                            .epoch = grant->epoch,
                            .start_round = grant->start_round,
                            .row = mem_string("{}"),
                            .prompt_tokens = 1,
                            .prompt_token = mem_array(1, sizeof(uint32_t)),
                            .temperature = 1,
                            .completions = 1,
                            .completion = completion,
                            .generator = mem_string("g")};
    group_add(group, COLUMN_BEHAVIOUR_LOGP, 1);
    *(double *)group_add(group, COLUMN_SCORES, 1) = 0.5;
    *(double *)group_add(group, COLUMN_REWARD, 1) = 0.5;
    return group;
}

static inline struct verdict kit_append(struct store *store, const struct group *group,
                                        int64_t now_ms)
{
    struct verdict verdict = {0};
    assert_ok(store_append(store, &group, NULL, 1, now_ms, &verdict));
    return verdict;
}

/* As an operator's change. */
static inline err_t kit_set_rules(struct store *store, const struct store_rules *rules,
                                  int64_t now_ms)
{
    static char nobody[] = "", settings[] = "settings";
    SCOPED_VALUE(standing) standing = {0};
    TRY(store_standing(store, &standing));
    const struct change change = {.id = ++standing.changes,
                                  .kind = settings,
                                  .author = nobody,
                                  .reason = nobody,
                                  .request_id = nobody};
    return store_change(store, &change, &standing, rules, now_ms);
}

/* Of the version's weights that are published. */
static inline err_t kit_digest_of(struct store *store, uint64_t version, struct digest *ret)
{
    struct trainee_digests trainees;
    TRY(store_digests_of(store, version, &trainees));
    *ret = trainees.at[0].weights;
    return OK;
}

/* Appends a group for the grant, all of one version. */
static inline enum outcome kit_deliver(struct store *store, const struct grant *grant,
                                       uint64_t version)
{
    SCOPED(group) group = kit_group(grant, version, version);
    return kit_append(store, group, 0).outcome;
}

static inline struct grants kit_lease(struct store *store, const char *name, uint64_t version,
                                      size_t want)
{
    struct grants grants = {0};
    assert_ok(store_lease(store, &(struct store_holder){name, 1}, version, want, 0, &grants));
    return grants;
}

/* The next round or, when idle, NULL. */
static inline struct round *kit_round(struct store *store, enum idle wanted)
{
    struct round *round = NULL;
    enum idle idle;
    assert_ok(store_form_round(store, 0, &plan, &idle, &round));
    assert_string_equal(idle_name(idle), idle_name(wanted));
    assert_int_equal(round == NULL, wanted != IDLE_NONE);
    return round;
}

static inline struct digest kit_digest(uint64_t version)
{
    return hash128(&version, sizeof version, 0);
}

static inline struct trainee_digests kit_trainees(uint64_t version)
{
    struct digest weights = kit_digest(version);
    return trainees_policy(&weights);
}

/* Trains the round: all of its versions exist. */
static inline void kit_train(struct store *store, const struct round *round)
{
    for (uint64_t v = round->first_version + 1; v <= round->first_version + round->updates; v++) {
        struct trainee_digests trainees = kit_trainees(v);
        assert_ok(
            store_update_done(store, v, &trainees, v == round->first_version + round->updates));
    }
}

static inline struct audit kit_audit(const char *dir)
{
    struct audit audit;
    assert_ok(store_audit(dir, NULL, &audit));
    if (audit.errors)
        assert_ok(store_audit(dir, stderr, &audit));
    assert_int_equal(audit.errors, 0);
    return audit;
}

/* Audits a store in which one record was changed behind its back; the findings must name it. */
static inline void kit_audit_finds(const char *dir, enum db_family family, const void *key,
                                   size_t len, const struct bytes *value, const char *what)
{
    SCOPED(db) db = NULL;
    assert_ok(db_open(dir, false, &db));
    db_put(db, family, key, len, value->data, value->len);
    assert_ok(db_commit(db));
    db_free(STEAL(db));
    char *text = NULL;
    size_t text_len;
    struct audit audit;
    FILE *out = open_memstream(&text, &text_len);
    assert_ok(store_audit(dir, out, &audit));
    fclose(out);
    if (!audit.errors || !strstr(text, what))
        fail_msg("no '%s' in:\n%s", what, text);
    free(text);
}

/* An open store; its end is audited. */
struct fixture {
    const char *dir;
    struct store_options options;
    struct store_rules rules;
    struct store *store;
};

static inline struct fixture *fixture_new(uint64_t rows, struct store_rules rules)
{
    struct fixture *f = mem_new(sizeof *f);
    *f = (struct fixture){kit_directory(), kit_options(rows), rules, NULL};
    assert_ok(store_open(f->dir, &f->options, &f->rules, 0, &f->store));
    return f;
}

static inline void fixture_free(struct fixture *f)
{
    store_free(f->store);
    kit_audit(f->dir);
    free(f);
}
DEFINE_SCOPED(fixture)

static inline void reopen(struct fixture *f, int64_t now_ms)
{
    store_free(STEAL(f->store));
    assert_ok(store_open(f->dir, &f->options, &f->rules, now_ms, &f->store));
}

static inline struct store_counts counts_of(struct fixture *f)
{
    struct store_counts counts;
    store_counts(f->store, &counts);
    return counts;
}
