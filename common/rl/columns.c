#include "rl/columns.h"
#include "base/mem.h"
#include <assert.h>
#include <string.h>

/* Values of a column of this unit. */
static size_t count_of(const struct columns *columns, enum column_unit unit)
{
    return unit == UNIT_TOKEN      ? columns->first[columns->sequences]
           : unit == UNIT_SEQUENCE ? columns->sequences
                                   : columns->units;
}

struct columns *columns_new(size_t sequences, const size_t *tokens)
{
    struct columns *columns = mem_new(sizeof *columns);
    columns->sequences = columns->units = sequences;
    columns->first = mem_array(sequences + 1, sizeof *columns->first);
    columns->unit = mem_array(sequences + 1, sizeof *columns->unit);
    for (size_t i = 0; i < sequences; i++) {
        columns->first[i + 1] = columns->first[i] + tokens[i];
        columns->unit[i + 1] = i + 1;
    }
    return columns;
}

void columns_set_units(struct columns *columns, size_t units, const size_t *sequences)
{
    assert(units <= columns->sequences);
    columns->units = units;
    for (size_t u = 0; u < units; u++)
        columns->unit[u + 1] = columns->unit[u] + sequences[u];
    assert(columns->unit[units] == columns->sequences);
}

double *columns_add(struct columns *columns, enum column column)
{
    if (!columns->at[column])
        columns->at[column] =
            mem_array(count_of(columns, column_row(column)->unit), sizeof(double));
    return columns->at[column];
}

void columns_drop(struct columns *columns, enum column column)
{
    mem_free(columns->at[column]);
    columns->at[column] = NULL;
}

uint64_t columns_there(const struct columns *columns)
{
    uint64_t there = 0;
    for (unsigned c = 0; c < COLUMNS; c++)
        if (columns->at[c])
            there |= COLUMN_BIT(c);
    return there;
}

/* Where sequence s of a column of this unit lies, and how many values it has. */
static size_t place_of(const struct columns *columns, enum column_unit unit, size_t s,
                       size_t *ret_count)
{
    *ret_count = unit == UNIT_TOKEN ? columns->first[s + 1] - columns->first[s] : 1;
    return unit == UNIT_TOKEN ? columns->first[s] : s;
}

struct columns *columns_gather(const struct columns *columns, const size_t *member, size_t count)
{
    SCOPED_MEM size_t *tokens = mem_array(count, sizeof *tokens);
    for (size_t i = 0; i < count; i++)
        tokens[i] = columns->first[member[i] + 1] - columns->first[member[i]];
    struct columns *part = columns_new(count, tokens);
    for (unsigned c = 0; c < COLUMNS; c++) {
        if (!columns->at[c] || column_row(c)->unit == UNIT_GROUP)
            continue;
        double *to = columns_add(part, c);
        for (size_t i = 0, at = 0, n; i < count; i++, at += n) {
            const size_t from = place_of(columns, column_row(c)->unit, member[i], &n);
            memcpy(to + at, columns->at[c] + from, n * sizeof *to);
        }
    }
    return part;
}

void columns_free(struct columns *columns)
{
    if (!columns)
        return;
    for (unsigned c = 0; c < COLUMNS; c++)
        mem_free(columns->at[c]);
    mem_free(columns->first);
    mem_free(columns->unit);
    mem_free(columns);
}

size_t columns_tokens(const struct columns *columns, size_t i)
{
    size_t count = 0;
    for (size_t t = columns->first[i]; t < columns->first[i + 1]; t++)
        count += columns_weight(columns, t) != 0;
    return count;
}

double columns_unmasked(const struct columns *columns)
{
    double tokens = 0;
    for (size_t i = 0; i < columns->sequences; i++)
        tokens += (double)columns_tokens(columns, i);
    return tokens;
}

double *columns_add_weights(struct columns *columns)
{
    const bool there = columns->at[COLUMN_WEIGHT];
    double *weight = columns_add(columns, COLUMN_WEIGHT);
    for (size_t t = 0; !there && t < columns->first[columns->sequences]; t++)
        weight[t] = 1;
    return weight;
}

void columns_mask(struct columns *columns)
{
    const double *masked = columns->at[COLUMN_MASKED];
    if (!masked)
        return;
    double *weight = columns_add_weights(columns), *counted = columns_add(columns, COLUMN_COUNTED);
    for (size_t i = 0; i < columns->sequences; i++)
        counted[i] = (double)columns_tokens(columns, i);
    for (size_t t = 0; t < columns->first[columns->sequences]; t++)
        weight[t] = masked[t] != 0 ? 0 : weight[t];
}

size_t columns_counted(const struct columns *columns, size_t i)
{
    const double *counted = columns->at[COLUMN_COUNTED];
    return counted ? (size_t)counted[i] : columns_tokens(columns, i);
}

struct rl_totals columns_totals(const struct columns *columns)
{
    struct rl_totals totals = {0};
    for (size_t u = 0; u < columns->units; u++) {
        size_t in_unit = 0;
        for (size_t i = columns->unit[u]; i < columns->unit[u + 1]; i++) {
            const size_t tokens = columns_counted(columns, i);
            totals.tokens += (double)tokens;
            totals.sequences += tokens > 0;
            totals.chosen_tokens += i == columns->unit[u] ? (double)tokens : 0;
            in_unit += tokens;
            if (columns->at[COLUMN_IMITATED] && columns->at[COLUMN_IMITATED][i] != 0) {
                totals.imitated_tokens += (double)tokens;
                totals.imitated += tokens > 0;
            }
        }
        totals.units += in_unit > 0;
    }
    return totals;
}
