/* Columns of a batch: where values lie, what gathering moves, and that units are
 * runs. */
#include "base/mem.h"
#include "rl/columns.h"
#include "testing/testing.h"
#include <string.h>

/* Sequences of 3, 0, 2 and 1 tokens; every value says where it is from. */
static struct columns *batch(void)
{
    struct columns *all = columns_new(4, (size_t[]){3, 0, 2, 1});
    double *logp = columns_add(all, COLUMN_LOGP), *reward = columns_add(all, COLUMN_REWARD);
    for (size_t i = 0; i < 4; i++) {
        reward[i] = (double)i + 1;
        for (size_t t = all->first[i]; t < all->first[i + 1]; t++)
            logp[t] = 10 * ((double)i + 1) + (double)(t - all->first[i]);
    }
    return all;
}

static void assert_values(const double *got, const double *want, size_t count)
{
    assert_memory_equal(got, want, count * sizeof *got);
}

static void values_lie_where_their_units_are(void **state)
{
    (void)state;
    SCOPED(columns) all = batch();
    assert_memory_equal(all->first, ((size_t[]){0, 3, 3, 5, 6}), 5 * sizeof *all->first);
    assert_int_equal(all->units, 4);
    assert_int_equal(columns_there(all), COLUMN_BIT(COLUMN_LOGP) | COLUMN_BIT(COLUMN_REWARD));
    const double *logp = all->at[COLUMN_LOGP];
    assert_ptr_equal(columns_add(all, COLUMN_LOGP), logp); // what is there stays
    assert_values(logp, (double[]){10, 11, 12, 30, 31, 40}, 6);
    assert_values(columns_add(all, COLUMN_ADVANTAGE), (double[]){0, 0, 0, 0}, 4);
    columns_set_units(all, 2, (size_t[]){3, 1});
    assert_int_equal(all->units, 2);
    assert_memory_equal(all->unit, ((size_t[]){0, 3, 4}), 3 * sizeof *all->unit);
}

static void gathering_takes_every_column_in_the_order_of_the_members(void **state)
{
    (void)state;
    SCOPED(columns) all = batch();
    columns_set_units(all, 2, (size_t[]){2, 2});
    SCOPED(columns) part = columns_gather(all, (size_t[]){3, 1, 0, 3}, 4);
    assert_int_equal(columns_there(part), columns_there(all));
    assert_memory_equal(part->first, ((size_t[]){0, 1, 1, 4, 5}), 5 * sizeof *part->first);
    assert_values(part->at[COLUMN_LOGP], (double[]){40, 10, 11, 12, 40}, 5);
    assert_values(part->at[COLUMN_REWARD], (double[]){4, 2, 1, 4}, 4);
    assert_int_equal(part->units, 4); // each is a unit again
    assert_int_equal(part->unit[4], 4);
    SCOPED(columns) none = columns_gather(all, NULL, 0);
    assert_int_equal(none->first[0], 0);
    assert_int_equal(columns_there(none), columns_there(all));
}

static void masked_tokens_and_empty_sequences_are_in_no_total(void **state)
{
    (void)state;
    SCOPED(columns) all = batch();
    struct rl_totals totals = columns_totals(all);
    assert_true(totals.tokens == 6 && totals.sequences == 3);
    assert_true(columns_weight(all, 0) == 1);
    memcpy(columns_add(all, COLUMN_WEIGHT), (double[]){0, 0.3, 1, 0, 0, 1}, 6 * sizeof(double));
    totals = columns_totals(all);
    assert_true(totals.tokens == 3 && totals.sequences == 2);
    assert_int_equal(columns_tokens(all, 0), 2);
    assert_int_equal(columns_tokens(all, 2), 0);
    assert_true(columns_weight(all, 1) == 0.3);
}

/* Numbers on the wire and in the store: given once, below the limit, each with a name and what it
 * is. */
static void the_table_gives_each_number_once(void **state)
{
    (void)state;
    size_t rows = 0;
    for (unsigned id = 0; id < 2 * COLUMNS; id++) {
        const struct column_row *row = column_row(id);
        if (!row)
            continue;
        rows++;
        assert_int_equal(row->id, id);
        assert_true(id > 0 && id < COLUMNS);
        assert_true(*row->name && *row->help && !*row->key == !*row->value);
        assert_true(column_size(row->dtype) > 0);
        assert_string_equal(column_name(id), row->name);
        for (unsigned other = 0; other < id; other++)
            assert_true(!column_row(other) || strcmp(column_name(other), row->name) != 0);
    }
#define ONE(...) +1
    assert_int_equal(rows, 0 COLUMN_ROWS(ONE));
#undef ONE
    assert_string_equal(column_name(63), "?");
    assert_int_equal(column_size(0), 0);
}

TESTS(cmocka_unit_test(values_lie_where_their_units_are),
      cmocka_unit_test(gathering_takes_every_column_in_the_order_of_the_members),
      cmocka_unit_test(masked_tokens_and_empty_sequences_are_in_no_total),
      cmocka_unit_test(the_table_gives_each_number_once))
