/* A group in memory: its columns, spans and counts. */
#include "base/mem.h"
#include "wire/rollout.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct digest group_id(const char *run, uint32_t lineage, uint64_t slot, uint32_t attempt)
{
    SCOPED_VALUE(bytes) key = {0};
    bytes_put(&key, run, strlen(run) + 1);
    bytes_be32(&key, lineage);
    bytes_be64(&key, slot);
    bytes_be32(&key, attempt);
    return hash128(key.data, key.len, 0);
}

/* ---- columns */

/* Units of the column in completion i. */
static size_t units_in(const struct group *group, enum column_unit unit, uint32_t i)
{
    return unit == UNIT_TOKEN ? group->completion[i].tokens : 1;
}

const void *group_values(const struct group *group, unsigned id, uint32_t i)
{
    const struct column_values *column = column_list_find(&group->columns, id);
    if (!column || column->unit == UNIT_GROUP)
        return column ? column->data : NULL;
    size_t units = 0, size = column->width * column_size(column->dtype);
    uint32_t count = column->covered ? column->covered : group->completions;
    for (uint32_t k = 0; k < count; k++) {
        uint32_t at = column->covered ? column->completion[k] : k;
        if (at == i)
            return (const uint8_t *)column->data + units * size;
        units += units_in(group, column->unit, at);
    }
    return NULL;
}

size_t group_width(const struct group *group, unsigned id)
{
    const struct column_values *column = column_list_find(&group->columns, id);
    return column ? column->width : 0;
}

double group_value(const struct group *group, unsigned id, uint32_t i)
{
    const struct column_values *column = column_list_find(&group->columns, id);
    const void *values = group_values(group, id, i);
    return values ? column_number(values, column->dtype, 0) : 0;
}

double group_score(const struct group *group, uint32_t i, size_t scorer)
{
    const uint8_t *not = group_values(group, COLUMN_INAPPLICABLE, i);
    const double *score = group_values(group, COLUMN_SCORES, i);
    if (!score || scorer >= group_width(group, COLUMN_SCORES) ||
        (not &&scorer < group_width(group, COLUMN_INAPPLICABLE) && not [scorer]))
        return (double)NAN;
    return score[scorer];
}

size_t group_units(const struct group *group, const struct column_values *column)
{
    size_t units = 0;
    uint32_t count = column->covered ? column->covered : group->completions;
    if (column->unit == UNIT_GROUP)
        return 1;
    for (uint32_t k = 0; k < count; k++)
        units += units_in(group, column->unit, column->covered ? column->completion[k] : k);
    return units;
}

static void *fill(const struct group *group, struct column_values *column)
{
    column->bytes = group_units(group, column) * column->width * column_size(column->dtype);
    column->data = mem_new(column->bytes);
    return column->data;
}

void *group_add(struct group *group, enum column id, size_t width)
{
    struct column_values *column = column_list_add(&group->columns, id);
    assert(width == 1 || column_row(id)->range == RANGE_WIDE);
    column->width = width;
    return fill(group, column);
}

void *group_add_some(struct group *group, enum column id, const uint32_t *completion,
                     uint32_t count)
{
    assert(count && count <= group->completions);
    struct column_values *column = column_list_add(&group->columns, id);
    if (count < group->completions) {
        column->covered = count;
        column->completion = mem_copy(completion, count * sizeof *completion);
    }
    return fill(group, column);
}

/* ---- turns, spans */

void completion_one_turn(struct completion *completion)
{
    free(completion->turn);
    completion->turns = 1;
    completion->turn = mem_new(sizeof *completion->turn);
    *completion->turn = (struct turn){.role = ROLE_ASSISTANT, .trained = true, .drawn = true};
}

uint32_t span_end(const struct completion *completion, uint32_t i)
{
    uint32_t end =
        i + 1 < completion->spans ? completion->span[i + 1].first_token : completion->tokens;
    for (uint32_t t = 0; t < completion->turns; t++) {
        uint32_t first = completion->turn[t].first_token;
        if (first > completion->span[i].first_token && first < end)
            return first;
    }
    return end;
}

uint64_t group_oldest_version(const struct group *group)
{
    uint64_t oldest = UINT64_MAX;
    for (uint32_t i = 0; i < group->completions; i++)
        for (uint32_t j = 0; j < group->completion[i].spans; j++)
            if (group->completion[i].span[j].version < oldest)
                oldest = group->completion[i].span[j].version;
    return oldest;
}

uint64_t group_tokens(const struct group *group)
{
    uint64_t tokens = 0;
    for (uint32_t i = 0; i < group->completions; i++)
        tokens += group->completion[i].tokens;
    return tokens;
}

void group_free(struct group *group)
{
    if (!group)
        return;
    for (uint32_t i = 0; group->completion && i < group->completions; i++) {
        struct completion *completion = &group->completion[i];
        free(completion->token);
        free(completion->turn);
        free(completion->span);
        free(completion->text);
    }
    column_list_done(&group->columns);
    free(group->completion);
    free(group->run);
    free(group->row);
    free(group->prompt_token);
    free(group->generator);
    free(group->forward);
    free(group->failure);
    free(group);
}
