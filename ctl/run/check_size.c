#include "ctl/run/check_size.h"
#include "svc/recipe/recipe_place.h"
#include "wire/rollout.h"
#include <inttypes.h>
#include <string.h>

/* Of protobuf, at most: a group's names and columns, a completion with its turn, a span. */
enum { GROUP_BYTES = 4096, COMPLETION_BYTES = 64, SPAN_BYTES = 24 };

static bool is_filled(const struct recipe *r, const struct check_size *facts,
                      const struct column_row *row)
{
    return row && row->origin <= ORIGIN_REWARDER &&
           (row->id != COLUMN_SAMPLED_LOGP || facts->truncates) &&
           (!strstr(row->key, "reference") || recipe_has_reference(r));
}

/* Bytes that the columns have of one unit. */
static double of_columns(const struct recipe *r, const struct check_size *facts,
                         enum column_unit unit)
{
    double bytes = 0;
    for (unsigned id = 0; id < COLUMNS; id++) {
        const struct column_row *row = column_row(id);
        if (!is_filled(r, facts, row) || row->unit != unit)
            continue;
        const double width = row->range == RANGE_WIDE ? (double)r->rewarder.scorers.count : 1;
        bytes += width * (double)column_size(row->dtype);
    }
    return bytes;
}

err_t check_size(const struct recipe *r, const struct check_size *facts)
{
    const struct recipe_generator *g = &r->generator;
    const double k = (double)g->num_generations;
    const double spans = (double)(recipe_lag_most(r) + 2) * SPAN_BYTES;
    const double token = sizeof(uint32_t) + of_columns(r, facts, UNIT_TOKEN) + facts->token_text;
    const double completion = COMPLETION_BYTES + spans + of_columns(r, facts, UNIT_SEQUENCE);
    const double others = GROUP_BYTES + (double)facts->row_bytes + k * completion +
                          sizeof(uint32_t) * (double)r->data.max_prompt_tokens +
                          of_columns(r, facts, UNIT_GROUP);
    const double most = (GROUP_MAX_BYTES - others) / (k * token);
    if ((double)g->max_tokens <= most)
        return OK;
    if (most < 1)
        return recipe_wrong(r, "generator.num_generations",
                            "%" PRId64 " completions do not fit into a group: without their "
                            "tokens it has up to %.0f bytes, and %d are allowed",
                            g->num_generations, others, GROUP_MAX_BYTES);
    return recipe_wrong(r, "generator.max_tokens",
                        "%" PRId64 " is too many for %" PRId64 " completions of a prompt "
                        "(generator.num_generations): a group would have up to %.0f bytes, %.1f a "
                        "token, and %d are allowed; at most %" PRId64 " tokens fit",
                        g->max_tokens, g->num_generations,
                        others + k * (double)g->max_tokens * token, token, GROUP_MAX_BYTES,
                        (int64_t)most);
}
