#include "learner/round/values.h"
#include "base/mem.h"
#include "learner/store/lag.h"
#include <math.h>
#include <string.h>

/* The round's sequences, some with a token more, so that their last one is fed, too. */
struct longer {
    struct sequence *sequence;
    uint32_t *token;
    size_t targets;
};

static void longer_done(struct longer *longer)
{
    mem_free(longer->sequence);
    mem_free(longer->token);
}

static bool has_end(const struct round_batch *batch, size_t s, bool ends)
{
    return ends && batch->cut_off[s];
}

/* The token more predicts nothing and is not fed: any will do. */
static struct longer longer_of(const struct round_batch *batch, bool ends)
{
    const size_t sequences = batch->columns->sequences, tokens = batch->columns->first[sequences];
    struct longer longer = {.sequence = mem_array(sequences, sizeof *longer.sequence),
                            .token = mem_array(tokens + sequences, sizeof *longer.token)};
    uint32_t *at = longer.token;
    for (size_t s = 0; s < sequences; s++) {
        struct sequence *sequence = &longer.sequence[s];
        *sequence = batch->sequence[s];
        if (has_end(batch, s, ends)) {
            memcpy(at, sequence->token, (size_t)sequence->tokens * sizeof *at);
            sequence->token = at;
            at[sequence->tokens++] = 0;
            at += sequence->tokens;
        }
        longer.targets += (size_t)sequence_targets(sequence);
    }
    return longer;
}

err_t values_fill(struct step *critic, struct round_batch *batch, bool ends)
{
    struct columns *columns = batch->columns;
    SCOPED_VALUE(longer) longer = longer_of(batch, ends);
    SCOPED_MEM double *all = mem_array(longer.targets, sizeof *all);
    const struct step_batch whole = {.sequences = columns->sequences, .sequence = longer.sequence};
    TRY(step_values(critic, &whole, all));
    double *value = columns_add(columns, COLUMN_VALUE),
           *end = ends ? columns_add(columns, COLUMN_BOOTSTRAP_VALUE) : NULL;
    const double *at = all;
    for (size_t s = 0; s < columns->sequences; s++) {
        const size_t tokens = columns->first[s + 1] - columns->first[s];
        memcpy(value + columns->first[s], at, tokens * sizeof *value);
        at += tokens;
        if (has_end(batch, s, ends))
            end[s] = *at++;
    }
    return OK;
}

/* ---- the report */

enum { LAGS = 3 };
struct moments {
    double tokens, target, target_square, error, error_square;
};

/* Of the sequences [from, to). */
static void add(const struct columns *columns, size_t from, size_t to, struct moments *m)
{
    for (size_t t = columns->first[from]; t < columns->first[to]; t++) {
        const double target = columns->at[COLUMN_RETURNS][t],
                     error = target - columns->at[COLUMN_VALUE][t];
        if (columns_weight(columns, t) == 0)
            continue;
        m->tokens++;
        m->target += target;
        m->target_square += target * target;
        m->error += error;
        m->error_square += error * error;
    }
}

/* NaN: no tokens. */
static double root_mean_square(const struct moments *m)
{
    return sqrt(m->error_square / m->tokens);
}

/* NaN: the targets are all alike. */
static double explained(const struct moments *m)
{
    const double of_error = m->error_square - m->error * m->error / m->tokens,
                 of_target = m->target_square - m->target * m->target / m->tokens;
    return of_target > 0 ? 1 - of_error / of_target : NAN;
}

void values_report(const struct round *round, const struct columns *columns,
                   struct round_report *report)
{
    struct moments of[LAGS] = {0};
    const bool there = columns->at[COLUMN_VALUE] && columns->at[COLUMN_RETURNS];
    for (size_t g = 0; there && g < round->groups; g++) {
        const uint64_t lag = lag_of(round->round, round->group[g].age);
        add(columns, columns->unit[g], columns->unit[g + 1], &of[lag < LAGS ? lag : LAGS - 1]);
    }
    report->value_error_lag0 = root_mean_square(&of[0]);
    report->value_error_lag1 = root_mean_square(&of[1]);
    report->value_error_lag2 = root_mean_square(&of[2]);
    report->explained_variance_lag0 = explained(&of[0]);
    report->explained_variance_lag1 = explained(&of[1]);
    report->explained_variance_lag2 = explained(&of[2]);
}
