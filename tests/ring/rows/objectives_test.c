/* Rows of the table of objectives through real rings: a few rounds each, whose learner is killed
 * on the way, with values kept from update to update in its checkpoints. Recorded rounds are
 * trained again; a version of other bits than the recorded ones would end the learner.
 *
 * By itself one row of each kernel on preferences, at lag 0 to the weights that they always end
 * with (testing/golden.h). RLHFD_OBJECTIVES=all: every row, or some by their names, "kto,exo". */
#include "base/file.h"
#include "base/mem.h"
#include "rl/objective.h"
#include "testing/golden.h"
#include "testing/process.h"
#include "testing/ring.h"
#include "testing/testing.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { RUN_MS = 100000, ROUNDS = 7, GROUPS = 6, UPDATES = 2 };

static const char by_itself[] = "beta_dpo,bco,exo,tba,remax";

/* Whether the list has this word. */
static bool has(const char *list, const char *word)
{
    const size_t len = strlen(word);
    for (const char *at = list; (at = strstr(at, word)); at += len)
        if ((at == list || at[-1] == ',') && (at[len] == 0 || at[len] == ','))
            return true;
    return false;
}

static bool is_chosen(const struct objective_row *row)
{
    const char *list = getenv("RLHFD_OBJECTIVES");
    if (row->data == DATA_DEMONSTRATIONS || row->data == DATA_MIXTURE || objective_is_judge(row))
        return false;
    return (list && strcmp(list, "all") == 0) || has(list ? list : by_itself, row->name);
}

/* The keys that the row's columns need. */
static struct ring prepare(const struct objective_row *row)
{
    const struct objective_config *config = &row->defaults;
    const bool whole_rows = objective_terms(row, config) & ROW_TERMS_OF_REFERENCE,
               refers = row->needs & COLUMN_BIT(COLUMN_REFERENCE_LOGP) && !whole_rows,
               proximal = row->needs & COLUMN_BIT(COLUMN_PROXIMAL_LOGP),
               greedy = config->advantage == ADVANTAGE_GREEDY;
    SCOPED_MEM char *learner = mem_printf("objective: %s, updates_per_round: 2, ratio_to: %s%s",
                                          row->name, proximal ? "proximal" : "behaviour",
                                          whole_rows ? ", reference: {kind: frozen}" : "");
    return ring_prepare(
        &(struct ring_options){.rounds = ROUNDS,
                               .groups = GROUPS,
                               .lag = has(by_itself, row->name) ? 0 : 1,
                               .learner = learner,
                               .generator = greedy ? ", greedy_baseline: true" : NULL,
                               .rewarder = refers ? "reference: frozen, " : NULL});
}

/* Killed before the first checkpoint, and behind it. */
static void train(const struct objective_row *row)
{
    struct ring ring = prepare(row);
    struct process up =
        process_start(ring.log, "rlhfctl", "up", ring.recipe, "--run", ring.run, NULL);
    for (int rounds = 2; rounds <= 5; rounds += 3) {
        ring_wait_rounds(&ring, rounds, RUN_MS);
        kill(ring_pid(&ring, "learner"), SIGKILL);
    }
    const int status = process_wait(&up, RUN_MS);
    if (status) {
        SCOPED_MEM char *log = file_join(ring.run, "logs/learner.log");
        file_print_end("up", ring.log);
        file_print_end("learner", log);
        fail_msg("%s: exit status %d", row->name, status);
    }
    ring_audit(&ring);
    const struct ring_result result = ring_read(&ring);
    assert_int_equal(result.rounds, ROUNDS);
    assert_true(result.rollbacks == 0);
    if (has(by_itself, row->name)) {
        SCOPED_JSON json_t *versions =
            golden_versions(ring.recipe, ring.run, "policy", ROUNDS * UPDATES);
        golden_check("objectives", row->name, versions);
    }
    print_message("%s\n", row->name);
}

static void rows_train_through_the_ring(void **)
{
    const struct objective_row *row;
    int rows = 0;
    for (size_t i = 0; (row = objective_row_at(i)); i++)
        if (is_chosen(row)) {
            train(row);
            rows++;
        }
    assert_true(rows > 0);
}

TESTS(cmocka_unit_test(rows_train_through_the_ring))
