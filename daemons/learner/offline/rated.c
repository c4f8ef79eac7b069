#include "learner/offline/rated.h"
#include "base/mem.h"
#include <math.h>
#include <string.h>

enum { LABELS_MAX = 4096 };
static const double RATING_MAX = 1e6;

/* A column that holds null counts as missing. */
static const json_t *column_of(const json_t *row, const char *column)
{
    const json_t *value = json_object_get(row, column);
    return json_is_null(value) ? NULL : value;
}

static err_t wrong(const char *name, const char *column, const json_t *value, const char *allowed)
{
    SCOPED_MEM char *text = value ? json_to_text(value) : NULL;
    return err_new(ERR_INVALID, "%s: '%s' is %.60s; it must be %s", name, column,
                   text ? text : "missing", allowed);
}

static err_t read_number(const json_t *row, const char *name, const char *column, double *ret)
{
    const json_t *value = column_of(row, column);
    const double number = json_is_number(value) ? json_number_value(value) : NAN;
    if (!(fabs(number) <= RATING_MAX))
        return wrong(name, column, value, "a number from -1e6 to 1e6");
    *ret = number;
    return OK;
}

/* ---- preferences */

static bool is_label(const json_t *value)
{
    return json_is_boolean(value) || (json_is_integer(value) && (json_integer_value(value) == 0 ||
                                                                 json_integer_value(value) == 1));
}

err_t rated_labels(const json_t *row, const char *name, struct rating *ret)
{
    static const char allowed[] =
        "a list of 1 to 4096 labels 0 or 1, an annotator each; 1: that one prefers 'chosen'";
    const json_t *labels = column_of(row, "labels");
    const size_t count = json_array_size(labels);
    double preferred = 0;
    if (!labels)
        return OK;
    if (!count || count > LABELS_MAX)
        return wrong(name, "labels", labels, allowed);
    for (size_t i = 0; i < count; i++) {
        const json_t *label = json_array_get(labels, i);
        if (!is_label(label))
            return wrong(name, "labels", labels, allowed);
        preferred += json_is_true(label) || json_integer_value(label) == 1;
    }
    ret->has_preferred = true;
    ret->preferred = preferred / (double)count;
    return OK;
}

static err_t read_preference(const json_t *row, const char *name, struct rating *ret)
{
    ret->reward[0] = 1;
    ret->reward[1] = 0;
    TRY(rated_labels(row, name, ret));
    if (!column_of(row, "margin"))
        return OK;
    ret->has_margin = true;
    return read_number(row, name, "margin", &ret->margin);
}

/* ---- the row */

static err_t unfit(const struct objective_row *objective, const struct row_kind *kind,
                   const char *name, const char *allowed)
{
    char text[ROW_KIND_TEXT];
    return err_new(ERR_INVALID, "%s: a %s row; %s takes %s", name, row_kind_text(kind, text),
                   objective->name, allowed);
}

static err_t rate_alone(const struct objective_row *objective, const json_t *row, const char *name,
                        const struct row_tokens *tokens, struct rating *ret)
{
    switch (tokens->kind.format) {
    case ROW_UNPAIRED:
        ret->reward[0] = tokens->label;
        return OK;
    case ROW_COMPLETION:
    case ROW_LANGUAGE:
        return read_number(row, name, "score", &ret->reward[0]);
    default:
        return unfit(objective, &tokens->kind, name,
                     "ranked completions (completions, scores), a prompt, a completion and a score "
                     "or a label, or a text and a score");
    }
}

err_t rated_row(const struct objective_row *objective, const json_t *row, const char *name, int end,
                struct row_tokens *tokens, struct rating *ret)
{
    const bool compares = objective->unit != OBJECTIVE_SEQUENCE;
    const enum row_format format = tokens->kind.format;
    struct rating rating = {0};
    memcpy(rating.reward, tokens->score, sizeof rating.reward);
    if (compares && format == ROW_PREFERENCE)
        TRY(read_preference(row, name, &rating));
    else if (compares && format != ROW_RANKED)
        return unfit(objective, &tokens->kind, name,
                     "preferences (chosen, rejected) and ranked completions (completions, scores)");
    else if (format != ROW_RANKED)
        TRY(rate_alone(objective, row, name, tokens, &rating));
    for (int i = 0; i < tokens->sequences; i++) {
        struct row_sequence *s = &tokens->at[i];
        row_cut_behind_end(s, end);
        if (!s->prompt_tokens && s->tokens > 1)
            s->prompt_tokens = 1;
    }
    *ret = rating;
    return OK;
}

/* ---- columns */

static void put_column(struct group *group, enum column column, double value)
{
    double *at = group_add(group, column, 1);
    for (uint32_t i = 0; i < group->completions; i++)
        at[i] = value;
}

void rating_put(const struct rating *rating, struct group *group)
{
    if (rating->has_margin)
        put_column(group, COLUMN_MARGIN, rating->margin);
    if (rating->has_preferred)
        put_column(group, COLUMN_PREFERRED, rating->preferred);
}

void rating_hash(const struct group *group, uint32_t i, struct hash *hash)
{
    static const enum column columns[] = {COLUMN_MARGIN, COLUMN_PREFERRED};
    for (size_t k = 0; k < sizeof columns / sizeof *columns; k++) {
        const double *value = group_values(group, columns[k], i);
        if (!value)
            continue;
        hash_put(hash, &columns[k], sizeof columns[k]);
        hash_put(hash, value, sizeof *value);
    }
}
