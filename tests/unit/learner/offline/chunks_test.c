/* The rounds of an offline run: which rows each has. */
#include "base/mem.h"
#include "learner/offline/chunks.h"
#include "testing/testing.h"
#include <stdlib.h>
#include <string.h>

enum { A = 10, B = 6, ROWS = A + B };

/* Two files; the first has weight `weight`. */
static struct dataset rows_of(double weight)
{
    struct dataset rows = {.plan = {.seed = 7}, .count = ROWS};
    assert_ok(mixture_plan_add(&rows.plan, A, weight, true));
    assert_ok(mixture_plan_add(&rows.plan, B, 1, true));
    return rows;
}

static err_t plan(const char *settings, const char *weight, struct chunks *ret)
{
    struct recipe *recipe = NULL;
    SCOPED_MEM char *text =
        mem_printf("run: {rounds: 0}\ndata: {train: [{path: a, weight: %s}, b], epochs: 2}\n"
                   "learner: {groups: 4}\n",
                   weight);
    SCOPED_MEM char *sets = mem_string(settings);
    const char *set[4] = {"run.seed=7"};
    size_t count = 1;
    for (char *rest = sets, *word; (word = strsep(&rest, " "));)
        if (*word)
            set[count++] = word;
    const struct recipe_source source = {.sets = set, .sets_count = count};
    const struct dataset rows = rows_of(strtod(weight, NULL));
    assert_ok(recipe_parse(text, strlen(text), "r.yaml", ".", &source, &recipe));
    err_t failed = chunks_plan(recipe, &rows, ret);
    recipe_free(recipe);
    return failed;
}

/* How often each row comes in the chunk. */
static void count_rows(const struct chunks *chunks, const struct chunk *chunk, int *ret)
{
    uint64_t row[4];
    for (int i = 0; i < ROWS; i++)
        ret[i] = 0;
    for (uint64_t r = chunk->first_round; r < chunk->first_round + chunk->rounds; r++) {
        assert_ptr_equal(chunks_find(chunks, r), chunk);
        const size_t count = chunk_rows(chunk, r, row);
        assert_true(count > 0 && count <= 4);
        for (size_t i = 0; i < count; i++)
            ret[row[i]]++;
    }
}

static void all_rows_come_as_often_as_epochs(void **)
{
    SCOPED_VALUE(chunks) chunks = {0};
    int times[ROWS];
    assert_ok(plan("", "1", &chunks));
    assert_int_equal(chunks.count, 1);
    assert_int_equal(chunks.rounds, 2 * ROWS / 4);
    count_rows(&chunks, &chunks.at[0], times);
    for (int i = 0; i < ROWS; i++)
        assert_int_equal(times[i], 2);
}

static void a_weight_counts_for_its_file(void **)
{
    SCOPED_VALUE(chunks) chunks = {0};
    int times[ROWS];
    assert_ok(plan("", "2", &chunks));
    assert_int_equal(chunks.rounds, 2 * (2 * A + B) / 4);
    count_rows(&chunks, &chunks.at[0], times);
    for (int i = 0; i < ROWS; i++)
        assert_int_equal(times[i], i < A ? 4 : 2);
}

static void parts_follow_one_another(void **)
{
    static const struct {
        const char *set;
        uint64_t chunks, first[4];
    } cases[] = {{"train.chunks=0", 2, {0, A, ROWS}}, {"train.chunks=3", 3, {0, 5, 10, ROWS}}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        SCOPED_VALUE(chunks) chunks = {0};
        int times[ROWS];
        uint64_t round = 0;
        assert_ok(plan(cases[c].set, "1", &chunks));
        assert_int_equal(chunks.count, cases[c].chunks);
        for (uint64_t k = 0; k < chunks.count; k++) {
            assert_int_equal(chunks.at[k].first_round, round);
            round += chunks.at[k].rounds;
            count_rows(&chunks, &chunks.at[k], times);
            for (uint64_t i = 0; i < ROWS; i++)
                assert_int_equal(times[i],
                                 i >= cases[c].first[k] && i < cases[c].first[k + 1] ? 2 : 0);
        }
        assert_int_equal(chunks.rounds, round);
    }
}

static void rounds_and_the_last_batch_end_it(void **)
{
    static const struct {
        const char *set;
        uint64_t rounds;
    } cases[] = {{"run.rounds=3", 3},
                 {"run.rounds=30", 8},
                 {"data.epochs=0 run.rounds=30", 30},
                 {"learner.groups=3", 11},
                 {"learner.groups=3 learner.last_batch=drop", 10},
                 {"train.chunks=0 run.rounds=6", 6}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        SCOPED_VALUE(chunks) chunks = {0};
        assert_ok(plan(cases[c].set, "1", &chunks));
        assert_int_equal(chunks.rounds, cases[c].rounds);
    }
}

static void what_has_no_rounds_is_refused(void **)
{
    struct chunks chunks;
    assert_err(ERR_INVALID, "3 chunks need data.epochs",
               plan("train.chunks=3 data.epochs=0 run.rounds=9", "1", &chunks));
    assert_err(ERR_INVALID, "17 is more than the 16 rows", plan("train.chunks=17", "1", &chunks));
    assert_err(ERR_INVALID, "2 equal parts of rows with weight 2",
               plan("train.chunks=2", "2", &chunks));
    assert_err(ERR_INVALID, "33 is more than the 32 places",
               plan("learner.groups=33 learner.last_batch=drop", "1", &chunks));
}

TESTS(cmocka_unit_test(all_rows_come_as_often_as_epochs),
      cmocka_unit_test(a_weight_counts_for_its_file), cmocka_unit_test(parts_follow_one_another),
      cmocka_unit_test(rounds_and_the_last_batch_end_it),
      cmocka_unit_test(what_has_no_rounds_is_refused))
