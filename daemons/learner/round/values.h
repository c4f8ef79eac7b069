/* Values of a round by its critic, and how good they were.
 *
 *     TRY(values_fill(critic, batch, true));          -- COLUMN_VALUE, COLUMN_BOOTSTRAP_VALUE
 *     values_report(round, batch->columns, &report);  -- once COLUMN_RETURNS is there
 *
 * Owner: the compute thread. */
#pragma once
#include "learner/round/report.h"
#include "learner/round/roundbatch.h"

/* By the present weights of the critic's step (step_values), for all sequences of the round. ends:
 * also the value after the last token of those that were cut off; 0 for the others. */
err_t values_fill(struct step *critic, struct round_batch *batch, bool ends);

/* Error and explained variance by lag; NaN without values. */
void values_report(const struct round *round, const struct columns *columns,
                   struct round_report *report);
