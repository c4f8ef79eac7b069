/* The bytes of a group (of today and of format 3), of a list of columns, or of a disposition: what
 * decodes keeps its invariants and encodes to what decodes to the same. */
#include "base/mem.h"
#include "wire/failed_group.h"
#include "wire/rollout.h"
#include "wire/rollout_v3.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* Spans cover what was drawn, and nothing else. */
static void turns(const struct completion *c)
{
    uint32_t trained = 0, drawn = 0, covered = 0;
    must(c->tokens && c->turns && c->turn[0].first_token == 0);
    for (uint32_t t = 0; t < c->turns; t++) {
        uint32_t end = t + 1 < c->turns ? c->turn[t + 1].first_token : c->tokens;
        must(c->turn[t].first_token < end && c->turn[t].role && c->turn[t].role <= ROLE_TOOL);
        must(c->turn[t].drawn || !c->turn[t].trained);
        trained += c->turn[t].trained;
        drawn += c->turn[t].drawn ? end - c->turn[t].first_token : 0;
    }
    for (uint32_t s = 0; s < c->spans; s++) {
        must(c->span[s].first_token < span_end(c, s) && span_end(c, s) <= c->tokens);
        covered += span_end(c, s) - c->span[s].first_token;
    }
    must(trained && covered == drawn);
}

static void columns(const struct group *group)
{
    for (uint32_t k = 0; k < group->columns.count; k++) {
        const struct column_values *column = &group->columns.at[k];
        const struct column_row *row = column_row(column->id);
        const size_t size = column_size(column->dtype);
        must(column->id && (!k || column->id > column[-1].id));
        must(column->bytes == group_units(group, column) * column->width * size && column->width);
        must(!row || (row->unit == column->unit && row->dtype == column->dtype &&
                      row->origin < ORIGIN_LEARNER));
        for (uint32_t i = 0; i < group->completions; i++) {
            const uint8_t *values = group_values(group, column->id, i);
            const uint8_t *data = column->data;
            must(!values || (values >= data && values < data + column->bytes));
            must(values || column->covered);
            if (row && values)
                must(isfinite(group_value(group, column->id, i)));
        }
    }
}

static void invariants(const struct group *group)
{
    struct digest id = group_id(group->run, group->lineage, group->slot, group->attempt);
    const bool bare = group->failure && !group->completions;
    must(digest_equal(&id, &group->id));
    must(bare ? !group->prompt_tokens && !group->columns.count && !*group->row
              : group->completions && group->prompt_tokens);
    for (uint32_t i = 0; i < group->completions; i++) {
        const struct completion *completion = &group->completion[i];
        must(completion->text[completion->text_len] == 0);
        turns(completion);
    }
    columns(group);
}

/* What no group was read from: without an id the error stays, else there are names with it. */
static void try_names(const uint8_t *data, size_t len, err_t why)
{
    SCOPED(group) failed = NULL;
    SCOPED(group) again = NULL;
    SCOPED_VALUE(bytes) out = {0};
    const struct group_limits limits = GROUP_LIMITS;
    err_t e = failed_group_decode(data, len, why, &failed);
    if (err_failed(e)) {
        must(err_code(e) == ERR_INVALID && !failed);
        err_free(e);
        return;
    }
    must(*failed->failure && !failed->completions && !failed->columns.count);
    group_encode(failed, &out);
    e = group_decode(out.data, out.len, &limits, &again); // its names may contradict its id
    must(err_failed(e) || digest_equal(&again->id, &failed->id));
    err_free(e);
}

static void try_group(const uint8_t *data, size_t len)
{
    SCOPED(group) group = NULL;
    SCOPED(group) again = NULL;
    const struct group_limits limits = GROUP_LIMITS;
    err_t e = group_decode(data, len, &limits, &group);
    if (err_failed(e)) {
        must(err_code(e) == ERR_INVALID);
        try_names(data, len, e);
        return;
    }
    invariants(group);
    SCOPED_VALUE(bytes) first = {0};
    SCOPED_VALUE(bytes) second = {0};
    group_encode(group, &first);
    must(!err_failed(group_decode(first.data, first.len, &limits, &again)));
    group_encode(again, &second);
    must(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
}

/* As a store of format 3 has it: what it becomes is a group like others. */
static void try_old(const uint8_t *data, size_t len)
{
    SCOPED(group) group = NULL;
    SCOPED_VALUE(bytes) today = {0};
    err_t e = group_decode_v3(data, len, &GROUP_LIMITS, &group);
    must(!err_failed(e) || err_code(e) == ERR_INVALID);
    err_free(e);
    if (!group)
        return;
    group_encode(group, &today);
    try_group(today.data, today.len);
}

/* A round's: what is read is written as it was. */
static void try_columns(const uint8_t *data, size_t len)
{
    SCOPED_VALUE(column_list) list = {0};
    SCOPED_VALUE(bytes) again = {0};
    err_t e = column_list_decode(data, len, &(struct column_bounds){ORIGIN_LEARNER, 1000}, &list);
    must(!err_failed(e) || err_code(e) == ERR_INVALID);
    if (!err_failed(e)) {
        column_list_encode(&list, &again);
        must(again.len == len && (!len || memcmp(again.data, data, len) == 0));
    }
    err_free(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    try_group(data, len);
    try_old(data, len);
    try_columns(data, len);
    SCOPED_VALUE(disposition) disposition = {0};
    err_free(disposition_decode(data, len, &disposition));
    return 0;
}
