/* What one evaluation makes of leases, deaths, late and wrong groups; and that its line is on disk
 * once, whatever was torn. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "learner/publish/evals.h"
#include "learner/publish/evaluation.h"
#include "testing/process.h"
#include "testing/testing.h"
#include <math.h>
#include <string.h>

enum { ROWS = 4, VERSION = 12, LEASE_MS = 1000 };

static const double SUCCESS[] = {1.0, 0.5};

static struct evaluation *begin(void)
{
    return evaluation_new(&(struct evaluation_options){.run = "r",
                                                       .lineage = 2,
                                                       .version = VERSION,
                                                       .round = 6,
                                                       .rows = ROWS,
                                                       .scores = 2,
                                                       .success = SUCCESS,
                                                       .lease_ms = LEASE_MS},
                          100);
}

/* A group of one row, of three tokens; its arrays live in the caller's frame. */
struct answer {
    struct group group;
    struct completion completion;
    struct span span[2];
    struct column_values column[3]; // scores, reward; inapplicable
    uint8_t not [2];
    double score[2], reward;
};

static struct group *answer(struct answer *a, uint32_t row, double first, double second)
{
    *a = (struct answer){
        .score = {first, second}, .reward = first + second, .span = {{0, VERSION}, {1, VERSION}}};
    a->column[0] = (struct column_values){.id = COLUMN_SCORES,
                                          .unit = UNIT_SEQUENCE,
                                          .dtype = VALUE_F64,
                                          .width = 2,
                                          .bytes = sizeof a->score,
                                          .data = a->score};
    a->column[1] = (struct column_values){.id = COLUMN_REWARD,
                                          .unit = UNIT_SEQUENCE,
                                          .dtype = VALUE_F64,
                                          .width = 1,
                                          .bytes = sizeof a->reward,
                                          .data = &a->reward};
    a->completion = (struct completion){
        .tokens = 3, .spans = 1, .span = a->span, .finish = row % 2 ? FINISH_EOS : FINISH_LENGTH};
    a->group = (struct group){.run = (char *)"r",
                              .lineage = 2,
                              .slot = evaluation_slot(VERSION, row),
                              .attempt = 1,
                              .prompt = row,
                              .completions = 1,
                              .completion = &a->completion,
                              .columns = {2, a->column},
                              .evaluation = true};
    return &a->group;
}

static void take(struct evaluation *e, const struct group *group, int64_t now, enum outcome want,
                 const char *part)
{
    char why[EVALUATION_WHY];
    assert_int_equal(evaluation_take(e, group, now, why), want);
    if (!strstr(why, part))
        print_error("'%s' lacks '%s'\n", why, part);
    assert_non_null(strstr(why, part));
}

static void lease_all(struct evaluation *e, uint64_t stream, int64_t now, const char *want)
{
    char got[16] = "";
    uint32_t row;
    for (size_t n = 0; evaluation_lease(e, stream, now, &row); n++)
        got[n] = (char)('0' + row);
    assert_string_equal(got, want);
}

static void each_row_is_leased_once_until_it_is_given_up(void **)
{
    SCOPED(evaluation) e = begin();
    uint32_t row;
    assert_true(evaluation_lease(e, 1, 100, &row));
    assert_int_equal(row, 0);
    assert_true(evaluation_lease(e, 2, 150, &row));
    assert_int_equal(row, 1);
    lease_all(e, 1, 200, "23");
    lease_all(e, 3, 200, "");
    evaluation_release(e, 9); // nobody's
    lease_all(e, 3, 200, "");
    evaluation_release(e, 2);
    lease_all(e, 3, 300, "1");
    lease_all(e, 3, 100 + LEASE_MS - 1, "");
    lease_all(e, 4, 100 + LEASE_MS, "0"); // its deadline
    lease_all(e, 4, 200 + LEASE_MS, "23");
    evaluation_release(e, 4);
    lease_all(e, 5, 250 + LEASE_MS, "023");
}

static void nothing_is_late_while_it_stands_still(void **)
{
    SCOPED(evaluation) e = begin();
    lease_all(e, 1, 100, "0123");
    evaluation_stand_still(e, 100 + 5 * LEASE_MS);
    lease_all(e, 2, 100 + 6 * LEASE_MS - 1, "");
    assert_int_equal(evaluation_moved_ms(e), 100 + 5 * LEASE_MS);
    lease_all(e, 2, 100 + 6 * LEASE_MS, "0123");
}

static void the_first_answer_of_a_row_counts_whoever_leased_it(void **)
{
    SCOPED(evaluation) e = begin();
    struct answer a;
    lease_all(e, 1, 100, "0123");
    evaluation_release(e, 1);
    lease_all(e, 2, 200, "0123");
    take(e, answer(&a, 2, 1, 1), 300, OUTCOME_STORED, ""); // of stream 1, or of 2: the same
    take(e, answer(&a, 2, 0, 0), 300, OUTCOME_DUPLICATE, "back already");
    assert_int_equal(evaluation_moved_ms(e), 300);
    evaluation_release(e, 2);
    lease_all(e, 3, 400, "013");
}

static void what_does_not_fit_is_refused_and_its_row_stays_open(void **)
{
    SCOPED(evaluation) e = begin();
    struct answer a;
    lease_all(e, 1, 100, "0123");
    answer(&a, 1, 1, 1)->lineage = 1;
    take(e, &a.group, 100, OUTCOME_SUPERSEDED, "version 12");
    answer(&a, 1, 1, 1)->slot = evaluation_slot(VERSION - 1, 1);
    take(e, &a.group, 100, OUTCOME_SUPERSEDED, "version 12");
    answer(&a, 1, 1, 1)->slot = evaluation_slot(VERSION, ROWS);
    take(e, &a.group, 100, OUTCOME_SUPERSEDED, "version 12");
    answer(&a, 1, 1, 1)->slot = 1; // a slot of training's
    take(e, &a.group, 100, OUTCOME_SUPERSEDED, "version 12");
    answer(&a, 1, 1, 1)->run = (char *)"q";
    take(e, &a.group, 100, OUTCOME_REJECTED, "run");
    answer(&a, 1, 1, 1)->prompt = 2;
    take(e, &a.group, 100, OUTCOME_REJECTED, "row");
    answer(&a, 1, 1, 1)->completions = 2;
    take(e, &a.group, 100, OUTCOME_REJECTED, "one completion");
    answer(&a, 1, 1, 1)->temperature = 1;
    take(e, &a.group, 100, OUTCOME_REJECTED, "temperature");
    answer(&a, 1, 1, 1);
    a.completion.spans = 2;
    a.span[1].version = VERSION + 1;
    take(e, &a.group, 100, OUTCOME_REJECTED, "another version");
    answer(&a, 1, 1, 1);
    a.column[0].width = 1;
    take(e, &a.group, 100, OUTCOME_REJECTED, "scores");
    take(e, answer(&a, 1, 1, 1), 100, OUTCOME_STORED, "");
}

/* What stays as it is, whoever decodes the row again, is the row's end. */
static void what_cannot_be_counted_fails_its_row(void **)
{
    SCOPED(evaluation) e = begin();
    struct answer a;
    lease_all(e, 1, 100, "0123");
    answer(&a, 0, 1, 1)->failure = (char *)"reward[0] is nan";
    a.group.completions = 0; // as one that could not be read
    take(e, &a.group, 100, OUTCOME_REJECTED, "reward[0] is nan: its row counts as failed");
    take(e, &a.group, 100, OUTCOME_DUPLICATE, "back already");
    answer(&a, 1, 1e19, 1);
    take(e, &a.group, 100, OUTCOME_REJECTED, "scores[0] is 1e+19; numbers from -1e+18");
    answer(&a, 2, 1, 1);
    a.group.columns.count = 1;
    take(e, &a.group, 100, OUTCOME_REJECTED, "without a reward: its row counts as failed");
    take(e, answer(&a, 3, 1, 1), 100, OUTCOME_STORED, "");
    assert_true(evaluation_complete(e));
}

static void figures_are_means_over_what_was_scored(void **)
{
    SCOPED(evaluation) e = begin();
    SCOPED_VALUE(evaluation_figures) f = {0};
    struct answer a;
    lease_all(e, 1, 100, "0123");
    take(e, answer(&a, 3, 1, 0.5), 400, OUTCOME_STORED, "");
    take(e, answer(&a, 0, 1, 0.25), 500, OUTCOME_STORED, ""); // misses the second's success
    assert_false(evaluation_complete(e));
    answer(&a, 1, 0, 0);
    a.group.columns.count = 0;
    take(e, &a.group, 600, OUTCOME_REJECTED, "without scores");
    take(e, &a.group, 600, OUTCOME_DUPLICATE, "");
    evaluation_fail(e, evaluation_slot(VERSION + 1, 2), 700);
    evaluation_fail(e, evaluation_slot(VERSION, 3), 700); // is back
    assert_false(evaluation_complete(e));
    evaluation_fail(e, evaluation_slot(VERSION, 2), 700);
    assert_true(evaluation_complete(e));
    evaluation_figures(e, 1100, &f);
    assert_int_equal(f.rows, 4);
    assert_int_equal(f.failed, 2);
    assert_near(f.reward_mean, 1.375, 1e-15);
    assert_near(f.reward_std, 0.125, 1e-15);
    assert_near(f.success, 0.5, 0);
    assert_near(f.ended, 0.5, 0);
    assert_near(f.length_mean, 3, 0);
    assert_near(f.seconds, 1, 0);
    assert_near(f.score_mean[0], 1, 0);
    assert_near(f.score_mean[1], 0.375, 1e-15);
}

/* Means of a scorer are over the rows that it applies to, and its success is asked of these. */
static void what_does_not_apply_counts_nowhere(void **)
{
    SCOPED(evaluation) e = begin();
    SCOPED_VALUE(evaluation_figures) f = {0};
    struct answer a;
    lease_all(e, 1, 100, "0123");
    take(e, answer(&a, 0, 1, 0.5), 400, OUTCOME_STORED, "");
    answer(&a, 1, 1, 0); // 0 is no success of the second
    a.not [1] = 1;
    a.column[2] = (struct column_values){.id = COLUMN_INAPPLICABLE,
                                         .unit = UNIT_SEQUENCE,
                                         .dtype = VALUE_U8,
                                         .width = 2,
                                         .bytes = 2,
                                         .data = a.not };
    a.group.columns.count = 3;
    take(e, &a.group, 400, OUTCOME_STORED, "");
    evaluation_fail(e, evaluation_slot(VERSION, 2), 700);
    evaluation_fail(e, evaluation_slot(VERSION, 3), 700);
    evaluation_figures(e, 1100, &f);
    assert_near(f.success, 1, 0);
    assert_near(f.score_mean[0], 1, 0);
    assert_near(f.score_mean[1], 0.5, 0);
}

static void without_a_score_there_are_no_means(void **)
{
    SCOPED(evaluation) e = begin();
    SCOPED_VALUE(evaluation_figures) f = {0};
    for (uint64_t i = 0; i < ROWS; i++)
        evaluation_fail(e, evaluation_slot(VERSION, i), 200);
    assert_true(evaluation_complete(e));
    evaluation_figures(e, 200, &f);
    assert_int_equal(f.failed, ROWS);
    assert_true(isnan(f.reward_mean) && isnan(f.reward_std) && isnan(f.success));
    assert_true(isnan(f.score_mean[1]));
}

static void write_line(struct evals *evals, uint64_t version, double reward)
{
    struct recipe_scorer scorer[2] = {{.kind = "exact", .name = ""}, {.kind = "exact", .name = ""}};
    struct recipe_scorers scorers = {2, scorer};
    struct evaluation_options what = {.lineage = 1, .version = version, .round = 4};
    struct evaluation_figures f = {
        .rows = 3, .reward_mean = reward, .success = 0.5, .score_mean = (double[]){0.25, 0.75}};
    assert_ok(evals_write(evals, &what, &f, &scorers, 2));
}

static void lines_are_known_after_a_restart_and_a_torn_one_is_not(void **)
{
    char *path = testing_path(testing_directory(), "evals.jsonl");
    SCOPED(evals) evals = NULL;
    struct evals_last last;
    assert_ok(evals_open(path, &evals));
    assert_false(evals_last(evals, &last));
    assert_false(evals_has(evals, 1, 8));
    write_line(evals, 8, 0.125);
    write_line(evals, 16, NAN);
    assert_true(evals_has(evals, 1, 8));
    evals_free(STEAL(evals));
    SCOPED_VALUE(bytes) text = {0};
    assert_ok(file_read(path, 1 << 20, &text));
    assert_ok(file_write(path, text.data, text.len - 3));
    assert_ok(evals_open(path, &evals));
    assert_true(evals_has(evals, 1, 8));
    assert_true(evals_last(evals, &last)); // what status shows until the next one
    assert_true(last.version == 8 && last.reward == 0.125 && last.success == 0.5);
    assert_false(evals_has(evals, 2, 8)); // another lineage
    assert_false(evals_has(evals, 1, 16));
    write_line(evals, 16, NAN);
    evals_free(STEAL(evals));
    SCOPED_MEM char *all = file_text(path);
    SCOPED_MEM char *second = mem_string(strchr(all, '\n') + 1);
    assert_non_null(strstr(all, "\"exact\":0.25,\"exact.2\":0.75"));
    SCOPED_JSON json_t *line = json_loads(second, 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(line, "version")), 16);
    assert_int_equal(json_integer_value(json_object_get(line, "skipped")), 2);
    assert_true(json_is_null(json_object_get(line, "reward_mean")));
}

TESTS(cmocka_unit_test(each_row_is_leased_once_until_it_is_given_up),
      cmocka_unit_test(nothing_is_late_while_it_stands_still),
      cmocka_unit_test(the_first_answer_of_a_row_counts_whoever_leased_it),
      cmocka_unit_test(what_does_not_fit_is_refused_and_its_row_stays_open),
      cmocka_unit_test(what_cannot_be_counted_fails_its_row),
      cmocka_unit_test(figures_are_means_over_what_was_scored),
      cmocka_unit_test(what_does_not_apply_counts_nowhere),
      cmocka_unit_test(without_a_score_there_are_no_means),
      cmocka_unit_test(lines_are_known_after_a_restart_and_a_torn_one_is_not))
