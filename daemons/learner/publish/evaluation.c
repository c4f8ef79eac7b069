#include "learner/publish/evaluation.h"
#include "base/mem.h"
#include "learner/replay/misfit.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum row_state { ROW_WAITING, ROW_LEASED, ROW_SCORED, ROW_FAILED };

struct row {
    enum row_state state;
    uint64_t stream;     // LEASED: whose
    int64_t deadline_ms; // and until when
    uint32_t tokens;     // SCORED
    bool ended, success;
    double reward;
};

struct evaluation {
    struct evaluation_options options;
    struct row *row;            // (rows)
    double *score;              // (rows, scores)
    uint32_t first, left;       // no row below first waits; rows that are not back
    int64_t begun_ms, moved_ms; // moved: the last row came back
    int64_t expires_ms;         // no lease ends before
};

struct evaluation *evaluation_new(const struct evaluation_options *options, int64_t now_ms)
{
    struct evaluation *e = mem_new(sizeof *e);
    e->options = *options;
    e->row = mem_array(options->rows, sizeof *e->row);
    e->score = mem_array((size_t)options->rows * options->scores, sizeof *e->score);
    e->left = options->rows;
    e->begun_ms = e->moved_ms = now_ms;
    e->expires_ms = INT64_MAX;
    return e;
}

const struct evaluation_options *evaluation_what(const struct evaluation *e)
{
    return &e->options;
}

/* ---- leases */

static void give_up(struct evaluation *e, uint32_t i)
{
    e->row[i].state = ROW_WAITING;
    if (i < e->first)
        e->first = i;
}

static void expire(struct evaluation *e, int64_t now_ms)
{
    if (now_ms < e->expires_ms)
        return;
    e->expires_ms = INT64_MAX;
    for (uint32_t i = 0; i < e->options.rows; i++) {
        if (e->row[i].state != ROW_LEASED)
            continue;
        if (e->row[i].deadline_ms <= now_ms)
            give_up(e, i);
        else if (e->row[i].deadline_ms < e->expires_ms)
            e->expires_ms = e->row[i].deadline_ms;
    }
}

bool evaluation_lease(struct evaluation *e, uint64_t stream, int64_t now_ms, uint32_t *ret_row)
{
    expire(e, now_ms);
    while (e->first < e->options.rows && e->row[e->first].state != ROW_WAITING)
        e->first++;
    if (e->first == e->options.rows)
        return false;
    struct row *row = &e->row[e->first];
    row->state = ROW_LEASED;
    row->stream = stream;
    row->deadline_ms = now_ms + e->options.lease_ms;
    if (row->deadline_ms < e->expires_ms)
        e->expires_ms = row->deadline_ms;
    *ret_row = e->first++;
    return true;
}

void evaluation_release(struct evaluation *e, uint64_t stream)
{
    for (uint32_t i = 0; i < e->options.rows; i++)
        if (e->row[i].state == ROW_LEASED && e->row[i].stream == stream)
            give_up(e, i);
}

void evaluation_stand_still(struct evaluation *e, int64_t now_ms)
{
    e->moved_ms = now_ms;
    for (uint32_t i = 0; i < e->options.rows; i++)
        e->row[i].deadline_ms = now_ms + e->options.lease_ms;
    e->expires_ms = now_ms + e->options.lease_ms;
}

/* ---- what comes back */

/* The row that a slot of this evaluation names; false: of another one. */
static bool row_of(const struct evaluation *e, uint64_t slot, uint32_t *ret)
{
    *ret = (uint32_t)(slot & (EVALUATION_ROWS_MAX - 1));
    return slot == evaluation_slot(e->options.version, *ret) && *ret < e->options.rows;
}

static bool is_back(const struct evaluation *e, uint32_t i)
{
    return e->row[i].state == ROW_SCORED || e->row[i].state == ROW_FAILED;
}

static void come_back(struct evaluation *e, uint32_t i, enum row_state state, int64_t now_ms)
{
    e->row[i].state = state;
    e->left--;
    e->moved_ms = now_ms;
}

static bool is_of_version(const struct completion *c, uint64_t version)
{
    for (uint32_t s = 0; s < c->spans; s++)
        if (c->span[s].version != version)
            return false;
    return true;
}

/* Why a group of this evaluation's row cannot be what it asked for; NULL: it is. */
static const char *unasked(const struct evaluation *e, const struct group *group, uint32_t row)
{
    const struct evaluation_options *o = &e->options;
    if (strcmp(group->run, o->run) != 0)
        return "of another run";
    if (group->prompt != row)
        return "its prompt is not its slot's row";
    if (group->failure)
        return NULL;
    if (group->completions != 1)
        return "not one completion";
    if (group->temperature != o->temperature)
        return "sampled at another temperature than eval.temperature";
    if (!is_of_version(&group->completion[0], o->version))
        return "sampled by weights of another version";
    if (group_width(group, COLUMN_SCORES) && group_width(group, COLUMN_SCORES) != o->scores)
        return "not as many scores as the recipe has scorers";
    return NULL;
}

/* Why its row cannot be counted: whoever decodes it again, it stays so. NULL: it can. */
static const char *uncountable(const struct evaluation *e, const struct group *group,
                               char why[MISFIT_WHY])
{
    if (group->failure)
        return group->failure;
    if (group_width(group, COLUMN_SCORES) != e->options.scores)
        return "without scores";
    if (e->options.scores && !group_values(group, COLUMN_REWARD, 0))
        return "without a reward";
    return misfit_values(group, why);
}

static void score(struct evaluation *e, uint32_t i, const struct group *group)
{
    const uint32_t scores = e->options.scores;
    const struct completion *c = &group->completion[0];
    struct row *row = &e->row[i];
    row->tokens = c->tokens;
    row->ended = c->finish != FINISH_LENGTH;
    row->reward = group_value(group, COLUMN_REWARD, 0);
    row->success = true;
    for (uint32_t s = 0; s < scores; s++) {
        const double score = group_score(group, 0, s); // NaN: it does not apply
        e->score[(size_t)i * scores + s] = score;
        row->success = row->success && !(score < e->options.success[s]);
    }
}

enum outcome evaluation_take(struct evaluation *e, const struct group *group, int64_t now_ms,
                             char why[EVALUATION_WHY])
{
    uint32_t row;
    why[0] = '\0';
    if (group->lineage != e->options.lineage || !row_of(e, group->slot, &row)) {
        snprintf(why, EVALUATION_WHY, "version %" PRIu64 " is evaluated now", e->options.version);
        return OUTCOME_SUPERSEDED;
    }
    const char *wrong = unasked(e, group, row);
    if (wrong) {
        snprintf(why, EVALUATION_WHY, "%s", wrong);
        return OUTCOME_REJECTED;
    }
    if (is_back(e, row)) {
        snprintf(why, EVALUATION_WHY, "this row is back already");
        return OUTCOME_DUPLICATE;
    }
    char value[MISFIT_WHY];
    wrong = uncountable(e, group, value);
    if (wrong) {
        snprintf(why, EVALUATION_WHY, "%s: its row counts as failed", wrong);
        come_back(e, row, ROW_FAILED, now_ms);
        return OUTCOME_REJECTED;
    }
    score(e, row, group);
    come_back(e, row, ROW_SCORED, now_ms);
    return OUTCOME_STORED;
}

void evaluation_fail(struct evaluation *e, uint64_t slot, int64_t now_ms)
{
    uint32_t row;
    if (row_of(e, slot, &row) && !is_back(e, row))
        come_back(e, row, ROW_FAILED, now_ms);
}

bool evaluation_complete(const struct evaluation *e)
{
    return e->left == 0;
}

int64_t evaluation_moved_ms(const struct evaluation *e)
{
    return e->moved_ms;
}

/* ---- figures */

void evaluation_figures(const struct evaluation *e, int64_t now_ms, struct evaluation_figures *ret)
{
    const uint32_t rows = e->options.rows, scores = e->options.scores;
    double reward = 0, squares = 0, success = 0, tokens = 0, ended = 0, count = 0;
    double *mean = mem_array(scores, sizeof *mean);
    SCOPED_MEM double *applied = mem_array(scores, sizeof *applied);
    for (uint32_t i = 0; i < rows; i++) {
        const struct row *row = &e->row[i];
        if (row->state != ROW_SCORED)
            continue;
        count++;
        reward += row->reward;
        squares += row->reward * row->reward;
        success += row->success;
        tokens += row->tokens;
        ended += row->ended;
        for (uint32_t s = 0; s < scores; s++) {
            const double score = e->score[(size_t)i * scores + s];
            mean[s] += isnan(score) ? 0 : score;
            applied[s] += !isnan(score);
        }
    }
    for (uint32_t s = 0; s < scores; s++)
        mean[s] /= applied[s];
    *ret = (struct evaluation_figures){
        .rows = rows,
        .failed = rows - e->left - (uint32_t)count,
        .reward_mean = reward / count,
        .reward_std = sqrt(fmax(0, squares / count - reward / count * (reward / count))),
        .success = success / count,
        .length_mean = tokens / count,
        .ended = ended / count,
        .seconds = (double)(now_ms - e->begun_ms) / 1000,
        .score_mean = mean};
    if (count == 0)
        ret->reward_std = NAN; // fmax drops it
}

void evaluation_figures_done(struct evaluation_figures *figures)
{
    mem_free(figures->score_mean);
    *figures = (struct evaluation_figures){0};
}

void evaluation_free(struct evaluation *e)
{
    if (!e)
        return;
    mem_free(e->row);
    mem_free(e->score);
    mem_free(e);
}
