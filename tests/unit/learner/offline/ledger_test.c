/* The files of an offline run: digests of versions, and lines of evaluations. */
#include "base/file.h"
#include "base/mem.h"
#include "learner/offline/ledger.h"
#include "learner/offline/trials.h"
#include "testing/process.h"
#include "testing/testing.h"
#include <math.h>
#include <string.h>

static struct trainee_digests weights(uint8_t value)
{
    struct digest digest = {{value}};
    return trainees_policy(&digest);
}

static void put(const char *path, const char *text)
{
    assert_ok(file_write(path, text, strlen(text)));
}

static void versions_are_appended_then_compared(void **)
{
    const char *path = testing_path(testing_directory(), "updates.jsonl");
    for (int start = 0; start < 2; start++) {
        SCOPED(ledger) ledger = NULL;
        assert_ok(ledger_open(path, &ledger));
        assert_int_equal(ledger_versions(ledger), 3 * start);
        for (uint64_t v = 1; v <= 3; v++) {
            const struct trainee_digests digests = weights((uint8_t)v);
            assert_ok(ledger_note(ledger, v, v - 1, &digests));
        }
        const struct trainee_digests other = weights(9);
        if (start)
            assert_err(ERR_DATA_LOSS, "version 2 was made as", ledger_note(ledger, 2, 1, &other));
    }
    SCOPED_MEM char *text = file_text(path);
    assert_string_equal(
        text, "{\"version\":1,\"round\":0,\"policy\":\"01000000000000000000000000000000\"}\n"
              "{\"version\":2,\"round\":1,\"policy\":\"02000000000000000000000000000000\"}\n"
              "{\"version\":3,\"round\":2,\"policy\":\"03000000000000000000000000000000\"}\n");
}

static void a_torn_line_goes_and_a_damaged_one_is_told(void **)
{
    const char *path = testing_path(testing_directory(), "updates.jsonl");
    SCOPED(ledger) ledger = NULL;
    struct ledger *refused;
    put(path, "{\"version\":1}\n{\"vers");
    assert_ok(ledger_open(path, &ledger));
    assert_int_equal(ledger_versions(ledger), 1);
    SCOPED_MEM char *text = file_text(path);
    assert_string_equal(text, "{\"version\":1}\n");
    static const struct {
        const char *text, *says;
    } bad[] = {{"{\"version\":1}\n{\"version\":3}\n", ":2: version 3 stands here; 2 is due"},
               {"{\"version\":1}\nnonsense\n", ":2: the line is damaged"},
               {"{\"version\":0}\n", "version"},
               {"{}\n", "version"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put(path, bad[i].text);
        err_t failed = ledger_open(path, &refused);
        assert_true(err_failed(failed) && strstr(err_message(failed), bad[i].says));
        err_free(failed);
    }
}

static void a_version_is_tried_once(void **)
{
    const char *path = testing_path(testing_directory(), "evals.jsonl");
    for (int start = 0; start < 2; start++) {
        SCOPED(trials) trials = NULL;
        assert_ok(trials_open(path, &trials));
        assert_int_equal(trials_has(trials, 4), start);
        assert_false(trials_has(trials, 5));
        struct trial trial = {.version = 4, .round = 4, .rows = 2};
        for (size_t i = 0; i < RL_FIGURES_COUNT; i++)
            trial.figures.at[i] = NAN;
        trial.figures.loss = 0.5;
        if (!start)
            assert_ok(trials_write(trials, &trial));
        SCOPED_MEM char *text = file_text(path);
        assert_string_equal(text,
                            "{\"version\":4,\"round\":4,\"chunk\":0,\"rows\":2,\"loss\":0.5}\n");
    }
    put(path, "{\"version\":4}\n{\"version\":6,");
    SCOPED(trials) torn = NULL;
    assert_ok(trials_open(path, &torn));
    assert_false(trials_has(torn, 6));
}

TESTS(cmocka_unit_test(versions_are_appended_then_compared),
      cmocka_unit_test(a_torn_line_goes_and_a_damaged_one_is_told),
      cmocka_unit_test(a_version_is_tried_once))
