/* The columns of a batch of sequences, in double: of a round, and of an update gathered from it. A
 * micro-batch, and a stretch of one, is a range of the batch's sequences; nothing is copied for it.
 *
 *     SCOPED(columns) all = columns_new(sequences, tokens);              -- tokens: of each
 *     double *reward = columns_add(all, COLUMN_REWARD);                  -- (sequences), 0
 *     SCOPED(columns) part = columns_gather(all, member, count);         -- every column, of these sequences in this order
 *
 * Token columns have first[sequences] values; that of token t of sequence i is at first[i] + t.
 * Sequence columns have a value for each sequence, group columns one for each unit. Units are runs
 * of neighbours: groups in a round; in an update the sequences that one loss of the objective
 * needs. Owner: one thread. */
#pragma once
#include "base/scoped.h"
#include "rl/column_table.h"
#include <stdbool.h>

struct columns {
    size_t sequences, units;
    size_t *first;       // (sequences + 1) where each one's tokens begin
    size_t *unit;        // (units + 1) where each one's sequences begin
    double *at[COLUMNS]; // NULL: not there
};

/* Sequences begin..end-1, whole units. */
struct range {
    size_t begin, end;
};

/* Each sequence is a unit. */
struct columns *columns_new(size_t sequences, const size_t *tokens);

/* Units of so many sequences each, which add up to all of them. */
void columns_set_units(struct columns *columns, size_t units, const size_t *sequences);

/* Zeros at first; what is there already stays. */
double *columns_add(struct columns *columns, enum column column);

/* One that is not there stays so. */
void columns_drop(struct columns *columns, enum column column);

/* The bits of those that are there. */
uint64_t columns_there(const struct columns *columns);

/* All columns of tokens and sequences, of `count` sequences by their index; each is a unit. */
struct columns *columns_gather(const struct columns *columns, const size_t *member, size_t count);

void columns_free(struct columns *columns);
DEFINE_SCOPED(columns)

/* The token's weight: 1 where no column says otherwise. */
static inline double columns_weight(const struct columns *columns, size_t token)
{
    return columns->at[COLUMN_WEIGHT] ? columns->at[COLUMN_WEIGHT][token] : 1;
}

/* COLUMN_WEIGHT, where all weigh 1 unless it was there. */
double *columns_add_weights(struct columns *columns);

/* Unmasked tokens of sequence i, and of all. */
size_t columns_tokens(const struct columns *columns, size_t i);
double columns_unmasked(const struct columns *columns);

/* The tokens of COLUMN_MASKED lose their weight. COLUMN_COUNTED is what was unmasked before.
 * Without the column nothing happens. */
void columns_mask(struct columns *columns);

/* Tokens of sequence i as the divisors count them: unmasked now, or before columns_mask. */
size_t columns_counted(const struct columns *columns, size_t i);

/* The divisors of a whole update's losses: the tokens that count, the sequences and the units that
 * have one. chosen_tokens are those of each unit's first sequence, the chosen one of a pair. Tokens
 * that a correction drops stay counted. */
struct coupling;
struct rl_totals {
    double tokens, sequences, units, chosen_tokens;
    double imitated_tokens, imitated; // those that COLUMN_IMITATED marks
    /* Whole-batch values of losses (rl/kernels/coupling.h); borrowed. NULL: none yet. */
    const struct coupling *coupling;
};
struct rl_totals columns_totals(const struct columns *columns);
