/* Columns as they are sent and stored: a list of named values (rl/column_table.h) that a group has,
 * and the record of a round. Nothing here knows a name. A column is checked by the table's row for
 * its id, and carried if the table has no row.
 *
 *     const struct column_values *column = column_list_find(&group->columns, COLUMN_REWARD);    -- NULL: not there
 *     struct column_values *made = column_list_add(&group->columns, COLUMN_REWARD);             -- no values yet
 *
 * Any thread; a list belongs to one at a time. */
#pragma once
#include "base/bytes.h"
#include "base/err.h"
#include "base/scoped.h"
#include "rl/column_table.h"

struct column_values {
    uint32_t id;
    enum column_unit unit;
    enum column_dtype dtype;
    /* Which completions have values, ascending; covered 0: all of them. Of units of the whole
     * group: 0. */
    uint32_t covered;
    uint32_t *completion;
    /* Values of each unit; more than one only where the row says RANGE_WIDE. 0 in a round's record,
     * which does not say how many units there are. */
    size_t width;
    /* The values of the completions one after another, in their order. */
    size_t bytes;
    void *data;
};
struct column_list {
    uint32_t count;
    struct column_values *at; // by ascending id
};

struct column_values *column_list_find(const struct column_list *list, unsigned id);

/* The column of the table's row, empty, in its place; one that was there is replaced. */
struct column_values *column_list_add(struct column_list *list, enum column id);

/* A zeroed element in the place of an id that the list does not have. */
struct column_values *column_list_place(struct column_list *list, unsigned id);

void column_list_done(struct column_list *list);

/* The k-th of a column's values, or of those of a completion. */
double column_number(const void *values, enum column_dtype dtype, size_t k);

/* Bounds of a list: columns that stops up to this one fill, of so many completions. */
struct column_bounds {
    enum column_origin last;
    uint32_t completions;
};

/* As bytes: rlhfd.v1.Columns (proto/rollout.proto). A list has one form, and no other is read.
 * Decoding: INVALID: malformed; an id twice or out of order; another unit or type than the row's; a
 * value outside its range; a column of a later stop. */
void column_list_encode(const struct column_list *list, struct bytes *ret);
err_t column_list_decode(const uint8_t *data, size_t len, const struct column_bounds *bounds,
                         struct column_list *ret);

/* Inside wire: to and from the generated messages. The pb borrows from the list and from *rows,
 * which the caller frees. */
struct Rlhfd__V1__Column;
struct Rlhfd__V1__Column **column_list_to_pb(const struct column_list *list, void **rows);
err_t column_list_from_pb(struct Rlhfd__V1__Column **pb, size_t count,
                          const struct column_bounds *bounds, struct column_list *ret);
