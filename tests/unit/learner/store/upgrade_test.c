/* A store as builds before wrote it, in formats 3 and 4, goes on in this one with all it held. */
#include "learner/store/codec.h"
#include "learner/store/db.h"
#include "learner/store/history.h"
#include "learner/store/record.h"
#include "rollout_v3.pb-c.h"
#include "unit/learner/store_kit.h"
#include "wire/unpack.h"

/* Format 4 had one reason less, and no text in slots. */
static void older_4(const struct db_row *row, struct bytes *ret)
{
    enum { AFTER_GONE = 8 * (OUTCOME_REJECTED + 1) + 8 };
    const size_t len = row->value_len;
    if (row->value[0] == 'C') {
        bytes_put(ret, row->value, len - AFTER_GONE - 8);
        bytes_put(ret, row->value + len - AFTER_GONE, AFTER_GONE);
    } else
        bytes_put(ret, row->value, len - (row->value[0] == 'S' ? 4 : 0));
    ret->data[1] = 4;
}

/* The record as format 3 had it. */
static void older_3(const struct db_row *row, struct bytes *ret)
{
    struct update update;
    if (row->value[0] == 'U') {
        assert_ok(update_decode(row->value, row->value_len, &update));
        bytes_put(ret, row->value, 2);
        bytes_be64(ret, update.round);
        bytes_put(ret, update.trainees.at[0].weights.byte, sizeof(struct digest));
        bytes_u8(ret, update.ends_round);
    } else if (row->value[0] == 'C' || row->value[0] == 'S')
        older_4(row, ret);
    else // a round has no columns and no run_rounds
        bytes_put(ret, row->value, row->value_len - (row->value[0] == 'R' ? 4 + 8 : 0));
    ret->data[1] = 3;
}

static void make_older(const char *dir, int format)
{
    SCOPED(db) db = NULL;
    assert_ok(db_open(dir, false, &db));
    for (int family = DB_META; family <= DB_GONE; family++) {
        SCOPED(db_cursor) cursor = NULL;
        db_seek(db, (enum db_family)family, "", 0, &cursor);
        for (struct db_row row; db_next(cursor, &row);) {
            SCOPED_VALUE(bytes) value = {0};
            (format == 3 ? older_3 : older_4)(&row, &value);
            db_put(db, (enum db_family)family, row.key, row.key_len, value.data, value.len);
        }
        assert_ok(db_cursor_error(cursor));
    }
    assert_ok(db_commit(db));
}

static uint8_t format_of(const char *dir)
{
    SCOPED(db) db = NULL;
    SCOPED_VALUE(bytes) value = {0};
    bool found;
    assert_ok(db_open(dir, true, &db));
    assert_ok(db_get(db, DB_META, KEY_SCHEMA, strlen(KEY_SCHEMA), &value, &found));
    assert_true(found);
    return value.data[1];
}

/* The grant's group in the bytes of format 3, which stay as they are. */
static void deliver_old(struct store *store, const struct grant *grant)
{
    SCOPED(group) group = kit_group(grant, 0, 0);
    const struct completion *c = group->completion;
    SCOPED_VALUE(bytes) out = {0};
    struct verdict verdict;
    Rlhfd__V3__Span span = RLHFD__V3__SPAN__INIT, *spans = &span;
    Rlhfd__V3__Completion completion = RLHFD__V3__COMPLETION__INIT, *completions = &completion;
    Rlhfd__V3__Group pb = RLHFD__V3__GROUP__INIT;
    completion.n_tokens = completion.n_logp = c->tokens;
    completion.tokens = c->token;
    completion.logp = (float *)group_values(group, COLUMN_BEHAVIOUR_LOGP, 0);
    completion.n_spans = 1;
    completion.spans = &spans;
    completion.finish = c->finish;
    completion.text = (ProtobufCBinaryData){c->text_len, (uint8_t *)c->text};
    completion.n_scores = 1;
    completion.scores = (double *)group_values(group, COLUMN_SCORES, 0);
    completion.reward = group_value(group, COLUMN_REWARD, 0);
    pb.id = (ProtobufCBinaryData){sizeof group->id.byte, group->id.byte};
    pb.run = group->run;
    pb.lineage = group->lineage;
    pb.slot = group->slot;
    pb.attempt = group->attempt;
    pb.prompt = group->prompt;
    pb.epoch = group->epoch;
    pb.start_round = group->start_round;
    pb.row = (ProtobufCBinaryData){2, (uint8_t *)group->row};
    pb.n_prompt_tokens = 1;
    pb.prompt_tokens = group->prompt_token;
    pb.temperature = 1;
    pb.n_completions = 1;
    pb.completions = &completions;
    pb.generator = group->generator;
    wire_pack(&pb.base, &out);
    const struct group *one = group;
    assert_ok(store_append(store, &one, &(struct encoded){out.data, out.len}, 1, 0, &verdict));
    assert_int_equal(verdict.outcome, OUTCOME_STORED);
}

/* Two rounds, one of them trained; a group that left as superseded, three stored, two leased. */
static struct fixture *history(struct grants *ret)
{
    struct fixture *f = fixture_new(100, kit_rules(2, 4));
    *ret = kit_lease(f->store, "g", 0, 9);
    for (int i = 0; i < 7; i++)
        deliver_old(f->store, &ret->grant[i]);
    SCOPED(round) first = kit_round(f->store, IDLE_NONE);
    kit_train(f->store, first);
    round_free(kit_round(f->store, IDLE_NONE));
    store_free(STEAL(f->store));
    return f;
}

static void goes_on(int format)
{
    SCOPED_VALUE(grants) grants = {0};
    SCOPED(fixture) f = history(&grants);
    make_older(f->dir, format);
    struct audit before = kit_audit(f->dir);
    assert_int_equal(before.rounds, 2);
    assert_int_equal(before.stored, 3);
    assert_int_equal(format_of(f->dir), format); // reading changes nothing
    assert_ok(store_open(f->dir, &f->options, &f->rules, 0, &f->store));
    assert_int_equal(format_of(f->dir), STORE_FORMAT);
    struct audit now = kit_audit(f->dir);
    assert_memory_equal(&now, &before, sizeof before);
    assert_int_equal(kit_deliver(f->store, &grants.grant[0], 0), OUTCOME_DUPLICATE); // trained
    assert_int_equal(kit_deliver(f->store, &grants.grant[5], 0), OUTCOME_DUPLICATE); // stored
    assert_int_equal(kit_deliver(f->store, &grants.grant[7], 0), OUTCOME_STORED);
    SCOPED(round) recorded = NULL;
    struct group **groups;
    assert_ok(store_round(f->store, 1, &recorded));
    assert_ok(store_round_groups(f->store, recorded, &groups)); // as it was, to be trained again
    assert_near(group_value(groups[1], COLUMN_REWARD, 0), 0.5, 0);
    assert_non_null(group_values(groups[1], COLUMN_BEHAVIOUR_LOGP, 0));
    round_groups_free(groups, recorded->groups);
    kit_train(f->store, recorded);
    SCOPED(round) next = kit_round(f->store, IDLE_NONE);
    assert_int_equal(next->group[0].slot, 4);
    kit_train(f->store, next);
    assert_ok(store_checkpointed(f->store, 3, 3));
    reopen(f, 0);
    struct trace trace;
    assert_ok(store_trace(f->store, 0, 1, &trace));
    trace_done(&trace);
    assert_ok(store_fork(f->store, 1, 0)); // back over records of both formats
}

static void format_3_goes_on_as_5(void **)
{
    goes_on(3);
}

/* With what only the new format can hold. */
static void an_upgraded_store_takes_more_trainees(void **)
{
    SCOPED_VALUE(grants) grants = {0};
    SCOPED(fixture) f = history(&grants);
    make_older(f->dir, 3);
    assert_ok(store_open(f->dir, &f->options, &f->rules, 0, &f->store));
    struct trainee_digests two = kit_trainees(2), found;
    two.at[two.count++] = (struct trainee_digest){"critic", kit_digest(99)};
    assert_err(ERR_DATA_LOSS, "other trainees at version 1", // recorded with the policy alone
               store_update_done(f->store, 1, &two, true));
    assert_ok(store_update_done(f->store, 2, &two, true));
    reopen(f, 0);
    assert_ok(store_update_done(f->store, 2, &two, true));
    assert_ok(store_digests_of(f->store, 2, &found));
    assert_int_equal(found.count, 2);
    assert_string_equal(found.at[1].name, "critic");
    assert_true(digest_equal(&found.at[1].weights, &two.at[1].weights));
    two.at[1].weights = kit_digest(98);
    assert_err(ERR_DATA_LOSS, "digest of 'critic'", store_update_done(f->store, 2, &two, true));
    two.at[1].name[0] = 0;
    assert_err(ERR_INVALID, "trainee 1", store_update_done(f->store, 3, &two, true));
}

/* Its groups' bytes are today's. */
static void format_4_goes_on_as_5(void **)
{
    SCOPED(fixture) f = fixture_new(100, kit_rules(2, 4));
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, 6);
    for (int i = 0; i < 5; i++)
        kit_deliver(f->store, &grants.grant[i], 0);
    SCOPED(round) first = kit_round(f->store, IDLE_NONE);
    kit_train(f->store, first);
    store_free(STEAL(f->store));
    make_older(f->dir, 4);
    const struct audit before = kit_audit(f->dir);
    assert_int_equal(before.stored, 3);
    assert_int_equal(format_of(f->dir), 4);
    assert_ok(store_open(f->dir, &f->options, &f->rules, 0, &f->store));
    assert_int_equal(format_of(f->dir), STORE_FORMAT);
    const struct audit now = kit_audit(f->dir);
    assert_memory_equal(&now, &before, sizeof before);
    struct store_counts counts;
    store_counts(f->store, &counts);
    assert_int_equal(counts.gone[REASON_TRAINED], 2);
    assert_int_equal(counts.outcomes[OUTCOME_STORED], 5);
    SCOPED(round) next = kit_round(f->store, IDLE_NONE);
    kit_train(f->store, next);
    reopen(f, 0);
    kit_audit(f->dir);
}

TESTS(cmocka_unit_test(format_3_goes_on_as_5), cmocka_unit_test(format_4_goes_on_as_5),
      cmocka_unit_test(an_upgraded_store_takes_more_trainees))
