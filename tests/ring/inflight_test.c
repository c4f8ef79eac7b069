/* generator.in_flight in the whole ring: the run completes, and what is applied is what the mode
 * promises. */
#include "testing/process.h"
#include "testing/ring.h"
#include "testing/testing.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RUN_MS = 120000, ROUNDS = 20 };

struct swaps {
    int applied, in_flight, passed_over; // versions; of them, with sequences half done
    double reprefill, pause_ms;
};

static double value_of(const char *line, const char *key)
{
    const char *at = strstr(line, key);
    assert_non_null(at);
    return strtod(at + strlen(key), NULL);
}

/* The lines "weights applied" of the run's log: versions ascend, all of the mode. */
static struct swaps read_swaps(const char *log, const char *mode)
{
    struct swaps swaps = {0};
    char *text = file_text(log), *rest = NULL;
    double newest = -1;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (!strstr(line, "\"weights applied\""))
            continue;
        char field[32];
        snprintf(field, sizeof field, " mode=%s ", mode);
        assert_non_null(strstr(line, field));
        assert_true(value_of(line, " version=") > newest);
        newest = value_of(line, " version=");
        double in_flight = value_of(line, " tokens_in_flight="),
               reprefill = value_of(line, " reprefill_tokens=");
        if (!strcmp(mode, "finish"))
            assert_true(in_flight == 0 && reprefill == 0);
        if (!strcmp(mode, "recompute"))
            assert_true(reprefill >= in_flight); // their prompts too, but for each one's last token
        swaps.applied++;
        swaps.in_flight += in_flight > 0;
        swaps.passed_over += (int)value_of(line, " passed_over=");
        swaps.reprefill += reprefill;
        swaps.pause_ms += value_of(line, " pause_ms=");
    }
    free(text);
    return swaps;
}

static void each_mode_completes(void **state)
{
    (void)state;
    static const char *const modes[] = {"continue", "recompute", "finish"};
    for (int m = 0; m < 3; m++) {
        struct ring ring = ring_prepare(
            &(struct ring_options){.rounds = ROUNDS, .groups = 8, .lag = 2, .slow_permille = 1000});
        char set[64]; // few slots and long answers: versions come while sequences are half done
        snprintf(set, sizeof set, "generator.in_flight=%s", modes[m]);
        struct process up =
            process_start(ring.log, "rlhfctl", "up", ring.recipe, "--run", ring.run, "--set", set,
                          "--set", "generator.slots=16", "--set", "checkpoint.every=50", NULL);
        assert_int_equal(process_wait(&up, RUN_MS), 0);
        ring_audit(&ring);
        struct ring_result r = ring_read(&ring);
        char *log = testing_path(ring.run, "logs/generator.log");
        struct swaps swaps = read_swaps(log, modes[m]);
        print_message(
            "%s: rounds %d, compared %.0f, differing %.0f; applied %d, %d in flight, passed "
            "over %d, reprefill %.0f, pause %.2f ms\n",
            modes[m], r.rounds, r.logp_compared, r.logp_differing, swaps.applied, swaps.in_flight,
            swaps.passed_over, swaps.reprefill, swaps.pause_ms);
        assert_int_equal(r.rounds, ROUNDS);
        assert_true(r.lag_max <= 2);
        assert_true(r.logp_compared > 0);
        assert_int_equal((int)r.logp_differing, 0);
        assert_in_range(swaps.applied + swaps.passed_over, 2, ROUNDS + 1);
    }
}

TESTS(cmocka_unit_test(each_mode_completes))
