#include "learner/store/audit/audit.h"
#include "learner/store/record.h"
#include "unit/learner/store_kit.h"

/* A store of two trained rounds (slots 0 to 3), slot 4 stored, slot 5 leased. */
static const char *store_with_history(void)
{
    const char *dir = kit_directory();
    struct store_options options = kit_options(100);
    struct store_rules rules = kit_rules(2, 2);
    SCOPED(store) store = NULL;
    assert_ok(store_open(dir, &options, &rules, 0, &store));
    SCOPED_VALUE(grants) grants = kit_lease(store, "g", 0, 6);
    for (int i = 0; i < 5; i++)
        kit_deliver(store, &grants.grant[i], 0);
    for (int i = 0; i < 2; i++) {
        SCOPED(round) round = kit_round(store, IDLE_NONE);
        kit_train(store, round);
    }
    return dir;
}

static void a_sound_store_is_counted(void **)
{
    struct audit audit = kit_audit(store_with_history());
    assert_int_equal(audit.slots, 6);
    assert_int_equal(audit.gone, 4);
    assert_int_equal(audit.fate[REASON_TRAINED], 4);
    assert_int_equal(audit.stored, 1);
    assert_int_equal(audit.leased, 1);
    assert_int_equal(audit.rounds, 2);
    assert_int_equal(audit.rounds_done, 2);
    assert_int_equal(audit.versions, 2);
    assert_int_equal(audit.trained, 4);
    assert_int_equal(audit.lag[0], 2);
    assert_int_equal(audit.lag[1], 2);
    assert_int_equal(audit.lag_max, 1);
}

static void finds(enum db_family family, const void *key, size_t len, const struct bytes *value,
                  const char *what)
{
    kit_audit_finds(store_with_history(), family, key, len, value, what);
}

static void every_kind_of_damage_is_found(void **)
{
    uint8_t key[KEY_GROUP];
    SCOPED_VALUE(bytes) value = {0};
    struct summary none = {0};
    bytes_put(&value, "S\1", 2);
    key_slot(1, key);
    finds(DB_SLOTS, key, KEY_SLOT, &value, "slot 1: damaged slot record");

    bytes_clear(&value);
    slot_encode(&(struct slot){.state = SLOT_FREE, .attempt = 1}, &value);
    key_slot(9, key);
    finds(DB_SLOTS, key, KEY_SLOT, &value, "slot 6 is missing");
    key_slot(0, key);
    finds(DB_SLOTS, key, KEY_SLOT, &value,
          "3 slots are gone as trained and 0 may be again, the rounds name 4");

    bytes_clear(&value);
    bytes_put(&value, "G\4nonsense", 10);
    key_group(0, 4, key);
    finds(DB_GROUPS, key, KEY_GROUP, &value, "slot 4: a stored group's bytes are not those");

    bytes_clear(&value);
    gone_encode(&(struct gone){OUTCOME_STORED, REASON_STALE, 0, 0, 0, none, NULL}, &value);
    key_gone(2, 1, key);
    finds(DB_GONE, key, KEY_GONE, &value, "is gone as stale, not as trained");
    bytes_clear(&value);
    gone_encode(&(struct gone){OUTCOME_STORED, REASON_TRAINED, 1, 0, 2, none, NULL}, &value);
    finds(DB_GONE, key, KEY_GONE, &value,
          "is gone after 2 uses, the last by round 1; the rounds name it 1 times");
    bytes_clear(&value);
    gone_encode(&(struct gone){OUTCOME_STORED, REASON_TRAINED, 1, 0, 1, none, NULL}, &value);
    key_gone(5, 1, key);
    finds(DB_GONE, key, KEY_GONE, &value, "slot 5 attempt 1 is gone as trained in round 1");

    struct round_group groups[] = {{kit_digest(0), kit_digest(1), 0, 0, 1, 1}};
    struct round twice = {1, 1, 2, 2, 0, 1, REPLAY_FIFO, 1, "", "", 1, groups};
    uint8_t round_key[KEY_ROUND];
    bytes_clear(&value);
    round_encode(&twice, &value);
    key_round('r', 1, 2, round_key);
    finds(DB_ROUNDS, round_key, KEY_ROUND, &value,
          "slot 0 attempt 1: round 2 calls use 1 what is its use 2");
    finds(DB_ROUNDS, round_key, KEY_ROUND, &value,
          "round 2 trained slot 0 of age 0, the limit was 1");
    finds(DB_ROUNDS, round_key, KEY_ROUND, &value, "3 rounds, the counter says 2");
    groups[0].attempt = groups[0].use = 2;
    bytes_clear(&value);
    round_encode(&twice, &value);
    finds(DB_ROUNDS, round_key, KEY_ROUND, &value, "slot 0 was trained in rounds 0 and 2");
    finds(DB_ROUNDS, round_key, KEY_ROUND, &value, "round 2 used slot 0 for time 2, of 1 allowed");
    finds(DB_ROUNDS, round_key, KEY_ROUND, &value, "was trained but neither left nor is stored");

    bytes_clear(&value);
    update_encode(&(struct update){7, kit_trainees(1), true}, &value);
    key_round('u', 1, 2, round_key);
    finds(DB_ROUNDS, round_key, KEY_ROUND, &value, "version 2 is of round 7, not 1");
}

static void an_open_store_can_be_audited(void **)
{
    const char *dir = store_with_history();
    struct store_options options = kit_options(100);
    struct store_rules rules = kit_rules(2, 2);
    SCOPED(store) store = NULL;
    assert_ok(store_open(dir, &options, &rules, 0, &store));
    assert_int_equal(kit_audit(dir).slots, 6);
}

TESTS(cmocka_unit_test(a_sound_store_is_counted), cmocka_unit_test(every_kind_of_damage_is_found),
      cmocka_unit_test(an_open_store_can_be_audited))
