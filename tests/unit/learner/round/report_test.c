/* metrics.jsonl over restarts and rollbacks. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "learner/round/report.h"
#include "svc/metrics.h"
#include "testing/testing.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct branch first = {.lineage = 7, .parent = 7};
static const struct branch second = {.lineage = 8, .parent = 7, .rounds = 2, .version = 20};

static void write_rounds(struct report *report, uint64_t from, uint64_t below)
{
    for (uint64_t r = from; r < below; r++)
        assert_ok(report_round(
            report,
            &(struct round_report){.round = r, .version = 10 * r + 10, .time_s = (double)r}));
}

/* "7:0 7:1 8< 8:2": lineage and round of each line, "<" for a rollback. */
static char *outline(const char *path)
{
    SCOPED_VALUE(bytes) out = {0};
    SCOPED_VALUE(bytes) text = {0};
    assert_ok(file_read(path, 1 << 20, &text));
    bytes_u8(&text, 0);
    char *rest = NULL;
    for (char *line = strtok_r((char *)text.data, "\n", &rest); line;
         line = strtok_r(NULL, "\n", &rest)) {
        unsigned lineage = 0;
        const char *at = strstr(line, "\"lineage\":"), *round = strstr(line, "\"round\":");
        bool torn = !at || sscanf(at, "\"lineage\":%u", &lineage) != 1;
        bytes_printf(&out, "%s", out.len ? " " : "");
        if (torn)
            bytes_printf(&out, "?");
        else if (round)
            bytes_printf(&out, "%u:%d", lineage, (int)strtol(strchr(round, ':') + 1, NULL, 10));
        else
            bytes_printf(&out, "%u<", lineage);
    }
    return mem_string((char *)out.data);
}

static void assert_outline(const char *path, const char *wanted)
{
    SCOPED_MEM char *is = outline(path);
    assert_string_equal(is, wanted);
}

static void a_restart_drops_what_it_trains_again(void **)
{
    SCOPED_MEM char *path = file_join(testing_directory(), "metrics.jsonl");
    SCOPED(report) report = NULL;
    assert_ok(report_open(path, &first, 0, &report));
    write_rounds(report, 0, 4);
    report_free(STEAL(report));
    assert_ok(report_open(path, &first, 2, &report));
    assert_outline(path, "7:0 7:1");
    assert_true(report_time_offset(report) == 1);
    write_rounds(report, 2, 3);
    assert_outline(path, "7:0 7:1 7:2");
}

static void a_rollback_is_a_line_and_what_it_cut_off_stays(void **)
{
    SCOPED_MEM char *path = file_join(testing_directory(), "metrics.jsonl");
    SCOPED(report) report = NULL;
    assert_ok(report_open(path, &first, 0, &report));
    write_rounds(report, 0, 4);
    assert_ok(report_branch(report, &second, 5));
    write_rounds(report, 2, 5);
    assert_outline(path, "7:0 7:1 7:2 7:3 8< 8:2 8:3 8:4");
    report_free(STEAL(report));
    /* The restarts at which the process may have died: after rounds of the branch, before the first
     * of them, before the line. */
    assert_ok(report_open(path, &second, 3, &report));
    assert_outline(path, "7:0 7:1 7:2 7:3 8< 8:2");
    report_free(STEAL(report));
    assert_ok(report_open(path, &second, 2, &report));
    assert_outline(path, "7:0 7:1 7:2 7:3 8<");
    assert_true(report_time_offset(report) == 5);
    report_free(STEAL(report));
    SCOPED_VALUE(bytes) text = {0};
    assert_ok(file_read(path, 1 << 20, &text));
    char *cut = memmem(text.data, text.len, "{\"rollback\"", 11);
    assert_non_null(cut);
    assert_ok(file_write(path, text.data, (size_t)((uint8_t *)cut + 9 - text.data))); // torn
    assert_ok(report_open(path, &second, 2, &report));
    assert_outline(path, "7:0 7:1 7:2 7:3 8<");
    write_rounds(report, 2, 3);
    assert_outline(path, "7:0 7:1 7:2 7:3 8< 8:2");
}

static void lines_of_an_older_learner_have_no_lineage(void **)
{
    static const char text[] = "{\"round\":0,\"time_s\":1.5}\n{\"round\":1}\n{\"round\":2}\n";
    SCOPED_MEM char *path = file_join(testing_directory(), "metrics.jsonl");
    SCOPED(report) report = NULL;
    assert_ok(file_write(path, text, strlen(text)));
    assert_ok(report_open(path, &first, 1, &report));
    assert_true(report_time_offset(report) == 1.5);
    write_rounds(report, 1, 2);
    assert_outline(path, "? 7:1");
}

static double shown(const char *name)
{
    SCOPED_VALUE(bytes) text = {0};
    SCOPED_MEM char *begin = mem_printf("\n%s ", name);
    metrics_render(&text);
    bytes_u8(&text, 0);
    const char *at = strstr((char *)text.data, begin);
    assert_non_null(at);
    return strtod(at + strlen(begin), NULL);
}

/* A run that goes on, paused or not, is shown where it stands. */
static void metrics_stand_where_the_run_does_before_a_round_is_trained(void **)
{
    const char *directory = testing_directory();
    SCOPED_MEM char *path = file_join(directory, "metrics.jsonl");
    SCOPED(report) report = NULL;
    report_metrics(directory, 0, 0, FIGURE_BIT(ess)); // nothing there yet
    assert_true(shown("rlhfd_round") == 0 && shown("rlhfd_version") == 0);
    assert_ok(report_open(path, &first, 0, &report));
    for (uint64_t r = 0; r < 4; r++)
        assert_ok(report_round(report, &(struct round_report){.round = r,
                                                              .version = 10 * r + 10,
                                                              .reward_mean = 0.5 + (double)r,
                                                              .lag_mean = 0.25 * (double)r,
                                                              .lag_max = (double)r}));
    report_free(STEAL(report));
    report_metrics(directory, 3, 30, FIGURE_BIT(ess)); // from the checkpoint after round 2
    assert_true(shown("rlhfd_round") == 3 && shown("rlhfd_version") == 30);
    assert_true(shown("rlhfd_reward_mean") == 2.5 && shown("rlhfd_lag_mean") == 0.5);
    assert_true(shown("rlhfd_lag_max") == 2);
    assert_ok(report_open(path, &first, 3, &report));
    assert_ok(report_branch(report, &second, 5)); // back to the end of round 1, while it runs
    assert_true(shown("rlhfd_round") == 2 && shown("rlhfd_version") == 20);
    assert_true(shown("rlhfd_reward_mean") == 1.5);
}

static bool is_shown(const char *name)
{
    SCOPED_VALUE(bytes) text = {0};
    metrics_render(&text);
    bytes_u8(&text, 0);
    return strstr((char *)text.data, name) != NULL;
}

/* What the objective measures: in the file all of it, null where there is none; at /metrics what it
 * says it measures. */
static void figures_of_the_objective_are_reported_by_their_names(void **)
{
    const char *directory = testing_directory();
    SCOPED_MEM char *path = file_join(directory, "metrics.jsonl");
    SCOPED(report) report = NULL;
    struct round_report round = {.round = 0, .version = 1};
    for (size_t i = 0; i < RL_FIGURES_COUNT; i++)
        round.figures.at[i] = 0.5 + (double)i;
    round.figures.rewards_margin = NAN;
    report_metrics(directory, 0, 0, FIGURE_BIT(ess));
    assert_ok(report_open(path, &first, 0, &report));
    assert_ok(report_round(report, &round));
    SCOPED_VALUE(bytes) text = {0};
    assert_ok(file_read(path, 1 << 20, &text));
    SCOPED_JSON json_t *line = json_loadb((char *)text.data, text.len, 0, NULL);
    for (unsigned i = 0; i < RL_FIGURES_COUNT; i++) {
        const json_t *value = json_object_get(line, rl_figure_name((enum rl_figure)i));
        assert_non_null(value);
        if (i == FIGURE_rewards_margin)
            assert_true(json_is_null(value));
        else
            assert_true(json_number_value(value) == 0.5 + (double)i);
    }
    assert_true(shown("rlhfd_ess") == 0.5 + FIGURE_ess);
    assert_true(shown("rlhfd_loss") == 0.5 + FIGURE_loss);
    assert_true(is_shown("effective sample size of the importance weights"));
    assert_false(is_shown("rlhfd_pairs") || is_shown("rlhfd_clip_frac"));
    round.figures.ess = NAN; // nothing was trained: the gauge stays where it stands
    round.figures.loss = 7;
    assert_ok(report_round(report, &round));
    assert_true(shown("rlhfd_ess") == 0.5 + FIGURE_ess && shown("rlhfd_loss") == 7);
    report_metrics(directory, 1, 1, FIGURE_BIT(ess)); // a start: as the file has it
    assert_true(shown("rlhfd_loss") == 7);
}

/* null, and no metric, as long as all numerics in the ring are the learner's. */
static void a_mismatch_is_told_where_there_is_one(void **)
{
    const char *directory = testing_directory();
    SCOPED_MEM char *path = file_join(directory, "metrics.jsonl");
    SCOPED(report) report = NULL;
    struct round_report round = {
        .round = 0, .version = 1, .kl_mismatch = NAN, .kl_mismatch_k3 = NAN};
    assert_ok(report_open(path, &first, 0, &report));
    assert_ok(report_round(report, &round));
    assert_false(is_shown("rlhfd_kl_mismatch"));
    round = (struct round_report){
        .round = 1, .version = 2, .kl_mismatch = -0.5, .kl_mismatch_k3 = 0.25};
    assert_ok(report_round(report, &round));
    assert_true(shown("rlhfd_kl_mismatch") == -0.5 && shown("rlhfd_kl_mismatch_k3") == 0.25);
    SCOPED_VALUE(bytes) text = {0};
    assert_ok(file_read(path, 1 << 20, &text));
    bytes_u8(&text, 0);
    assert_non_null(strstr((char *)text.data, "\"kl_mismatch\":null,\"kl_mismatch_k3\":null"));
    assert_non_null(strstr((char *)text.data, "\"kl_mismatch\":-0.5,\"kl_mismatch_k3\":0.25"));
}

/* The file, with one byte changed in the line of a round. */
static void damage_line(const char *path, int line, size_t at, char byte)
{
    SCOPED_VALUE(bytes) text = {0};
    assert_ok(file_read(path, 1 << 20, &text));
    uint8_t *from = text.data;
    while (line--)
        from = (uint8_t *)memchr(from, '\n', text.len - (size_t)(from - text.data)) + 1;
    if (at == SIZE_MAX)
        from = memchr(from, '\n', text.len - (size_t)(from - text.data));
    else
        from += at;
    *from = (uint8_t)byte;
    assert_ok(file_write(path, text.data, text.len));
}

static int lines_in(const char *path)
{
    SCOPED_VALUE(bytes) text = {0};
    int lines = 0;
    assert_ok(file_read(path, 1 << 20, &text));
    for (size_t i = 0; i < text.len; i++)
        lines += text.data[i] == '\n';
    return lines;
}

static void write_some(const char *path, uint64_t rounds)
{
    SCOPED(report) report = NULL;
    assert_ok(report_open(path, &first, 0, &report));
    write_rounds(report, 0, rounds);
}

/* Wherever the damage is, the lines before the checkpoint stay, and those after it are made
 * again. */
static void a_damaged_line_costs_no_other(void **)
{
    enum { ROUNDS = 6, CHECKPOINT = 4 };
    static const struct {
        size_t at;
        char byte;
        int lines; // before the checkpoint, afterwards
    } cases[] = {{0, '|', CHECKPOINT}, {SIZE_MAX, '|', CHECKPOINT - 1},
                 {9, '9', CHECKPOINT}, {3, 'q', CHECKPOINT},
                 {9, '0', CHECKPOINT}, {9, '3', CHECKPOINT},
                 {9, '4', CHECKPOINT}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (int line = 0; line < ROUNDS; line++) {
            SCOPED_MEM char *path = file_join(testing_directory(), "metrics.jsonl");
            SCOPED(report) report = NULL;
            write_some(path, ROUNDS);
            damage_line(path, line, cases[c].at, cases[c].byte);
            assert_ok(report_check(path, &first, CHECKPOINT, ROUNDS));
            assert_ok(report_open(path, &first, CHECKPOINT, &report));
            const int wanted = line >= CHECKPOINT ? CHECKPOINT : cases[c].lines;
            if (lines_in(path) < wanted || lines_in(path) > CHECKPOINT)
                fail_msg("case %zu line %d: %d lines", c, line, lines_in(path));
        }
}

/* The last line before the checkpoint, without its newline. */
static void a_damaged_newline_at_the_end_costs_nothing(void **)
{
    SCOPED_MEM char *path = file_join(testing_directory(), "metrics.jsonl");
    SCOPED(report) report = NULL;
    write_some(path, 4);
    damage_line(path, 3, SIZE_MAX, 'J');
    assert_ok(report_open(path, &first, 4, &report));
    write_rounds(report, 4, 5);
    assert_outline(path, "7:0 7:1 7:2 7:3 7:4");
}

static void a_store_behind_the_lines_is_seen(void **)
{
    SCOPED_MEM char *path = file_join(testing_directory(), "metrics.jsonl");
    SCOPED(report) report = NULL;
    write_some(path, 6);
    assert_ok(report_check(path, &first, 4, 6));
    assert_err(ERR_DATA_LOSS, "has 6 rounds, but the store ends after 5",
               report_check(path, &first, 4, 5));
    assert_err(ERR_DATA_LOSS, "has 6 rounds", report_check(path, &first, 0, 0));
    assert_ok(report_open(path, &first, 6, &report));
    assert_ok(report_branch(report, &second, 5)); // back to round 2
    write_rounds(report, 2, 4);
    assert_ok(report_check(path, &second, 2, 4));
    assert_err(ERR_DATA_LOSS, "has 4 rounds", report_check(path, &second, 2, 3));
    assert_err(ERR_DATA_LOSS, "rounds of lineage 8, which the store does not know",
               report_check(path, &first, 4, 6));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        // first: rounds of other tests have the figure, and what is registered stays
        cmocka_unit_test(a_mismatch_is_told_where_there_is_one),
        cmocka_unit_test(a_restart_drops_what_it_trains_again),
        cmocka_unit_test(a_rollback_is_a_line_and_what_it_cut_off_stays),
        cmocka_unit_test(lines_of_an_older_learner_have_no_lineage),
        cmocka_unit_test(metrics_stand_where_the_run_does_before_a_round_is_trained),
        cmocka_unit_test(figures_of_the_objective_are_reported_by_their_names),
        cmocka_unit_test(a_damaged_line_costs_no_other),
        cmocka_unit_test(a_damaged_newline_at_the_end_costs_nothing),
        cmocka_unit_test(a_store_behind_the_lines_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
