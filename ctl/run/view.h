/* A run as a person sees it: one live line on a terminal (or a line every few rounds elsewhere),
 * and a summary.
 *
 *     SCOPED(view) view = NULL;
 *     TRY(view_new("run", 256, &view));
 *     view_update(view);          -- from a timer: reads what was appended since
 *     view_summary(view);
 *
 * Owner: the loop thread. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include <stdint.h>

struct view;

/* Follows metrics.jsonl and evals.jsonl of the run's directory, which need not be there yet.
 * rounds: how many the run will have; 0: unknown. */
err_t view_new(const char *run, uint64_t rounds, struct view **ret);
void view_update(struct view *view);

/* Shows a line that names the cause which holds the run up; NULL: nothing does. A terminal shows it
 * until the next round, other outputs when it begins and then once a minute. cause: another one is
 * another matter. */
void view_held(struct view *view, const char *line, const char *cause);

/* A line of its own, without tearing the live line. */
void view_note(struct view *view, const char *format, ...) __attribute__((format(printf, 2, 3)));
void view_summary(struct view *view);
void view_free(struct view *view);
DEFINE_SCOPED(view)
