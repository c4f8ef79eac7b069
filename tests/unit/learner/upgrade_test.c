/* A store as the build before wrote it (format 2) goes on in this one, with all that it held. */
#include "learner/store/codec.h"
#include "learner/store/db.h"
#include "learner/store/history.h"
#include "learner/store/record.h"
#include "unit/learner/store_kit.h"

/* Offsets of what format 3 added: after a gone record's summary; from a round's end. */
enum { GONE_SPREAD = 2 + 2 + 8 + 8 + 16 + 8 + 3 * 8 + 4, ROUND_GROUP_2 = 52, ROUND_GROUP_3 = 56 };

static void older_round(const struct db_row *row, struct bytes *ret)
{
    SCOPED(round) round = NULL;
    assert_ok(round_decode(row->value, row->value_len, &round));
    size_t groups = round->groups * ROUND_GROUP_3, head = row->value_len - groups - 4 - 5;
    bytes_put(ret, row->value, head);
    bytes_be32(ret, (uint32_t)round->groups);
    for (size_t i = 0; i < round->groups; i++)
        bytes_put(ret, row->value + row->value_len - groups + i * ROUND_GROUP_3, ROUND_GROUP_2);
}

/* The record without what format 2 does not have. */
static void older(const struct db_row *row, struct bytes *ret)
{
    if (row->value[0] == 'S')
        bytes_put(ret, row->value, row->value_len - 20); // spread, uses, trained_in
    else if (row->value[0] == 'C')
        bytes_put(ret, row->value, row->value_len - 8); // floor
    else if (row->value[0] == 'R')
        older_round(row, ret);
    else if (row->value[0] == 'X') {
        bytes_put(ret, row->value, GONE_SPREAD);
        bytes_put(ret, row->value + GONE_SPREAD + 8, row->value_len - GONE_SPREAD - 8 - 4);
    } else
        bytes_put(ret, row->value, row->value_len);
    ret->data[1] = 2;
}

static void make_older(const char *dir)
{
    SCOPED(db) db = NULL;
    assert_ok(db_open(dir, false, &db));
    for (int family = DB_META; family <= DB_GONE; family++) {
        SCOPED(db_cursor) cursor = NULL;
        db_seek(db, (enum db_family)family, "", 0, &cursor);
        for (struct db_row row; db_next(cursor, &row);) {
            SCOPED_VALUE(bytes) value = {0};
            older(&row, &value);
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

/* Two rounds, one of them trained; a group that left as superseded, three stored, two leased. */
static struct fixture *history(struct grants *ret)
{
    struct fixture *f = fixture_new(100, kit_rules(2, 4));
    *ret = kit_lease(f->store, "g", 0, 9);
    for (int i = 0; i < 7; i++)
        kit_deliver(f->store, &ret->grant[i], 0);
    SCOPED(round) first = kit_round(f->store, IDLE_NONE);
    kit_train(f->store, first);
    round_free(kit_round(f->store, IDLE_NONE));
    store_free(STEAL(f->store));
    return f;
}

static void format_2_goes_on_as_3(void **)
{
    SCOPED_VALUE(grants) grants = {0};
    SCOPED(fixture) f = history(&grants);
    struct audit before = kit_audit(f->dir);
    make_older(f->dir);
    assert_int_equal(format_of(f->dir), 2);
    struct audit older = kit_audit(f->dir); // reading changes nothing
    assert_memory_equal(&older, &before, sizeof before);
    assert_int_equal(format_of(f->dir), 2);
    assert_ok(store_open(f->dir, &f->options, &f->rules, 0, &f->store));
    assert_int_equal(format_of(f->dir), STORE_FORMAT);
    assert_int_equal(kit_deliver(f->store, &grants.grant[0], 0), OUTCOME_DUPLICATE); // trained
    assert_int_equal(kit_deliver(f->store, &grants.grant[5], 0), OUTCOME_DUPLICATE); // stored
    assert_int_equal(kit_deliver(f->store, &grants.grant[7], 0), OUTCOME_STORED);
    SCOPED(round) recorded = NULL;
    struct group **groups;
    assert_ok(store_round(f->store, 1, &recorded));
    assert_ok(store_round_groups(f->store, recorded, &groups)); // as it was, to be trained again
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

/* With what only the new format can hold. */
static void an_upgraded_store_may_change_its_policy(void **)
{
    SCOPED_VALUE(grants) grants = {0};
    SCOPED(fixture) f = history(&grants);
    make_older(f->dir);
    f->rules.policy = REPLAY_PRIORITY;
    f->rules.max_uses = 2;
    assert_ok(store_open(f->dir, &f->options, &f->rules, 0, &f->store));
    SCOPED(round) recorded = NULL;
    assert_ok(store_round(f->store, 1, &recorded));
    kit_train(f->store, recorded);
    SCOPED(round) next = kit_round(f->store, IDLE_NONE);
    assert_int_equal(next->policy, REPLAY_PRIORITY);
    assert_int_equal(counts_of(f).stored, 3); // used once, they stay
    kit_train(f->store, next);
}

TESTS(cmocka_unit_test(format_2_goes_on_as_3),
      cmocka_unit_test(an_upgraded_store_may_change_its_policy))
