#include "base/file.h"
#include "base/json.h"
#include "learner/store/record.h"
#include "testing/testing.h"
#include <string.h>

static json_t *golden;

/* The golden record's bytes. */
static struct bytes bytes_of(const char *name)
{
    struct bytes bytes = {0};
    const char *hex = NULL;
    assert_ok(json_get_text(golden, "store.json", name, &hex));
    for (; *hex; hex += 2) {
        unsigned value;
        assert_int_equal(sscanf(hex, "%2x", &value), 1);
        bytes_u8(&bytes, (uint8_t)value);
    }
    return bytes;
}

static void same(const char *name, const struct bytes *found)
{
    SCOPED_VALUE(bytes) wanted = bytes_of(name);
    assert_int_equal(found->len, wanted.len);
    assert_memory_equal(found->data, wanted.data, wanted.len);
}

static struct digest digest_from(int first)
{
    struct digest digest;
    for (int i = 0; i < 16; i++)
        digest.byte[i] = (uint8_t)(first + i);
    return digest;
}

static struct summary summary_of(void)
{
    return (struct summary){digest_from(32), -0.25, 1000, 7, 9, 4, 0.75};
}

/* Records whose fields format 5 left alone say the same in format 4. */
static bool same_but_format(const struct bytes *found, const struct bytes *data, size_t len)
{
    return found->len == len && found->data[0] == data->data[0] &&
           memcmp(found->data + 2, data->data + 2, len - 2) == 0;
}

static struct slot slot_of(enum slot_state state, enum reason reason, enum outcome answered,
                           char *generator, uint32_t uses)
{
    return (struct slot){.number = 258,
                         .state = state,
                         .reason = reason,
                         .answered = answered,
                         .attempt = 3,
                         .failures = 2,
                         .lineage = 1,
                         .start_round = 5,
                         .version = 6,
                         .deadline_ms = 12345,
                         .term = 99,
                         .generator = generator,
                         .age = 6,
                         .uses = uses,
                         .trained_in = uses ? 8 : 0,
                         .summary = summary_of()};
}

static void records_are_as_documented(void **)
{
    struct schema schema = {"run", digest_from(1), 1000, 7, true};
    struct counters counters = {1,   20,  3,   8,   9,   7,   8, {6, 4}, {7, 5},
                                101, 102, 103, 104, {0}, {0}, 1, 5};
    struct gone gone = {OUTCOME_STORED, REASON_TRAINED, 8, 6, 2, summary_of(), "g0"};
    struct tries tries = {4, 3, true, "not finite"};
    struct fork fork = {2, 1, 41, 84};
    struct round_group groups[2] = {{digest_from(0), digest_from(1), 100, 40, 1, 2},
                                    {digest_from(16), digest_from(17), 101, 41, 2, 1}};
    uint32_t covered[] = {0, 2};
    double values[] = {-0.5, 1.25};
    struct column_values advantage = {COLUMN_ADVANTAGE, UNIT_SEQUENCE, VALUE_F64, 2, covered, 0,
                                      sizeof values,    values};
    struct round round = {
        1, 2, 41, 82, 5, 1, REPLAY_PRIORITY, 3, "lr: 1", "cpu", 2, groups, {1, &advantage}, 50};
    struct update update = {
        41, {2, {{"policy", digest_from(3)}, {"critic", digest_from(4)}}}, true};
    struct slot leased = slot_of(SLOT_LEASED, (enum reason)0, (enum outcome)0, "g0", 0);
    struct slot stored = slot_of(SLOT_STORED, (enum reason)0, OUTCOME_STORED, "g0", 2);
    struct slot left = slot_of(SLOT_GONE, REASON_TRAINED, OUTCOME_STORED, NULL, 1);
    struct slot kept = slot_of(SLOT_QUARANTINED, (enum reason)0, OUTCOME_REJECTED, "g0", 0);
    kept.why = "status 500";
    for (int i = 0; i < REASONS; i++)
        counters.gone[i] = 200 + (uint64_t)i;
    for (int i = 0; i <= OUTCOME_REJECTED; i++)
        counters.outcomes[i] = 300 + (uint64_t)i;
    SCOPED_VALUE(bytes) out = {0};
#define SAME(name, encode)                                                                         \
    do {                                                                                           \
        bytes_clear(&out);                                                                         \
        encode;                                                                                    \
        same(name, &out);                                                                          \
    } while (0)
    SAME("schema", schema_encode(&schema, &out));
    SAME("counters", counters_encode(&counters, &out));
    SAME("slot_leased", slot_encode(&leased, &out));
    SAME("slot_stored", slot_encode(&stored, &out));
    SAME("slot_gone", slot_encode(&left, &out));
    SAME("slot_quarantined", slot_encode(&kept, &out));
    SAME("gone", gone_encode(&gone, &out));
    SAME("round", round_encode(&round, &out));
    SAME("update", update_encode(&update, &out));
    SAME("last", last_encode(84, &out));
    SAME("tries", tries_encode(&tries, &out));
    SAME("fork", fork_encode(&fork, &out));
    SAME("key_slot", key_slot(258, bytes_extend(&out, KEY_SLOT)));
    SAME("key_gone", key_gone(258, 3, bytes_extend(&out, KEY_GONE)));
    SAME("key_group", key_group(4, 258, bytes_extend(&out, KEY_GROUP)));
    SAME("key_round", key_round('r', 1, 41, bytes_extend(&out, KEY_ROUND)));
}

/* Decodes and encodes again: the same bytes, or an error; never a crash. */
static err_t around(const char *name, const uint8_t *data, size_t len, struct bytes *ret)
{
    switch (*name == 's' ? name[1] : *name) {
    case 'c': {
        if (*name == 's') {
            SCOPED_VALUE(schema) schema = {0};
            TRY(schema_decode(data, len, &schema));
            schema_encode(&schema, ret);
            return OK;
        }
        struct counters counters;
        TRY(counters_decode(data, len, &counters));
        counters_encode(&counters, ret);
        return OK;
    }
    case 'l': {
        if (*name == 'l') {
            uint64_t last;
            TRY(last_decode(data, len, &last));
            last_encode(last, ret);
            return OK;
        }
        SCOPED_VALUE(slot) slot = {0};
        TRY(slot_decode(258, data, len, &slot));
        slot_encode(&slot, ret);
        return OK;
    }
    case 'g': {
        SCOPED_VALUE(gone) gone = {0};
        TRY(gone_decode(data, len, &gone));
        gone_encode(&gone, ret);
        return OK;
    }
    case 't': {
        SCOPED_VALUE(tries) tries = {0};
        TRY(tries_decode(data, len, &tries));
        tries_encode(&tries, ret);
        return OK;
    }
    case 'f': {
        struct fork fork;
        TRY(fork_decode(2, data, len, &fork));
        fork_encode(&fork, ret);
        return OK;
    }
    case 'r': {
        SCOPED(round) round = NULL;
        TRY(round_decode(data, len, &round));
        round_encode(round, ret);
        return OK;
    }
    default: {
        struct update update;
        TRY(update_decode(data, len, &update));
        update_encode(&update, ret);
        return OK;
    }
    }
}

static const char *const names[] = {"schema",    "counters", "slot_leased", "slot_stored",
                                    "slot_gone", "gone",     "round",       "update",
                                    "last",      "tries",    "fork",        "slot_quarantined"};
enum { NAMES = sizeof names / sizeof *names, OLD_NAMES = NAMES - 1 /* before format 5 */ };

static void decoding_is_the_inverse_and_checks_everything(void **)
{
    for (size_t i = 0; i < NAMES; i++) {
        SCOPED_VALUE(bytes) good = bytes_of(names[i]);
        SCOPED_VALUE(bytes) out = {0};
        assert_ok(around(names[i], good.data, good.len, &out));
        same(names[i], &out);
        bytes_u8(&good, 0);
        assert_err(ERR_DATA_LOSS, "damaged", around(names[i], good.data, good.len, &out));
        const bool round = strcmp(names[i], "round") == 0;
        for (size_t len = 0; len < good.len - 1; len++)
            if (!round || len != good.len - 1 - sizeof(uint64_t)) // format 4 had no run_rounds once
                assert_err(ERR_DATA_LOSS, "damaged", around(names[i], good.data, len, &out));
        for (size_t bit = 0; bit < 8 * (good.len - 1); bit++) {
            good.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
            bytes_clear(&out);
            err_t e = around(names[i], good.data, good.len - 1, &out);
            if (!err_failed(e))
                assert_true(same_but_format(&out, &good, good.len - 1));
            err_free(e);
            good.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
}

static void a_round_without_the_runs_length_has_none(void **)
{
    SCOPED_VALUE(bytes) data = bytes_of("round");
    SCOPED(round) whole = NULL, *short_one = NULL;
    assert_ok(round_decode(data.data, data.len, &whole));
    assert_int_equal(whole->run_rounds, 50);
    assert_ok(round_decode(data.data, data.len - sizeof(uint64_t), &short_one));
    assert_int_equal(short_one->run_rounds, 0);
    data.data[data.len - 1] = 41; // of round 41 itself there are 42 at least
    SCOPED(round) none = NULL;
    assert_err(ERR_DATA_LOSS, "damaged", round_decode(data.data, data.len, &none));
}

/* Records of builds before this one, read as they were meant. golden is theirs until the end. */
static void read_older(const char *path, json_t **ret)
{
    assert_ok(json_read_file(path, 1 << 20, ret));
    golden = *ret;
    for (size_t i = 0; i < OLD_NAMES; i++) {
        SCOPED_VALUE(bytes) old = bytes_of(names[i]);
        SCOPED_VALUE(bytes) out = {0};
        SCOPED_VALUE(bytes) again = {0};
        assert_ok(around(names[i], old.data, old.len, &out));
        assert_int_equal(out.data[1], STORE_FORMAT);
        assert_ok(around(names[i], out.data, out.len, &again)); // it stays what it became
        assert_int_equal(again.len, out.len);
        assert_memory_equal(again.data, out.data, out.len);
    }
}

static void records_of_format_4_are_read(void **)
{
    json_t *newer = golden;
    SCOPED_JSON json_t *older = NULL;
    read_older(TEST_GOLDEN "/store_v4.json", &older);
    SCOPED_VALUE(bytes) data = bytes_of("counters");
    SCOPED_VALUE(bytes) slot = bytes_of("slot_stored");
    golden = newer;
    struct counters counters;
    assert_ok(counters_decode(data.data, data.len, &counters));
    assert_int_equal(counters.gone[REASON_ENDED], 209);
    assert_int_equal(counters.gone[REASON_QUARANTINED], 0);
    assert_int_equal(counters.outcomes[OUTCOME_REJECTED], 305);
    SCOPED_VALUE(slot) found = {0};
    slot.data[2] = SLOT_QUARANTINED; // which it could not have
    assert_err(ERR_DATA_LOSS, "damaged", slot_decode(258, slot.data, slot.len, &found));
}

static void records_of_format_3_are_read(void **)
{
    json_t *newer = golden;
    SCOPED_JSON json_t *older = NULL;
    read_older(TEST_GOLDEN "/store_v3.json", &older);
    SCOPED_VALUE(bytes) made = bytes_of("update");
    golden = newer;
    struct update update;
    const struct digest weights = digest_from(3);
    assert_ok(update_decode(made.data, made.len, &update));
    assert_true(update.ends_round);
    assert_int_equal(update.trainees.count, 1);
    assert_string_equal(update.trainees.at[0].name, "policy");
    assert_true(digest_equal(&update.trainees.at[0].weights, &weights));
}

/* An update's list of digests: as many as are allowed, each with a name of its own. */
static void lists_of_trainees_are_checked(void **)
{
    struct update update = {41, {.count = TRAINEES_MAX}, false}, found;
    for (uint32_t i = 0; i < TRAINEES_MAX; i++) {
        struct trainee_digest *at = &update.trainees.at[i];
        snprintf(at->name, sizeof at->name, "fifteen-bytes-%u", i);
        at->weights = digest_from((int)i);
    }
    SCOPED_VALUE(bytes) out = {0};
    update_encode(&update, &out);
    assert_ok(update_decode(out.data, out.len, &found));
    assert_memory_equal(&found, &update, sizeof found);
    const struct trainee_digests good = update.trainees;
    enum { NONE, TWICE, UNNAMED };
    for (int bad = NONE; bad <= UNNAMED; bad++) {
        update.trainees = good;
        if (bad == NONE)
            update.trainees.count = 0;
        else if (bad == TWICE)
            memcpy(update.trainees.at[7].name, good.at[0].name, sizeof good.at[0].name);
        else
            update.trainees.at[3].name[0] = 0;
        bytes_clear(&out);
        update_encode(&update, &out);
        assert_err(ERR_DATA_LOSS, "damaged update", update_decode(out.data, out.len, &found));
    }
}

static void other_formats_are_refused_with_what_to_do(void **)
{
    SCOPED_VALUE(bytes) bytes = bytes_of("schema");
    SCOPED_VALUE(schema) schema = {0};
    bytes.data[1] = STORE_FORMAT_OLDEST - 1;
    assert_err(ERR_PRECONDITION, "finish the run with the build",
               schema_decode(bytes.data, bytes.len, &schema));
    bytes.data[1] = STORE_FORMAT + 1;
    assert_err(ERR_PRECONDITION, "use the newer build",
               schema_decode(bytes.data, bytes.len, &schema));
}

static int open_golden(void **)
{
    assert_ok(json_read_file(TEST_GOLDEN "/store.json", 1 << 20, &golden));
    return 0;
}

static int close_golden(void **)
{
    json_decref(golden);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_as_documented),
        cmocka_unit_test(decoding_is_the_inverse_and_checks_everything),
        cmocka_unit_test(a_round_without_the_runs_length_has_none),
        cmocka_unit_test(records_of_format_4_are_read),
        cmocka_unit_test(records_of_format_3_are_read),
        cmocka_unit_test(lists_of_trainees_are_checked),
        cmocka_unit_test(other_formats_are_refused_with_what_to_do),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
