#include "wire/column_list.h"
#include "base/mem.h"
#include "rollout.pb-c.h"
#include "wire/unpack.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef Rlhfd__V1__Column PbColumn;

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "values are sent as they lie in memory");

enum { LIST_BYTES = 1 << 30, LIST_FIELDS = 8 * COLUMNS };

/* ---- lists */

struct column_values *column_list_find(const struct column_list *list, unsigned id)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (list->at[i].id == id)
            return &list->at[i];
    return NULL;
}

static void values_done(struct column_values *column)
{
    free(column->completion);
    free(column->data);
}

struct column_values *column_list_place(struct column_list *list, unsigned id)
{
    uint32_t at = list->count;
    list->at = mem_grow(list->at, list->count + 1, sizeof *list->at);
    for (; at && list->at[at - 1].id > id; at--)
        list->at[at] = list->at[at - 1];
    list->count++;
    list->at[at] = (struct column_values){.id = id};
    return &list->at[at];
}

struct column_values *column_list_add(struct column_list *list, enum column id)
{
    const struct column_row *row = column_row(id);
    struct column_values *column = column_list_find(list, id);
    if (column)
        values_done(column);
    else
        column = column_list_place(list, id);
    *column = (struct column_values){.id = id, .unit = row->unit, .dtype = row->dtype, .width = 1};
    return column;
}

void column_list_done(struct column_list *list)
{
    for (uint32_t i = 0; i < list->count; i++)
        values_done(&list->at[i]);
    free(list->at);
    *list = (struct column_list){0};
}

double column_number(const void *values, enum column_dtype dtype, size_t k)
{
    return dtype == VALUE_F32   ? (double)((const float *)values)[k]
           : dtype == VALUE_F64 ? ((const double *)values)[k]
                                : ((const uint8_t *)values)[k];
}

/* ---- bytes */

PbColumn **column_list_to_pb(const struct column_list *list, void **rows)
{
    const size_t n = list->count;
    PbColumn **of = mem_new(n * (sizeof(PbColumn *) + sizeof(PbColumn)) + 1);
    PbColumn *row = (PbColumn *)(void *)(of + n);
    for (size_t i = 0; i < n; i++) {
        const struct column_values *column = &list->at[i];
        rlhfd__v1__column__init(&row[i]);
        row[i].id = column->id;
        row[i].unit = (Rlhfd__V1__Unit)column->unit;
        row[i].dtype = (Rlhfd__V1__Dtype)column->dtype;
        row[i].n_completions = column->covered;
        row[i].completions = column->completion;
        row[i].values = (ProtobufCBinaryData){column->bytes, column->data};
        of[i] = &row[i];
    }
    *rows = of;
    return of;
}

static err_t check_row(const PbColumn *pb, const struct column_row *row, enum column_origin last)
{
    static const char *const who[] = {"?", "generator", "rewarder", "learner", "dataset"};
    if ((unsigned)pb->unit != row->unit || (unsigned)pb->dtype != row->dtype)
        return err_new(ERR_INVALID, "%s is of unit %d and type %d; its are %d and %d", row->name,
                       (int)pb->unit, (int)pb->dtype, (int)row->unit, (int)row->dtype);
    if (row->origin > last)
        return err_new(ERR_INVALID, "%s comes from the %s; from the %s it is not taken", row->name,
                       who[row->origin], who[last]);
    return OK;
}

static err_t check_covered(const PbColumn *pb, uint32_t completions)
{
    if (pb->n_completions && (pb->n_completions >= completions || (unsigned)pb->unit == UNIT_GROUP))
        return err_new(ERR_INVALID, "%s lists %zu completions of %u; where all have values none is",
                       column_name(pb->id), pb->n_completions, completions);
    for (size_t i = 0; i < pb->n_completions; i++)
        if (pb->completions[i] >= completions ||
            (i && pb->completions[i] <= pb->completions[i - 1]))
            return err_new(ERR_INVALID, "%s.completions[%zu] is %u; they ascend and stay below %u",
                           column_name(pb->id), i, pb->completions[i], completions);
    return OK;
}

static err_t check_range(const struct column_values *column, const struct column_row *row)
{
    const size_t count = column->bytes / column_size(column->dtype);
    const bool negative = row->range == RANGE_LOGP;
    for (size_t k = 0; row->range != RANGE_ANY && k < count; k++) {
        const double value = column_number(column->data, column->dtype, k);
        if (!isfinite(value) || (negative && value > 0))
            return err_new(ERR_INVALID, "%s[%zu] is %g; finite numbers%s are allowed", row->name, k,
                           value, negative ? " <= 0" : "");
    }
    return OK;
}

/* All but how many values there must be, which only the units' owner knows. */
static err_t check_column(const PbColumn *pb, unsigned before, const struct column_bounds *bounds)
{
    const struct column_row *row = column_row(pb->id);
    if (pb->id <= before || pb->id >= COLUMNS)
        return err_new(ERR_INVALID, "id %u after %u; they ascend and stay below %d", pb->id, before,
                       COLUMNS);
    if ((unsigned)pb->unit < UNIT_TOKEN || (unsigned)pb->unit > UNIT_GROUP ||
        !column_size((unsigned)pb->dtype))
        return err_new(ERR_INVALID, "id %u is of unit %d and type %d; 1 to 3 are allowed", pb->id,
                       (int)pb->unit, (int)pb->dtype);
    if (!pb->values.len || pb->values.len % column_size((unsigned)pb->dtype))
        return err_new(ERR_INVALID, "%s has %zu bytes, for values of %zu", column_name(pb->id),
                       pb->values.len, column_size((unsigned)pb->dtype));
    if (row)
        TRY(check_row(pb, row, bounds->last));
    return check_covered(pb, bounds->completions);
}

/* Takes over what protobuf-c allocated (with malloc). */
static void take(PbColumn *pb, struct column_list *list)
{
    struct column_values *column = column_list_place(list, pb->id);
    column->unit = (enum column_unit)pb->unit;
    column->dtype = (enum column_dtype)pb->dtype;
    column->covered = (uint32_t)pb->n_completions;
    column->completion = STEAL(pb->completions);
    column->bytes = pb->values.len;
    column->data = STEAL(pb->values.data);
    pb->n_completions = pb->values.len = 0;
}

err_t column_list_from_pb(PbColumn **pb, size_t count, const struct column_bounds *bounds,
                          struct column_list *ret)
{
    SCOPED_VALUE(column_list) list = {0};
    unsigned before = 0;
    for (size_t i = 0; i < count; i++) {
        TRY(err_wrap(check_column(pb[i], before, bounds), "columns[%zu]", i));
        before = pb[i]->id;
        const struct column_row *row = column_row(before);
        take(pb[i], &list);
        if (row)
            TRY(check_range(&list.at[i], row));
    }
    *ret = list;
    list = (struct column_list){0};
    return OK;
}

void column_list_encode(const struct column_list *list, struct bytes *ret)
{
    SCOPED_MEM void *rows = NULL;
    Rlhfd__V1__Columns pb;
    rlhfd__v1__columns__init(&pb);
    pb.columns = column_list_to_pb(list, &rows);
    pb.n_columns = list->count;
    wire_pack(&pb.base, ret);
}

err_t column_list_decode(const uint8_t *data, size_t len, const struct column_bounds *bounds,
                         struct column_list *ret)
{
    SCOPED_PB ProtobufCMessage *base = NULL;
    const struct wire_bounds wire = {LIST_BYTES, LIST_FIELDS};
    TRY(wire_unpack(&rlhfd__v1__columns__descriptor, data, len, &wire, &base));
    const Rlhfd__V1__Columns *pb = (const void *)base;
    SCOPED_VALUE(column_list) list = {0};
    SCOPED_VALUE(bytes) again = {0};
    TRY(column_list_from_pb(pb->columns, pb->n_columns, bounds, &list));
    column_list_encode(&list, &again);
    if (again.len != len || (len && memcmp(again.data, data, len) != 0))
        return err_new(ERR_INVALID, "columns: not the bytes that this list has");
    *ret = list;
    list = (struct column_list){0};
    return OK;
}
