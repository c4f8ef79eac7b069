/* One evaluation: rows of data.eval, each completed once by the weights of one version. Leases rows
 * to generators, takes their scored groups, and computes the figures at the end.
 *
 *     SCOPED(evaluation) e = evaluation_new(&options, now_ms);
 *     while (more && evaluation_lease(e, stream, now_ms, &row))     -- a row that nobody decodes
 *         ...
 *     outcome = evaluation_take(e, group, now_ms, why);             -- scored: the first of a row counts
 *     if (evaluation_complete(e))
 *         evaluation_figures(e, now_ms, &figures);
 *
 * An evaluation lives in memory alone. Every generator draws the same random numbers for a row, so
 * a lease costs nothing to give up. Leases of a closed stream, and those past their deadline, are
 * simply given again. Pure: the clock is handed in. Owner: the storage thread. */
#pragma once
#include "base/scoped.h"
#include "wire/rollout.h"

/* Slots of evaluations are no slots of the store: the highest bit, then version and row. A format:
 * ids come from it. */
enum { EVALUATION_ROW_BITS = 24, EVALUATION_ROWS_MAX = 1 << EVALUATION_ROW_BITS };
#define EVALUATION_SLOT (UINT64_C(1) << 63)
static inline uint64_t evaluation_slot(uint64_t version, uint64_t row)
{
    return EVALUATION_SLOT | version << EVALUATION_ROW_BITS | row;
}

struct evaluation_options {
    const char *run; // borrowed
    uint32_t lineage;
    uint64_t version, round; // round: the number of rounds trained into the version
    uint32_t rows;           // number of first rows of data.eval: 1 to EVALUATION_ROWS_MAX
    uint32_t scores;         // number of scores of every completion
    const double *success;   // (scores) the least score that counts as success; borrowed
    float temperature;       // temperature of the sampling
    uint32_t lease_ms;       // duration of a lease; then another stream may get the row
};

struct evaluation;
struct evaluation *evaluation_new(const struct evaluation_options *options, int64_t now_ms);
const struct evaluation_options *evaluation_what(const struct evaluation *e);

/* Leases the lowest waiting row to the generator of this stream; false: there is none now. */
bool evaluation_lease(struct evaluation *e, uint64_t stream, int64_t now_ms, uint32_t *ret_row);
void evaluation_release(struct evaluation *e, uint64_t stream); // all leases of this stream

/* Deadlines of rows, and the time since a row last came back, count from now_ms on. */
void evaluation_stand_still(struct evaluation *e, int64_t now_ms);

/* The outcome of a scored group. SUPERSEDED: another version's. DUPLICATE: the row is back already.
 * REJECTED: not what was asked for, or without scores; then its row counts as failed. STORED: else.
 * why: for people, "" if STORED. */
enum { EVALUATION_WHY = REASON_MAX_BYTES + 40 };
enum outcome evaluation_take(struct evaluation *e, const struct group *group, int64_t now_ms,
                             char why[EVALUATION_WHY]);

/* The row of this slot can never be decoded; slots of other versions are ignored. */
void evaluation_fail(struct evaluation *e, uint64_t slot, int64_t now_ms);
bool evaluation_complete(const struct evaluation *e);
/* The time of the last row's return; before any, that of the start. */
int64_t evaluation_moved_ms(const struct evaluation *e);

/* Means over the rows that were scored, added up in the order of the rows; NAN without any. */
struct evaluation_figures {
    uint32_t rows, failed; // failed: could not be decoded or scored
    double reward_mean, reward_std, success, length_mean, ended, seconds;
    double *score_mean; // (scores)
};
void evaluation_figures(const struct evaluation *e, int64_t now_ms, struct evaluation_figures *ret);
void evaluation_figures_done(struct evaluation_figures *figures);
void evaluation_free(struct evaluation *e);
DEFINE_SCOPED(evaluation)
